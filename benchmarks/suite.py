"""The whole suite by one command: `--quick` in minutes, `--full` in hours; each is one JSON beside its parts."""

import importlib
import pathlib
import time
from collections.abc import Iterable

from benchmarks import machine, results, throughput
from benchmarks.results import Result, Side
from benchmarks.turns import say

QUICK = ("ppo-64", "dqn", "sac", "fanout", "pretraining", "grpo")
"""Cells of throughput."""
REPETITIONS = {"quick": 5, "full": 9}


def cells_result(kind: str, names: tuple[str, ...], directory: pathlib.Path) -> Result:
    """The cells of throughput as the sides of one result."""
    options = throughput.Options(cells=names, repetitions=REPETITIONS[kind])
    sides: dict[str, Side] = {}
    for name in names:
        found = throughput.measure(name, options)
        results.save(found, directory)
        sides[name] = found.sides["jaxrl"]
    return Result(
        name=f"suite_{kind}",
        command=f"python -m benchmarks --{kind}",
        configuration={name: throughput.CELLS[name].what for name in names} | {"repetitions": REPETITIONS[kind]},
        sides=sides,
        **machine.provenance(),
    )


def run(kind: str, others: Iterable[str]) -> None:
    """Run it; results go to `runs/benchmarks-TIME/`, those of the other benchmarks where they always do.

    Args:
      kind: `quick` or `full`.
      others: the other benchmarks, which `full` runs behind the cells.
    """
    import jax

    on_cpu = jax.default_backend() == "cpu"
    fitting = tuple(name for name, cell in throughput.CELLS.items() if not (on_cpu and cell.accelerator))
    directory = pathlib.Path("runs") / f"benchmarks-{time.strftime('%Y%m%d-%H%M%S')}"
    path = results.save(cells_result(kind, QUICK if kind == "quick" else fitting, directory), directory)
    say(f"wrote {path}")
    if kind == "full":
        failed = [name for name in others if not _succeeds(name)]
        if failed:
            raise SystemExit(f"failed: {', '.join(failed)}")


def _succeeds(name: str) -> bool:
    """Run a benchmark, and say what ended it: hours of others stand behind it."""
    say(name)
    try:
        importlib.import_module(f"benchmarks.{name}").main([])
    except (Exception, SystemExit) as error:
        say(f"{name} failed: {error or type(error).__name__}")
        return False
    return True
