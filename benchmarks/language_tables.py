"""The tables of language models, from their results."""

import pathlib
from collections.abc import Sequence

from benchmarks import results
from benchmarks.lm_learning import CELLS
from benchmarks.lm_vs_peers import BARS
from benchmarks.rendering import command_of, device_lines, library, render, spread, with_notes
from benchmarks.results import Result, quartiles
from benchmarks.workers.lm_tasks import TASKS

KINDS = {
    "generate": "generation, {rows} prompts of {prompt_length} tokens, {new_tokens} new ones",
    "grpo": "a step of GRPO, {rows} completions of up to {new_tokens} tokens, groups of {group_size}",
    "pretrain": "pretraining, {rows} texts of {new_tokens} tokens",
}


def _verdict(value: float, bar: float | None, unit: str = "") -> str:
    """A bar, and whether a number reaches it."""
    return "–" if bar is None else f"≥ {bar:g}{unit}, {'reached' if value >= bar else 'missed'}"


def _duration(seconds: float, most: float | None) -> str:
    """Seconds, and what they should be at most."""
    bar = "" if most is None else f" (≤ {most:g}: {'reached' if seconds <= most else 'missed'})"
    return f"{seconds:.0f}{bar}"


def _range(values: Sequence[float], form: str) -> str:
    """Median, lowest and highest: quartiles of three seeds would hide one that is lost."""
    form = f"z{form}"
    return f"{quartiles(values)[1]:{form}} [{min(values):{form}}, {max(values):{form}}]"


def lm_learning_table(directory: pathlib.Path) -> str:
    """What reinforcement adds to pretraining, and the controls."""
    header = ("task", "", "pass@1", "bar", "greedy", "pass@16", "tokens", "s a seed", "s in all", "command")
    rows, measured = [], []
    for name in CELLS:
        result = results.load_any(f"lm_learning_{name}", directory)
        if result is None:
            command = f"`python -m benchmarks.lm_learning --cells {name}`"
            rows.append([name, "not measured", *["–"] * 7, command])
            continue
        measured.append(result)
        rows += _cell_rows(name, result)
    note = (
        "Median [lowest, highest] over seeds. The same held-out prompts, answered sixteen times each at temperature 1, "
        "before and after reinforcement (GRPO's family, by the verifier's reward); greedy: the likeliest answer. Bars: "
        "of the median, and of the seconds in all; chance: of a guess. Seconds, on this machine: of the stage, "
        "compilation included in the first seed's, and of all seeds together, with compilation and judging, without "
        "controls. Controls: the same with a coin as judge, and without pretraining."
    )
    return with_notes(render(header, rows), *([note] if measured else []), *device_lines(measured))


def _cell_rows(name: str, result: Result) -> list[list[str]]:
    numbers, said = next(iter(result.sides.values())).measurements, result.configuration
    words = {
        "before": "pretrained",
        "after": "reinforced",
        "coin": "control: paid by a coin",
        "from nothing": "control: not pretrained",
    }
    chance = "–" if CELLS[name].chance is None else f"chance: {CELLS[name].chance:g}"
    seconds = {"before": "pretraining_seconds", "after": "reinforcement_seconds"}
    rows = []
    for when, word in words.items():
        if f"{when} pass@1" not in numbers:
            continue
        first, *others = (_range(numbers[f"{when} {score}"], ".3f") for score in ("pass@1", "greedy", "pass@16"))
        bar = _verdict(quartiles(numbers["after pass@1"])[1], said["threshold"]) if when == "after" else chance
        taken = _range(numbers[seconds[when]], ".0f") if when in seconds else "–"
        together = _duration(numbers["seconds"][0], CELLS[name].seconds) if when == "after" else "–"
        what = f"{name}, {said['parameters']:,} parameters" if when == "before" else ""
        length = _range(numbers[f"{when} length"], ".1f")
        command = command_of(result) if when == "before" else ""
        rows.append([what, word, first, bar, *others, length, taken, together, command])
    return rows


def lm_vs_peers_table(directory: pathlib.Path) -> str:
    """Speed next to PyTorch, task by task."""
    header = ("task", "library", "tokens/s", "jaxrl is faster by", "bar", "peak memory, GiB", "command")
    rows, measured = [], []
    for name, task in TASKS.items():
        what = KINDS[name].format(**vars(task))
        result = results.load_any(f"lm_vs_peers_{name}", directory)
        if result is None:
            command = f"`python -m benchmarks.lm_vs_peers --tasks {name}`"
            rows.append([what, "not measured", *["–"] * 4, command])
            continue
        measured.append(result)
        ours = result.sides["jaxrl"].measurements["tokens_per_second"]
        for side, facts in result.sides.items():
            rates = facts.measurements["tokens_per_second"]
            ratio = quartiles([a / b for a, b in zip(ours, rates, strict=True)])[1]
            packages = {"generate": "transformers", "grpo": "trl", "pretrain": "torch"}
            named = f"{packages[name]} {facts.versions[packages[name]]}" if side == "torch" else library(result, side)
            rows.append(
                [
                    what,
                    named,
                    spread(rates, ",.0f"),
                    "1" if side == "jaxrl" else f"{ratio:.2f}×",
                    "–" if side == "jaxrl" else _verdict(ratio, BARS[name], "×"),
                    f"{facts.measurements['peak_gib'][0]:.2f}",
                    command_of(result),
                ]
            )
    note = (
        "Median [quartiles] of paired repetitions, A B A B, of warm processes with two threads each, in float32: the "
        "same model of 0.87 million parameters in the shape of Qwen2, random, Adam, one gradient step a batch, no "
        "divergence from a reference, rewards of one line. PyTorch runs eagerly, as transformers and TRL do by "
        "default; TRL also goes through texts and calls Python for rewards, as it does for its users. Tokens: drawn at "
        "most, or predicted."
    )
    return with_notes(render(header, rows), *([note] if measured else []), *device_lines(measured))


def lm_memory_table(directory: pathlib.Path) -> str:
    """A step of GRPO of a large model."""
    header = ("model", "peak memory, GiB", "a step, s", "largest array of logits", "logits of the batch", "command")
    result = results.load_any("lm_memory", directory)
    if result is None:
        return render(header, [["not measured", *["–"] * 4, "`python -m benchmarks.lm_memory`"]])
    numbers = next(iter(result.sides.values())).measurements
    row = [
        f"shape of Qwen2.5-0.5B, {result.configuration['parameters']:,} parameters, float32",
        f"{numbers['peak_gib'][0]:.1f}",
        f"{numbers['step_seconds'][-1]:.0f}",
        *(f"{numbers[name][0]:,} numbers" for name in ("largest_logits", "logits_of_the_batch")),
        command_of(result),
    ]
    sizes = "{prompts} prompts of {prompt_length} tokens, {group_size} completions of {new_tokens} tokens each"
    note = f"{sizes.format(**result.configuration)}, drawn, judged and learned from, Adam included."
    return with_notes(render(header, [row]), note, *device_lines([result]))
