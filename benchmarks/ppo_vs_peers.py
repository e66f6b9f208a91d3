"""How fast is PPO, and how well does it learn, next to rejax, Stable-Baselines3 and SBX?

All sides do the same work on CartPole-v1 in processes of their own, which stay warm while the others are
measured: a repetition runs every library once, in turn, so that a busy minute of the machine hits them all.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import tyro

from benchmarks import machine, results
from benchmarks.peers import LIBRARIES, Worker, default_cache, find_python, share_device
from benchmarks.results import Result, Side
from benchmarks.turns import Measurements, run_in_turn, say, train_policies
from benchmarks.workers.configuration import Configuration


@dataclasses.dataclass(frozen=True)
class Options:
    """Compare jaxrl's PPO with that of other libraries; writes benchmarks/results/ppo_vs_peers.json."""

    repetitions: int = 7
    """Runs of each side after one warm-up."""
    peers: tuple[str, ...] = ("rejax", "sb3", "sbx")
    quick: bool = False
    """A few updates of each, to see whether everything works; writes no result."""
    updates: int = 122
    """Updates a repetition; 122 are about a million environment steps."""
    slow_updates: int = 5
    """The same for libraries whose environments Python steps."""
    compilations: int = 20
    """Fresh processes a side in which compile time is measured."""
    policy_updates: int = 61
    """Updates before a policy is judged; 61 are 499,712 environment steps."""
    policy_seeds: int = 10
    """Seeds whose policies are judged; 0 judges none."""
    slow_policy_seeds: int = 10
    """The same for libraries whose environments Python steps."""
    episodes: int = 100
    """Episodes that the judge plays with each policy."""
    learning_rate: float = 2e-3
    """Of all sides."""
    peers_python: tuple[str, ...] = ()
    """NAME=PATH of a Python that has a peer installed; others get an environment from the package index."""
    cache: pathlib.Path | None = None
    """Where those environments are kept; the default is jaxrl-benchmarks in the user's cache directory."""
    results: pathlib.Path = results.RESULTS

    def steps(self, name: str) -> int:
        """Environment steps of a repetition of library `name`."""
        updates = self.slow_updates if LIBRARIES[name].slow else self.updates
        return updates * self.configuration.steps_per_update

    def seeds(self, name: str) -> list[int]:
        """Seeds of library `name` whose policies are judged."""
        return list(range(self.slow_policy_seeds if LIBRARIES[name].slow else self.policy_seeds))

    @property
    def configuration(self) -> Configuration:
        """The work of all sides."""
        return Configuration(learning_rate=self.learning_rate)


def quick(options: Options) -> Options:
    changes = {"repetitions": 2, "updates": 3, "slow_updates": 1, "compilations": 1, "policy_updates": 2}
    return dataclasses.replace(options, **changes, policy_seeds=2, slow_policy_seeds=1, episodes=4)


def compile_in_turn(options: Options, pythons: dict[str, str], workers: dict[str, Worker]) -> Measurements:
    """Compile in fresh processes, in turn; `workers` has the last one of each side, for the runs."""
    seconds: dict[str, list[Any]] = {name: [] for name in pythons}
    for repetition in range(options.compilations):
        for name, python in pythons.items():
            if name in workers:
                workers[name].close()
            workers[name] = Worker(name, python, options.configuration)
            seconds[name].append(workers[name].ask("compile", steps=options.steps(name))["seconds"])
            if seconds[name][-1] is not None:
                say(f"compile {repetition + 1}/{options.compilations} {name}: {seconds[name][-1]:.2f} s")
    return {name: {"compile_seconds": values} for name, values in seconds.items()}


def judge(options: Options, policies: dict[str, list[Any]]) -> Measurements:
    from benchmarks.evaluator import play  # starts JAX here: not for those who read results

    env = options.configuration.env
    return {
        name: {"policy_returns": play(layers, env, options.episodes).tolist()}
        for name, layers in policies.items()
        if layers
    }


def make_result(
    options: Options, given: dict[str, str], facts: dict[str, dict[str, Any]], numbers: Measurements
) -> Result:
    names = list(facts)
    private = ("peers_python", "cache", "results")
    return Result(
        name="ppo_vs_peers",
        command=results.command_line("benchmarks.ppo_vs_peers", options, omit=private),
        configuration=dataclasses.asdict(options.configuration)
        | {"hidden_sizes": list(options.configuration.hidden_sizes)}
        | {
            "steps_per_repetition": {name: options.steps(name) for name in names},
            "policy_steps": options.policy_updates * options.configuration.steps_per_update,
            "evaluation": f"{options.episodes} greedy episodes of each policy, in jaxrl's environment",
            "environments": {name: "given" if name in given else "created" for name in names if name != "jaxrl"},
        },
        sides={name: Side(**facts[name], measurements=numbers[name]) for name in names},
        **machine.provenance(),
    )


def measure(options: Options) -> Result:
    """Run the whole comparison; what is timed is saved before the long training of policies begins."""
    given = dict(item.split("=", 1) for item in options.peers_python)
    unknown = [name for name in (*options.peers, *given) if name not in LIBRARIES]
    if unknown:
        raise SystemExit(f"unknown peers: {', '.join(unknown)}; there are: {', '.join(LIBRARIES)}")
    cache = options.cache or default_cache()
    pythons = {name: find_python(name, given, cache) for name in dict.fromkeys(("jaxrl", *options.peers))}
    workers: dict[str, Worker] = {}
    try:
        numbers = compile_in_turn(options, pythons, workers)
        facts = {name: worker.ask("describe") for name, worker in workers.items()}
        for name, rates in run_in_turn("run", workers, options.steps, options.repetitions).items():
            numbers[name] |= rates
        keep(options, make_result(options, given, facts, numbers))
        steps = options.policy_updates * options.configuration.steps_per_update
        policies = train_policies(workers, options.seeds, steps)
    finally:
        for worker in workers.values():
            worker.close()
    for name, returns in judge(options, policies).items():
        numbers[name] |= returns
    return make_result(options, given, facts, numbers)


def keep(options: Options, result: Result) -> None:
    if not options.quick:
        say(f"wrote {results.save(result, options.results).name}")


def main(arguments: Sequence[str] | None = None) -> None:
    from benchmarks.rendering import peers_table

    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.ppo_vs_peers")
    share_device()
    result = measure(quick(options) if options.quick else options)
    print(peers_table(result))
    keep(options, result)


if __name__ == "__main__":
    main()
