"""What do adding to a replay and sampling from it cost, and does that grow with its capacity?

A call adds a step of every environment, samples a batch and reads it; by priority it also sets what was sampled anew.
Calls stand in a scan whose replay, full from the beginning, is donated.
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from benchmarks import machine, results
from benchmarks.results import Result, Side
from benchmarks.timing import timed

KINDS = ("uniform", "prioritized")
OBSERVATION = 4
"""Numbers of an observation, as of CartPole-v1."""
EPISODE = 200
"""Steps of an episode."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure replay; writes benchmarks/results/replay.json."""

    capacities: tuple[int, ...] = (10_000, 1_000_000)
    num_envs: int = 10
    batch_size: int = 128
    calls: int = 20_000
    """Of a repetition."""
    repetitions: int = 7
    """After one warm-up, all replays in turn."""
    results: pathlib.Path = results.RESULTS


def step_of(time: Any, num_envs: int) -> Any:
    """A transition `[N, ...]`; all episodes end together."""
    import jax.numpy as jnp

    from jaxrl.types import Transition

    obs = jnp.broadcast_to(time.astype(jnp.float32), (num_envs, OBSERVATION))
    ended, never = jnp.broadcast_to(time % EPISODE == EPISODE - 1, (num_envs,)), jnp.zeros(num_envs, bool)
    zeros = jnp.zeros(num_envs)
    return Transition(obs, zeros.astype(jnp.int32), zeros, ended, never, obs + 1.0, zeros)


def make_region(kind: str, capacity: int, options: Options) -> Callable[[], float]:
    """A function that makes all calls of a repetition, and gives their seconds."""
    import jax
    import jax.numpy as jnp

    from jaxrl import buffers

    def add(replay: Any, time: jax.Array) -> tuple[Any, None]:
        return buffers.add(replay, step_of(time, options.num_envs)), None

    def call(carry: Any, inputs: Any) -> tuple[Any, None]:
        (replay, total), (time, key) = carry, inputs
        replay, _ = add(replay, time)
        if kind == "prioritized":
            row, importance = buffers.sample_by_priority(replay, key, options.batch_size)
            replay = buffers.prioritize(replay, row, 1.0 + importance)
        else:
            row = buffers.sample_rows(replay, key, options.batch_size)
        experience = buffers.n_step(replay, row, 1, 0.99)
        read = sum(x.astype(jnp.float32).sum() for x in jax.tree.leaves(experience))  # else nothing would be read
        return (replay, total + read), None

    def calls(replay: Any, seed: jax.Array) -> tuple[Any, jax.Array]:
        keys = jax.random.split(jax.random.key(seed), options.calls)
        return jax.lax.scan(call, (replay, jnp.zeros(())), (jnp.arange(options.calls), keys))[0]

    full = jnp.arange(capacity // options.num_envs)
    empty = buffers.init_replay(step_of(full[0], options.num_envs), capacity, kind == "prioritized")
    state = [jax.jit(lambda replay: jax.lax.scan(add, replay, full)[0])(empty)]
    seeds, program = itertools.count(), jax.jit(calls, donate_argnums=0)

    def run() -> Any:
        state[0], total = program(state[0], next(seeds))
        return state[0], total

    return timed(run)


def measure(options: Options) -> dict[str, list[float]]:
    """Microseconds of a call, by kind and capacity."""
    cells = itertools.product(KINDS, options.capacities)
    regions = {f"{kind}, {capacity}": make_region(kind, capacity, options) for kind, capacity in cells}
    measurements: dict[str, list[float]] = {name: [] for name in regions}
    for repetition in range(options.repetitions + 1):
        for name, region in regions.items():
            spent = region()
            if repetition:
                measurements[name].append(1e6 * spent / options.calls)
    return measurements


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.replay")
    measurements = measure(options)
    for name, values in measurements.items():
        print(f"{name}: {results.quartiles(values)[1]:.2f} µs a call", flush=True)
    sizes = dataclasses.asdict(options) | {"capacities": list(options.capacities), "observation": [OBSERVATION]}
    result = Result(
        name="replay",
        command=results.command_line("benchmarks.replay", options, omit=("results",)),
        configuration={name: value for name, value in sizes.items() if name != "results"},
        sides={"jaxrl": Side(machine.versions(), machine.variables(), {}, measurements)},
        **machine.provenance(),
    )
    print(f"wrote {results.save(result, options.results).name}")


if __name__ == "__main__":
    main()
