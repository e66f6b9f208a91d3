"""What memory a compiled program needs, and what is free."""

import re
from pathlib import Path
from typing import Any

import jax


def check_memory(executable: Any, state: Any, limit: int | None) -> None:
    """Refuse a program that needs more memory than there is, before it runs.

    Args:
      executable: from `compiled`.
      state: what it is given that is not on the device yet, as shapes or as arrays.
      limit: bytes; None: what is free.

    Raises:
      MemoryError: with both.
    """
    there = available(executable, state, limit)
    if not fits(needed_bytes(executable), there):
        needed, most = (f"{size / 2**30:.3g} GiB" for size in (needed_bytes(executable), there or 0))
        said = f"{most} are free for it" if limit is None else f"memory_limit is {most}"
        raise MemoryError(f"memory: the program needs {needed} and {said}; make it smaller")


def available(executable: Any, state: Any, limit: int | None) -> int | None:
    """Bytes that a program may need: the limit, or what is free and what it reads that is on the device already.

    Args:
      executable: from `compiled`.
      state: what it is given that is not on the device yet, as shapes or as arrays.
      limit: bytes; None: what is free.

    Returns:
      None where nobody says what is free.
    """
    free = free_bytes() if limit is None else None
    if free is None:
        return limit
    given = getattr(executable.memory_analysis(), "argument_size_in_bytes", 0)
    return free + max(0, given - bytes_of(state))


def fits(needed: int, limit: int | None) -> bool:
    """Whether so many bytes are within a limit.

    Args:
      needed: bytes.
      limit: bytes; None: what is free.
    """
    limit = free_bytes() if limit is None else limit
    return limit is None or needed <= limit


def bytes_of(tree: Any) -> int:
    """Bytes of its arrays, or of their shapes.

    Args:
      tree: of anything.
    """
    leaves = [x for x in jax.tree.leaves(tree) if isinstance(x, jax.Array | jax.ShapeDtypeStruct)]
    return sum(x.size * x.dtype.itemsize for x in leaves)


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
