"""Libraries measured in turn: A B C A B C, so that a busy minute of the machine hits them all."""

import pathlib
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

from benchmarks import results
from benchmarks.peers import LIBRARIES, Worker
from benchmarks.results import Result

Measurements = dict[str, dict[str, list[Any]]]
"""Lists of numbers, by library and by what they are."""


def say(message: str) -> None:
    """With the time of day, at once."""
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)


def measure_each(
    kind: str, names: Iterable[str], known: Collection[str], measure: Callable[[str], Result], directory: pathlib.Path
) -> None:
    """Measure and save one result for each name; refuse unknown ones before anything is measured."""
    names = list(names)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"unknown {kind}: {', '.join(unknown)}; there are: {', '.join(known)}")
    for name in names:
        say(f"wrote {results.save(measure(name), directory).name}")


def run_in_turn(
    what: str,
    workers: dict[str, Worker],
    steps_of: Callable[[str], int],
    repetitions: int,
    unit: str = "steps",
    units_per_step: int = 1,
) -> Measurements:
    """Environment steps, or other units, per second of warm processes; the first repetition only warms up."""
    rates: dict[str, list[Any]] = {name: [] for name in workers}
    for repetition in range(repetitions + 1):
        for name, worker in workers.items():
            steps = steps_of(name)
            rate = steps * units_per_step / worker.ask("run", steps=steps, seed=repetition)["seconds"]
            if repetition:
                rates[name].append(rate)
            say(f"{what} {repetition}/{repetitions} {name}: {rate:,.0f} {unit}/s")
    return {name: {f"{unit}_per_second": values} for name, values in rates.items()}


def train_policies(
    workers: dict[str, Worker], seeds_of: Callable[[str], list[int]], steps: int
) -> dict[str, list[Any]]:
    """The layers of each library's trained actors, `[seeds]`."""
    policies: dict[str, list[Any]] = {name: [] for name in workers}
    for name, worker in workers.items():
        seeds = seeds_of(name)
        # One call for all seeds where they are vmapped, one a seed (to show progress) where they are a loop.
        groups = [[seed] for seed in seeds] if LIBRARIES[worker.name].slow else [seeds] if seeds else []
        for group in groups:
            policies[name] += worker.ask("train_policy", steps=steps, seeds=group)["policies"]
            say(f"trained {name}: {len(policies[name])}/{len(seeds)} policies of {steps:,} steps")
    return policies
