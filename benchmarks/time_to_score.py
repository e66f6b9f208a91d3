"""How long until the median of ten seeds reaches a score, compilation included, next to others?

A library gets budgets of environment steps, each larger than the one before, until the policies of a whole run of one,
greedy and judged by one evaluator, reach the bar in the median. That run is then timed, in fresh processes, in turn
with those of the other libraries: compilation, and training of all ten seeds, which those in JAX train together.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tyro

from benchmarks import machine, ppo_vs_peers, results
from benchmarks.peers import Worker, default_cache, find_python
from benchmarks.results import Result, Side
from benchmarks.turns import measure_each, say
from benchmarks.workers.configuration import Configuration
from benchmarks.workers.deep_tasks import TASKS

SHARES = (1 / 16, 1 / 12, 1 / 8, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 1)
"""Of the steps of a race: its budgets."""


@dataclasses.dataclass(frozen=True)
class Race:
    """A score that libraries reach with the same settings."""

    work: Configuration | str
    """What workers are asked for: PPO's configuration, or the name of a task of deep learners."""
    libraries: tuple[str, ...]
    """Keys of `benchmarks.peers.LIBRARIES`."""
    bar: float
    steps: int
    """The largest budget, environment steps of each seed."""
    multiple: int
    """Budgets are multiples of so many steps: all libraries do whole updates."""
    env: str = "CartPole-v1"
    activation: str = "tanh"

    @property
    def sides(self) -> dict[str, str]:
        """The libraries by their own names."""
        return {library.removeprefix("deep "): library for library in self.libraries}

    @property
    def budgets(self) -> list[int]:
        """Environment steps of each seed, from few to many."""
        return [max(round(share * self.steps / self.multiple), 1) * self.multiple for share in SHARES]


def ppo_race(bar: float) -> Race:
    """The work that `ppo_vs_peers` times, up to the steps after which it judges."""
    options = ppo_vs_peers.Options()
    work, libraries = options.configuration, ("jaxrl", *options.peers)
    return Race(work, libraries, bar, options.policy_updates * work.steps_per_update, work.steps_per_update)


def deep_race(name: str, libraries: tuple[str, ...], bar: float, multiple: int) -> Race:
    """One of the tasks that `deep_vs_peers` times."""
    task = TASKS[name]
    names = tuple(f"deep {library}" for library in libraries)
    return Race(name, names, bar, task.policy_steps, multiple, task.env, task.activation)


RACES = {
    "ppo": ppo_race(475),
    "pqn": deep_race("pqn", ("jaxrl", "rejax"), 475, 8192),
    "dqn": dataclasses.replace(deep_race("dqn", ("jaxrl", "rejax"), 475, 1000), steps=400_000),
    "sac": deep_race("sac", ("jaxrl", "rejax", "sbx"), -200, 32),
}
"""SBX is not in the race of DQN: after all steps of it, it is at 156 (`deep_vs_peers`)."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Race to a score; writes benchmarks/results/time_to_score_RACE.json."""

    races: tuple[str, ...] = tuple(RACES)
    seeds: int = 10
    repetitions: int = 3
    """Fresh processes in which each library's run is timed."""
    episodes: int = 100
    """Episodes that the judge plays with each policy."""
    cache: pathlib.Path | None = None
    """Where environments of peers are kept; the default is jaxrl-benchmarks in the user's cache directory."""
    results: pathlib.Path = results.RESULTS


def run(race: Race, library: str, python: str, steps: int, seeds: int) -> dict[str, Any]:
    """Compile and train in a fresh process: policies and seconds; facts about this library."""
    worker = Worker(library, python, race.work)
    try:
        facts = worker.ask("describe")
        return worker.ask("train_policy", steps=steps, seeds=list(range(seeds))) | {"facts": facts}
    finally:
        worker.close()


def score(race: Race, policies: list[Any], episodes: int) -> list[float]:
    """Mean return of each policy."""
    from benchmarks.evaluator import play  # starts JAX here: not for those who read results

    return np.mean(play(policies, race.env, episodes, race.activation), axis=-1).tolist()


def search(race: Race, library: str, python: str, options: Options) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Budgets up to the first that reaches the bar, with the returns `[budgets, seeds]`; facts about this library."""
    tried: dict[str, list[Any]] = {"budgets": [], "returns": []}
    facts: dict[str, Any] = {}
    for steps in race.budgets:
        reply = run(race, library, python, steps, options.seeds)
        facts = reply["facts"]
        returns = score(race, reply["policies"], options.episodes)
        tried["budgets"].append(steps)
        tried["returns"].append(returns)
        say(f"{library}: {np.median(returns):.1f} after {steps:,} steps, {reply['seconds']:.1f} s")
        if np.median(returns) >= race.bar:
            break
    return tried, facts


def measure(name: str, options: Options) -> Result:
    """Run one race."""
    race, cache = RACES[name], options.cache or default_cache()
    pythons = {library: find_python(library, {}, cache) for library in race.libraries}
    found = {library: search(race, library, python, options) for library, python in pythons.items()}
    numbers = {library: tried for library, (tried, _) in found.items()}
    reached = {library for library in numbers if np.median(numbers[library]["returns"][-1]) >= race.bar}
    for library in race.libraries:
        numbers[library]["seconds"] = [] if library in reached else [None]
    for repetition in range(options.repetitions):
        for library in filter(reached.__contains__, race.libraries):
            steps = numbers[library]["budgets"][-1]
            seconds = run(race, library, pythons[library], steps, options.seeds)["seconds"]
            numbers[library]["seconds"].append(seconds)
            say(f"{name} {repetition + 1}/{options.repetitions} {library}: {seconds:.1f} s")
    named = dataclasses.replace(options, races=(name,))
    return Result(
        name=f"time_to_score_{name}",
        command=results.command_line("benchmarks.time_to_score", named, omit=("cache", "results")),
        configuration=configuration(name, options.seeds),
        sides={name: Side(**found[lib][1], measurements=numbers[lib]) for name, lib in race.sides.items()},
        **machine.provenance(),
    )


def configuration(name: str, seeds: int) -> dict[str, Any]:
    """What a result says of its race."""
    race = RACES[name]
    work = TASKS[race.work] if isinstance(race.work, str) else race.work
    settings = dataclasses.asdict(work) | {"hidden_sizes": list(work.hidden_sizes)}
    return {"race": name, "work": settings, "bar": race.bar, "budgets": race.budgets, "seeds": seeds}


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.time_to_score")
    measure_each("races", options.races, RACES, lambda name: measure(name, options), options.results)


if __name__ == "__main__":
    main()
