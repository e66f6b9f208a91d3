"""How fast are 64 seeds in one program, and what memory does each of them take?

`jax.vmap(train)` of all seeds, `fit` of all seeds without evaluations, and one seed alone, in turn after a warm-up:
regions of two seconds at least, in which one call follows the other.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from benchmarks import machine, results
from benchmarks.results import Result, Side

LEARNERS: dict[str, tuple[str, dict[str, Any], int]] = {
    "PPO": ("PPO", {"num_envs": 16, "num_steps": 64}, 20),
    "DQN": ("DQN", {"num_envs": 10, "num_steps": 100}, 10),
    "Rainbow": ("rainbow", {"num_envs": 10, "num_steps": 100, "capacity": 50_000}, 4),
}
"""Name in `jaxrl`, fields and updates of a call, on CartPole-v1."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure many seeds together; writes benchmarks/results/many_seeds.json."""

    seeds: int = 64
    repetitions: int = 5
    """Regions of each, after one warm-up."""
    region: float = 2.0
    """Seconds of a region at least."""
    results: pathlib.Path = results.RESULTS


def programs(name: str, options: Options) -> tuple[Any, dict[str, Callable[[int], Any]], dict[str, int]]:
    """The learner, what is timed by name, and how many environment steps each makes."""
    import jax

    import jaxrl

    kind, fields, updates = LEARNERS[name]
    learner = getattr(jaxrl, kind)(*jaxrl.envs.make("CartPole-v1"), **fields)
    train = jax.jit(lambda key: jaxrl.train(learner, key, updates))
    together = jax.jit(jax.vmap(lambda key: jaxrl.train(learner, key, updates)))

    def keys(seed: int) -> jax.Array:
        return jax.random.split(jax.random.key(seed), options.seeds)

    timed: dict[str, Callable[[int], Any]] = {
        "together": lambda seed: together(keys(seed)),
        "in fit": lambda seed: jaxrl.fit(learner, keys(seed), updates, evaluate_every=0, loggers=[]).state,
        "alone": lambda seed: train(jax.random.key(seed)),
    }
    steps = updates * learner.steps_per_update
    return learner, timed, {"together": steps * options.seeds, "in fit": steps * options.seeds, "alone": steps}


def steps_per_second(run: Callable[[int], Any], steps: int, repetition: int, region: float) -> float:
    """Of calls one after the other, for so many seconds at least."""
    import jax

    start, calls = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < region:
        jax.block_until_ready(run(repetition))
        calls += 1
    return calls * steps / spent


def measure(options: Options) -> Result:
    """Time everything in turn."""
    import jax

    measured = {}
    for name in LEARNERS:
        learner, timed, steps = programs(name, options)
        numbers: dict[str, list[float]] = {f"steps/s {what}": [] for what in timed}
        for repetition in range(options.repetitions + 1):
            for what, run in timed.items():
                if not repetition:
                    jax.block_until_ready(run(0))  # the warm-up, which compiles
                    continue
                rate = steps_per_second(run, steps[what], repetition, options.region)
                numbers[f"steps/s {what}"].append(rate)
        state = jax.eval_shape(learner.init, jax.random.key(0))
        numbers["bytes of a seed"] = [float(sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state)))]
        measured[name] = Side(machine.versions(), machine.variables(), {}, numbers)
    return Result(
        name="many_seeds",
        command=results.command_line("benchmarks.many_seeds", options, omit=("results",)),
        configuration={"seeds": options.seeds, "env": "CartPole-v1", "region": options.region}
        | {name: {"fields": fields, "updates": updates} for name, (_, fields, updates) in LEARNERS.items()},
        sides=measured,
        **machine.provenance(),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.many_seeds")
    result = measure(options)
    for name, side in result.sides.items():
        medians = {what: results.quartiles(values)[1] for what, values in side.measurements.items()}
        print(name, ", ".join(f"{what} {value:,.0f}" for what, value in medians.items()), flush=True)
    print(f"wrote {results.save(result, options.results).name}", flush=True)


if __name__ == "__main__":
    main()
