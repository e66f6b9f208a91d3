"""How fast is a language model here, next to PyTorch: generation, a step of GRPO, and pretraining?

Each task is the same work on both sides (`benchmarks/workers/lm_tasks.py`), with a model of the same shape, in
processes of their own, which stay warm while the other is measured: a repetition runs both once, in turn. PyTorch runs
eagerly, as transformers and TRL do unless told otherwise.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import tyro

from benchmarks import machine, results
from benchmarks.peers import default_cache, started
from benchmarks.results import Result, Side
from benchmarks.turns import measure_each, run_in_turn
from benchmarks.workers.lm_tasks import SHAPE, TASKS

SIDES = ("jaxrl", "torch")
BARS = {"generate": 1.3, "grpo": 1.4, "pretrain": 1.1}
"""By how much we should be faster, by task."""


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
    """Run one comparison, on as many cores as PyTorch is given threads."""
    with machine.only(TASKS[name].threads):
        return compare(name, options)


def compare(name: str, options: Options) -> Result:
    """Run one comparison."""
    task, cache = TASKS[name], options.cache or default_cache()
    with started({side: f"lm {side}" for side in SIDES}, cache, name) as workers:
        facts = {side: worker.ask("describe") for side, worker in workers.items()}
        numbers = run_in_turn(name, workers, lambda _: task.steps, options.repetitions, "tokens", task.tokens)
        for side, worker in workers.items():
            numbers[side]["peak_gib"] = [worker.ask("peak")["gib"]]
    parameters = {side: fact.pop("parameters") for side, fact in facts.items()}
    assert len(set(parameters.values())) == 1, f"not of one size: {parameters}"
    return Result(
        name=f"lm_vs_peers_{name}",
        command=results.command_line(
            "benchmarks.lm_vs_peers", dataclasses.replace(options, tasks=(name,)), omit=("cache", "results")
        ),
        configuration=dataclasses.asdict(task) | {"shape": SHAPE, "parameters": parameters["jaxrl"]},
        sides={side: Side(**facts[side], measurements=numbers[side]) for side in SIDES},
        **machine.provenance(),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.lm_vs_peers")
    if machine.backend() != "cpu":
        raise SystemExit("lm_vs_peers: two cores of a CPU are compared here; set JAX_PLATFORMS=cpu")
    measure_each("tasks", options.tasks, TASKS, lambda name: measure(name, options), options.results)


if __name__ == "__main__":
    main()
