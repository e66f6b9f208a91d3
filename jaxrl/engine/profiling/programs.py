"""Compilation taken apart, and what there is to say of a compiled program."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.compilation_cache import compilation_cache

from jaxrl.engine.profiling import hlo
from jaxrl.engine.profiling.counts import Counts, count, of_a_turn
from jaxrl.engine.profiling.memory import temporary_bytes
from jaxrl.engine.programs import UPDATES_OPTIONS, initialize, updates


@dataclasses.dataclass(frozen=True)
class Compilation:
    """Seconds, sizes and counts of one program."""

    trace_seconds: float
    lower_seconds: float
    compile_seconds: float
    first_run_seconds: float
    counts: Counts
    """Of one update, loops as often as they run."""
    counted_once: Counts
    """The same with every loop once, as XLA's analysis counts."""
    xla_flops: float
    """By XLA's cost analysis; NaN where there is none."""
    xla_bytes: float
    argument_bytes: int
    output_bytes: int
    temporary_bytes: int
    instructions: int
    """Of the optimized program: its size."""
    programs: int
    """How many are compiled for updates: two where an update gives its state other types than `init`, otherwise one."""


def compiled(function: Any, *arguments: Any, **static: Any) -> tuple[Any, dict[str, float]]:
    """Trace, lower and compile what `jax.jit` gave, one after the other.

    Args:
      function: from `jax.jit`.
      *arguments: to compile for.
      **static: its static arguments.

    Returns:
      The executable, and the seconds of each step.
    """
    times = [time.perf_counter()]

    def lap(value: Any) -> Any:
        times.append(time.perf_counter())
        return value

    traced = lap(function.trace(*arguments, **static))
    executable = lap(lap(traced.lower()).compile())
    names = ("trace_seconds", "lower_seconds", "compile_seconds")
    return executable, {name: end - start for name, start, end in zip(names, times, times[1:], strict=False)}


@contextlib.contextmanager
def without_cache() -> Iterator[None]:
    """A program read from the persistent cache would pass for a fast compiler."""
    before = jax.config.values["jax_enable_compilation_cache"]
    compilation_cache.reset_cache()
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
        compilation_cache.reset_cache()


def state_shapes(algorithm: Any, init_key: jax.Array) -> Any:
    """The state of an algorithm, as shapes.

    Args:
      algorithm: any.
      init_key: of one seed, or `[K]` of many.
    """
    return jax.eval_shape(functools.partial(initialize, batched=init_key.ndim > 0), algorithm, init_key)[0]


def compiled_updates(algorithm: Any, state: Any, run_key: jax.Array, longest: int) -> tuple[Any, dict[str, float], int]:
    """The program with which `fit` makes updates: nothing runs.

    Args:
      algorithm: any.
      state: as shapes, from `state_shapes`, or one.
      run_key: of one seed, or `[K]` of many.
      longest: updates of a call at most.

    Returns:
      As `compiled`, however often it was compiled before, of which only traces of functions within it are known; and
      how many programs a run compiles (`Compilation.programs`).
    """
    arguments = (algorithm, state, run_key, jnp.int32(0), jnp.ones(run_key.shape, bool), jnp.int32(1))
    function = as_new(updates, **UPDATES_OPTIONS)
    with without_cache():
        executable, seconds = compiled(function, *arguments, longest=longest)
    given, _, _ = function.eval_shape(*arguments, longest=longest)
    return executable, seconds, 1 if _types(given) == _types(state) else 2


def as_new(function: Any, **options: Any) -> Any:
    """What `jax.jit` gave, of which JAX knows no trace and no program; it may know functions within it.

    Args:
      function: from `jax.jit`.
      **options: of `jax.jit`, the same.
    """

    @functools.wraps(function.__wrapped__)
    def again(*args: Any, **kwargs: Any) -> Any:
        return function.__wrapped__(*args, **kwargs)

    return jax.jit(again, **options)


def _types(state: Any) -> Any:
    """What a program is compiled for."""
    return jax.tree.structure(state), [(x.shape, x.dtype, x.weak_type) for x in jax.tree.leaves(state)]


def described(executable: Any, seconds: dict[str, float], programs: int) -> Compilation:
    """Counts and sizes of an executable that repeats an update.

    Args:
      executable: from `compiled`.
      seconds: of its steps, `first_run_seconds` among them.
      programs: from `compiled_updates`.
    """
    text = executable.as_text()
    cost = _cost(executable)
    memory = executable.memory_analysis()
    return Compilation(
        **seconds,
        counts=counted(text, of_a_turn),
        counted_once=counted(text, functools.partial(count, loops=1.0)),
        xla_flops=cost.get("flops", float("nan")),
        xla_bytes=cost.get("bytes accessed", float("nan")),
        argument_bytes=getattr(memory, "argument_size_in_bytes", 0),
        output_bytes=getattr(memory, "output_size_in_bytes", 0) - getattr(memory, "alias_size_in_bytes", 0),
        temporary_bytes=temporary_bytes(executable),
        instructions=text.count(" = "),
        programs=programs,
    )


def counted(text: str, rule: Callable[[hlo.Module], Counts]) -> Counts:
    """Counts of a program; NaN where its text cannot be read, which XLA may change: times do not need it.

    Args:
      text: from `Compiled.as_text()`.
      rule: function of the module, as `counts.of_a_turn`.
    """
    try:
        return rule(hlo.parse(text))
    except (ValueError, KeyError, IndexError):
        return Counts(*[float("nan")] * len(dataclasses.fields(Counts)))


def _cost(executable: Any) -> dict[str, float]:
    """XLA's cost analysis; empty where a backend has none."""
    try:
        return executable.cost_analysis() or {}
    except jax.errors.JaxRuntimeError:
        return {}
