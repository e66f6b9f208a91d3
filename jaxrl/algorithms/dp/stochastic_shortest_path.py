"""Stochastic shortest paths: without a discount."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl import ops
from jaxrl.algorithms.dp.certificate import stop_rule
from jaxrl.algorithms.dp.policy_iteration import exact_values, refine
from jaxrl.types import Metrics, Rule, Solution, static


@flax.struct.dataclass
class ProperState:
    """A proper policy and its values.

    Args:
      values: `[S]`; -inf where no policy comes to an end, inf where the policy prefers never to, zero elsewhere then.
      policy: int32 `[S]`; while the values are finite, from every state it comes to an end, with probability one.
      error: `[]`, bound of the error of `values` as the values of `policy`.
      rounding: `[]`, the part of it that is due to rounding.
      longest: `[]`, bound of the expected steps of `policy`.
      num_updates: int32 `[]`.
      residual: `[]`, largest change of the last update.
    """

    values: jax.Array
    policy: jax.Array
    error: jax.Array
    rounding: jax.Array
    longest: jax.Array
    num_updates: jax.Array
    residual: jax.Array


@flax.struct.dataclass
class StochasticShortestPath:
    """Policy iteration at γ = 1 that only ever holds proper policies: those that come to an end, from every state.

    The first policy comes to an end in about the fewest steps (should 1000 + 10 S sweeps not find it: one whose every
    step is the likeliest towards an end); a later one differs only where an action is better by more than rounding. The
    values are the best that a proper policy can earn: to go round for ever for nothing is no way out of an end that
    costs something. Where no cycle earns anything on average (costs on the way, or a reward at the end alone), every
    policy that it meets is proper, and the last one the best of these. The greedy policy of the exact values need not
    be: with a reward at the end alone it may go round for ever.

    Bounds: the lower ones are those of the last policy, rounding included, so of the optimal values too. The upper ones
    hold for every policy that takes no more steps than the last one, on average: at each step it may gain what rounding
    hides. So `Rule.CERTIFIED` proves less here than with a discount: a policy that is better by less than rounding at
    each step, over far more steps, is not excluded. The values are the last policy's own.

    Args:
      mdp: the process, in any layout, with terminal states.
      evaluate: function of (process of a policy, γ) that solves for the policy's values: of `jaxrl.algorithms.dp`,
        `exact_values`, or `gmres_values` where its 400 steps suffice. What it leaves unsolved widens the bounds.

    Example:
      >>> import jaxrl
      >>> solution = jaxrl.solve(jaxrl.StochasticShortestPath(jaxrl.envs.textbook.cliff_walking()), tolerance=1e-2)
      >>> print(f"{solution.values[36]:.2f}")
      -13.00

    Source: Bertsekas & Tsitsiklis (1991), An Analysis of Stochastic Shortest Path Problems, section 3.
    """

    mdp: Any
    _: dataclasses.KW_ONLY
    evaluate: Callable[..., jax.Array] = static(exact_values)

    def init(self, key: jax.Array) -> ProperState:
        """A proper policy and its values. There is no randomness: the key is not used."""
        guess = jnp.zeros(self.mdp.num_states, self.mdp.reward.dtype)
        policy, ends = proper_policy(self.mdp)
        policy = quick_policy(self.mdp, policy, ends)
        return self._evaluated(policy, jnp.where(ends, guess, -jnp.inf), jnp.zeros((), jnp.int32))

    def update(self, state: ProperState, key: jax.Array) -> tuple[ProperState, Metrics]:
        """Improve the policy where that is certain, and evaluate it. There is no randomness: the key is not used."""
        q, _, better = self._improvement(state)
        policy = jnp.where(better, q.argmax(-1).astype(jnp.int32), state.policy)
        state = self._evaluated(policy, state.values, state.num_updates + 1)
        return state, {"residual": state.residual.astype(jnp.float32)}

    def solution(self, state: ProperState, tolerance: float | jax.Array) -> Solution:
        """Values and bounds of the last policy; converged when nothing improves it."""
        q, slack, better = self._improvement(state)
        hidden = slack * state.longest
        width, rounding = 2 * (state.error + hidden), 2 * state.rounding * (1 + 2 * state.longest)
        rule = stop_rule(width, width - rounding, tolerance)
        rule = jnp.where(better.any(), Rule.RUNNING, rule)
        rule = jnp.where(jnp.isnan(state.values).any(), Rule.NOT_FINITE, rule)
        improper = jnp.isinf(state.values).any()
        rule = jnp.where(improper, Rule.IMPROPER, rule)
        return Solution(
            values=state.values,
            lower=jnp.where(improper, -jnp.inf, state.values - state.error),
            upper=jnp.where(improper | better.any(), jnp.inf, state.values + state.error + hidden),
            policy=state.policy,
            optimal_actions=ops.optimal_actions(q, slack),
            num_updates=state.num_updates,
            residual=state.residual,
            smallest_tolerance=rounding,
            rule=rule.astype(jnp.int32),
        )

    def _improvement(self, state: ProperState) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Action values `[S, A]`, what the error of the values can explain, and where an action is better by more."""
        finite = jnp.where(jnp.isfinite(state.values), state.values, 0.0)
        q = self.mdp.q_values(finite, jnp.ones((), finite.dtype))
        slack = 2 * (state.error + self.mdp.rounding_error(q, finite))
        own = jnp.take_along_axis(q, state.policy[:, None], axis=1)[:, 0]
        return q, slack, q.max(-1) > own + slack

    def _evaluated(self, policy: jax.Array, guess: jax.Array, num_updates: jax.Array) -> ProperState:
        one = jnp.ones((), guess.dtype)
        followed = self.mdp.follow(policy)
        values = refine(self.evaluate, followed, one, jnp.where(jnp.isfinite(guess), guess, 0.0))
        counted = dataclasses.replace(followed, reward=jnp.ones_like(followed.reward))
        steps = self.evaluate(counted, one)
        own = followed.q_values(values, one)
        # (I - P)⁻¹ counts visits: an error of each equation grows at most by the expected steps, which are known to
        # ε < 1 of their own equation.
        equation = jnp.abs(counted.q_values(steps, one)[:, 0] - steps).max()
        longest = jnp.where(equation < 1, (1 + jnp.abs(steps).max()) / (1 - equation), jnp.inf)
        rounding = followed.rounding_error(own, values) * longest
        error = jnp.abs(own[:, 0] - values).max() * longest + rounding
        residual = jnp.abs(values - guess).max()
        # The equations of an improper policy have no solution: only who does not come to an end is known.
        _, ends = proper_policy(followed)
        solved = jnp.where(jnp.isfinite(values), values, jnp.nan)  # infinite is who does not come to an end
        values = jnp.where(ends.all(), solved, jnp.where(ends, 0.0, jnp.inf))
        values = jnp.where(jnp.isinf(guess).any(), guess, values)
        return ProperState(values, policy, error, rounding, longest, num_updates, residual)


def proper_policy(mdp: Any) -> tuple[jax.Array, jax.Array]:
    """A policy that comes to an end from every state from which one can.

    Args:
      mdp: a process with terminal states.

    Returns:
      Actions int32 `[S]`, and whether an end can be reached, bool `[S]`.

    Example:
      >>> import jaxrl
      >>> policy, ends = proper_policy(jaxrl.envs.textbook.gridworld_4x4())
      >>> bool(ends.all())
      True

    Source: backward reachability, as for Proposition 1 of Bertsekas & Tsitsiklis (1991).
    """
    terminal = jnp.zeros(mdp.num_states, bool) if mdp.terminal is None else mdp.terminal

    def grow(carry: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        ends, policy, _ = carry
        # One step from a state that ends; the most probable one, lest the way takes for ever. Rewards do not matter.
        chance = mdp.transitions.expected(ends.astype(mdp.reward.dtype))
        if mdp.allowed is not None:
            chance = jnp.where(mdp.allowed, chance, 0.0)
        new = (chance.max(-1) > 0) & ~ends
        return ends | new, jnp.where(new, chance.argmax(-1).astype(jnp.int32), policy), new.any()

    start = (terminal, jnp.zeros(mdp.num_states, jnp.int32), jnp.ones((), bool))
    ends, policy, _ = jax.lax.while_loop(lambda carry: carry[2], grow, start)
    return policy, ends


def quick_policy(mdp: Any, policy: jax.Array, ends: jax.Array) -> jax.Array:
    """A policy of about the fewest steps, int32 `[S]`: greedy for the values of sweeps that change by at most 0.1.

    Where values change by less than the one that a step costs no greedy policy goes round for ever. What is most likely
    to lead towards the end may also be likeliest to lead back, and take exponentially many steps.

    Args:
      mdp: a process with terminal states.
      policy: a proper one, kept if 1000 + 10 S sweeps do not get there.
      ends: bool `[S]`, from `proper_policy`; where it does not hold everywhere there is nothing to gain.

    Source: Bertsekas & Tsitsiklis (1991), Proposition 2, for costs of one a step.
    """
    steps = dataclasses.replace(mdp, reward=-jnp.ones_like(mdp.reward))
    one = jnp.ones((), mdp.reward.dtype)

    def sweep(carry: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        values, _, count = carry
        backup = steps.q_values(values, one).max(-1)
        return backup, jnp.abs(backup - values).max(), count + 1

    def unfinished(carry: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        return ends.all() & (carry[1] > 0.1) & (carry[2] < 1000 + 10 * mdp.num_states)

    start = (jnp.zeros_like(mdp.reward[:, 0]), one, jnp.zeros((), jnp.int32))
    values, change, _ = jax.lax.while_loop(unfinished, sweep, start)
    greedy = steps.q_values(values, one).argmax(-1).astype(jnp.int32)
    return jnp.where(ends.all() & (change <= 0.1), greedy, policy)
