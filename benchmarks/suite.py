"""The whole suite by one command: `--quick` in minutes, `--full` in hours; each is one JSON beside its parts."""

import dataclasses
import importlib
import pathlib
import time
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks import machine, results, throughput
from benchmarks.results import Result, Side
from benchmarks.turns import say

QUICK = ("ppo-64", "dqn", "sac", "fanout", "pretraining", "grpo")
"""Cells of throughput."""
REPETITIONS = {"quick": 5, "full": 9}


def cells_result(kind: str, names: tuple[str, ...], directory: pathlib.Path) -> tuple[Result, list[str]]:
    """The cells of throughput as the sides of one result, and those that failed."""
    options = throughput.Options(cells=names, repetitions=REPETITIONS[kind])
    sides: dict[str, Side] = {}

    def measure(name: str) -> None:
        began = time.perf_counter()
        found = throughput.measure(name, options)
        results.save(found, directory)
        side = found.sides["jaxrl"]
        seconds = {"seconds of the cell": [time.perf_counter() - began]}
        sides[name] = dataclasses.replace(side, measurements=side.measurements | seconds)

    failed = [name for name in names if not _succeeds(name, lambda name=name: measure(name))]
    if not sides:
        raise SystemExit(f"failed: {', '.join(failed)}")
    result = Result(
        name=f"suite_{kind}",
        command=f"python -m benchmarks --{kind}",
        configuration={name: throughput.CELLS[name].what for name in names} | {"repetitions": REPETITIONS[kind]},
        sides=sides,
        **machine.provenance(),
    )
    return result, failed


def run(kind: str, others: Iterable[str]) -> None:
    """Run it; all results go to `runs/benchmarks-TIME/`, where `python -m benchmarks.tables --results` finds them.

    Args:
      kind: `quick` or `full`.
      others: the other benchmarks, which `full` runs behind the cells; on an accelerator without `lm_vs_peers`, which
        compares CPUs, and with the cells of `learning` that need one.
    """
    import jax

    on_cpu = jax.default_backend() == "cpu"
    fitting = tuple(name for name, cell in throughput.CELLS.items() if not (on_cpu and cell.accelerator))
    directory = pathlib.Path("runs") / f"benchmarks-{time.strftime('%Y%m%d-%H%M%S')}"
    result, failed = cells_result(kind, QUICK if kind == "quick" else fitting, directory)
    say(f"wrote {results.save(result, directory)}")
    asked = [(name, []) for name in others if on_cpu or name != "lm_vs_peers"] if kind == "full" else []
    if asked and not on_cpu:
        asked.append(("learning", ["--full"]))

    def run_other(name: str, flags: list[str]) -> None:
        importlib.import_module(f"benchmarks.{name}").main([*flags, "--results", str(directory)])

    failed += [
        name for name, flags in asked if not _succeeds(name, lambda name=name, flags=flags: run_other(name, flags))
    ]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def _succeeds(name: str, measure: Callable[[], Any]) -> bool:
    """Measure, and say what ended it: hours of others stand behind it."""
    say(name)
    try:
        measure()
    except (Exception, SystemExit) as error:
        say(f"{name} failed: {error or type(error).__name__}")
        return False
    return True
