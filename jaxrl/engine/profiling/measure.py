"""Where the time of a training run goes."""

from pathlib import Path
from typing import Any

import jax

from jaxrl.engine.check import check, check_traceable
from jaxrl.engine.profiling.memory import bytes_of, fits, temporary_bytes
from jaxrl.engine.profiling.peaks import measure_peaks
from jaxrl.engine.profiling.programs import described
from jaxrl.engine.profiling.result import Profile, StageProfile
from jaxrl.engine.profiling.threads import one_thread
from jaxrl.engine.profiling.timing import ONE_THREAD, UPDATE, TimedStage, Whole, time_all, timed_stages, unit_of
from jaxrl.types import steps_per_update, whole_number


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
    `repetitions * region` seconds of updates: a replay has rows by then. Parts that an update repeats together are
    timed in one loop, too (`loops`): there each waits for the one before it, and finds less in caches than alone. On a
    CPU an update is timed on one thread, too. Arrays that an algorithm closes over must not be committed to a device.

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
    # A state that stages read, and two that a loop carries at most. On one thread an update has copies of everything.
    each = size + temporary_bytes(whole.program)
    alone = num_seeds == 1 and fits(3 * each, room)
    device = one_thread() if fits((4 if alone else 1) * each + bytes_of(algorithm), room) else None
    stages = timed_stages(algorithm, whole.state_behind(repetitions * region), stage_key) if alone else {}
    single = whole.on(device) if device is not None else None
    timed, tokens = time_all(whole, single, stages, repetitions, region)
    one_thread_seconds = tuple(timed[ONE_THREAD]) if single else None
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
        seconds=tuple(timed[UPDATE]),
        one_thread_seconds=one_thread_seconds,
        stages=_profiled({name: stage for name, stage in stages.items() if not stage.members}, timed),
        loops=_profiled({name: stage for name, stage in stages.items() if stage.members}, timed),
        tokens=tuple(tokens),
        peaks=peaks,
        device_peak_bytes=device_peak_bytes,
    )


def _profiled(stages: dict[str, TimedStage], timed: dict[str, list[float]]) -> dict[str, StageProfile]:
    return {
        name: StageProfile(tuple(timed[name]), stage.counts, stage.within, stage.members)
        for name, stage in stages.items()
    }
