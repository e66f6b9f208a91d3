"""The whole suite by one command: `--quick` in minutes, `--full` in hours; each is one JSON beside its parts.

Every benchmark, and every cell of throughput, has a process of its own: memory and the device's limits are its own, and
what fails ends itself only.
"""

import dataclasses
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

from benchmarks import machine, results, throughput
from benchmarks.results import Result
from benchmarks.turns import say

QUICK = ("ppo-64", "dqn", "sac", "fanout", "pretraining", "grpo")
"""Cells of throughput."""
REPETITIONS = {"quick": 5, "full": throughput.Options.repetitions}


def run(kind: str, others: Iterable[str]) -> None:
    """Run it; all results go to `runs/benchmarks-TIME/`, where `python -m benchmarks.tables --results` finds them.

    Args:
      kind: `quick` or `full`.
      others: the other benchmarks, which `full` runs behind the cells; on an accelerator without `lm_vs_peers`, which
        compares CPUs, and with the cells of `learning` that need one.
    """
    on_cpu = machine.backend() == "cpu"
    directory = (pathlib.Path("runs") / f"benchmarks-{time.strftime('%Y%m%d-%H%M%S')}").resolve()
    fitting = tuple(name for name, cell in throughput.CELLS.items() if not (on_cpu and cell.accelerator))
    names, repetitions = QUICK if kind == "quick" else fitting, str(REPETITIONS[kind])
    seconds: dict[str, float] = {}
    for name in names:
        began = time.perf_counter()
        if _succeeds(["throughput", "--cells", name, "--repetitions", repetitions], directory):
            seconds[name] = time.perf_counter() - began
            say(f"wrote {results.save(cells_result(kind, seconds, directory), directory)}")  # of all cells until now
    failed = [name for name in names if name not in seconds]
    asked = [[name] for name in others if on_cpu or name != "lm_vs_peers"] if kind == "full" else []
    if asked and not on_cpu:
        asked.append(["learning", "--full"])
    failed += [" ".join(arguments) for arguments in asked if not _succeeds(arguments, directory)]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def cells_result(kind: str, seconds: dict[str, float], directory: pathlib.Path) -> Result:
    """The cells of throughput as the sides of one result.

    Args:
      kind: `quick` or `full`.
      seconds: that each cell took.
      directory: where their results are.
    """
    folder = results.folder(machine.backend(), directory)
    configuration: dict[str, Any] = {"repetitions": REPETITIONS[kind]}
    cells = {name: results.from_json((folder / f"throughput_{name}.json").read_text()) for name in seconds}
    sides = {}
    for name, cell in cells.items():
        configuration[name] = cell.configuration
        measurements = cell.sides["jaxrl"].measurements | {"seconds of the cell": [seconds[name]]}
        sides[name] = dataclasses.replace(cell.sides["jaxrl"], measurements=measurements)
    command = f"python -m benchmarks --{kind}"
    first, *others = cells.values()
    dirty = first.dirty or any(cell.dirty or cell.commit != first.commit for cell in others)
    named = dataclasses.replace(first, name=f"suite_{kind}", command=command, dirty=dirty)
    return dataclasses.replace(named, configuration=configuration, sides=sides)


def _succeeds(arguments: list[str], directory: pathlib.Path) -> bool:
    """Whether a benchmark ends well; hours of others stand behind one that does not."""
    say(" ".join(arguments))
    command = [sys.executable, "-m", "benchmarks", *arguments, "--results", str(directory)]
    code = subprocess.run(command, cwd=results.ROOT).returncode
    if code:
        say(f"{' '.join(arguments)} failed, with exit code {code}")
    return code == 0
