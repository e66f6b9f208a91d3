"""How fast are processes solved, next to quantecon, jaxdp, mdpax and SciPy, and what does the memory allow?

Sweeps: a dense sweep next to the best float32 matrix-vector product of this machine, and a fan-out sweep next to one
by SciPy's CSR matrices and to the machine's own rate of gathers. Solves: seconds to values within 1e-4, proved (ours)
or promised (theirs), of a Garnet process at several discounts, of FrozenLake on a large random map, and of 1024 small
processes. One process of ten million states in the functional layout, in a child process that reports its peak of
memory.
"""

import dataclasses
import pathlib
import resource
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tyro

from benchmarks import machine, results
from benchmarks.exact import best_values
from benchmarks.peers import Worker, default_cache, share_device, started
from benchmarks.processes import arrays, frozen_lake, solve_inventory
from benchmarks.results import Result, Side
from benchmarks.sweeps import dense_sweeps, fanout_sweeps
from benchmarks.timing import in_turn, timed
from benchmarks.workers.configuration import Configuration

TOLERANCE = 1e-4
METHODS = {
    "quantecon VI": ("quantecon", "value_iteration"),
    "quantecon MPI": ("quantecon", "modified_policy_iteration"),
    "quantecon PI": ("quantecon", "policy_iteration"),
    "jaxdp VI": ("jaxdp, mdpax", "jaxdp"),
    "mdpax VI": ("jaxdp, mdpax", "mdpax"),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Solve and sweep; writes benchmarks/results/dynamic_programming.json."""

    repetitions: int = 5
    """Timed runs after one warm-up."""
    discounts: tuple[float, ...] = (0.9, 0.99, 0.999, 0.9999)
    states: int = 1000
    """Of the single process, with 8 actions and 5 successors each."""
    batch: int = 1024
    """Processes of 64 states, 4 actions and 3 successors, solved together."""
    lake: int = 32
    """Rows and columns of FrozenLake's random map."""
    huge: int = 10_000_000
    """States of the functional process; 0 leaves it out."""
    cache: pathlib.Path | None = None
    """Where the peer's environment is kept."""
    results: pathlib.Path = results.RESULTS


def held_by_others(mdps: list[Any]) -> dict[str, np.ndarray]:
    """Arrays of all processes, stacked."""
    held = [arrays(mdp) for mdp in mdps]
    return {name: np.stack([each[name] for each in held]) for name in held[0]}


def our_solves(mdps: list[Any], discount: float) -> dict[str, tuple[Callable[..., Any], Any]]:
    """Compiled functions that solve all processes, with their argument, by name."""
    import jax
    import jax.numpy as jnp

    import jaxrl
    from jaxrl import envs
    from jaxrl.algorithms.dp import SweptValues

    def solver(kind: Any, fields: dict[str, Any]) -> Callable[..., Any]:
        def solve(mdp: Any) -> Any:
            return jaxrl.solve(kind(mdp, discount=discount, **fields), TOLERANCE)

        return jax.jit(solve if len(mdps) == 1 else jax.vmap(solve))

    layouts: dict[str, list[Any]] = {"dense": [envs.to_dense(mdp) for mdp in mdps], "fan-out": mdps}
    found = {}
    for layout, each in layouts.items():
        stacked = each[0] if len(each) == 1 else jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
        found[f"jaxrl ValueIteration, {layout}"] = (solver(jaxrl.ValueIteration, {}), stacked)
        swept = solver(jaxrl.PolicyIteration, {"evaluate": SweptValues(10)})
        found[f"jaxrl PolicyIteration swept, {layout}"] = (swept, stacked)
    return found


def solves(
    options: Options, workers: dict[str, Worker], mdps: list[Any], discount: float
) -> dict[str, dict[str, list[float]]]:
    """Seconds to 1e-4 and the largest true error of every solver, of all processes together."""
    held = held_by_others(mdps)
    pairs = zip(held["transition"], held["reward"], strict=True)
    exact = np.stack([best_values(transition, reward, discount) for transition, reward in pairs])
    errors: dict[str, list[float]] = {}

    def judge(name: str, values: Any) -> None:
        errors[name] = [float(np.abs(np.asarray(values) - exact).max())]

    def theirs(name: str) -> Callable[[], float]:
        library, method = METHODS[name]

        def run() -> float:
            answer = workers[library].ask("solve", method=method, discount=discount, tolerance=TOLERANCE)
            judge(name, answer["values"])
            return answer["seconds"]

        return run

    functions: dict[str, Callable[[], float]] = {}
    for name, (solve, stacked) in our_solves(mdps, discount).items():
        solution = solve(stacked)
        assert bool(solution.converged.all()), f"{name} proves no {TOLERANCE}"
        judge(name, solution.values)
        functions[name] = timed(solve, stacked)
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        np.savez(file, allow_pickle=False, **held)
        file.flush()
        for worker in workers.values():
            worker.ask("load", path=file.name)
        # Their value iteration takes some 1 / (1-γ) log sweeps: hours at 0.9999. mdpax compiles for each process.
        asked = [m for m in METHODS if "VI" not in m or discount <= 0.99]
        functions |= {m: theirs(m) for m in asked if m != "mdpax VI" or len(mdps) == 1}
        seconds = in_turn(functions, options.repetitions)
    return {name: {"seconds": seconds[name], "error": errors[name]} for name in functions}


def problems_of(options: Options) -> dict[str, tuple[list[Any], float]]:
    """Processes and discounts by name."""
    from jaxrl import envs

    problems: dict[str, tuple[list[Any], float]] = {
        f"{options.states} states, γ={discount:g}": ([envs.textbook.garnet(options.states, 8, 5)], discount)
        for discount in options.discounts
    }
    small = [envs.textbook.garnet(64, 4, 3, seed) for seed in range(options.batch)]
    problems[f"{options.batch} of 64 states, γ=0.99"] = (small, 0.99)
    lake = [frozen_lake(options.lake)]
    for discount in (0.99, 0.9999):
        problems[f"FrozenLake {options.lake} × {options.lake}, γ={discount:g}"] = (lake, discount)
    return problems


def show(what: str, measured: dict[str, list[float]]) -> None:
    for name, seconds in measured.items():
        low, middle, high = results.quartiles(seconds)
        print(f"{what}: {name}: {1e3 * middle:.2f} ms [{1e3 * low:.2f}, {1e3 * high:.2f}]", flush=True)


def measure(options: Options) -> Result:
    """Everything, in order; prints as it goes."""
    import jax

    measurements: dict[str, list[Any]] = {}
    for what, sweeps in (("dense", dense_sweeps), ("fan-out", fanout_sweeps)):
        measured = sweeps(options.repetitions)
        show(f"{what} sweep", measured)
        measurements |= {f"sweep, {what}: {name}": seconds for name, seconds in measured.items()}
    libraries, versions = {library: library for library, _ in METHODS.values()}, machine.versions()
    with started(libraries, options.cache or default_cache(), Configuration()) as workers, jax.enable_x64():
        for what, (mdps, discount) in problems_of(options).items():
            measured = solves(options, workers, mdps, discount)
            show(what, {name: values["seconds"] for name, values in measured.items()})
            for name, values in measured.items():
                measurements |= {f"{what}: {name}: {key}": numbers for key, numbers in values.items()}
        for name, worker in workers.items():
            versions |= {f"{k} of {name}": v for k, v in worker.ask("describe")["versions"].items()}
    if options.huge:
        answer = solve_inventory(options.huge)
        print(f"{options.huge:,} states: {answer}", flush=True)
        measurements |= {f"{options.huge} states, functional: {key}": [value] for key, value in answer.items()}
    measurements["peak memory of this process, bytes"] = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]
    return Result(
        name="dynamic_programming",
        command=results.command_line("benchmarks.dynamic_programming", options, omit=("cache", "results")),
        configuration={"tolerance": TOLERANCE, "sweep": "dense 4000 x 8, fan-out 1000000 x 4 x 3, float32"},
        sides={"all": Side(versions, machine.variables(), {}, measurements)},
        **machine.provenance(),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.dynamic_programming")
    share_device()
    print(f"wrote {results.save(measure(options), options.results).name}")


if __name__ == "__main__":
    main()
