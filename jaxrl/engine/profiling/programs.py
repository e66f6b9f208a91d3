"""Compilation taken apart, and what there is to say of a compiled program."""

import contextlib
import dataclasses
import functools
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.compilation_cache import compilation_cache

from jaxrl.engine.profiling import hlo
from jaxrl.engine.profiling.counts import Counts, count, of_a_turn
from jaxrl.engine.programs import initialize, updates


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
def _without_cache() -> Iterator[None]:
    """A program read from the persistent cache would pass for a fast compiler."""
    before = jax.config.values["jax_enable_compilation_cache"]
    compilation_cache.reset_cache()
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
        compilation_cache.reset_cache()


def compiled_updates(algorithm: Any, keys: Any, longest: int) -> tuple[Any, dict[str, float], int]:
    """The program with which `fit` makes updates, for states as shapes: nothing runs.

    Args:
      algorithm: any.
      keys: of `init` and of the run, of one seed or `[K]` of many each.
      longest: updates of a call at most.

    Returns:
      As `compiled`, without the persistent cache; and how many programs a run compiles (`Compilation.programs`).
    """
    init_key, run_key = keys
    shapes, _ = jax.eval_shape(functools.partial(initialize, batched=init_key.ndim > 0), algorithm, init_key)
    arguments = (algorithm, shapes, run_key, jnp.int32(0), jnp.ones(run_key.shape, bool), jnp.int32(1))
    with _without_cache():
        executable, seconds = compiled(updates, *arguments, longest=longest)
    given, _, _ = updates.eval_shape(*arguments, longest=longest)  # pyright: ignore[reportFunctionMemberAccess]
    return executable, seconds, 1 if _types(given) == _types(shapes) else 2


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


def check_memory(executable: Any, algorithm: Any, limit: int | None) -> None:
    """Refuse a program that needs more memory than there is, before it runs.

    Args:
      executable: from `compiled`.
      algorithm: what it runs, whose arrays are on the device already.
      limit: bytes; None: what is free.

    Raises:
      MemoryError: with both.
    """
    limit = free_bytes() if limit is None else limit
    needed = needed_bytes(executable) - bytes_of(algorithm)
    if limit is not None and needed > limit:
        raise MemoryError(
            f"memory: the program needs {needed / 2**30:.2f} GiB and {limit / 2**30:.2f} are free; make it smaller"
        )


def fits(needed: int, limit: int | None) -> bool:
    """Whether so many bytes are within a limit.

    Args:
      needed: bytes.
      limit: bytes; None: what is free.
    """
    limit = free_bytes() if limit is None else limit
    return limit is None or needed <= limit


def bytes_of(tree: Any) -> int:
    """Bytes of its arrays.

    Args:
      tree: of anything.
    """
    return sum(x.nbytes for x in jax.tree.leaves(tree) if isinstance(x, jax.Array))


def needed_bytes(executable: Any) -> int:
    """Bytes of arguments, new outputs and temporary arrays, by XLA's analysis.

    Args:
      executable: from `compiled`.
    """
    memory = executable.memory_analysis()
    names = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes")
    return sum(getattr(memory, name, 0) for name in names) - getattr(memory, "alias_size_in_bytes", 0)


def temporary_bytes(executable: Any) -> int:
    """Bytes of temporary arrays, by XLA's analysis.

    Args:
      executable: from `compiled`.
    """
    return getattr(executable.memory_analysis(), "temp_size_in_bytes", 0)


def free_bytes() -> int | None:
    """Bytes free on the device; None where nobody says."""
    device = jax.devices()[0]
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    found = (_free_of_machine(), _free_of_group()) if device.platform == "cpu" else ()
    return min((free for free in found if free is not None), default=None)


def _free_of_machine() -> int | None:
    said = Path("/proc/meminfo")
    lines = said.read_text().splitlines() if said.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _free_of_group(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that a container has left, by its control group of either version; files that are only cached are free."""
    first = root / "memory", "limit_in_bytes", "usage_in_bytes", "total_inactive_file"
    for group, *names, cached in ((root, "max", "current", "inactive_file"), first):
        try:
            most, used = (int((group / f"memory.{name}").read_text()) for name in names)
            files = re.search(rf"^{cached} (\d+)$", (group / "memory.stat").read_text(), re.MULTILINE)
        except (OSError, ValueError):  # there is no group, or no limit, which is `max`
            continue
        return most - used + (int(files[1]) if files else 0)
    return None


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
