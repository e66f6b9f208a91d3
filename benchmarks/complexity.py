"""What does a sweep cost as a process grows? Log-log slopes of its time in states and in actions, outside of the cache.

Expected: 2 in S where all probabilities are stored, 1 where successors are, 1 in A. The improvement of a policy is such
a sweep: O(S² A) on a dense process, not O(S² A²) as it is sometimes counted. Successors are near their state, as in a
grid; the series where they are anywhere shows what misses of caches and of page tables add.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tyro

from benchmarks import machine, results
from benchmarks.results import Result, Side
from benchmarks.timing import in_turn, timed

DENSE_STATES = (4000, 5600, 8000, 11_000, 13_000)
FANOUT_STATES = (8_000_000, 12_000_000, 16_000_000, 24_000_000, 32_000_000)
EXPECTED = {
    "dense, S": "2 ± 0.15",
    "fan-out, S": "1 ± 0.15",
    "fan-out to anywhere, S": "1, and what the memory's hierarchy adds",
    "dense, A": "1 ± 0.15",
    "fan-out, A": "1 ± 0.15",
}
ACTIONS = (8, 16, 32, 64)


@dataclasses.dataclass(frozen=True)
class Options:
    """Time sweeps of growing processes; writes benchmarks/results/complexity.json."""

    repetitions: int = 7
    """Timed runs of each size after one warm-up, all sizes in turn."""
    results: pathlib.Path = results.RESULTS


def dense_sweep(states: int, actions: int) -> Callable[[], float]:
    """Seconds of a sweep of a dense process."""
    import jax
    import jax.numpy as jnp

    from jaxrl import envs

    probability = jax.random.uniform(jax.random.key(0), (states, actions, states)) * (2 / states)
    return sweep(envs.MDP(envs.DenseTransitions(probability), jnp.ones((states, actions))))


def fanout_sweep(states: int, actions: int, reach: int | None = 1000) -> Callable[[], float]:
    """Seconds of a sweep of a process with two successors, random ones no further away than `reach`; None: anywhere."""
    import jax
    import jax.numpy as jnp

    from jaxrl import envs

    shape = (2, actions, states)
    successor = jax.random.randint(jax.random.key(0), shape, 0, states if reach is None else reach, jnp.int32)
    if reach is not None:
        successor = (successor + jnp.arange(states)[None, None]) % states
    return sweep(envs.MDP(envs.FanoutTransitions(successor, jnp.full(shape, 0.5)), jnp.ones((states, actions))))


def sweep(mdp: Any) -> Callable[[], float]:
    """Seconds of v ← Tv, a tenth of ten."""
    import jax
    import jax.numpy as jnp

    @jax.jit
    def ten(mdp: Any, values: Any) -> Any:
        return jax.lax.fori_loop(0, 10, lambda _, values: mdp.q_values(values, 0.99).max(-1), values)

    run = timed(ten, mdp, jnp.linspace(0, 1, mdp.num_states))
    return lambda: run() / 10


def slope(sizes: Sequence[int], seconds: Sequence[Sequence[float]]) -> float:
    """Of the medians, by least squares on logarithms."""
    return float(np.polyfit(np.log(sizes), np.log([np.median(values) for values in seconds]), 1)[0])


def measure(options: Options) -> Result:
    """All series; the processes of one are in memory together, so that their sweeps go in turn."""
    series: dict[str, tuple[Sequence[int], Callable[[int], Callable[[], float]]]] = {
        "dense, S": (DENSE_STATES, lambda states: dense_sweep(states, 2)),
        "fan-out, S": (FANOUT_STATES, lambda states: fanout_sweep(states, 2)),
        "fan-out to anywhere, S": (FANOUT_STATES, lambda states: fanout_sweep(states, 2, None)),
        "dense, A": (ACTIONS, lambda actions: dense_sweep(2500, actions)),
        "fan-out, A": (ACTIONS, lambda actions: fanout_sweep(2_000_000, actions)),
    }
    measurements: dict[str, list[Any]] = {}
    for name, (sizes, make) in series.items():
        seconds = list(in_turn({str(size): make(size) for size in sizes}, options.repetitions).values())
        measurements[f"{name}: sizes"] = list(sizes)
        measurements[f"{name}: seconds"] = seconds
        measurements[f"{name}: slope"] = [slope(sizes, seconds)]
        print(
            f"{name}: slope {slope(sizes, seconds):.2f}, "
            + ", ".join(
                f"{size:,}: {1e3 * np.median(values):.1f} ms" for size, values in zip(sizes, seconds, strict=True)
            ),
            flush=True,
        )
    return Result(
        name="complexity",
        command=results.command_line("benchmarks.complexity", options, omit=("results",)),
        configuration={"expected": EXPECTED},
        sides={"jaxrl": Side(machine.versions(), machine.variables(), {}, measurements)},
        **machine.provenance(),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.complexity")
    print(f"wrote {results.save(measure(options), options.results).name}")


if __name__ == "__main__":
    main()
