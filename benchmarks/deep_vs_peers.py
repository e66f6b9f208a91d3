"""How fast are the deep learners, and how well do they learn, next to rejax and SBX?

Each task is the same work for each environment step on all sides (`benchmarks/workers/deep_tasks.py`), in processes of
their own, which stay warm while the others are measured: a repetition runs every library once, in turn.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tyro

from benchmarks import machine, results
from benchmarks.peers import LIBRARIES, default_cache, share_device, started
from benchmarks.results import Result, Side
from benchmarks.turns import measure_each, run_in_turn, say, train_policies
from benchmarks.workers.deep_tasks import TASKS, Task

PEERS = {
    "dqn": ("rejax", "sbx"),
    "dqn-large": ("rejax",),
    "sac": ("rejax", "sbx"),
    "pqn": ("rejax",),
    "ppo-breakout": ("rejax",),
}
"""Who has the algorithm; the large replay is compared with the one that is in JAX too."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Compare jaxrl's deep learners with others; writes benchmarks/results/deep_vs_peers_TASK.json."""

    tasks: tuple[str, ...] = tuple(TASKS)
    repetitions: int = 5
    """Runs of each side after one warm-up."""
    policy_seeds: int | None = None
    """Seeds whose policies are judged; 0 judges none. The default is the task's own: 10, and 0 of dqn-large, which is
    dqn with a larger ring. SBX, which takes minutes for each, gets 3 at most."""
    episodes: int = 100
    """Episodes that the judge plays with each policy."""
    cache: pathlib.Path | None = None
    """Where environments of peers are kept; the default is jaxrl-benchmarks in the user's cache directory."""
    results: pathlib.Path = results.RESULTS

    def seeds(self, task: Task, side: str) -> list[int]:
        """Seeds of a library whose policies are judged."""
        seeds = task.policy_seeds if self.policy_seeds is None else self.policy_seeds
        return list(range(min(seeds, 3) if LIBRARIES[f"deep {side}"].slow else seeds))


def measure(name: str, options: Options) -> Result:
    """Run one comparison."""
    task, cache = TASKS[name], options.cache or default_cache()
    sides = ("jaxrl", *PEERS[name])
    # Fewer where Python steps the environments.
    steps_of = {side: task.steps // 10 if LIBRARIES[f"deep {side}"].slow else task.steps for side in sides}
    with started({side: f"deep {side}" for side in sides}, cache, name) as workers:
        facts = {side: worker.ask("describe") for side, worker in workers.items()}
        seconds = {side: worker.ask("compile", steps=steps_of[side])["seconds"] for side, worker in workers.items()}
        numbers = run_in_turn(task.algorithm, workers, steps_of.__getitem__, options.repetitions)
        for side in sides:
            numbers[side]["compile_seconds"] = [seconds[side]]
        results.save(make_result(options, name, facts, numbers), options.results)  # the policies take longest
        trained = train_policies(workers, functools.partial(options.seeds, task), task.policy_steps)
    judge(options, task, trained, numbers)
    return make_result(options, name, facts, numbers)


def configuration(name: str) -> dict[str, Any]:
    """What a result says of its task; how many seeds were judged, its returns show."""
    task = dataclasses.asdict(TASKS[name])
    del task["policy_seeds"]
    return task | {"hidden_sizes": list(task["hidden_sizes"]), "task": name}


def make_result(options: Options, name: str, facts: dict[str, Any], numbers: dict[str, Any]) -> Result:
    """What is known so far."""
    return Result(
        name=f"deep_vs_peers_{name}",
        command=results.command_line(
            "benchmarks.deep_vs_peers", dataclasses.replace(options, tasks=(name,)), omit=("cache", "results")
        ),
        configuration=configuration(name),
        sides={side: Side(**facts[side], measurements=numbers[side]) for side in numbers},
        **machine.provenance(),
    )


def judge(options: Options, task: Task, trained: dict[str, list[Any]], numbers: dict[str, Any]) -> None:
    """Add the returns of the policies to the numbers of their sides."""
    from benchmarks.evaluator import play  # starts JAX here: not for those who read results

    for side, policies in trained.items():
        if policies:
            returns = play(policies, task.env, options.episodes, task.activation)
            numbers[side]["policy_returns"] = returns.tolist()
            say(f"{side}: return {np.median(returns.mean(-1)):.1f}")


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.deep_vs_peers")
    share_device()
    measure_each("tasks", options.tasks, TASKS, lambda name: measure(name, options), options.results)


if __name__ == "__main__":
    main()
