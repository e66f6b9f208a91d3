"""Policy iteration: exact, modified, or inexact, by the function that evaluates a policy."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl.algorithms.dp.certificate import (
    UNDISCOUNTED,
    SweepState,
    certify,
    first_sweep,
    relative,
    sweep,
    sweep_metrics,
)
from jaxrl.envs import to_dense
from jaxrl.types import Metrics, Solution, leaf, static


def exact_values(followed: Any, discount: jax.Array, guess: jax.Array) -> jax.Array:
    """Solve v = r + γ P v `[S]` of a process with one action, by LU: O(S³) operations, S² numbers.

    Args:
      followed: from `mdp.follow(policy)`.
      discount: γ.
      guess: `[S]`, not used.

    Source: Puterman (1994), Markov Decision Processes, section 6.4.
    """
    dense: Any = to_dense(followed)
    step = dense.transitions.probability[:, 0]
    step = step if dense.terminal is None else jnp.where(dense.terminal[:, None], 0.0, step)
    matrix = jnp.eye(len(guess), dtype=guess.dtype) - discount * step
    reward = dense.q_values(jnp.zeros_like(guess), discount)[:, 0]  # zero at terminal states
    return jnp.linalg.solve(matrix, reward)


def gmres_values(followed: Any, discount: jax.Array, guess: jax.Array) -> jax.Array:
    """The same by GMRES from a guess, to 1e-4 of its residual or 400 steps; nothing is materialized.

    Args:
      followed: from `mdp.follow(policy)`.
      discount: γ.
      guess: `[S]`.

    Source: Gargiani et al. (2022), Inexact GMRES Policy Iteration for Large-Scale Markov Decision Processes,
    arXiv:2211.04299.
    """

    def residual_of(values: jax.Array) -> jax.Array:
        return values - (followed.q_values(values, discount)[:, 0] - reward)

    reward = followed.q_values(jnp.zeros_like(guess), discount)[:, 0]
    start = reward - residual_of(guess)  # solve for the correction: the tolerance is relative to this
    correction, _ = jax.scipy.sparse.linalg.gmres(residual_of, start, tol=1e-4, atol=0.0, restart=20, maxiter=20)
    return guess + correction


@flax.struct.dataclass
class SweptValues:
    """The same, roughly, by sweeps from a guess, each 1/A of a sweep over all actions: modified policy iteration.

    Args:
      num_sweeps: 0 makes it value iteration.

    Source: Puterman & Shin (1978), Modified Policy Iteration Algorithms for Discounted Markov Decision Problems.
    """

    num_sweeps: int = flax.struct.field(pytree_node=False, default=20)

    def __call__(self, followed: Any, discount: jax.Array, guess: jax.Array) -> jax.Array:
        """Values `[S]` after the sweeps."""

        def evaluate(_: int, values: jax.Array) -> jax.Array:
            return followed.q_values(relative(followed, values), discount)[:, 0]

        return jax.lax.fori_loop(0, self.num_sweeps, evaluate, guess)


@flax.struct.dataclass
class PolicyIteration:
    """Evaluate the greedy policy, then improve it: a handful of updates at any discount.

    Inexact evaluations only slow it down: the bounds are those of the sweep that follows.

    Cost of an update on a dense process: the exact evaluation is O(S³), a swept one O(S²) a sweep; the improvement is
    one sweep over all actions, O(S² A). (It is not O(S² A²): the best of A action values is one maximum, no pair of
    actions is compared.)

    Args:
      mdp: the process, in any layout.
      evaluate: function of (process of a policy, γ, guess `[S]`) that gives the policy's values: of
        `jaxrl.algorithms.dp`, `exact_values` (Howard's), `SweptValues(20)` (modified policy iteration) or
        `gmres_values` (inexact policy iteration), or your own.
      discount: γ, per step, below one.
      values: starting point `[S]`, zero at terminal states; None starts at zero.

    Example:
      >>> import jaxrl
      >>> mdp = jaxrl.envs.textbook.garnet(100, 4, 5)
      >>> solution = jaxrl.solve(jaxrl.PolicyIteration(mdp, discount=0.9), tolerance=1e-3)
      >>> bool(solution.converged), int(solution.num_updates) < 10
      (True, True)

    Source: Howard (1960), Dynamic Programming and Markov Processes; Sutton & Barto (2018), section 4.3.
    """

    mdp: Any
    _: dataclasses.KW_ONLY
    evaluate: Callable[..., jax.Array] = static(exact_values)
    discount: float = leaf(0.99, low=0, high=1, open_high=True, remedy=UNDISCOUNTED)
    values: jax.Array | None = None

    def init(self, key: jax.Array) -> SweepState:
        """The first sweep. There is no randomness: the key is not used."""
        return first_sweep(self.mdp, self.values, self.discount)

    def update(self, state: SweepState, key: jax.Array) -> tuple[SweepState, Metrics]:
        """The values of the greedy policy, and one sweep over all actions. The key is not used."""
        discount = jnp.asarray(self.discount, state.values.dtype)
        values = self.evaluate(self.mdp.follow(state.policy), discount, state.backup)
        state = sweep(self.mdp, relative(self.mdp, values), self.discount, state.num_updates + 1)
        return state, sweep_metrics(state)

    def solution(self, state: SweepState, tolerance: float | jax.Array) -> Solution:
        """What the last sweep over all actions proves."""
        return certify(self.mdp, state, self.discount, tolerance)
