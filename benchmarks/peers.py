"""Peers in environments of their own, driven as child processes that stay warm between measurements."""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from benchmarks import machine
from benchmarks.results import ROOT
from benchmarks.workers.configuration import Configuration

VARIABLES = {
    "JAX_ENABLE_COMPILATION_CACHE": "false",  # a cached program would pass for a fast compiler
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # several processes share one accelerator
}


@dataclasses.dataclass(frozen=True)
class Library:
    """One side of the comparison.

    Args:
      worker: module that answers commands (see `benchmarks.workers`).
      environment: key of `requirements`; None runs in this very environment.
      slow: whether Python steps its environments: it then gets fewer steps a repetition.
    """

    worker: str
    environment: str | None
    slow: bool = False


LIBRARIES = {
    "jaxrl": Library("benchmarks.workers.jaxrl_ppo", None),
    "rejax": Library("benchmarks.workers.rejax_ppo", "rejax"),
    "sb3": Library("benchmarks.workers.sb3_ppo", "stable-baselines3", slow=True),
    "sbx": Library("benchmarks.workers.sbx_ppo", "stable-baselines3", slow=True),
    "deep jaxrl": Library("benchmarks.workers.deep_jaxrl", None),
    "deep rejax": Library("benchmarks.workers.deep_rejax", "rejax"),
    "deep sbx": Library("benchmarks.workers.deep_sbx", "stable-baselines3", slow=True),
    "lm jaxrl": Library("benchmarks.workers.lm_jaxrl", None),
    "lm torch": Library("benchmarks.workers.lm_torch", "trl"),
    "quantecon": Library("benchmarks.workers.quantecon_dp", "quantecon"),
    "jaxdp, mdpax": Library("benchmarks.workers.jax_dp", "jax-solvers"),
}


MDPAX_NEEDS = ["hydra-core==1.3.8", "jaxtyping==0.3.11", "loguru==0.7.3", "numpyro==0.22.0", "orbax-checkpoint==0.12.8"]
ALONE = {"jax-solvers": ["mdpax==0.2.2"]}
"""Packages without what they declare: on Linux mdpax asks for JAX with CUDA."""


def requirements(environment: str) -> list[str]:
    """Pinned requirements of an environment, with the JAX of this process: both sides share compiler and device."""
    jax = f"jax{_extra()}=={importlib.metadata.version('jax')}"
    return {
        # rejax declares gymnax>=0.0.9 but unpacks five values from `step`, which gymnax 1.0 made six.
        "rejax": ["rejax==0.1.3", "gymnax==0.0.9", jax],
        "quantecon": ["quantecon==0.11.4"],
        "trl": ["torch==2.13.0", "transformers==5.24.0", "trl==1.16.0"],
        "jax-solvers": ["jaxdp==0.4.0", *MDPAX_NEEDS, jax],
        "stable-baselines3": ["torch==2.13.0", "stable-baselines3==2.9.2", "sbx-rl==0.28.0", jax],
    }[environment]


def _extra() -> str:
    """The extra of JAX whose plugin is installed here: a CPU needs none, and is none the worse for it."""
    installed = {each.name for each in importlib.metadata.distributions()}
    return next((f"[{cuda}]" for cuda in ("cuda13", "cuda12") if f"jax-{cuda}-plugin" in installed), "")


def default_cache() -> pathlib.Path:
    """Where environments are kept between runs."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "jaxrl-benchmarks"


def create_environment(environment: str, cache: pathlib.Path) -> pathlib.Path:
    """Create a peer's environment from the package index, or find the one made before.

    Args:
      environment: key of `requirements`.
      cache: directory of environments.

    Returns:
      Its Python.

    Raises:
      subprocess.CalledProcessError: if pip cannot resolve or download the requirements.
    """
    wanted, alone = requirements(environment), ALONE.get(environment, [])
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    directory = cache / f"{environment}-{version}"
    python = directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    complete = directory / "requirements.txt"
    if complete.exists() and complete.read_text().splitlines() == wanted + alone:
        return python
    print(f"creating the environment of {environment}: {' '.join(wanted)}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(directory)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *wanted], check=True)
    if alone:
        subprocess.run([*pip, "--no-deps", *alone], check=True)
    complete.write_text("\n".join(wanted + alone) + "\n")  # last: an interrupted installation is not reused
    return python


def find_python(name: str, given: dict[str, str], cache: pathlib.Path) -> str:
    """The Python of a library: the user's own, this one, or that of an environment created for it."""
    if name in given:
        return given[name]
    environment = LIBRARIES[name].environment
    return sys.executable if environment is None else str(create_environment(environment, cache))


def share_device() -> None:
    """Before JAX starts in a process that judges beside workers: leave them memory, and learn what device it is."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    machine.backend()


class Worker:
    """A child process that answers one command at a time and otherwise waits on its standard input.

    Args:
      name: key of `LIBRARIES`.
      python: its interpreter.
      configuration: the work, the same for all, or the name of a task.
    """

    def __init__(self, name: str, python: str, configuration: Configuration | str) -> None:
        self.name = name
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        platform = {"gpu": "cuda"}.get(machine.backend(), machine.backend())
        environment = os.environ | VARIABLES | {"JAX_PLATFORMS": platform}  # a peer that has no such device says so
        plain = isinstance(configuration, str)
        argument = configuration if plain else json.dumps(dataclasses.asdict(configuration))
        if LIBRARIES[name].environment is not None:
            environment.pop("PYTHONPATH", None)  # packages of this process must not leak into the peer's
        self.process = subprocess.Popen(
            [python, "-m", LIBRARIES[name].worker, argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            cwd=ROOT,
            env=environment,
        )

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and wait for its reply.

        Raises:
          RuntimeError: if the worker died, with the end of what it wrote.
        """
        assert self.process.stdin and self.process.stdout
        line = ""
        try:
            print(json.dumps({"do": do} | arguments), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            pass
        if not line:
            self.process.wait()
            self.errors.seek(0)
            raise RuntimeError(f"worker {self.name} died at {do!r}:\n{self.errors.read()[-3000:]}")
        return json.loads(line)

    def close(self) -> None:
        """End the process: its standard input closes."""
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):  # of one that died before it read everything
            self.process.stdin.close()
        self.process.wait()
        self.errors.close()


@contextlib.contextmanager
def started(
    libraries: dict[str, str], cache: pathlib.Path, configuration: Configuration | str
) -> Iterator[dict[str, Worker]]:
    """Workers, which end with the block, however it ends.

    Args:
      libraries: keys of `LIBRARIES`, by the names that their workers are to have.
      cache: as of `find_python`.
      configuration: as of `Worker`.
    """
    workers: dict[str, Worker] = {}
    try:
        for name, library in libraries.items():
            workers[name] = Worker(library, find_python(library, {}, cache), configuration)
        yield workers
    finally:
        for worker in workers.values():
            worker.close()
