"""The tables of the deep learners' comparison and of other suites, from their results."""

import itertools
import pathlib

import numpy as np

from benchmarks import replay, results, suites, time_to_score
from benchmarks.deep_vs_peers import PEERS
from benchmarks.rendering import command_of, device_lines, library, render, spread, with_notes
from benchmarks.results import flat, quartiles
from benchmarks.workers.deep_tasks import TASKS


def deep_table(directory: pathlib.Path) -> str:
    """Speed and returns of deep learners, task by task."""
    header = ("task", "library", "env steps/s", "jaxrl is faster by", "return", "seeds", "command")
    rows, measured = [], []
    for name, task in TASKS.items():
        result = results.load_any(f"deep_vs_peers_{name}", directory)
        what = f"{task.algorithm}, {task.env}" + (", replay of 10⁶" if task.capacity >= 1_000_000 else "")
        if result is None:
            command = f"`python -m benchmarks.deep_vs_peers --tasks {name}`"
            rows += [[what, side, "not measured", "–", "–", "–", command] for side in ("jaxrl", *PEERS[name])]
            continue
        measured.append(result)
        ours = result.sides["jaxrl"].measurements["steps_per_second"]
        for side in result.sides:
            numbers = result.sides[side].measurements
            pairs = zip(ours, numbers["steps_per_second"], strict=True)
            returns = [float(np.mean(seed)) for seed in numbers.get("policy_returns", [])]
            ratio = "1" if side == "jaxrl" else f"{quartiles([a / b for a, b in pairs])[1]:.2f}×"
            speed = spread(numbers["steps_per_second"], ",.0f")
            judged = [spread(returns, ".1f"), str(len(returns))]
            rows.append([what, library(result, side), speed, ratio, *judged, command_of(result)])
    note = (
        "Median [quartiles] of paired repetitions, A B A B; the same work for each environment step. Return: greedy "
        "episodes in the same environment after the same number of steps, one judge for all; SBX, which takes minutes "
        "for a seed, has fewer. With a replay of 10⁶ no policies are judged: it is the first task with a larger ring."
    )
    return with_notes(render(header, rows), *([note] if measured else []), *device_lines(measured))


def score_table(directory: pathlib.Path) -> str:
    """Seconds until the median of the seeds reaches a bar, race by race."""
    header = ("race", "bar", "library", "env steps", "seconds", "jaxrl is sooner by", "return", "command")
    rows, measured = [], []
    for name, race in time_to_score.RACES.items():
        result = results.load_any(f"time_to_score_{name}", directory)
        what, bar = f"{name}, {race.env}", f"≥ {race.bar:g}"
        if result is None:
            command = f"`python -m benchmarks.time_to_score --races {name}`"
            rows += [[what, bar, side, "–", "not measured", "–", "–", command] for side in race.sides]
            continue
        measured.append(result)
        ours = result.sides["jaxrl"].measurements["seconds"]
        for side in result.sides:
            numbers = result.sides[side].measurements
            pairs = zip(ours, numbers["seconds"], strict=True)
            ratio = "1" if side == "jaxrl" else " / ".join(f"{b / a:.2f}×" if a and b else "–" for a, b in pairs)
            reached = [one for one in numbers["seconds"] if one is not None]
            seconds = spread(reached, ".1f") if reached else "not reached"
            if reached and len(reached) < max(len(numbers["seconds"]), time_to_score.Options.repetitions):
                seconds += f", in {len(reached)} of {len(numbers['seconds'])}"
            steps = " / ".join(f"{budget:,}" for budget in numbers["steps"])
            returns = spread(list(flat(numbers["returns"])), ".1f")
            rows.append([what, bar, library(result, side), steps, seconds, ratio, returns, command_of(result)])
    note = (
        "Seconds, median [quartiles] of races with other seeds, the libraries in turn: compilation, and training of "
        "ten seeds to the end of the first budget of environment steps whose policies reach the bar in the median; "
        "rejax and jaxrl train the seeds together, the others one after the other. Env steps: that budget, race by "
        "race, of nine from a sixteenth of the largest, each at most 1.6 times the one before. Sooner: race by race, "
        "a dash where one of both did not reach the bar; a budget more or less may be chance. Return: of the policies "
        "of all races, median over seeds [quartiles], greedy episodes, one judge for all."
    )
    return with_notes(render(header, rows), *([note] if measured else []), *device_lines(measured))


def seeds_table(directory: pathlib.Path) -> str:
    """Many seeds in one program."""
    header = ("learner", "seeds", "steps/s of all", "of one seed alone", "fit / vmap", "state, MB a seed", "command")
    result = results.load_any("many_seeds", directory)
    if result is None:
        return render(header, [["not measured", *["–"] * 5, "`python -m benchmarks.many_seeds`"]])
    rows = []
    for name, side in result.sides.items():
        numbers = side.measurements
        pairs = zip(numbers["steps/s together"], numbers["steps/s in fit"], strict=True)
        ratio = f"{quartiles([a / b for a, b in pairs])[1]:.2f}"
        for kind in ("together", "in fit"):
            rows.append(
                [
                    f"{name}, {'vmap(train)' if kind == 'together' else 'fit'}",
                    str(result.configuration["seeds"]),
                    spread(numbers[f"steps/s {kind}"], ",.0f"),
                    spread(numbers["steps/s alone"], ",.0f"),
                    "1" if kind == "together" else ratio,
                    f"{numbers['bytes of a seed'][0] / 1e6:.2f}",
                    command_of(result),
                ]
            )
    note = "Median [quartiles]. fit / vmap: time of the same steps, median of paired ratios; bar: at most 1.2."
    return with_notes(render(header, rows), note, *device_lines([result]))


def replay_table(directory: pathlib.Path) -> str:
    """What replay costs, by its capacity."""
    header = ("replay", "capacity", "µs a call", "relative to the smallest", "command")
    result = results.load_any("replay", directory)
    if result is None:
        return render(header, [["not measured", *["–"] * 3, "`python -m benchmarks.replay`"]])
    numbers, sizes, rows = next(iter(result.sides.values())).measurements, result.configuration, []
    for kind, capacity in itertools.product(replay.KINDS, sizes["capacities"]):
        here, smallest = numbers[f"{kind}, {capacity}"], numbers[f"{kind}, {min(sizes['capacities'])}"]
        ratio = quartiles([a / b for a, b in zip(here, smallest, strict=True)])[1]
        rows.append([kind, f"{capacity:,}", spread(here, ".1f"), f"{ratio:.2f}", command_of(result)])
    note = (
        f"Median [quartiles]. A call adds a step of {sizes['num_envs']} environments and samples and reads "
        f"{sizes['batch_size']} steps of {sizes['observation'][0]} numbers each; by priority it also sets theirs anew, "
        "in a tree whose depth is the logarithm of the capacity. Relative: median of paired ratios, A B A B; what "
        "does not fit into the caches takes longer to read."
    )
    return with_notes(render(header, rows), note, *device_lines([result]))


def suites_table(directory: pathlib.Path) -> str:
    """PPO in other suites."""
    header = ("environment", "steps", "return", "random actions", "difference, standard errors", "finished, of both")
    header += ("minutes", "command")
    rows, measured = [], []
    for name, cell in suites.CELLS.items():
        result = results.load_any(f"suites_{name}", directory)
        command = f"`python -m benchmarks.suites --suites {name}`"
        if result is None:
            rows.append([cell.env, f"{cell.steps:,}", "not measured", *["–"] * 4, command])
            continue
        measured.append(result)
        numbers = next(iter(result.sides.values())).measurements
        means = [f"{np.mean(numbers[key]):.2f}" for key in ("returns", "random_returns")]
        minutes = f"{numbers['seconds'][0] / 60:.1f}"
        steps = f"{result.configuration['steps']:,}"
        rows.append([cell.env, steps, *means, *suites.in_words(result), minutes, command_of(result)])
    note = (
        "PPO, one seed, and what it took to learn. Actions are sampled, not greedy; means over first episodes, of "
        "which those that did not finish (within 1000 or 2000 steps) count as far as they went."
    )
    return with_notes(render(header, rows), *([note] if measured else []), *device_lines(measured))
