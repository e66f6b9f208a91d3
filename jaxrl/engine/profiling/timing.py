"""Timing: the program of `fit` as a whole, and its stages, in turn."""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.algorithms.dp import ValueIteration
from jaxrl.engine.check import asks_for_rewards
from jaxrl.engine.profiling.counts import Counts, of_a_turn
from jaxrl.engine.profiling.memory import check_memory
from jaxrl.engine.profiling.programs import (
    as_new,
    compiled,
    compiled_updates,
    counted,
    state_shapes,
    without_cache,
)
from jaxrl.engine.profiling.stages import apart, loops_of, repeat, stages_of, together
from jaxrl.engine.profiling.threads import copied_to
from jaxrl.engine.programs import INITIALIZE_OPTIONS, initialize, split_keys
from jaxrl.types import Stage, steps_per_update

UPDATE, ONE_THREAD = "an update", "on one thread"
"""Names of what is timed besides stages."""
LONGEST = 1024
"""Updates of a timed call at most, of all seeds together."""
SHORT = 1e-3
"""Seconds of a stage in an update below which an accelerator runs it `OFTEN` times between asking the host."""
OFTEN = 32


@dataclasses.dataclass
class Whole:
    """The program of `fit`, which owns its state."""

    algorithm: Any
    key: jax.Array
    alive: jax.Array
    state: Any
    program: Any
    init_seconds: float
    seconds: dict[str, float]
    programs: int
    metrics: Any = None
    made: int = 0
    turns: int = 1

    @classmethod
    def begin(cls, algorithm: Any, key: jax.Array, memory_limit: int | None) -> "Whole":
        """Compile, initialize, and run once."""
        init_key, run_key = split_keys(key)
        alive, batched = jnp.ones(key.shape, bool), key.ndim > 0
        shapes = state_shapes(algorithm, init_key)
        program, seconds, programs = compiled_updates(algorithm, shapes, run_key, longest_of(key))
        check_memory(program, shapes, memory_limit)
        start = time.perf_counter()
        with without_cache():
            state, _ = as_new(initialize, **INITIALIZE_OPTIONS)(algorithm, init_key, batched)
        jax.block_until_ready(state)
        init_seconds = time.perf_counter() - start
        whole = cls(algorithm, run_key, alive, state, program, init_seconds, seconds, programs)
        seconds["first_run_seconds"] = whole.run(1)
        return whole

    def on(self, device: Any) -> "Whole":
        """The same of another device, compiled for it, which goes on by itself."""
        owned = {name: copied_to(getattr(self, name), device) for name in ("algorithm", "key", "alive", "state")}
        program, *_ = compiled_updates(owned["algorithm"], owned["state"], owned["key"], longest_of(self.key))
        return dataclasses.replace(self, program=program, **owned)

    def run(self, turns: int) -> float:
        """Seconds of so many updates, which go on from the last ones."""
        numbers = (jnp.int32(self.made), self.alive, jnp.int32(turns))
        start = time.perf_counter()
        result = self.program(self.algorithm, self.state, self.key, *numbers)
        self.state, self.metrics, _ = jax.block_until_ready(result)
        self.made, self.turns = self.made + turns, turns
        return time.perf_counter() - start

    def state_behind(self, seconds: float) -> Any:
        """A copy of the state, after so many seconds of updates at least."""
        turns = 1
        while seconds > 0:
            seconds -= self.run(turns)
            turns = min(2 * turns, longest_of(self.key))
        return jax.tree.map(jnp.copy, self.state)


@dataclasses.dataclass(frozen=True)
class TimedStage:
    """A compiled stage."""

    run: Callable[[int], float]
    """Gives the seconds of its turns of so many updates."""
    counts: Counts
    """Of all its turns in one update."""
    within: str | None
    """The stage that it is a part of."""
    members: tuple[str, ...] = ()
    """Of a loop: its parts."""


def timed_stages(algorithm: Any, state: Any, key: jax.Array) -> dict[str, TimedStage]:
    """The compiled stages of an algorithm, whose state is consumed, and behind them loops."""
    timed, on_cpu = {}, jax.default_backend() == "cpu"
    found = stages_of(algorithm, state, key)
    loops = {" + ".join(members): members for members in loops_of(found)}
    for name in [*found, *loops]:
        stage = together(found[x] for x in loops[name]) if name in loops else found[name]
        timed[name] = timed_stage(stage, 1 if on_cpu else stage.times)
        if not on_cpu and min(timed[name].run(1) for _ in range(2)) < SHORT:
            timed[name] = timed_stage(stage, OFTEN * stage.times)
        timed[name] = dataclasses.replace(timed[name], members=loops.get(name, ()))
    return timed


def timed_stage(stage: Stage, known: int) -> TimedStage:
    """Compile a stage, `known` turns of it a loop of known length (`repeat`)."""
    alone, carried = apart(stage)
    with jax.debug_key_reuse(False):  # the keys of a turn come from those of the stage, which is no mistake here
        program, _ = compiled(repeat, alone, carried, jnp.int32(1), known=known)
    counts = counted(program.as_text(), of_a_turn).repeated(stage.times / known)

    def run(updates: int) -> float:
        rounds = math.ceil(updates * stage.times / known)
        consumed = jax.block_until_ready(jax.tree.map(jnp.copy, carried))
        start = time.perf_counter()
        given = jax.block_until_ready(program(alone, consumed, jnp.int32(rounds)))
        seconds = time.perf_counter() - start
        del given, consumed  # memory is given back behind the clock
        return seconds * updates * stage.times / (rounds * known)

    return TimedStage(run, counts, stage.within)


def time_all(
    whole: Whole, single: Whole | None, stages: dict[str, TimedStage], repetitions: int, region: float
) -> tuple[dict[str, list[float]], list[float]]:
    """Seconds of the update, of that on one thread, if there is one, and of stages; tokens of the update."""
    runs: dict[str, Callable[[int], float]] = {UPDATE: whole.run} | ({ONE_THREAD: single.run} if single else {})
    runs |= {name: stage.run for name, stage in stages.items()}
    turns, seconds, tokens = {}, {what: [] for what in runs}, []
    for what, run in runs.items():
        run(1)
        most, turns[what] = 2**20 if what in stages else longest_of(whole.key), 1
        for _ in range(2):  # the price of a call hides how short a stage is from the first one
            turns[what] = max(1, min(math.ceil(region * turns[what] / run(turns[what])), most))
        run(turns[what])
    for _ in range(repetitions):
        for what, run in runs.items():
            seconds[what].append(run(turns[what]) / turns[what])
            if what == UPDATE:
                tokens += tokens_of(whole)
    return seconds, tokens


def longest_of(key: jax.Array) -> int:
    """Updates of a timed call at most, for the keys of a run: metrics of all seeds stay small."""
    return max(16, LONGEST // max(1, key.size))


def unit_of(algorithm: Any) -> str:
    """What its updates are counted in."""
    if asks_for_rewards(algorithm):
        return "completions"
    if hasattr(algorithm, "task"):
        return "texts"
    if isinstance(algorithm, ValueIteration) and algorithm.num_blocks == 1:
        return "sweeps"  # of other solvers an update may be some
    return "steps" if hasattr(algorithm, "env") else "updates"


def tokens_of(whole: Whole) -> list[float]:
    """Mean tokens drawn, or read, by one of the last updates, of all seeds together; empty for what has none."""
    unit, each = unit_of(whole.algorithm), steps_per_update(whole.algorithm)
    name, times = {"completions": ("length", each), "texts": ("tokens", 1)}.get(unit, ("", 0))
    if name not in whole.metrics:
        return []
    return [times * max(1, whole.key.size) * float(np.asarray(whole.metrics[name])[..., : whole.turns].mean())]
