"""The tables of language models, from their results."""

import pathlib

from benchmarks import results
from benchmarks.lm_learning import CELLS
from benchmarks.rendering import device_lines, library, render, spread, with_notes
from benchmarks.results import Result, quartiles
from benchmarks.workers.lm_tasks import TASKS

KINDS = {
    "generate": "generation, {rows} prompts of {prompt_length} tokens, {new_tokens} new ones",
    "grpo": "a step of GRPO, {rows} completions of up to {new_tokens} tokens, groups of {group_size}",
    "pretrain": "pretraining, {rows} texts of {new_tokens} tokens",
}


def lm_learning_table(directory: pathlib.Path) -> str:
    """What reinforcement adds to pretraining, and the controls."""
    header = ("task", "", "pass@1", "greedy", "pass@16", "tokens", "seconds a seed", "command")
    rows, measured = [], []
    for name in CELLS:
        result = results.load(f"lm_learning_{name}", directory)
        if result is None:
            command = f"`python -m benchmarks.lm_learning --cells {name}`"
            rows.append([name, "not measured", *["–"] * 5, command])
            continue
        measured.append(result)
        rows += _cell_rows(name, result)
    note = (
        "Median [quartiles] over seeds. Held-out prompts, answered sixteen times each at temperature 1, before and "
        "after reinforcement (GRPO's family, by the verifier's reward); greedy: the likeliest answer. Seconds: of the "
        "stage on this machine, compilation included in the first seed's. Controls: the same with a coin as judge, "
        "and without pretraining."
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
    seconds = {"before": "pretraining_seconds", "after": "reinforcement_seconds"}
    if said["threshold"] is not None:
        words["after"] += f", bar {said['threshold']:g}"
    rows = []
    for when, word in words.items():
        if f"{when} pass@1" not in numbers:
            continue
        scores = [spread(numbers[f"{when} {score}"], ".3f") for score in ("pass@1", "greedy", "pass@16")]
        taken = spread(numbers[seconds[when]], ".0f") if when in seconds else "–"
        what = f"{name}, {said['parameters']:,} parameters" if when == "before" else ""
        length = spread(numbers[f"{when} length"], ".1f")
        rows.append([what, word, *scores, length, taken, f"`{result.command}`" if when == "before" else ""])
    return rows


def lm_vs_peers_table(directory: pathlib.Path) -> str:
    """Speed next to PyTorch, task by task."""
    header = ("task", "library", "tokens/s", "jaxrl is faster by", "peak memory, GiB", "command")
    rows, measured = [], []
    for name, task in TASKS.items():
        what = KINDS[name].format(**vars(task))
        result = results.load(f"lm_vs_peers_{name}", directory)
        if result is None:
            command = f"`python -m benchmarks.lm_vs_peers --tasks {name}`"
            rows.append([what, "not measured", "–", "–", "–", command])
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
                    f"{facts.measurements['peak_gib'][0]:.2f}",
                    f"`{result.command}`",
                ]
            )
    note = (
        "Median [quartiles] of paired repetitions, A B A B, of warm processes with two threads each, in float32: the "
        "same model of 0.87 million parameters in the shape of Qwen2, random, Adam, one gradient step a batch, no "
        "divergence from a reference, rewards of one line. TRL also goes through texts and calls Python for rewards, "
        "as it does for its users. Tokens: drawn at most, or predicted."
    )
    return with_notes(render(header, rows), *([note] if measured else []), *device_lines(measured))


def lm_memory_table(directory: pathlib.Path) -> str:
    """A step of GRPO of a large model."""
    header = ("model", "peak memory, GiB", "a step, s", "largest array of logits", "logits of the batch", "command")
    result = results.load("lm_memory", directory)
    if result is None:
        return render(header, [["not measured", *["–"] * 4, "`python -m benchmarks.lm_memory`"]])
    numbers = next(iter(result.sides.values())).measurements
    row = [
        f"shape of Qwen2.5-0.5B, {result.configuration['parameters']:,} parameters, float32",
        f"{numbers['peak_gib'][0]:.1f}",
        f"{numbers['step_seconds'][-1]:.0f}",
        *(f"{numbers[name][0]:,} numbers" for name in ("largest_logits", "logits_of_the_batch")),
        f"`{result.command}`",
    ]
    sizes = "{prompts} prompts of {prompt_length} tokens, {group_size} completions of {new_tokens} tokens each"
    note = f"{sizes.format(**result.configuration)}, drawn, judged and learned from, Adam included."
    return with_notes(render(header, [row]), note, *device_lines([result]))
