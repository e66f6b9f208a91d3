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
from benchmarks.peers import Worker, default_cache, find_python
from benchmarks.processes import arrays, frozen_lake, solve_inventory
from benchmarks.results import Result, Side
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


def sweeps(repetitions: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of dense and fan-out sweeps and of what bounds them."""
    import jax
    import jax.numpy as jnp
    import scipy.sparse

    import jaxrl
    from jaxrl import envs

    def sweep_of(mdp: Any) -> Callable[[], float]:
        solver = jaxrl.ValueIteration(mdp, discount=0.99)
        state = jax.jit(lambda solver, key: solver.init(key))(solver, jax.random.key(0))
        ten = timed(lambda: jaxrl.run(solver, state, jax.random.key(1), 10))
        return lambda: ten() / 10

    random = np.random.default_rng(0)
    states, actions = 4000, 8
    transition = random.random((states, actions, states), dtype=np.float32)
    transition /= transition.sum(-1, keepdims=True)
    rewards = jnp.asarray(random.random((states, actions), dtype=np.float32))
    mdp = envs.MDP(envs.DenseTransitions(jnp.asarray(transition)), rewards)
    rows, vector = transition.reshape(-1, states), random.random(states, dtype=np.float32)
    product = jax.jit(lambda matrix, vector: jnp.matmul(matrix, vector, precision="highest"))
    dense = {
        "jaxrl": sweep_of(mdp),
        "matrix-vector product of NumPy": timed(lambda: rows @ vector),
        "matrix-vector product of JAX": timed(product, jnp.asarray(rows), jnp.asarray(vector)),
    }
    measured = {"dense": in_turn(dense, repetitions)}
    del transition, mdp, dense

    mdp = envs.textbook.garnet(1_000_000, 4, 3)
    fanout: Any = mdp.transitions
    successor, probability = np.asarray(fanout.successor).T, np.asarray(fanout.probability).T
    shape = (successor.shape[0] * successor.shape[1], len(successor))
    matrix = scipy.sparse.csr_matrix((probability.ravel(), successor.ravel(), np.arange(shape[0] + 1) * 3), shape=shape)
    by_action = [
        scipy.sparse.csr_matrix(
            (probability[:, a].ravel(), successor[:, a].ravel(), np.arange(shape[1] + 1) * 3),
            shape=(shape[1], shape[1]),
        )
        for a in range(4)
    ]
    reward, vector = np.asarray(mdp.reward), random.random(shape[1], dtype=np.float32)
    columns = np.ascontiguousarray(reward.T)
    gather = jax.jit(lambda values, index: values.at[index].get(mode="promise_in_bounds"))

    def scipy_sweep() -> Any:
        return (reward + np.float32(0.99) * (matrix @ vector).reshape(reward.shape)).max(1)

    def scipy_by_action() -> Any:
        best = columns[0] + np.float32(0.99) * (by_action[0] @ vector)
        for a in range(1, 4):
            np.maximum(best, columns[a] + np.float32(0.99) * (by_action[a] @ vector), out=best)
        return best

    sparse = {
        "jaxrl": sweep_of(mdp),
        "SciPy, one CSR matrix": timed(scipy_sweep),
        "SciPy, a CSR matrix for each action": timed(scipy_by_action),
        "gather alone": timed(gather, jnp.asarray(vector), fanout.successor),
    }
    return measured | {"fan-out": in_turn(sparse, repetitions)}


def solves(
    options: Options, workers: dict[str, Worker], mdps: list[Any], discount: float
) -> dict[str, dict[str, list[float]]]:
    """Seconds to 1e-4 and the largest true error of every solver, of all processes together."""
    import jax
    import jax.numpy as jnp

    import jaxrl
    from jaxrl import envs
    from jaxrl.algorithms.dp import SweptValues

    dense: list[Any] = [envs.to_dense(mdp) for mdp in mdps]
    held = [arrays(mdp) for mdp in mdps]
    exact = np.stack([best_values(each["transition"], each["reward"], discount) for each in held])
    errors: dict[str, list[float]] = {}

    def ours(kind: Any, layout: list[Any], **fields: Any) -> Callable[[], float]:
        def solve_one(mdp: Any) -> Any:
            return jaxrl.solve(kind(mdp, discount=discount, **fields), TOLERANCE)

        alone = len(layout) == 1
        stacked = layout[0] if alone else jax.tree.map(lambda *leaves: jnp.stack(leaves), *layout)
        solve = jax.jit(solve_one if alone else jax.vmap(solve_one))
        solution = solve(stacked)
        name = f"jaxrl {kind.__name__}{' swept' if fields else ''}, {'dense' if layout is dense else 'fan-out'}"
        assert bool(solution.converged.all()), f"{name} proves no {TOLERANCE}"
        errors[name] = [float(np.abs(np.asarray(solution.values) - exact).max())]
        functions[name] = timed(solve, stacked)
        return functions[name]

    def theirs(name: str) -> Callable[[], float]:
        library, method = METHODS[name]

        def run() -> float:
            answer = workers[library].ask("solve", method=method, discount=discount, tolerance=TOLERANCE)
            errors[name] = [float(np.abs(np.asarray(answer["values"]) - exact).max())]
            return answer["seconds"]

        return run

    functions: dict[str, Callable[[], float]] = {}
    for layout in (dense, mdps):
        ours(jaxrl.ValueIteration, layout)
        ours(jaxrl.PolicyIteration, layout, evaluate=SweptValues(10))
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        np.savez(file, allow_pickle=False, **{name: np.stack([each[name] for each in held]) for name in held[0]})
        file.flush()
        for worker in workers.values():
            worker.ask("load", path=file.name)
        # Their value iteration takes some 1 / (1-γ) log sweeps: hours at 0.9999. mdpax compiles for each process.
        asked = [m for m in METHODS if "VI" not in m or discount <= 0.99]
        functions |= {m: theirs(m) for m in asked if m != "mdpax VI" or len(mdps) == 1}
        seconds = in_turn(functions, options.repetitions)
    return {name: {"seconds": seconds[name], "error": errors[name]} for name in functions}


def measure(options: Options) -> Result:
    """Everything, in order; prints as it goes."""
    import jax

    from jaxrl import envs

    def show(what: str, measured: dict[str, Any]) -> None:
        for name, values in measured.items():
            numbers = values["seconds"] if isinstance(values, dict) else values
            low, middle, high = results.quartiles(numbers)
            print(f"{what}: {name}: {1e3 * middle:.2f} ms [{1e3 * low:.2f}, {1e3 * high:.2f}]", flush=True)

    measurements: dict[str, list[Any]] = {}
    for what, measured in sweeps(options.repetitions).items():
        show(f"{what} sweep", measured)
        measurements |= {f"sweep, {what}: {name}": seconds for name, seconds in measured.items()}
    cache = options.cache or default_cache()
    workers = {
        name: Worker(name, find_python(name, {}, cache), Configuration())
        for name in dict.fromkeys(library for library, _ in METHODS.values())
    }
    with jax.enable_x64():
        problems = {
            f"{options.states} states, γ={discount:g}": ([envs.textbook.garnet(options.states, 8, 5)], discount)
            for discount in options.discounts
        }
        small = [envs.textbook.garnet(64, 4, 3, seed) for seed in range(options.batch)]
        problems[f"{options.batch} of 64 states, γ=0.99"] = (small, 0.99)
        lake = [frozen_lake(options.lake)]
        for discount in (0.99, 0.9999):
            problems[f"FrozenLake {options.lake} × {options.lake}, γ={discount:g}"] = (lake, discount)
        for what, (mdps, discount) in problems.items():
            measured = solves(options, workers, mdps, discount)
            show(what, measured)
            for name, values in measured.items():
                measurements |= {f"{what}: {name}: {key}": numbers for key, numbers in values.items()}
    versions = machine.versions()
    for name, worker in workers.items():
        versions |= {f"{k} of {name}": v for k, v in worker.ask("describe")["versions"].items()}
        worker.close()
    if options.huge:
        answer = solve_inventory(options.huge)
        print(f"{options.huge:,} states: {answer}", flush=True)
        measurements |= {f"{options.huge} states, functional: {key}": [value] for key, value in answer.items()}
    measurements["peak memory of this process, bytes"] = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]
    return Result(
        name="dynamic_programming",
        command=results.command_line("benchmarks.dynamic_programming", options, omit=("cache", "results")),
        device=machine.device(),
        configuration={"tolerance": TOLERANCE, "sweep": "dense 4000 x 8, fan-out 1000000 x 4 x 3, float32"},
        sides={"all": Side(versions, machine.variables(), {}, measurements)},
        **machine.provenance(),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.dynamic_programming")
    print(f"wrote {results.save(measure(options), options.results).name}")


if __name__ == "__main__":
    main()
