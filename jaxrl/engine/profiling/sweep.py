"""One profile a size, each in a process of its own, so that what is too large ends that process only."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

NEEDS = re.compile(r"needs ([0-9.e+-]+) GiB")
OUT_OF_MEMORY = re.compile(
    r"RESOURCE_EXHAUSTED|out of memory|bad_alloc|MemoryError|Cannot allocate|Unable to allocate", re.IGNORECASE
)
CHILD = """
import sys
import jax
if jax.default_backend() == "cpu":
    import resource
    from jaxrl.engine.profiling.memory import free_bytes
    given, overhead = map(int, sys.argv[1:3])
    status = open("/proc/self/status").read().split() if sys.platform == "linux" else ["VmData:", "0"]
    taken = 1024 * int(status[status.index("VmData:") + 1])  # stacks of threads, as many as there are cores
    room, most = overhead + given if given else free_bytes(), resource.getrlimit(resource.RLIMIT_DATA)[1]
    if room and (most == resource.RLIM_INFINITY or taken + room < most):
        resource.setrlimit(resource.RLIMIT_DATA, (taken + room, most))  # private, what is read from files left out
from jaxrl.cli import main
main(sys.argv[3:])
"""
OVERHEAD = 2**30
"""Bytes that a process takes besides its program: the compiler, the stages, the arrays that measure the device."""
REFUSED = "jaxrl: "
"""Begins a sentence with which the command line refuses."""
FRAME = re.compile(r"[\u2500-\u257f]+")
KNEE = 0.8
"""Part of the highest throughput that the knee reaches."""


def sizes_of(text: str) -> tuple[str, list[int]]:
    """Read `FIELD=16..65536` (powers of two times the first) or `FIELD=8,12,16`.

    Args:
      text: as given on the command line.

    Returns:
      The field's flag without dashes, and its sizes.

    Raises:
      ValueError: for anything else.

    Example:
      >>> sizes_of("num-envs=16..64")
      ('num-envs', [16, 32, 64])
    """
    field, equals, values = text.partition("=")
    low, dots, high = values.partition("..")
    try:
        sizes = [int(value) for value in values.split(",")] if not dots else [int(low)]
        most = int(high) if dots else max(sizes)
        if not (field and equals) or min(sizes) < 1 or most < sizes[0]:
            raise ValueError
        while dots and 2 * sizes[-1] <= most:
            sizes.append(2 * sizes[-1])
    except ValueError:
        raise ValueError(f"sweep={text!r} must be FIELD=LOW..HIGH or FIELD=A,B,C of positive integers") from None
    return field.replace("_", "-"), sizes


def sweep(
    arguments: list[str], field: str, sizes: Iterable[int], directory: Path, limit: int | None, numbers: int = 1
) -> Iterable[dict[str, Any]]:
    """Profile each size in a child process.

    Args:
      arguments: of `jaxrl profile`, without what is swept.
      field: flag that is swept.
      sizes: its values.
      directory: gets a directory a size.
      limit: bytes that a program may need; on a CPU its process gets `OVERHEAD` besides, and no more. None: what is
        free when it begins.
      numbers: that the field takes, all of them the size: widths of so many layers.

    Yields:
      For each size a dict with `size`, and `profile` (the record of one) and `bytes` (what its program needs), or
      `failure`: why there is none. Memory that does not suffice is a failure, not an end.

    Raises:
      ValueError: for what no size changes: a sentence with which the first two refuse, or the only one.
    """
    sizes, failures, succeeded = list(sizes), [], False
    for size in sizes:
        out = directory / f"{field}-{size}"
        flags = [f"--{field}", *[str(size)] * numbers, "--out", str(out)]
        command = [sys.executable, "-c", CHILD, str(limit or 0), str(OVERHEAD), "profile", *arguments, *flags]
        done = subprocess.run(command, capture_output=True, text=True)
        point: dict[str, Any] = {"size": size}
        if done.returncode == 0:
            succeeded = True
            point["profile"] = json.loads((out / "profile.json").read_text())
            point["bytes"] = _needed(point["profile"]["compilation"])
        else:
            point |= _failure(done)
            if done.returncode == 2 and REFUSED not in done.stderr:  # the parser of flags has said so, in a frame
                raise ValueError(f"sweep: {' '.join(FRAME.sub(' ', done.stderr).split())}")
            failures.append(point["failure"])
            refused = point["failure"].startswith(REFUSED) and not succeeded
            if refused and len(set(failures)) == 1 and len(failures) >= min(2, len(sizes)):
                raise ValueError(point["failure"].removeprefix(REFUSED))
        yield point


def _needed(compilation: dict[str, Any]) -> int:
    return sum(compilation[name] for name in ("argument_bytes", "output_bytes", "temporary_bytes"))


def _failure(done: Any) -> dict[str, Any]:
    """Why a child has no profile."""
    needs = NEEDS.search(done.stderr)
    if needs:
        return {"failure": "refused beforehand: more memory than is free", "bytes": int(float(needs[1]) * 2**30)}
    if OUT_OF_MEMORY.search(done.stderr) or done.returncode == -signal.SIGKILL:
        return {"failure": "out of memory"}
    if done.returncode < 0:
        return {"failure": f"ended by {signal.Signals(-done.returncode).name}"}
    lines = done.stderr.strip().splitlines()
    return {"failure": lines[-1] if lines else f"ended with code {done.returncode}"}


def knee_of(points: Iterable[dict[str, Any]]) -> int | None:
    """The smallest size that reaches `KNEE` of the highest median throughput; None if nothing was measured.

    Args:
      points: from `sweep`.

    Example:
      >>> speeds = {16: 10.0, 32: 19.0, 64: 20.0}
      >>> knee_of([{"size": size, "profile": {"per_second": [speed] * 3}} for size, speed in speeds.items()])
      32
    """
    median: Callable[[dict[str, Any]], float] = lambda point: point["profile"]["per_second"][1]  # noqa: E731
    measured = [point for point in points if "profile" in point]
    if not measured:
        return None
    most = max(map(median, measured))
    return min(point["size"] for point in measured if median(point) >= KNEE * most)
