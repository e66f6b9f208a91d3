"""Results as Markdown tables, one function a table."""

from collections.abc import Sequence

import numpy as np

from benchmarks.results import Result, quartiles
from benchmarks.tabular_learning import bound_of

FEWEST = 5
"""Repetitions below which quartiles say little, and nothing is said of a difference: two samples of three are apart by
chance once in ten."""
SHOWN = ("python", "jax", "jaxlib", "flax", "optax", "gymnax", "brax", "craftax", "jumanji", "xminigrid")


def render(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first and the last are right-aligned."""
    rule = [":--", *["--:"] * (len(header) - 2), ":--"]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows]) + "\n"


def with_notes(table: str, *notes: str) -> str:
    """The table and, below it, a line for each note."""
    return "\n".join([table, *notes]) + "\n"


def spread(values: Sequence[float | None], form: str) -> str:
    """Median and quartiles, or a dash where nothing was measured; what is missing is counted, not dropped."""
    low, middle, high = quartiles(values)
    if np.isnan(middle):
        return "–"
    missing = sum(value is None for value in values)
    without = f" ({missing} of {len(values)} missing)" if missing else ""
    form = f"z{form}"  # no minus before a rounded zero
    return f"{middle:{form}} [{low:{form}}, {high:{form}}]{without}"


def command_of(result: Result) -> str:
    """What repeats it, and on what, if that is no CPU."""
    where = "" if result.device.platform == "cpu" else f" on {result.device.kind}"
    return f"`{result.command}`{where}"


def device_lines(measured: Sequence[Result]) -> list[str]:
    """What a table was measured on: a line for each device, with all versions and commits there were."""
    groups: dict[str, list[Result]] = {}
    for result in measured:
        device = result.device
        what = "" if device.platform == "cpu" else f"{device.count} × {device.kind}, "
        text = f"{what}{device.cores} cores of {device.cpu}, {device.memory_gib:g} GiB"
        groups.setdefault(text, []).append(result)
    return [f"{device}; {_packages(group)}; {_commits(group)}." for device, group in groups.items()]


def _packages(group: Sequence[Result]) -> str:
    versions = [next(iter(result.sides.values())).versions for result in group]
    found = {name: dict.fromkeys(each[name] for each in versions if name in each) for name in SHOWN}
    return ", ".join(f"{name} {' or '.join(there)}" for name, there in found.items() if there)


def _commits(group: Sequence[Result]) -> str:
    codes = dict.fromkeys(f"{result.commit[:7]}{' with changes' if result.dirty else ''}" for result in group)
    days = sorted({result.timestamp[:10] for result in group})
    return f"commit{'s' if len(codes) > 1 else ''} {', '.join(codes)}, {' and '.join(days)}"


def library(result: Result, side: str) -> str:
    """A side's package and version, and those of its environments."""
    versions = result.sides[side].versions
    package = {"sb3": "stable-baselines3", "sbx": "sbx-rl"}.get(side, side)
    names = [name for name in (package, "gymnax", "gymnasium") if name in versions]
    return ", ".join(f"{name} {versions[name]}" for name in names) if package in versions else package


def peers_table(result: Result | None) -> str:
    """Speed, compile time and policies of PPO in several libraries."""
    header = ("library", "env steps/s", "jaxrl is faster by", "compile, s", "return", "command")
    if result is None:
        command = "`python -m benchmarks.ppo_vs_peers`"
        rows = [[name, "not measured", "–", "–", "–", command] for name in ("jaxrl", "rejax", "sb3", "sbx")]
        return render(header, rows)
    rows = [peer_row(result, name) for name in result.sides]
    seeds = {len(side.measurements.get("policy_returns", ())) for side in result.sides.values()} - {0}
    note = (
        "Median [quartiles]. Ratio: median of the ratios of paired repetitions. Return: mean over greedy "
        "episodes in the same environment, median over "
        f"{' or '.join(map(str, sorted(seeds))) or 'no'} seeds, "
        f"after {result.configuration['policy_steps']:,} steps."
    )
    return with_notes(render(header, rows), note, *device_lines([result]))


def peer_row(result: Result, name: str) -> list[str]:
    numbers, ours = result.sides[name].measurements, result.sides["jaxrl"].measurements
    pairs = zip(ours["steps_per_second"], numbers["steps_per_second"], strict=True)
    returns = [float(np.mean(seed)) for seed in numbers.get("policy_returns", [])]
    return [
        library(result, name),
        spread(numbers["steps_per_second"], ",.0f"),
        "1" if name == "jaxrl" else f"{quartiles([a / b for a, b in pairs])[1]:.2f}×",
        spread(numbers["compile_seconds"], ".2f"),
        spread(returns, ".1f"),
        command_of(result),
    ]


def tabular_table(result: Result | None) -> str:
    """Scores of the tabular learners; not measured, only the header."""
    header = ("learner", "problem", "γ", "steps", "error", "bound", "steps/s", "command")
    if result is None:
        return render(header, [["not measured", *["–"] * 6, "`python -m benchmarks.tabular_learning`"]])
    rows = []
    for name, side in result.sides.items():
        row, numbers = result.configuration[name], side.measurements
        rows.append(
            [
                name,
                row["problem"] + "".join(f", {key}={value}" for key, value in row["options"].items()),
                f"{row['discount']:g}",
                f"{row['steps']:,}",
                spread(numbers["scores"], ".2%"),
                bound_of(row["kind"]),
                f"{numbers['steps_per_second'][0]:,.0f}",
                command_of(result),
            ]
        )
    seeds = len(next(iter(result.sides.values())).measurements["scores"])
    notes = (
        f"Median over {seeds} seeds [quartiles], by linear solves, no rollouts. Steps: of each seed; steps/s: of all.",
        "Control: loss of the greedy policy relative to the best value, averaged over the starts.",
        "Prediction: RMS error over all states relative to the range of values.",
        "Baird's example: projected Bellman error relative to that of the book's first weights; semi-gradient TD must "
        "diverge.",
        "Monte Carlo, ε-soft: without slipping; on the slipping lake the policy that is greedy for the best ε-soft "
        "values, ε ≥ 0.1, loses 1.76% exactly, whoever learns it.",
    )
    return with_notes(render(header, rows), *notes, *device_lines([result]))


def solvers_table(result: Result | None) -> str:
    """Sweeps and solves, with the largest true error of the values."""
    header = ("work", "by", "ms", "error", "command")
    if result is None:
        return render(header, [["not measured", "–", "–", "–", "`python -m benchmarks.dynamic_programming`"]])
    numbers, rows = next(iter(result.sides.values())).measurements, []
    for name, values in numbers.items():
        work, _, what = name.partition(": ")
        if name.startswith("sweep, "):
            rows.append([work, what, _milliseconds(values), "–", command_of(result)])
        elif what.endswith(": seconds"):
            solver = what.removesuffix(": seconds")
            error = f"{numbers[f'{work}: {solver}: error'][0]:.0e}"
            layout = "" if solver.startswith("jaxrl") else ", dense"
            rows.append([work, solver + layout, _milliseconds(values), error, command_of(result)])
    huge = {name.rpartition(": ")[2]: value[0] for name, value in numbers.items() if "functional" in name}
    note = f"Median [quartiles], of N where there are fewer than {FEWEST} repetitions. "
    note += "Sweeps are in float32, solves in float64, asked for values within 1e-4; error: the "
    note += "largest true one. Dense, fan-out: the arrays that a solver is given, of every successor or of those that "
    note += "there are. The peers' versions are in `benchmarks/peers.py`. The gathers alone also write what they read, "
    note += "which a sweep does not."
    ours, gather = (numbers.get(f"sweep, fan-out: {name}") for name in ("jaxrl", "gather alone"))
    if ours and gather:
        note += f" A fan-out sweep reads at {quartiles(gather)[1] / quartiles(ours)[1]:.0%} of their rate."
    if huge:
        states = next(name for name in numbers if "functional" in name).split()[0]
        note += (
            f" {int(states):,} states, 4 actions, 4 events, γ=0.99, computed and never stored: {huge['sweeps']:.0f} "
            f"sweeps in {huge['seconds']:.0f} s to an interval of {huge['width']:.1e}, {huge['peak'] / 1e9:.1f} GB at "
            "the peak."
        )
    return with_notes(render(header, rows), note, *device_lines([result]))


def _milliseconds(seconds: Sequence[float]) -> str:
    """Median and quartiles; of few repetitions, how many they are."""
    return spread([1e3 * x for x in seconds], ".1f") + (f" of {len(seconds)}" if len(seconds) < FEWEST else "")


def complexity_table(result: Result | None) -> str:
    """Slopes of the cost of a sweep."""
    header = ("sweep", "sizes", "slope", "expected", "command")
    if result is None:
        return render(header, [["not measured", "–", "–", "–", "`python -m benchmarks.complexity`"]])
    numbers, rows = next(iter(result.sides.values())).measurements, []
    for name, expected in result.configuration["expected"].items():
        sizes = numbers[f"{name}: sizes"]
        slope = f"{numbers[f'{name}: slope'][0]:.2f}"
        rows.append([name, f"{sizes[0]:,} to {sizes[-1]:,}", slope, expected, command_of(result)])
    return with_notes(render(header, rows), *device_lines([result]))


def runs_table(result: Result | None) -> str:
    """Many runs in one call."""
    header = ("α", "runs × steps", "steps/s in one call", "one after the other", "tables that differ", "command")
    if result is None:
        return render(header, [["not measured", *["–"] * 4, "`python -m benchmarks.independent_runs`"]])
    numbers, size = next(iter(result.sides.values())).measurements, result.configuration
    rows = []
    for rate in ("0.5", "0.1"):
        differ, largest = (numbers[f"α={rate}: {what}"][0] for what in ("tables that differ", "largest difference"))
        rows.append(
            [
                rate,
                f"{size['runs']:,} × {size['steps']:,}",
                spread(numbers[f"α={rate}: steps/s together"], ",.0f"),
                f"{numbers[f'α={rate}: steps/s one after the other'][0]:,.0f}",
                f"{differ}, by at most {largest:.0e}" if differ else "0",
                command_of(result),
            ]
        )
    note = (
        "Q-learning on FrozenLake. α = 1/2 makes every product exact; elsewhere LLVM contracts q + α error to one "
        "rounding in one of the two programs; from the first tie that falls otherwise on such runs part."
    )
    return with_notes(render(header, rows), note, *device_lines([result]))
