"""Facts about the machine, the code and the libraries that belong to every result."""

import contextlib
import datetime
import functools
import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.results import ROOT, Device

PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "gymnax",
    "numpy",
    "scipy",
    "jaxrl",
    "brax",
    "craftax",
    "jumanji",
    "xminigrid",
)
PREFIXES = ("JAX_", "XLA_", "NPROC", "TF_", "OMP_", "MKL_", "OPENBLAS_", "CUDA_", "NVIDIA_TF32")


@functools.cache
def backend() -> str:
    """JAX's name of the platform, from a process that ends: the device is left to those that measure.

    Raises:
      SystemExit: where JAX finds no device.
    """
    code = "import jax; print(jax.default_backend())"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit("JAX does not start; what it says stands above")
    return done.stdout.split()[-1]


def device() -> Device:
    """This process's device; starts JAX's backend."""
    import jax

    first = jax.devices()[0]
    return Device(
        platform=first.platform,
        kind=first.device_kind,
        count=jax.device_count(),
        cores=cores(),
        cpu=_cpu_model(),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
    )


def cores() -> int:
    """Cores this process may run on: containers and `taskset` allow fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def only(count: int) -> Iterator[None]:
    """This process, and those it starts meanwhile, on so many cores.

    Raises:
      SystemExit: if there are fewer, or more on a system that cannot leave some out.
    """
    if cores() == count:
        yield
        return
    if cores() < count or not hasattr(os, "sched_setaffinity"):
        raise SystemExit(f"cores: there are {cores()}, and this compares libraries on {count}")
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _cpu_model() -> str:
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Versions of Python and of those packages that are installed in this environment."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # jaxrl itself may run from its source tree; the commit says which
    return found


def variables() -> dict[str, str]:
    """Environment variables that change the speed of numerical libraries, without words that name places."""
    found = {name: value for name, value in sorted(os.environ.items()) if name.startswith(PREFIXES)}
    public = {name: " ".join(w for w in value.split() if os.sep not in w) for name, value in found.items()}
    return {name: value for name, value in public.items() if value}


def provenance() -> dict[str, Any]:
    """The fields `device`, `timestamp`, `commit` and `dirty` of a result."""
    # A benchmark's own output must not make the next one dirty.
    changes = _git("status", "--porcelain", "--", ".", ":!benchmarks/results")
    return {
        "device": device(),
        "timestamp": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD") or "unknown",
        "dirty": bool(changes),
    }


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
