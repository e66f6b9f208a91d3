"""Markov decision processes: two stored layouts and one that is computed, behind the same two operators.

`q_values(values, discount)` is the only operation that a layout has to know how to do fast; `follow(policy)` gives the
process of a policy, which is a Markov decision process with one action, so that evaluating a policy is solving it.
An episode ends on entering a terminal state. Its rows are zero: nothing follows, nothing is earned.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class DenseMDP:
    """All transition probabilities: one sweep reads 4 S² A bytes in float32.

    Args:
      transition: `[S, A, S]`, p(s'|s, a); rows sum to one, those of terminal states to zero.
      reward: `[S, A]`, expected reward of an action.
      terminal: bool `[S]`, or None if no episode ever ends.
      allowed: bool `[S, A]`, or None if every action is allowed everywhere.
    """

    transition: jax.Array
    reward: jax.Array
    terminal: jax.Array | None = None
    allowed: jax.Array | None = None

    @property
    def num_states(self) -> int:
        """S."""
        return self.reward.shape[-2]

    @property
    def num_actions(self) -> int:
        """A."""
        return self.reward.shape[-1]

    @property
    def num_terms(self) -> int:
        """Terms of the longest sum in `q_values`: how far rounding can reach."""
        return self.num_states

    def q_values(self, values: jax.Array, discount: float | jax.Array) -> jax.Array:
        """q(s, a) = r(s, a) + γ Σ p(s'|s, a) v(s') `[S, A]` of values `[S]`; -inf where an action is not allowed."""
        # One matrix-vector product over a matrix of S * A rows: S products of [A, S] would be far slower.
        rows = self.transition.reshape(-1, self.num_states)
        expected = jnp.matmul(rows, values, precision="highest").reshape(self.reward.shape)
        return _masked(self.reward + discount * expected, self.allowed)

    def follow(self, policy: jax.Array) -> "DenseMDP":
        """The process of a policy, with one action: actions int `[S]`, or probabilities `[S, A]`."""
        if policy.ndim == 1:
            states = jnp.arange(self.num_states)
            transition, reward = self.transition[states, policy], self.reward[states, policy]
        else:
            transition = jnp.einsum("sa,sat->st", policy, self.transition, precision="highest")
            reward = _expected_reward(policy, self.reward)
        return DenseMDP(transition[:, None], reward[:, None], self.terminal)


@flax.struct.dataclass
class FanoutMDP:
    """At most K successors of each state and action: one sweep gathers S A K values.

    Args:
      successor: int32 `[S, A, K]`; a successor may stand there twice, padding has probability zero.
      probability: `[S, A, K]`; sums over K are one, those of terminal states zero.
      reward: `[S, A]`, expected reward of an action.
      terminal: bool `[S]`, or None if no episode ever ends.
      allowed: bool `[S, A]`, or None if every action is allowed everywhere.
    """

    successor: jax.Array
    probability: jax.Array
    reward: jax.Array
    terminal: jax.Array | None = None
    allowed: jax.Array | None = None

    @property
    def num_states(self) -> int:
        """S."""
        return self.reward.shape[-2]

    @property
    def num_actions(self) -> int:
        """A."""
        return self.reward.shape[-1]

    @property
    def num_terms(self) -> int:
        """Terms of the longest sum in `q_values`."""
        return self.successor.shape[-1]

    def q_values(self, values: jax.Array, discount: float | jax.Array) -> jax.Array:
        """q(s, a) = r(s, a) + γ Σ p(k|s, a) v(s'_k) `[S, A]` of values `[S]`; -inf where an action is not allowed."""
        next_values = values.at[self.successor].get(mode="promise_in_bounds")
        return _masked(self.reward + discount * (self.probability * next_values).sum(-1), self.allowed)

    def follow(self, policy: jax.Array) -> "FanoutMDP":
        """The process of a policy, with one action: actions int `[S]`, or probabilities `[S, A]` (A K successors)."""
        if policy.ndim == 1:
            states = jnp.arange(self.num_states)
            successor, probability = self.successor[states, policy], self.probability[states, policy]
            reward = self.reward[states, policy]
        else:
            successor = self.successor.reshape(self.num_states, -1)
            probability = (policy[:, :, None] * self.probability).reshape(self.num_states, -1)
            reward = _expected_reward(policy, self.reward)
        return FanoutMDP(successor[:, None], probability[:, None], reward[:, None], self.terminal)


@flax.struct.dataclass
class Outcome:
    """What one event of a functional process leads to."""

    successor: jax.Array
    """int32 `[]`."""
    reward: jax.Array
    """`[]`."""
    probability: jax.Array
    """`[]`; over the events of an allowed action they sum to one."""


@flax.struct.dataclass
class FunctionalMDP:
    """A process that is computed, never stored: memory is O(S A), however many states an event can lead to.

    Args:
      transition: function of (params, state, action, event), all int32 `[]` but the first, that gives an `Outcome`.
      num_states: S.
      num_actions: A.
      num_events: E, random events of each action.
      params: passed to the functions: a pytree that may be traced and vmapped.
      is_terminal: function of (params, state) that gives a bool `[]`; None if no episode ever ends.
      is_allowed: function of (params, state, action) that gives a bool `[]`; None if every action is allowed.
    """

    transition: Callable[..., Outcome] = flax.struct.field(pytree_node=False)
    num_states: int = flax.struct.field(pytree_node=False)
    num_actions: int = flax.struct.field(pytree_node=False)
    num_events: int = flax.struct.field(pytree_node=False)
    params: Any = None
    is_terminal: Callable[..., jax.Array] | None = flax.struct.field(pytree_node=False, default=None)
    is_allowed: Callable[..., jax.Array] | None = flax.struct.field(pytree_node=False, default=None)

    @property
    def num_terms(self) -> int:
        """Terms of the longest sum in `q_values`."""
        return self.num_events

    @property
    def terminal(self) -> jax.Array | None:
        """Bool `[S]`, computed, or None."""
        if self.is_terminal is None:
            return None
        return jax.vmap(self.is_terminal, (None, 0))(self.params, jnp.arange(self.num_states))

    @property
    def allowed(self) -> jax.Array | None:
        """Bool `[S, A]`, computed, or None."""
        if self.is_allowed is None:
            return None
        over_actions = jax.vmap(self.is_allowed, (None, None, 0))
        over_states = jax.vmap(over_actions, (None, 0, None))
        return over_states(self.params, jnp.arange(self.num_states), jnp.arange(self.num_actions))

    def outcomes(self, states: jax.Array) -> Outcome:
        """The outcomes `[B, A, E]` of states `[B]`."""
        over_events = jax.vmap(self.transition, (None, None, None, 0))
        over_actions = jax.vmap(over_events, (None, None, 0, None))
        over_states = jax.vmap(over_actions, (None, 0, None, None))
        outcome = over_states(self.params, states, jnp.arange(self.num_actions), jnp.arange(self.num_events))
        if self.is_terminal is None:
            return outcome
        alive = ~jax.vmap(self.is_terminal, (None, 0))(self.params, states)[:, None, None]
        return dataclasses.replace(outcome, probability=outcome.probability * alive)

    def q_values(self, values: jax.Array, discount: float | jax.Array) -> jax.Array:
        """q(s, a) = Σ p(e|s, a) (r + γ v(s'_e)) `[S, A]` of values `[S]`; -inf where an action is not allowed."""
        outcome = self.outcomes(jnp.arange(self.num_states))
        next_values = values.at[outcome.successor].get(mode="promise_in_bounds")
        q = (outcome.probability.astype(values.dtype) * (outcome.reward + discount * next_values)).sum(-1)
        return _masked(q, self.allowed)

    def follow(self, policy: jax.Array) -> "FunctionalMDP":
        """The process of a policy, with one action: actions int `[S]`, or probabilities `[S, A]` (then A E events)."""
        if policy.ndim == 1:
            transition, events = _FollowActions(self.transition), self.num_events
        else:
            transition = _FollowProbabilities(self.transition, self.num_events)
            events = self.num_actions * self.num_events
        terminal = None if self.is_terminal is None else _WithParams(self.is_terminal)
        return FunctionalMDP(transition, self.num_states, 1, events, (self.params, policy), terminal)


MDP = DenseMDP | FanoutMDP | FunctionalMDP


@flax.struct.dataclass
class _FollowActions:
    """A transition function under a policy of actions. A dataclass: equal ones share a compilation."""

    transition: Callable[..., Outcome] = flax.struct.field(pytree_node=False)

    def __call__(self, params: Any, state: jax.Array, action: jax.Array, event: jax.Array) -> Outcome:
        inner, policy = params
        return self.transition(inner, state, policy[state], event)


@flax.struct.dataclass
class _FollowProbabilities:
    """A transition function under a policy of probabilities: an event is an action and an event of it."""

    transition: Callable[..., Outcome] = flax.struct.field(pytree_node=False)
    num_events: int = flax.struct.field(pytree_node=False)

    def __call__(self, params: Any, state: jax.Array, action: jax.Array, event: jax.Array) -> Outcome:
        inner, policy = params
        chosen = event // self.num_events
        outcome = self.transition(inner, state, chosen, event % self.num_events)
        return dataclasses.replace(outcome, probability=outcome.probability * policy[state, chosen])


@flax.struct.dataclass
class _WithParams:
    """`is_terminal` of a followed process, whose params are (params, policy)."""

    is_terminal: Callable[..., jax.Array] = flax.struct.field(pytree_node=False)

    def __call__(self, params: Any, state: jax.Array) -> jax.Array:
        return self.is_terminal(params[0], state)


def _masked(q: jax.Array, allowed: jax.Array | None) -> jax.Array:
    return q if allowed is None else jnp.where(allowed, q, -jnp.inf)


def _expected_reward(policy: jax.Array, reward: jax.Array) -> jax.Array:
    """Σ π(a|s) r(s, a); an action of probability zero counts nothing, whatever its reward."""
    return jnp.where(policy > 0, policy * reward, 0.0).sum(-1)
