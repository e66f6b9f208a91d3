"""jaxdp's and mdpax's value iteration, in float64.

jaxdp leaves the loop to its caller: here a compiled one, vmapped over processes, until the largest change proves the
tolerance. mdpax loops in Python and stops by the same rule (`max_diff`); it solves one process at a time, and each one
is a compilation, so it gets the single ones only. What cannot be made equal: mdpax reads the successors through a
function of state, action and event, as its users write it; jaxdp has dense transitions and rewards `[A, S, S]` only.
"""

import time
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import jaxdp.mdp  # pyright: ignore[reportMissingImports]
import jaxdp.planning  # pyright: ignore[reportMissingImports]
import mdpax.core.problem  # pyright: ignore[reportMissingImports]
import mdpax.solvers  # pyright: ignore[reportMissingImports]
import numpy as np

from benchmarks.workers.protocol import describe, serve


class Table(mdpax.core.problem.Problem):
    """Successors `[S, A, K]` as a problem of mdpax: the K successors are its random events."""

    name = "table"

    def __init__(self, successor: np.ndarray, probability: np.ndarray, reward: np.ndarray) -> None:
        self.successor, self.probability, self.reward = map(jnp.asarray, (successor, probability, reward))
        super().__init__()

    def _construct_state_space(self) -> jax.Array:
        return jnp.arange(self.successor.shape[0])

    def _construct_action_space(self) -> jax.Array:
        return jnp.arange(self.successor.shape[1])

    def _construct_random_event_space(self) -> jax.Array:
        return jnp.arange(self.successor.shape[2])

    def state_to_index(self, state: jax.Array) -> jax.Array:
        """The state is its index."""
        return state[0]

    def random_event_probability(self, state: jax.Array, action: jax.Array, random_event: jax.Array) -> jax.Array:
        """Probability of a successor."""
        return self.probability[state[0], action[0], random_event[0]]

    def transition(self, state: jax.Array, action: jax.Array, random_event: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Successor and reward."""
        at = state[0], action[0]
        return self.successor[(*at, random_event[0])][None], self.reward[at]


def jaxdp_solver(held: dict[str, np.ndarray], discount: float, tolerance: float) -> Callable[[], Any]:
    """Values `[N, S]` of N processes."""
    planner = jaxdp.planning.ValueIteration(gamma=discount)
    threshold = tolerance * (1 - discount) / discount

    def solve(transition: jax.Array, reward: jax.Array) -> jax.Array:
        by_action = reward.T[:, :, None]
        mdp = jaxdp.mdp.MDP(
            transition=transition.transpose(1, 2, 0),
            reward=jnp.broadcast_to(by_action, (*by_action.shape[:2], len(reward))),
            initial=jnp.full(len(reward), 1 / len(reward)),
            terminal=jnp.zeros(len(reward)),
        )

        def step(carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
            state = planner.update(mdp, carry[0])
            return state, jnp.abs(state.v_val - carry[0].v_val).max()

        start = planner.init(mdp), jnp.array(jnp.inf)
        return jax.lax.while_loop(lambda carry: carry[1] > threshold, step, start)[0].v_val

    solve_all = jax.jit(jax.vmap(solve))
    transition, reward = jnp.asarray(held["transition"]), jnp.asarray(held["reward"])
    return lambda: jax.block_until_ready(solve_all(transition, reward))


def mdpax_solver(held: dict[str, np.ndarray], discount: float, tolerance: float) -> Callable[[], Any]:
    """Values `[1, S]` of one process."""
    (successor,), (probability,), (reward,) = held["successor"], held["probability"], held["reward"]
    solver = mdpax.solvers.ValueIteration(
        Table(successor, probability, reward),
        gamma=discount,
        epsilon=tolerance,
        convergence_test="max_diff",
        jax_double_precision=True,
        verbose=0,
    )

    def run() -> Any:
        solver._initialize_solver_state_elements()  # as new, and compiled
        return jax.block_until_ready(solver.solve(max_iterations=10_000_000).values)[None]

    return run


SOLVERS = {"jaxdp": jaxdp_solver, "mdpax": mdpax_solver}


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    chex.disable_asserts()  # those of jaxdp look at values, which a compiled loop has not
    held: dict[str, np.ndarray] = {}
    made: dict[tuple[str, float, float], Callable[[], Any]] = {}

    def load(path: str) -> dict[str, Any]:
        held.update(np.load(path))
        made.clear()
        return {}

    def solve(method: str, discount: float, tolerance: float) -> dict[str, Any]:
        question = (method, discount, tolerance)
        if question not in made:
            made[question] = SOLVERS[method](held, discount, tolerance)
        start = time.perf_counter()
        values = made[question]()
        return {"seconds": time.perf_counter() - start, "values": np.asarray(values).tolist()}

    serve({"describe": lambda: describe(("jaxdp", "mdpax"), {}), "load": load, "solve": solve})


if __name__ == "__main__":
    main()
