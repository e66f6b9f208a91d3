"""A training run as a process: progress, logs, evaluations, saves, resume."""

import contextlib
import dataclasses
import logging
import math
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.engine.answers import evaluate_answers, has_questions
from jaxrl.engine.check import check, check_answers, check_traceable, is_judged
from jaxrl.engine.logging import JsonlLogger, Logger, ProgressLogger, summarize
from jaxrl.engine.programs import evaluate_seeds, updates
from jaxrl.engine.rewarding import judged_updates, try_reward
from jaxrl.engine.session import Run, open_run
from jaxrl.engine.signals import stop_signals
from jaxrl.types import env_steps, steps_per_update, whole_number

LOGS_PER_RUN = 100


@dataclasses.dataclass
class Fit:
    """What a run of `fit` gives back; with K seeds every array has a last axis `[K]` and the state a first one."""

    state: Any
    metrics: dict[str, np.ndarray]
    """`[n]` each, of the updates made in this process."""
    evaluations: dict[str, np.ndarray]
    """`update`, `return`, `length` (means over finished episodes) and `finished` (their share), `[m]` each."""
    num_updates: int
    """Updates made in all, before a resume included."""
    alive: np.ndarray
    """bool `[]` or `[K]`: False for a seed that became non-finite; its state is the last finite one."""
    compile_seconds: float
    """Initialization, and tracing, lowering and compiling of the training program (not of the evaluation's)."""
    run_seconds: float
    """Training without compilation, evaluation and saving."""
    steps_per_second: float
    """Environment steps (updates, for an algorithm without environment) of all seeds per run second."""
    interrupted: bool
    """Whether SIGINT or SIGTERM ended the run early."""


def fit(
    algorithm: Any,
    key: jax.Array | None = None,
    num_updates: int | None = None,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    evaluate_every: int | None = None,
    save_every: int | None = None,
    loggers: Sequence[Logger] | None = None,
) -> Fit:
    """Train with progress, logs, evaluations and saves; the same bits as `train(algorithm, key, num_updates)`.

    SIGINT and SIGTERM end the run after the current chunk: it is saved and returned. One seed of several that becomes
    non-finite is reported, frozen as it was before the chunk, and left out; a single one ends the run.

    Args:
      algorithm: the algorithm.
      key: one key, or `[K]` keys: K seeds train in one program. None with `resume` takes the saved one.
      num_updates: updates in all; None with `resume` takes the saved number.
      out: directory for `config.json`, `metrics.jsonl` and `checkpoints/`; None writes nothing.
      resume: directory of an earlier run to go on from, with the same algorithm.
      evaluate_every: updates between evaluations of 16 episodes, or of 256 held-out prompts, and one at the end; 0
        makes none. None takes the saved number with `resume`, and is 0 otherwise.
      save_every: updates between saves; 0 saves at the end only. None as above.
      loggers: take the records; None shows a progress line. With `out`, `metrics.jsonl` is written besides.

    Returns:
      The final state, the metrics and the timings.

    Raises:
      ValueError: for a field or argument that cannot work, named.
      TypeError: for a field of the wrong kind, `evaluate_every` for an algorithm without `act`, and an environment that
        Python steps.
      FloatingPointError: when the state becomes non-finite; the last good save stays.

    Example:
      >>> import gymnax, jaxrl
      >>> ppo = jaxrl.PPO(*gymnax.make("CartPole-v1"), num_envs=4, num_steps=8, num_minibatches=2)
      >>> jaxrl.fit(ppo, jax.random.key(0), 2, loggers=[]).metrics["loss"].shape
      (2,)

    Source: our own.
    """
    check(algorithm)
    if is_judged(algorithm):
        try_reward(algorithm)
    else:
        check_traceable(algorithm)
    given = {"evaluate_every": evaluate_every, "save_every": save_every}
    intervals = {name: whole_number(name, value) for name, value in given.items() if value is not None}
    if evaluate_every and not (hasattr(algorithm, "act") or has_questions(algorithm)):
        name = type(algorithm).__name__
        raise TypeError(f"evaluate_every: {name} has no method act, and no questions, to evaluate with; leave it at 0")
    if evaluate_every and has_questions(algorithm):
        check_answers(algorithm)
    chosen: list[Logger] = [ProgressLogger()] if loggers is None else list(loggers)
    with stop_signals() as stop:
        run_, start = open_run(algorithm, key, num_updates, out, resume, intervals)
        if run_.directory is not None:
            chosen.append(JsonlLogger(run_.directory))
        with contextlib.ExitStack() as stack:
            if run_.checkpoints is not None:
                stack.callback(run_.checkpoints.close)
            for logger in chosen:
                logger.begin(start, run_.num_updates)
                stack.callback(logger.close)  # only what has begun
            return _train(algorithm, run_, start, _Schedule(**run_.intervals, loggers=chosen, stop=stop))


@dataclasses.dataclass
class _Schedule:
    evaluate_every: int
    save_every: int
    loggers: Sequence[Logger]
    stop: threading.Event


def _train(algorithm: Any, run_: Run, start: int, schedule: _Schedule) -> Fit:
    """The host loop: chunks of updates, and between them everything else."""
    began, update = time.perf_counter() - run_.seconds_before, start
    steps_each = steps_per_update(algorithm)
    history: list[dict[str, np.ndarray]] = []
    evaluations: list[dict[str, Any]] = []
    longest = max(1, math.ceil(run_.num_updates / LOGS_PER_RUN))
    intervals = [every for every in (longest, schedule.evaluate_every, schedule.save_every) if every]
    while update < run_.num_updates and not schedule.stop.is_set():
        length = min(run_.num_updates - update, *(every - update % every for every in intervals))
        seconds = run_.run_seconds
        metrics = _run_chunk(algorithm, run_, update, length, longest)
        update += length
        history.append(metrics)
        position = {"update": update, "env_steps": env_steps(algorithm, update), "seconds": time.perf_counter() - began}
        speed = length * steps_each * run_.alive.size / (run_.run_seconds - seconds)
        _log(schedule.loggers, position | summarize(metrics) | {"steps_per_second": speed})
        last = update == run_.num_updates
        if schedule.evaluate_every and (last or update % schedule.evaluate_every == 0):
            evaluation, sample = _evaluated(algorithm, run_, update)
            evaluations.append({"update": update} | evaluation)
            record = {f"evaluation_{k}": v.tolist() for k, v in evaluation.items()}
            _log(schedule.loggers, position | record | sample)
        if schedule.save_every and update % schedule.save_every == 0:
            run_.save(update)
    run_.save(update)
    steps = (update - start) * steps_each * run_.alive.size
    return Fit(
        state=run_.state,
        metrics=_stack(history, np.concatenate),
        evaluations=_stack(evaluations, np.stack),
        num_updates=update,
        alive=np.asarray(run_.alive),
        compile_seconds=run_.compile_seconds,
        run_seconds=run_.run_seconds,
        steps_per_second=steps / run_.run_seconds if run_.run_seconds else math.nan,
        interrupted=schedule.stop.is_set(),
    )


def _run_chunk(algorithm: Any, run_: Run, update: int, length: int, longest: int) -> dict[str, np.ndarray]:
    """Run one chunk, keep the time, and look for what is not finite."""
    misses = _compilations()
    began = time.perf_counter()
    state, metrics, finite = _updates(algorithm, run_, update, length, longest)
    dispatched = time.perf_counter()
    jax.block_until_ready(state)
    done = time.perf_counter()
    # Dispatch returns when the program is compiled and enqueued; a known program is enqueued in microseconds. Where
    # Python gives rewards nothing is dispatched ahead, and compilation counts as training.
    compiled = _compilations() > misses and not is_judged(algorithm)
    run_.compile_seconds += (dispatched - began) * compiled
    run_.run_seconds += done - (dispatched if compiled else began)
    host = {name: np.moveaxis(np.array(value), -1, 0)[:length] for name, value in metrics.items()}
    for values in host.values():
        values[..., ~np.asarray(run_.alive)] = np.nan  # what a frozen seed computes means nothing
    alive = np.asarray(run_.alive & finite)
    if not np.array_equal(alive, run_.alive):
        _report_non_finite(run_, host, np.asarray(run_.alive) & ~alive, update, length)
    run_.state, run_.alive = state, jnp.asarray(alive)
    return host


def _evaluated(algorithm: Any, run_: Run, update: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Means of the seeds, and what else the log should show."""
    arguments = (algorithm, run_.state, run_.run_key, run_.alive, update)
    if not has_questions(algorithm):
        return evaluate_seeds(*arguments), {}
    means, sample = evaluate_answers(*arguments)
    return means, {"sample": sample}


def _updates(algorithm: Any, run_: Run, update: int, length: int, longest: int) -> tuple[Any, Any, jax.Array]:
    arguments = (algorithm, run_.state, run_.run_key, update, run_.alive)
    if is_judged(algorithm):
        return judged_updates(*arguments, num_updates=length)
    return updates(*arguments, num_updates=length, longest=longest)


def _compilations() -> int:
    """Programs of `updates` compiled in this process."""
    return updates._cache_size()  # pyright: ignore[reportAttributeAccessIssue]


def _report_non_finite(run_: Run, metrics: dict[str, np.ndarray], died: np.ndarray, update: int, length: int) -> None:
    """Name the update and the metrics of each seed that died; end the run if no seed is left."""
    if (np.asarray(run_.alive) & ~died).any():
        for seed in np.flatnonzero(died):
            what = _where({name: values[:, seed] for name, values in metrics.items()}, update, length)
            logging.getLogger("jaxrl").warning("%s in seed %d; it is frozen and left out, the others go on", what, seed)
        return
    if died.ndim:
        metrics = {name: values[:, died].sum(axis=1) for name, values in metrics.items()}  # NaN where any of them is
    what = _where(metrics, update, length)
    last = run_.checkpoints.last if run_.checkpoints else None
    where = (
        f"the last good save is update {last} in {run_.directory}" if last is not None else "no save was made before"
    )
    raise FloatingPointError(f"{what}; it was not saved, {where}; lower learning_rate or max_grad_norm")


def _where(metrics: dict[str, np.ndarray], update: int, length: int) -> str:
    """When a seed with metrics `[n]` left the numbers, as far as its metrics tell."""
    first = {
        name: int(np.argmax(~np.isfinite(values))) for name, values in metrics.items() if not np.isfinite(values).all()
    }
    if not first:
        between = f"{update + 1}" if length == 1 else f"{update + 1} to {update + length}"
        return f"update {between}: the state is no longer finite"
    seen = [name for name, index in first.items() if index == min(first.values())]
    return f"update {update + 1 + min(first.values())}: the state is no longer finite (first seen in {', '.join(seen)})"


def _log(loggers: Sequence[Logger], record: dict[str, Any]) -> None:
    for logger in loggers:
        logger.log(record)


def _stack(records: list[dict[str, Any]], join: Any) -> dict[str, np.ndarray]:
    return {name: join([record[name] for record in records]) for name in (records[0] if records else {})}
