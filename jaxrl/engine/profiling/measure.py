"""Where the time of a training run goes."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.engine.check import asks_for_rewards, check, check_traceable
from jaxrl.engine.profiling.counts import Counts, of_a_turn
from jaxrl.engine.profiling.peaks import Peaks, measure_peaks
from jaxrl.engine.profiling.programs import Compilation, check_memory, compiled, counted, described
from jaxrl.engine.profiling.stages import repeat, stages_of
from jaxrl.engine.programs import initialize, split_keys, updates
from jaxrl.types import steps_per_update

LONGEST = 1024
"""Updates of a timed call at most."""
_COMPILED = "/jax/core/compile/backend_compile_duration"


@dataclasses.dataclass(frozen=True)
class StageProfile:
    """A part of an update, run by itself."""

    seconds: tuple[float, ...]
    """Of all its turns in one update, one number a repetition."""
    counts: Counts
    """Of all its turns in one update."""


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
    stages: dict[str, StageProfile]
    """Empty with several seeds, and for an algorithm that names no parts."""
    tokens: float | None
    """Mean tokens drawn, or read, by an update of a language model; None of others."""
    peaks: Peaks
    compilations: int
    """Programs compiled while the whole was timed; a run that is right compiles none."""
    device_peak_bytes: int | None
    """Most memory that the device had in use, by its own counting; None where it does not count."""

    @property
    def median_seconds(self) -> float:
        """Of an update."""
        return float(np.median(self.seconds))

    @property
    def per_second(self) -> tuple[float, float, float]:
        """Lower quartile, median and upper quartile of units per second."""
        low, middle, high = np.quantile(self.units / np.array(self.seconds), [0.25, 0.5, 0.75])
        return float(low), float(middle), float(high)

    @property
    def stage_seconds(self) -> dict[str, float]:
        """Median seconds of each stage in one update."""
        return {name: float(np.median(stage.seconds)) for name, stage in self.stages.items()}

    @property
    def counts(self) -> Counts:
        """What an update does: the sum of its stages, which know how long their loops are; else of the whole."""
        stages = [stage.counts for stage in self.stages.values()]
        return functools.reduce(Counts.__add__, stages) if stages else self.compilation.counts

    @property
    def unattributed(self) -> float:
        """Share of an update's time that no stage has; negative where parts alone cost more than together."""
        if not self.stages:
            return math.nan
        return 1.0 - sum(self.stage_seconds.values()) / self.median_seconds


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
    machine hits them all; the device's limits are measured in the same process.

    Args:
      algorithm: any; one with `stages(state, key)` is taken apart by them, one with `rollout` and `learn` in halves.
      key: of the random numbers; None: of seed 0.
      num_seeds: seeds in one program.
      repetitions: of every timing, after a warm-up.
      region: seconds of a timing at least.
      memory_limit: bytes that the program may need; None: what is free.
      trace: directory for a trace of one more call, which Perfetto and XProf open; None: there is none.

    Returns:
      A `Profile`.

    Raises:
      ValueError: as `check`, and for numbers below one.
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
    for name, value in {"num_seeds": num_seeds, "repetitions": repetitions}.items():
        if value < 1:
            raise ValueError(f"{name}={value} must be at least 1")
    check(algorithm)
    check_traceable(algorithm)
    stage_key, run_key = jax.random.split(jax.random.key(0) if key is None else key)
    whole = _Whole.begin(algorithm, jax.random.split(run_key, num_seeds) if num_seeds > 1 else run_key, memory_limit)
    # Before what follows adds to it.
    device_peak_bytes = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    peaks = measure_peaks()
    stages = {} if num_seeds > 1 else _stages(algorithm, jax.tree.map(jnp.copy, whole.state), stage_key)
    seconds, stage_seconds, compilations = _in_turn(whole, stages, repetitions, region)
    if trace is not None:
        with jax.profiler.trace(trace):
            whole.run(1)
    unit, units, tokens = _units(algorithm, whole.metrics)
    return Profile(
        algorithm=type(algorithm).__name__,
        device=jax.devices()[0].device_kind,
        num_seeds=num_seeds,
        unit=unit,
        units=units * num_seeds,
        init_seconds=whole.init_seconds,
        compilation=described(whole.program, whole.seconds),
        seconds=tuple(seconds),
        stages={name: StageProfile(tuple(stage_seconds[name]), counts) for name, (_, counts) in stages.items()},
        tokens=tokens,
        peaks=peaks,
        compilations=compilations,
        device_peak_bytes=device_peak_bytes,
    )


@dataclasses.dataclass
class _Whole:
    """The program of `fit`, which owns its state."""

    algorithm: Any
    key: jax.Array
    alive: jax.Array
    state: Any
    program: Any
    init_seconds: float
    seconds: dict[str, float]
    metrics: Any = None
    made: int = 0

    @classmethod
    def begin(cls, algorithm: Any, key: jax.Array, memory_limit: int | None) -> "_Whole":
        """Compile, initialize, and run once."""
        init_key, run_key = split_keys(key)
        alive, batched = jnp.ones(key.shape, bool), key.ndim > 0
        shapes, _ = jax.eval_shape(functools.partial(initialize, batched=batched), algorithm, init_key)
        arguments = (algorithm, shapes, run_key, jnp.int32(0), alive, jnp.int32(1))
        program, seconds = compiled(updates, *arguments, longest=1 if batched else LONGEST)
        check_memory(program, memory_limit)
        start = time.perf_counter()
        state, _ = jax.block_until_ready(initialize(algorithm, init_key, batched=batched))
        init_seconds = time.perf_counter() - start
        whole = cls(algorithm, run_key, alive, state, program, init_seconds, seconds)
        seconds["first_run_seconds"] = whole.run(1)
        return whole

    def run(self, turns: int) -> float:
        """Seconds of so many updates, which go on from the last ones."""
        numbers = (jnp.int32(self.made), self.alive, jnp.int32(turns))
        start = time.perf_counter()
        result = self.program(self.algorithm, self.state, self.key, *numbers)
        self.state, self.metrics, _ = jax.block_until_ready(result)
        self.made += turns
        return time.perf_counter() - start


def _stages(algorithm: Any, state: Any, key: jax.Array) -> dict[str, tuple[Callable[[int], float], Counts]]:
    """For each stage what times its turns of so many updates, and what it does in one."""
    found, nested = {}, jax.default_backend() != "cpu"
    for name, stage in stages_of(algorithm, state, key).items():
        with jax.debug_key_reuse(False):  # every turn has the same keys, which is no mistake here
            program, _ = compiled(repeat, stage, jnp.int32(1), nested=nested)
        counts = counted(program.as_text(), of_a_turn).repeated(1 if nested else stage.times)

        def run(turns: int, program: Any = program, stage: Any = stage) -> float:
            start = time.perf_counter()
            jax.block_until_ready(program(stage, jnp.int32(turns)))
            return time.perf_counter() - start

        found[name] = (run, counts)
    return found


def _in_turn(
    whole: _Whole, stages: dict[str, tuple[Callable[[int], float], Counts]], repetitions: int, region: float
) -> tuple[list[float], dict[str, list[float]], int]:
    """Seconds of an update and of each stage, and programs compiled meanwhile."""
    runs = {"": whole.run} | {name: run for name, (run, _) in stages.items()}
    turns, seconds = {}, {name: [] for name in runs}
    for name, run in runs.items():
        run(1)
        most = LONGEST if not whole.alive.ndim else 1
        turns[name] = max(1, min(math.ceil(region / run(1)), most if not name else 2**20))
        run(turns[name])
    compiled_before = _compilations()
    for _ in range(repetitions):
        for name, run in runs.items():
            seconds[name].append(run(turns[name]) / turns[name])
    return seconds.pop(""), seconds, _compilations() - compiled_before


def _units(algorithm: Any, metrics: Any) -> tuple[str, int, float | None]:
    """What an update is counted in, how many of them it has, and tokens."""
    units = steps_per_update(algorithm)
    if asks_for_rewards(algorithm):
        return "completions", units, units * float(np.asarray(metrics["length"]).reshape(-1)[0])
    if hasattr(algorithm, "task"):
        return "texts", units, float(np.asarray(metrics["tokens"]).reshape(-1)[0]) if "tokens" in metrics else None
    if hasattr(algorithm, "mdp"):
        return "sweeps", units, None
    return ("steps" if hasattr(algorithm, "env") else "updates"), units, None


_seen: list[float] = []


def _compilations() -> int:
    """Programs that this process has compiled since the first call."""
    if not _seen:
        _seen.append(0.0)
        jax.monitoring.register_event_duration_secs_listener(
            lambda event, duration_secs, **_: _seen.append(duration_secs) if event == _COMPILED else None
        )
    return len(_seen) - 1
