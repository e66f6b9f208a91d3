"""How long until the median of ten seeds reaches a score, compilation included, next to others?

A library gets budgets of environment steps, each larger than the one before and in a fresh process, until the policies
of a whole run of one, greedy and judged by one evaluator, reach the bar in the median. What that run took is its time:
compilation, and training of all ten seeds, which those in JAX train together. Each repetition begins with the smallest
budget again, with seeds of its own, for the libraries in turn: the spread holds the luck of the seeds.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tyro

from benchmarks import machine, ppo_vs_peers, results
from benchmarks.peers import Worker, default_cache, find_python, share_device
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
"""SBX is not in the race of DQN: it trains one seed after the other, at a fourteenth of jaxrl's speed, and would take
hours (`deep_vs_peers`: a return of 156 after half of the race's steps)."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Race to a score; writes benchmarks/results/time_to_score_RACE.json."""

    races: tuple[str, ...] = tuple(RACES)
    seeds: int = 10
    repetitions: int = 3
    """Races, each with seeds of its own."""
    episodes: int = 100
    """Episodes that the judge plays with each policy."""
    cache: pathlib.Path | None = None
    """Where environments of peers are kept; the default is jaxrl-benchmarks in the user's cache directory."""
    results: pathlib.Path = results.RESULTS


def run(race: Race, library: str, python: str, steps: int, seeds: list[int]) -> dict[str, Any]:
    """Compile and train in a fresh process: policies and seconds; facts about this library."""
    worker = Worker(library, python, race.work)
    try:
        facts = worker.ask("describe")
        return worker.ask("train_policy", steps=steps, seeds=seeds) | {"facts": facts}
    finally:
        worker.close()


def score(race: Race, policies: list[Any], episodes: int) -> list[float]:
    """Mean return of each policy."""
    from benchmarks.evaluator import play  # starts JAX here: not for those who read results

    return np.mean(play(policies, race.env, episodes, race.activation), axis=-1).tolist()


def first_to_reach(race: Race, library: str, python: str, seeds: list[int], episodes: int) -> dict[str, Any]:
    """The first budget whose policies reach the bar, else the last: its steps, returns and seconds; facts."""
    found: dict[str, Any] = {}
    for steps in race.budgets:
        reply = run(race, library, python, steps, seeds)
        returns = score(race, reply["policies"], episodes)
        reached = bool(np.median(returns) >= race.bar)
        say(f"{library}: {np.median(returns):.1f} after {steps:,} steps, {reply['seconds']:.1f} s")
        seconds = reply["seconds"] if reached else None
        found = {"steps": steps, "returns": returns, "seconds": seconds, "facts": reply["facts"]}
        if reached:
            break
    return found


def measure(name: str, options: Options) -> Result:
    """Run one race."""
    race, cache = RACES[name], options.cache or default_cache()
    pythons = {library: find_python(library, {}, cache) for library in race.libraries}
    found: dict[str, list[dict[str, Any]]] = {library: [] for library in race.libraries}
    for repetition in range(options.repetitions):
        say(f"{name} {repetition + 1}/{options.repetitions}")
        seeds = [repetition * options.seeds + seed for seed in range(options.seeds)]
        for library, python in pythons.items():
            found[library].append(first_to_reach(race, library, python, seeds, options.episodes))
        result = make_result(name, options, found)
        results.save(result, options.results)  # what ends the next race loses none
    return result


def make_result(name: str, options: Options, found: dict[str, list[dict[str, Any]]]) -> Result:
    """What is known after so many races, by library."""
    number = len(next(iter(found.values())))
    named = dataclasses.replace(options, races=(name,), repetitions=number)
    return Result(
        name=f"time_to_score_{name}",
        command=results.command_line("benchmarks.time_to_score", named, omit=("cache", "results")),
        configuration=configuration(name, options.seeds),
        sides={side: _side(found[library]) for side, library in RACES[name].sides.items()},
        **machine.provenance(),
    )


def _side(found: list[dict[str, Any]]) -> Side:
    """One library's repetitions."""
    measured = {what: [one[what] for one in found] for what in ("steps", "returns", "seconds")}
    return Side(**found[0]["facts"], measurements=measured)


def configuration(name: str, seeds: int) -> dict[str, Any]:
    """What a result says of its race."""
    race = RACES[name]
    work = TASKS[race.work] if isinstance(race.work, str) else race.work
    settings = dataclasses.asdict(work) | {"hidden_sizes": list(work.hidden_sizes)}
    return {"race": name, "work": settings, "bar": race.bar, "budgets": race.budgets, "seeds": seeds}


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.time_to_score")
    share_device()
    measure_each("races", options.races, RACES, lambda name: measure(name, options), options.results)


if __name__ == "__main__":
    main()
