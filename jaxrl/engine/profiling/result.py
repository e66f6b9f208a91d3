"""What a profile found."""

import dataclasses
import functools
import math

import numpy as np

from jaxrl.engine.profiling.counts import Counts
from jaxrl.engine.profiling.peaks import Peaks
from jaxrl.engine.profiling.programs import Compilation


@dataclasses.dataclass(frozen=True)
class StageProfile:
    """A part of an update, run by itself."""

    seconds: tuple[float, ...]
    """Of all its turns in one update, one number a repetition."""
    counts: Counts
    """Of all its turns in one update."""
    within: str | None = None
    """The stage that it is a part of; None: of the update itself, or of several."""
    members: tuple[str, ...] = ()
    """Of a loop: the parts that each of its turns runs, one after the other."""


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
    one_thread_seconds: tuple[float, ...] | None
    """The same on one thread; None on an accelerator, with one thread only, and where it does not fit into memory."""
    stages: dict[str, StageProfile]
    """Empty with several seeds, where three more states do not fit, and without halves and `stages`."""
    loops: dict[str, StageProfile]
    """Parts that an update repeats equally often, in one loop, one after the other, each with arguments of its own.
    Alone, a part may be faster than in its place: its data stay in caches, its threads awake."""
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

    def open_shares(self, together: bool = True) -> tuple[float, ...]:
        """Share of an update that its stages, those without parts, do not have; negative where they cost more.

        Args:
          together: whether loops stand for their members.

        Returns:
          One number a repetition; none without stages.
        """
        every = self.stages | (self.loops if together else {})
        done = {stage.within for stage in every.values()}.union(*(stage.members for stage in every.values()))
        known = [stage.seconds for name, stage in every.items() if name not in done]
        return tuple((1.0 - np.sum(known, axis=0) / np.array(self.seconds)).tolist()) if known else ()

    def parts(self, within: str | None = None) -> dict[str, float]:
        """Median seconds of the parts of a stage in one update; of the update itself for None."""
        return {name: seconds for name, seconds in self.stage_seconds.items() if self.stages[name].within == within}
