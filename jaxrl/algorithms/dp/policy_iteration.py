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


def exact_values(followed: Any, discount: jax.Array) -> jax.Array:
    """Solve v = r + γ P v `[S]` of a process with one action, by LU: O(S³) operations, S² numbers.

    Args:
      followed: from `mdp.follow(policy)`.
      discount: γ.

    Source: Puterman (1994), Markov Decision Processes, section 6.4.
    """
    dense: Any = to_dense(followed)
    step = dense.transitions.probability[:, 0]
    step = step if dense.terminal is None else jnp.where(dense.terminal[:, None], 0.0, step)
    matrix = jnp.eye(len(step), dtype=step.dtype) - discount * step
    return jnp.linalg.solve(matrix, one_step_rewards(followed))


def gmres_values(followed: Any, discount: jax.Array) -> jax.Array:
    """The same by GMRES, until the equations err by 1e-4 of the rewards or for 400 steps; nothing is materialized.

    Args:
      followed: from `mdp.follow(policy)`.
      discount: γ.

    Source: Gargiani et al. (2022), Inexact GMRES Policy Iteration for Large-Scale Markov Decision Processes,
    arXiv:2211.04299.
    """

    def residual_of(values: jax.Array) -> jax.Array:
        return values - (followed.q_values(values, discount)[:, 0] - rewards)

    rewards = one_step_rewards(followed)
    values, _ = jax.scipy.sparse.linalg.gmres(
        residual_of, rewards, tol=1e-4, atol=0.0, restart=20, maxiter=20, solve_method="incremental"
    )
    return values


@flax.struct.dataclass
class SweptValues:
    """The same, roughly, by sweeps from zero, each 1/A of a sweep over all actions: modified policy iteration.

    Args:
      num_sweeps: 0 makes it value iteration.

    Source: Puterman & Shin (1978), Modified Policy Iteration Algorithms for Discounted Markov Decision Problems.
    """

    num_sweeps: int = flax.struct.field(pytree_node=False, default=20)

    def __call__(self, followed: Any, discount: jax.Array) -> jax.Array:
        """Values `[S]` after the sweeps."""

        def evaluate(_: int, values: jax.Array) -> jax.Array:
            return followed.q_values(relative(followed, values), discount)[:, 0]

        return jax.lax.fori_loop(0, self.num_sweeps, evaluate, jnp.zeros_like(followed.reward[:, 0]))


def one_step_rewards(followed: Any) -> jax.Array:
    """Expected rewards `[S]` of a process with one action; zero at terminal states."""
    reward = followed.reward[:, 0]
    return reward if followed.terminal is None else jnp.where(followed.terminal, 0.0, reward)


def refine(evaluate: Callable[..., jax.Array], followed: Any, discount: jax.Array, values: jax.Array) -> jax.Array:
    """Add what the values `[S]` of a policy lack: v + (I - γP)⁻¹ (r + γPv - v).

    Without terminal states the result is less a constant. Evaluating what is lacking, not the whole, keeps the digits:
    an error of `evaluate` is one of the correction.

    Args:
      evaluate: `exact_values` or another.
      followed: from `mdp.follow(policy)`.
      discount: γ.
      values: `[S]`, zero at terminal states.

    Source: iterative refinement, Higham (2002), Accuracy and Stability of Numerical Algorithms, chapter 12.
    """
    lacking = relative(followed, followed.q_values(values, discount)[:, 0] - values)
    correction = relative(followed, evaluate(followed.replace(reward=lacking[:, None]), discount))
    values = values + correction
    return values if followed.terminal is None else jnp.where(followed.terminal, 0.0, values)


@flax.struct.dataclass
class PolicyIteration:
    """Evaluate the greedy policy, then improve it: a handful of updates at any discount.

    Inexact evaluations only slow it down: the bounds are those of the sweep that follows.

    Cost of an update on a dense process: the exact evaluation is O(S³), a swept one O(S²) a sweep; the improvement is
    one sweep over all actions, O(S² A). (It is not O(S² A²): the best of A action values is one maximum, no pair of
    actions is compared.)

    Args:
      mdp: the process, in any layout.
      evaluate: function of (process of a policy, γ) that gives the policy's values: of `jaxrl.algorithms.dp`,
        `exact_values` (Howard's), `SweptValues(20)` (modified policy iteration) or `gmres_values` (inexact policy
        iteration), or your own. The rewards that it is given are what the last values lack (see `refine`).
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
        values = refine(self.evaluate, self.mdp.follow(state.policy), discount, state.backup)
        state = sweep(self.mdp, relative(self.mdp, values), self.discount, state.num_updates + 1)
        return state, sweep_metrics(state)

    def solution(self, state: SweepState, tolerance: float | jax.Array) -> Solution:
        """What the last sweep over all actions proves."""
        return certify(self.mdp, state, self.discount, tolerance)
