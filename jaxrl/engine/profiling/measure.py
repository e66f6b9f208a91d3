"""Where the time of a training run goes."""

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxrl.engine.check import check, check_traceable
from jaxrl.engine.profiling.counts import Counts
from jaxrl.engine.profiling.memory import bytes_of, fits, temporary_bytes
from jaxrl.engine.profiling.peaks import Peaks, measure_peaks
from jaxrl.engine.profiling.programs import Compilation, described
from jaxrl.engine.profiling.timing import Timed, Whole, beyond_chance, in_turn, timed_stages, unit_of
from jaxrl.types import steps_per_update, whole_number


@dataclasses.dataclass(frozen=True)
class StageProfile:
    """A part of an update, run by itself."""

    seconds: tuple[float, ...]
    """Of all its turns in one update, one number a repetition."""
    counts: Counts
    """Of all its turns in one update."""
    within: str | None = None
    """The stage that it is a part of; None: of the update itself."""
    unsplit_seconds: tuple[float, ...] | None = None
    """As of `Profile`, of stages of the update itself."""


@dataclasses.dataclass(frozen=True)
class Profile:
    """What `profile` measured. Everything is of one update, of all seeds together."""

    algorithm: str
    device: str
    num_seeds: int
    unit: str
    """What is counted: `steps` of environments, `completions`, `texts`, `sweeps` or `updates`."""
    units: int
    """So many of them."""
    init_seconds: float
    """Compiling and running the initial state."""
    compilation: Compilation
    seconds: tuple[float, ...]
    """Of an update, one number a repetition."""
    unsplit_seconds: tuple[float, ...] | None
    """The same where each loop has one thread; None where XLA splits no loop over threads, which it does on a CPU, and
    where that program does not fit into memory."""
    stages: dict[str, StageProfile]
    """Empty with several seeds, where two more states do not fit, and without halves and `stages`."""
    tokens: tuple[float, ...]
    """Mean tokens drawn, or read, by an update of a language model, one number a repetition; empty of others."""
    peaks: Peaks
    device_peak_bytes: int | None
    """Most memory that this process has had in use, by the device's own counting; None where it does not count."""

    @property
    def median_seconds(self) -> float:
        """Of an update."""
        return float(np.median(self.seconds))

    @property
    def compilations(self) -> int:
        """Programs that `fit` compiles anew for later updates, by the types of states; a run that is right has none."""
        return self.compilation.programs - 1

    @property
    def per_second(self) -> tuple[float, float, float]:
        """Lower quartile, median and upper quartile of units per second."""
        low, middle, high = np.quantile(self.units / np.array(self.seconds), [0.25, 0.5, 0.75])
        return float(low), float(middle), float(high)

    @property
    def tokens_per_second(self) -> tuple[float, ...]:
        """One number a repetition; empty without tokens."""
        return tuple(tokens / seconds for tokens, seconds in zip(self.tokens, self.seconds, strict=False))

    @property
    def stage_seconds(self) -> dict[str, float]:
        """Median seconds of each stage in one update, parts of others among them: `parts` tells them apart."""
        return {name: float(np.median(stage.seconds)) for name, stage in self.stages.items()}

    @property
    def counts(self) -> Counts:
        """What an update does; where only the data say how long its loops are, the sum of its parts, which know."""
        return self._known(self.compilation.counts, None)

    def counts_of(self, name: str) -> Counts:
        """What a stage does in an update, counted as in `counts`.

        Args:
          name: of `stages`.
        """
        return self._known(self.stages[name].counts, name)

    def _known(self, whole: Counts, within: str | None) -> Counts:
        parts = [self.counts_of(name) for name in self.parts(within)]
        if not whole.unknown_loops or not parts:
            return whole
        return dataclasses.replace(functools.reduce(Counts.__add__, parts), transfers=whole.transfers)

    @property
    def unattributed(self) -> float:
        """Median of `open_shares`; NaN without stages."""
        return float(np.median(self.open_shares())) if self.stages else math.nan

    def open_shares(self, parts: bool = False) -> tuple[float, ...]:
        """Share of an update that neither its stages nor threads have; negative where stages alone cost more.

        Args:
          parts: whether the parts of a stage stand for it, where it has some.

        Returns:
          One number a repetition; none without stages.
        """
        if not self.stages:
            return ()
        names = [leaf for name in self.parts() for leaf in (self.parts(name) if parts else ()) or [name]]
        known = np.sum([self.stages[name].seconds for name in names], axis=0)
        known = known + np.array(self.thread_seconds) if self.thread_cost else known
        return tuple((1.0 - known / np.array(self.seconds)).tolist())

    @property
    def thread_seconds(self) -> tuple[float, ...]:
        """By how much more an update exceeds the sum of its stages than where each loop has one thread.

        One number a repetition; empty where that was not timed.
        """
        top = [stage for stage in self.stages.values() if stage.within is None]
        if not top or self.unsplit_seconds is None:
            return ()
        rest = np.subtract(self.seconds, np.sum([stage.seconds for stage in top], axis=0))
        of_stages: Any = [stage.unsplit_seconds for stage in top]
        unsplit = np.subtract(self.unsplit_seconds, np.sum(of_stages, axis=0))
        return tuple((rest - unsplit).tolist())

    @property
    def thread_cost(self) -> float:
        """Median of `thread_seconds`, if neither they nor that an update takes longer is chance; else zero."""
        if not self.thread_seconds or self.unsplit_seconds is None:
            return 0.0
        slower = np.subtract(self.seconds, self.unsplit_seconds).tolist()
        certain = beyond_chance(self.thread_seconds) and beyond_chance(slower)
        return float(np.median(self.thread_seconds)) if certain else 0.0

    def parts(self, within: str | None = None) -> dict[str, float]:
        """Median seconds of the parts of a stage in one update; of the update itself for None."""
        return {name: seconds for name, seconds in self.stage_seconds.items() if self.stages[name].within == within}


def profile(
    algorithm: Any,
    key: jax.Array | None = None,
    *,
    num_seeds: int = 1,
    repetitions: int = 9,
    region: float = 0.2,
    memory_limit: int | None = None,
    trace: Path | None = None,
) -> Profile:
    """Measure an algorithm: its compilation, its speed, its parts, and how near it comes to the device's limits.

    It runs the program that `fit` runs. An update and its stages are timed in turn, so that a busy minute of the
    machine hits them all; the device's limits are measured in the same process. Stages begin with the state behind
    `repetitions * region` seconds of updates: a replay has rows by then. On a CPU, XLA splits loops over threads, which
    sleep between those: a cost that stages alone, busy all the time, do not have. Where it does, update and stages are
    timed without that, too: `unsplit_seconds`, and `thread_cost` of what no stage has.

    Args:
      algorithm: any; `rollout` and `learn` are its halves, and what `stages(state, key)` gives are parts of them.
      key: of the random numbers; None: of seed 0.
      num_seeds: seeds in one program.
      repetitions: of every timing, after a warm-up.
      region: seconds that a timing is to take; of an update it takes fewer where `timing.LONGEST` updates do.
      memory_limit: bytes that the program may need; None: what is free.
      trace: directory for a trace of one more call, which Perfetto and XProf open; None: there is none.

    Returns:
      A `Profile`.

    Raises:
      ValueError: as `check`, for numbers that are no integers from one on, and for a `steps_per_update` that is no
        multiple of a rollout's transitions.
      MemoryError: before anything runs, for a program that needs more memory than there is.
      TypeError: as `check`, and for rewards that Python gives.

    Example:
      >>> import jaxrl
      >>> q_learning = jaxrl.QLearning(*jaxrl.envs.make("CliffWalking"), num_envs=4, num_steps=8)
      >>> profiled = jaxrl.profile(q_learning, repetitions=2, region=0.001)
      >>> profiled.units, profiled.compilations, len(profiled.seconds)
      (32, 0, 2)

    Source: our own.
    """
    num_seeds, repetitions = (
        whole_number(*named, least=1) for named in (("num_seeds", num_seeds), ("repetitions", repetitions))
    )
    check(algorithm)
    check_traceable(algorithm)
    stage_key, run_key = jax.random.split(jax.random.key(0) if key is None else key)
    whole = Whole.begin(algorithm, jax.random.split(run_key, num_seeds) if num_seeds > 1 else run_key, memory_limit)
    # Before what follows adds to it.
    device_peak_bytes = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    peaks = measure_peaks()
    size = bytes_of(whole.state)
    room = None if memory_limit is None else memory_limit - size - bytes_of(algorithm)  # what is free is without them
    # A copy and what a stage gives; what it reads, and works with.
    alone = num_seeds == 1 and fits(2 * (size + temporary_bytes(whole.program)), room)
    split = whole.unsplit is not None
    stages = timed_stages(algorithm, whole.state_behind(repetitions * region), stage_key, split) if alone else {}
    seconds, tokens = in_turn(whole, stages, repetitions, region)
    timed = {what: tuple(each) for what, each in seconds.items()}
    if trace is not None:
        with jax.profiler.trace(trace, create_perfetto_trace=True):
            whole.run(1)
    return Profile(
        algorithm=type(algorithm).__name__,
        device=jax.devices()[0].device_kind,
        num_seeds=num_seeds,
        unit=unit_of(algorithm),
        units=steps_per_update(algorithm) * num_seeds,
        init_seconds=whole.init_seconds,
        compilation=described(whole.program, whole.seconds, whole.programs),
        seconds=timed[Timed()],
        unsplit_seconds=timed.get(Timed(unsplit=True)),
        stages={
            name: StageProfile(timed[Timed(name)], stage.counts, stage.within, timed.get(Timed(name, unsplit=True)))
            for name, stage in stages.items()
        },
        tokens=tuple(tokens),
        peaks=peaks,
        device_peak_bytes=device_peak_bytes,
    )
