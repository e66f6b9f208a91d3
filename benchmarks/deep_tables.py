"""The tables of the deep learners' comparison and of other suites, from their results."""

import pathlib

import numpy as np

from benchmarks import results, suites
from benchmarks.deep_vs_peers import PEERS
from benchmarks.rendering import device_line, render, spread, with_notes
from benchmarks.results import quartiles
from benchmarks.workers.deep_tasks import TASKS


def deep_table(directory: pathlib.Path) -> str:
    """Speed and returns of deep learners, task by task."""
    header = ("task", "library", "env steps/s", "jaxrl is faster by", "return", "seeds", "command")
    rows, lines = [], {}
    for name, task in TASKS.items():
        result = results.load(f"deep_vs_peers_{name}", directory)
        what = f"{task.algorithm}, {task.env}" + (", replay of 10⁶" if task.capacity >= 1_000_000 else "")
        if result is None:
            command = f"`python -m benchmarks.deep_vs_peers --tasks {name}`"
            rows += [[what, side, "not measured", "–", "–", "–", command] for side in ("jaxrl", *PEERS[name])]
            continue
        lines[device_line(result)] = None
        ours = result.sides["jaxrl"].measurements["steps_per_second"]
        for side, library in result.sides.items():
            numbers = library.measurements
            pairs = zip(ours, numbers["steps_per_second"], strict=True)
            returns = [float(np.mean(seed)) for seed in numbers.get("policy_returns", [])]
            ratio = "1" if side == "jaxrl" else f"{quartiles([a / b for a, b in pairs])[1]:.2f}×"
            speed = spread(numbers["steps_per_second"], ",.0f")
            rows.append([what, side, speed, ratio, spread(returns, ".1f"), str(len(returns)), f"`{result.command}`"])
    note = (
        "Median [quartiles] of paired repetitions, A B A B; the same work for each environment step. Return: greedy "
        "episodes in the same environment after the same number of steps, one judge for all; SBX, which takes minutes "
        "for a seed, has fewer. What could not be made equal stands at the top of the workers."
    )
    return with_notes(render(header, rows), *([note] if lines else []), *lines)


def seeds_table(directory: pathlib.Path) -> str:
    """Many seeds in one program."""
    header = ("learner", "seeds", "steps/s of all", "of one seed alone", "memory of a seed, MB", "command")
    result = results.load("many_seeds", directory)
    if result is None:
        return render(header, [["not measured", *["–"] * 4, "`python -m benchmarks.many_seeds`"]])
    rows = []
    for name, side in result.sides.items():
        numbers = side.measurements
        for kind in ("together", "in fit"):
            rows.append(
                [
                    f"{name}, {'vmap(train)' if kind == 'together' else 'fit'}",
                    str(result.configuration["seeds"]),
                    spread(numbers[f"steps/s {kind}"], ",.0f"),
                    spread(numbers["steps/s alone"], ",.0f"),
                    f"{numbers['bytes of a seed'][0] / 1e6:.2f}",
                    f"`{result.command}`",
                ]
            )
    return with_notes(render(header, rows), "Median [quartiles]. Memory: of the state.", device_line(result))


def suites_table(directory: pathlib.Path) -> str:
    """PPO in other suites."""
    header = ("environment", "steps", "return", "random actions", "difference, standard errors", "finished, of both")
    header += ("minutes", "command")
    rows, lines = [], {}
    for name, cell in suites.CELLS.items():
        result = results.load(f"suites_{name}", directory)
        command = f"`python -m benchmarks.suites --suites {name}`"
        if result is None:
            rows.append([cell.env, f"{cell.steps:,}", "not measured", *["–"] * 4, command])
            continue
        lines[device_line(result)] = None
        numbers = next(iter(result.sides.values())).measurements
        means = [f"{np.mean(numbers[key]):.2f}" for key in ("returns", "random_returns")]
        minutes = f"{numbers['seconds'][0] / 60:.1f}"
        steps = f"{result.configuration['steps']:,}"
        rows.append([cell.env, steps, *means, *suites.in_words(result), minutes, f"`{result.command}`"])
    note = (
        "PPO, one seed, and what it took to learn. Actions are sampled, not greedy; means over first episodes, of "
        "which those that did not finish (within 1000 or 2000 steps) count as far as they went."
    )
    return with_notes(render(header, rows), *([note] if lines else []), *lines)
