"""How fast is a language model here, next to PyTorch: generation, a step of GRPO, and pretraining?

Each task is the same work on both sides (`benchmarks/workers/lm_tasks.py`), with a model of the same shape, in
processes of their own, which stay warm while the other is measured: a repetition runs both once, in turn.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import tyro

from benchmarks import machine, results
from benchmarks.peers import Worker, default_cache, find_python
from benchmarks.results import Result, Side
from benchmarks.turns import say
from benchmarks.workers.lm_tasks import SHAPE, TASKS

SIDES = ("jaxrl", "torch")


@dataclasses.dataclass(frozen=True)
class Options:
    """Compare language models with transformers, TRL and PyTorch; writes benchmarks/results/lm_vs_peers_TASK.json."""

    tasks: tuple[str, ...] = tuple(TASKS)
    repetitions: int = 7
    """Runs of each side after one warm-up."""
    cache: pathlib.Path | None = None
    """Where environments of peers are kept; the default is jaxrl-benchmarks in the user's cache directory."""
    results: pathlib.Path = results.RESULTS


def measure(name: str, options: Options) -> Result:
    """Run one comparison."""
    task, cache = TASKS[name], options.cache or default_cache()
    if machine.cores() != task.threads:
        raise SystemExit(f"cores: PyTorch is given {task.threads} threads; run this as `taskset -c 0-1 python -m ...`")
    workers = {side: Worker(f"lm {side}", find_python(f"lm {side}", {}, cache), name) for side in SIDES}
    rates: dict[str, list[Any]] = {side: [] for side in SIDES}
    peaks: dict[str, float] = {}
    try:
        facts = {side: worker.ask("describe") for side, worker in workers.items()}
        for repetition in range(options.repetitions + 1):
            for side, worker in workers.items():
                reply = worker.ask("run", steps=task.steps, seed=repetition)
                rate = task.steps * task.tokens / reply["seconds"]
                peaks[side] = reply["peak_gib"]
                if repetition:
                    rates[side].append(rate)
                say(f"{name} {repetition}/{options.repetitions} {side}: {rate:,.0f} tokens/s")
    finally:
        for worker in workers.values():
            worker.close()
    parameters = {side: fact.pop("parameters") for side, fact in facts.items()}
    assert len(set(parameters.values())) == 1, f"not of one size: {parameters}"
    sides = {
        side: Side(**facts[side], measurements={"tokens_per_second": rates[side], "peak_gib": [peaks[side]]})
        for side in SIDES
    }
    return Result(
        name=f"lm_vs_peers_{name}",
        command=results.command_line(
            "benchmarks.lm_vs_peers", dataclasses.replace(options, tasks=(name,)), omit=("cache", "results")
        ),
        configuration=dataclasses.asdict(task) | {"shape": SHAPE, "parameters": parameters["jaxrl"]},
        sides=sides,
        **machine.provenance(),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.lm_vs_peers")
    unknown = [name for name in options.tasks if name not in TASKS]
    if unknown:
        raise SystemExit(f"unknown tasks: {', '.join(unknown)}; there are: {', '.join(TASKS)}")
    for name in options.tasks:
        say(f"wrote {results.save(measure(name, options), options.results).name}")


if __name__ == "__main__":
    main()
