"""Backward induction, for a finite horizon."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl import ops
from jaxrl.types import Metrics, Rule, Solution, leaf, static


@flax.struct.dataclass
class BackwardState:
    """Values with `num_updates` steps to go.

    Args:
      values: `[S]`.
      policies: int32 `[H, S]`; row t is the best actions at time t, where it is known.
      optimal_actions: bool `[S, A]`, the best of the last step, all that rounding cannot tell apart.
      error: `[]`, bound of the rounding so far.
      num_updates: int32 `[]`.
      residual: `[]`, largest change of the last step.
    """

    values: jax.Array
    policies: jax.Array
    optimal_actions: jax.Array
    error: jax.Array
    num_updates: jax.Array
    residual: jax.Array


@flax.struct.dataclass
class BackwardInduction:
    """Backward induction: v_t = max_a [r + γ P v_{t+1}] from the end of the horizon to its beginning, a step an update.

    It is the exact answer for an environment with a time limit of `horizon` steps that is a real end. The best actions
    depend on the time: `policies[t]` of the state; the solution's are those at time zero.

    Args:
      mdp: the process, in any layout.
      horizon: H, steps.
      discount: γ, per step.
      values: values after the last step `[S]`, zero at terminal states; None: zero.

    Example:
      >>> import jaxrl
      >>> mdp = jaxrl.envs.textbook.cliff_walking()
      >>> solution = jaxrl.solve(jaxrl.BackwardInduction(mdp, horizon=12), tolerance=1e-2)
      >>> print(solution.values[36])  # one step too short
      -12.0

    Source: Puterman (1994), Markov Decision Processes, section 4.5.
    """

    mdp: Any
    _: dataclasses.KW_ONLY
    horizon: int = static(100, low=1)
    discount: float = leaf(1.0, low=0, high=1)
    values: jax.Array | None = None

    def init(self, key: jax.Array) -> BackwardState:
        """The values after the last step. There is no randomness: the key is not used."""
        dtype, size = self.mdp.reward.dtype, self.mdp.num_states
        return BackwardState(
            values=self.mdp.first_values(self.values),
            policies=jnp.zeros((self.horizon, size), jnp.int32),
            optimal_actions=jnp.zeros(self.mdp.reward.shape, bool),
            error=jnp.where((self.discount >= 0) & (self.discount <= 1), 0.0, jnp.nan).astype(dtype),
            num_updates=jnp.zeros((), jnp.int32),
            residual=jnp.zeros((), dtype),
        )

    def update(self, state: BackwardState, key: jax.Array) -> tuple[BackwardState, Metrics]:
        """One step back; nothing more after the first one. There is no randomness: the key is not used."""
        discount = jnp.asarray(self.discount, state.values.dtype)
        q = self.mdp.q_values(state.values, discount)
        time = self.horizon - 1 - state.num_updates
        error = discount * state.error + self.mdp.rounding_error(q, state.values)
        ahead = BackwardState(
            values=q.max(-1),
            policies=state.policies.at[time].set(q.argmax(-1).astype(jnp.int32)),
            optimal_actions=ops.optimal_actions(q, 2 * error),
            error=error,
            num_updates=state.num_updates + 1,
            residual=jnp.abs(q.max(-1) - state.values).max(),
        )
        state = jax.tree.map(lambda new, old: jnp.where(time >= 0, new, old), ahead, state)
        return state, {"residual": state.residual.astype(jnp.float32)}

    def solution(self, state: BackwardState, tolerance: float | jax.Array) -> Solution:
        """The values at time zero once the whole horizon is done."""
        rule = jnp.where(state.error <= tolerance, Rule.CERTIFIED, Rule.ROUNDING)
        rule = jnp.where(state.num_updates < self.horizon, Rule.RUNNING, rule)
        finite = jnp.isfinite(state.values).all() & jnp.isfinite(state.error)
        rule = jnp.where(finite, rule, Rule.NOT_FINITE)
        error = jnp.where(state.num_updates < self.horizon, jnp.inf, state.error)  # until then nothing is proved
        return Solution(
            values=state.values,
            lower=state.values - error,
            upper=state.values + error,
            policy=state.policies[0],
            optimal_actions=state.optimal_actions,
            num_updates=state.num_updates,
            residual=state.residual,
            smallest_tolerance=state.error,
            rule=rule.astype(jnp.int32),
        )
