"""Relative value iteration, for the average reward."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl import ops
from jaxrl.algorithms.dp.certificate import SweepState, first_sweep, stop_rule, sweep, sweep_metrics
from jaxrl.types import Metrics, Solution, leaf


@flax.struct.dataclass
class RelativeValueIteration:
    """Relative value iteration: h ← h + τ (Th - h), its midrange taken away; min(Th - h) ≤ g* ≤ max(Th - h).

    The `values` of the solution are the best average reward per step, the same for every state; the state's `values`
    are h. For processes without an end in which every policy has one recurrent class. The optimal actions are those
    that h cannot tell from the best: unlike the bounds, they hold only as far as h has converged.

    Args:
      mdp: the process, in any layout.
      damping: τ in (0, 1]; below one, periodic processes converge too.
      values: starting point h `[S]`; None starts at zero.

    Example:
      >>> import jaxrl
      >>> mdp = jaxrl.envs.textbook.access_control()
      >>> solution = jaxrl.solve(jaxrl.RelativeValueIteration(mdp), tolerance=1e-3)
      >>> print(f"{solution.values[0]:.3f}")
      2.748

    Source: Puterman (1994), Markov Decision Processes, sections 8.5.4 and 8.5.5.
    """

    mdp: Any
    _: dataclasses.KW_ONLY
    damping: float = leaf(0.9, low=0, high=1, open_low=True)
    values: jax.Array | None = None

    def init(self, key: jax.Array) -> SweepState:
        """The first sweep. There is no randomness: the key is not used.

        Raises:
          ValueError: for a process with terminal states.
        """
        if self.mdp.terminal is not None:
            raise ValueError(
                "mdp: where episodes end there is no average reward per step; take StochasticShortestPath, or lead the "
                "terminal states back to a start"
            )
        return first_sweep(self.mdp, self.values, 1.0)

    def update(self, state: SweepState, key: jax.Array) -> tuple[SweepState, Metrics]:
        """One sweep. There is no randomness: the key is not used."""
        values = state.values + self.damping * (state.backup - state.values)
        values = (values - (values.max() + values.min()) / 2).astype(state.values.dtype)
        state = sweep(self.mdp, values, 1.0, state.num_updates + 1)
        return state, sweep_metrics(state)

    def solution(self, state: SweepState, tolerance: float | jax.Array) -> Solution:
        """Bounds of the average reward that the last sweep proves."""
        change = state.backup - state.values
        low, high = change.min(), change.max()
        rounding = 2 * state.rounding
        lower, upper = (jnp.full_like(change, bound) for bound in (low - rounding, high + rounding))
        q = self.mdp.q_values(state.values, 1.0)
        return Solution(
            values=(lower + upper) / 2,
            lower=lower,
            upper=upper,
            policy=state.policy,
            optimal_actions=ops.optimal_actions(q, (high - low) + rounding),
            num_updates=state.num_updates,
            residual=high - low,
            smallest_tolerance=2 * rounding,
            rule=stop_rule(upper[0] - lower[0], high - low, tolerance),
        )
