"""Markov decision processes of the benchmarks, and their arrays for other libraries."""

import json
import subprocess
import sys
from typing import Any

import numpy as np

from benchmarks import results


def frozen_lake(size: int) -> Any:
    """Gymnasium's FrozenLake on a random map of so many rows and columns."""
    import gymnasium
    from gymnasium.envs.toy_text.frozen_lake import generate_random_map

    from jaxrl import envs

    env: Any = gymnasium.make("FrozenLake-v1", desc=generate_random_map(size, seed=0))
    return envs.from_gymnasium(env.unwrapped.P)


def arrays(mdp: Any) -> dict[str, np.ndarray]:
    """Of a fan-out process: transitions `[S, A, S]`, successors, probabilities `[S, A, K]`, rewards `[S, A]`.

    Nobody else has terminal states: there they lead to themselves and earn nothing.
    """
    successor, probability = np.array(mdp.transitions.successor.T), np.array(mdp.transitions.probability.T)
    if mdp.terminal is not None:
        ends = np.flatnonzero(mdp.terminal)
        successor[ends], probability[ends, :, 0] = ends[:, None, None], 1.0
    states, actions, _ = successor.shape
    transition = np.zeros((states, actions, states))
    np.add.at(transition, (np.arange(states)[:, None, None], np.arange(actions)[:, None], successor), probability)
    return {
        "transition": transition,
        "successor": successor,
        "probability": probability,
        "reward": np.asarray(mdp.reward),
    }


def inventory(states: int) -> Any:
    """A stock of up to `states` - 1: four orders, four demands, holding costs; nothing is materialized but rewards."""
    import jax.numpy as jnp

    from jaxrl import envs

    def outcome(params: Any, stock: Any, order: Any, event: Any) -> envs.Outcome:
        ordered = order * params["lot"]
        have = jnp.minimum(stock + ordered, states - 1)
        left = jnp.maximum(have - params["demand"][event], 0)
        sold, scale = have - left, 1.0 / states
        reward = scale * (10.0 * sold - 6.0 * ordered - 0.1 * left)
        return envs.Outcome(left, reward, params["probability"][event])

    demand = jnp.asarray([0, states // 100, states // 30, states // 16], jnp.int32)
    params = {"lot": states // 40, "demand": demand, "probability": jnp.asarray([0.1, 0.4, 0.3, 0.2])}
    return envs.from_function(outcome, (states, 4, 4), params)


SOLVE_INVENTORY = """
import json, resource, sys, time
import jax
with jax.enable_x64():
    from benchmarks.processes import inventory
    import jaxrl
    mdp = inventory(int(sys.argv[1]))
    start = time.perf_counter()
    solution = jax.block_until_ready(jaxrl.solve(jaxrl.ValueIteration(mdp, discount=0.99), 5e-3))
    seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform != "darwin" else 1)
width = float((solution.upper - solution.lower).max())
print(json.dumps({"seconds": seconds, "peak": peak, "width": width, "sweeps": int(solution.num_updates)}))
"""


def solve_inventory(states: int) -> dict[str, float]:
    """Solve the inventory in a child process: seconds, sweeps, width of the interval, peak of memory in bytes."""
    command = [sys.executable, "-c", SOLVE_INVENTORY, str(states)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=results.ROOT)
    return json.loads(done.stdout.splitlines()[-1])
