"""How fast are many independent runs of Q-learning in one call, and are they the runs of separate calls?

With α = 1/2 the product with the error is exact, and every bit must agree. With another α LLVM may contract q + α error
to one rounding (a fused multiply-add) in one of the two programs and not in the other; the largest difference is given.
"""

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import tyro

from benchmarks import machine, results
from benchmarks.results import Result, Side


@dataclasses.dataclass(frozen=True)
class Options:
    """Run Q-learning on FrozenLake; writes benchmarks/results/independent_runs.json."""

    runs: int = 1024
    steps: int = 10_000
    """Environment steps of each run."""
    repetitions: int = 5
    """Timed calls after one warm-up."""
    results: pathlib.Path = results.RESULTS


def measure(options: Options) -> dict[str, list[Any]]:
    """Steps per second of all runs in one call and of one after the other, and how far their tables differ."""
    import jax

    import jaxrl

    measurements: dict[str, list[Any]] = {}
    learner = jaxrl.QLearning(*jaxrl.envs.make("FrozenLake-misc"), num_steps=100)
    keys = jax.random.split(jax.random.key(0), options.runs)
    for rate in (0.5, 0.1):
        one = jax.jit(
            lambda key, rate=rate: (
                jaxrl.train(dataclasses.replace(learner, learning_rate=rate), key, options.steps // 100)[0].q
            )
        )
        together = jax.jit(jax.vmap(one))
        tables = np.asarray(together(keys))
        seconds: list[float] = []
        for _ in range(options.repetitions):
            begin = time.perf_counter()
            jax.block_until_ready(together(keys))
            seconds.append(time.perf_counter() - begin)
        jax.block_until_ready(one(keys[0]))
        begin = time.perf_counter()
        separate = np.stack([np.asarray(one(key)) for key in keys])
        alone = time.perf_counter() - begin
        measurements[f"α={rate}: steps/s together"] = [options.runs * options.steps / x for x in seconds]
        measurements[f"α={rate}: steps/s one after the other"] = [options.runs * options.steps / alone]
        measurements[f"α={rate}: tables that differ"] = [int((tables != separate).any((1, 2)).sum())]
        measurements[f"α={rate}: largest difference"] = [float(np.abs(tables - separate).max())]
    return measurements


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.independent_runs")
    measurements = measure(options)
    for name, values in measurements.items():
        print(f"{name}: {np.median(values):,.6g}", flush=True)
    result = Result(
        name="independent_runs",
        command=results.command_line("benchmarks.independent_runs", options, omit=("results",)),
        configuration={"runs": options.runs, "steps": options.steps, "environment": "FrozenLake-misc"},
        sides={"jaxrl": Side(machine.versions(), machine.variables(), {}, measurements)},
        **machine.provenance(),
    )
    print(f"wrote {results.save(result, options.results).name}")


if __name__ == "__main__":
    main()
