"""The tables of learning, from their results."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks import results
from benchmarks.learning import CELLS, FULL, PUBLISHED, Cell, result_name
from benchmarks.rendering import command_of, device_lines, render, spread, with_notes
from benchmarks.results import Result, quartiles

CPU_MINUTES = 30
"""What a cell of the learning table takes at most."""


def learning_table(directory: pathlib.Path, cells: Mapping[tuple[str, str], Cell] = CELLS) -> str:
    """Learning: one row a cell, the measured ones from their results."""
    found = {cell: results.load_any(result_name(*cell), directory) for cell in cells}
    what = ("algorithm", "environment", "steps", "seeds")
    header = (*what, "return", "bar", "seconds to it", "published", "CPU-minutes", "command")
    rows = [learning_row(*cell, cells[cell], result) for cell, result in found.items()]
    measured = [result for result in found.values() if result]
    note = (
        "Return: median over seeds [quartiles] of the mean of a seed's last 10 of 20 evaluations, 16 greedy "
        "episodes each. Steps: of each seed, a replay's random ones included. Published: the best policy that gymnax "
        "gives with the environment, after a number of steps of its own, and by how much ours is below. Seconds to the "
        "bar: of all seeds together, by the clock, compilation included, to the end of the first evaluation whose "
        "median reaches it. Rows not measured on a CPU are an accelerator's. CPU-minutes: of all threads, to the end"
        + _longest(measured)
    )
    return with_notes(render(header, rows), *([note] if measured else []), *device_lines(measured))


def cpu_minutes(result: Result) -> float:
    """Of a cell."""
    return next(iter(result.sides.values())).measurements["cpu_seconds"][0] / 60


def seconds_to_bar(result: Result, bar: float) -> str:
    """Until the first evaluation of a cell whose median over the seeds reaches the bar."""
    numbers = next(iter(result.sides.values())).measurements
    medians = np.median(np.array(numbers["evaluation_returns"], dtype=float), axis=0)
    reached = np.flatnonzero(medians >= bar)
    if not np.isfinite(bar) or not len(reached):
        return "–"
    return f"{numbers['evaluation_seconds'][reached[0]]:.0f}"


def _longest(measured: Sequence[Result]) -> str:
    """The end of the sentence: whether a cell takes longer than it should."""
    above = [each.configuration for each in measured if cpu_minutes(each) > CPU_MINUTES]
    names = ", ".join(f"{each['algorithm']} on {each['env']}" for each in above) or "no cell"
    return f"; {names} above {CPU_MINUTES} CPU-minutes."


def learning_row(algorithm: str, env: str, cell: Cell, result: Result | None) -> list[str]:
    bar = f"< {cell.threshold:g}, it cannot" if cell.fails else f"≥ {cell.threshold:g}"
    bar = bar if np.isfinite(cell.threshold) else "–"
    full = " --full" if (algorithm, env) in FULL else ""
    command = f"`python -m benchmarks.learning --algorithm {algorithm} --envs {env}{full}`"
    published = f"{PUBLISHED[env]:g}" if env in PUBLISHED else "–"
    if result is None:
        unknown = ["not measured", bar, "–", published, "–"]
        return [algorithm, env, f"{cell.steps:,}", str(cell.seeds), *unknown, command]
    numbers = next(iter(result.sides.values())).measurements
    below = PUBLISHED.get(env, -np.inf) - quartiles(numbers["last_10_mean"])[1]
    return [
        algorithm,
        env,
        f"{result.configuration['steps']:,}",
        str(len(numbers["last_10_mean"])),
        spread(numbers["last_10_mean"], ".1f"),
        bar,
        "–" if cell.fails else seconds_to_bar(result, cell.threshold),
        published + (f", {below:.1f} below" if below > 0.05 else ""),
        f"{cpu_minutes(result):.1f}",
        command_of(result),
    ]
