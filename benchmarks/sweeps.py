"""Seconds of one sweep over all actions, and of what bounds them on this machine."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.timing import in_turn, timed


def sweep_of(mdp: Any) -> Callable[[], float]:
    """Times a tenth of ten sweeps."""
    import jax

    import jaxrl

    solver = jaxrl.ValueIteration(mdp, discount=0.99)
    state = jax.jit(lambda solver, key: solver.init(key))(solver, jax.random.key(0))
    ten = timed(lambda: jaxrl.run(solver, state, jax.random.key(1), 10))
    return lambda: ten() / 10


def dense_sweeps(repetitions: int) -> dict[str, list[float]]:
    """4000 states, 8 actions, next to the matrix-vector product of the same size."""
    import jax
    import jax.numpy as jnp

    from jaxrl import envs

    random = np.random.default_rng(0)
    states, actions = 4000, 8
    transition = random.random((states, actions, states), dtype=np.float32)
    transition /= transition.sum(-1, keepdims=True)
    rewards = jnp.asarray(random.random((states, actions), dtype=np.float32))
    mdp = envs.MDP(envs.DenseTransitions(jnp.asarray(transition)), rewards)
    rows, vector = transition.reshape(-1, states), random.random(states, dtype=np.float32)
    product = jax.jit(lambda matrix, vector: jnp.matmul(matrix, vector, precision="highest"))
    timers = {
        "jaxrl": sweep_of(mdp),
        "matrix-vector product of NumPy": timed(lambda: rows @ vector),
        "matrix-vector product of JAX": timed(product, jnp.asarray(rows), jnp.asarray(vector)),
    }
    return in_turn(timers, repetitions)


def fanout_sweeps(repetitions: int) -> dict[str, list[float]]:
    """10⁶ states, 4 actions, 3 successors, next to SciPy's sparse products and to the gathers alone."""
    import jax
    import jax.numpy as jnp

    from jaxrl import envs

    mdp = envs.textbook.garnet(1_000_000, 4, 3)
    fanout: Any = mdp.transitions
    vector = np.random.default_rng(0).random(mdp.num_states, dtype=np.float32)
    gather = jax.jit(lambda values, index: values.at[index].get(mode="promise_in_bounds"))
    timers = {
        "jaxrl": sweep_of(mdp),
        **scipy_sweeps(fanout, np.asarray(mdp.reward), vector),
        "gather alone": timed(gather, jnp.asarray(vector), fanout.successor),
    }
    return in_turn(timers, repetitions)


def scipy_sweeps(fanout: Any, reward: np.ndarray, vector: np.ndarray) -> dict[str, Callable[[], float]]:
    """One CSR matrix of all pairs of state and action, or one for each action."""
    import scipy.sparse

    successor, probability = np.asarray(fanout.successor).T, np.asarray(fanout.probability).T
    states, actions, count = successor.shape

    def csr(probability: np.ndarray, successor: np.ndarray) -> Any:
        rows = probability.size // count
        pointers = np.arange(rows + 1) * count
        return scipy.sparse.csr_matrix((probability.ravel(), successor.ravel(), pointers), shape=(rows, states))

    matrix = csr(probability, successor)
    by_action = [csr(probability[:, a], successor[:, a]) for a in range(actions)]
    columns = np.ascontiguousarray(reward.T)

    def whole() -> Any:
        return (reward + np.float32(0.99) * (matrix @ vector).reshape(reward.shape)).max(1)

    def each() -> Any:
        best = columns[0] + np.float32(0.99) * (by_action[0] @ vector)
        for a in range(1, actions):
            np.maximum(best, columns[a] + np.float32(0.99) * (by_action[a] @ vector), out=best)
        return best

    return {"SciPy, one CSR matrix": timed(whole), "SciPy, a CSR matrix for each action": timed(each)}
