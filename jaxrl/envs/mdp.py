"""Markov decision processes: transitions stored whole, stored as successors, or computed, behind the same operators.

`q_values(values, discount)` is all that a solver asks for; `follow(policy)` gives the process of a policy, which is a
Markov decision process with one action, so that evaluating a policy is solving it. An episode ends on entering a
terminal state: nothing follows, nothing is earned.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class DenseTransitions:
    """All transition probabilities: one sweep reads 4 S² A bytes in float32.

    Args:
      probability: `[S, A, S]`, p(s'|s, a); rows sum to one.
    """

    probability: jax.Array

    @property
    def num_terms(self) -> int:
        """Terms of each sum in `expected`: how far rounding can reach."""
        return self.probability.shape[-1]

    def expected(self, values: jax.Array) -> jax.Array:
        """Σ p(s'|s, a) v(s') `[S, A]` of values `[S]`."""
        # One matrix-vector product over a matrix of S * A rows: S products of [A, S] would be far slower.
        rows = self.probability.reshape(-1, self.num_terms)
        return jnp.matmul(rows, values, precision="highest").reshape(self.probability.shape[:2])

    def follow(self, policy: jax.Array) -> "DenseTransitions":
        """Transitions of a policy `[S, A]`, with one action."""
        return DenseTransitions(jnp.einsum("sa,sat->st", policy, self.probability, precision="highest")[:, None])

    def choose(self, action: jax.Array) -> "DenseTransitions":
        """Transitions of one action int `[S]` in each state: no sum."""
        return DenseTransitions(self.probability[jnp.arange(len(action)), action][:, None])


@flax.struct.dataclass
class FanoutTransitions:
    """At most K successors of each state and action: one sweep gathers S A K values.

    Args:
      successor: int32 `[S, A, K]`; a successor may stand there twice, padding has probability zero.
      probability: `[S, A, K]`; sums over K are one.
    """

    successor: jax.Array
    probability: jax.Array

    @property
    def num_terms(self) -> int:
        """Terms of each sum in `expected`."""
        return self.successor.shape[-1]

    def expected(self, values: jax.Array) -> jax.Array:
        """Σ p(k|s, a) v(s'_k) `[S, A]` of values `[S]`."""
        next_values = values.at[self.successor].get(mode="promise_in_bounds")
        return (self.probability * next_values).sum(-1)

    def follow(self, policy: jax.Array) -> "FanoutTransitions":
        """Transitions of a policy `[S, A]`, with one action and A K successors."""
        successor = self.successor.reshape(len(policy), 1, -1)
        return FanoutTransitions(successor, (policy[:, :, None] * self.probability).reshape(successor.shape))

    def choose(self, action: jax.Array) -> "FanoutTransitions":
        """Transitions of one action int `[S]` in each state: still K successors."""
        states = jnp.arange(len(action))
        return FanoutTransitions(self.successor[states, action][:, None], self.probability[states, action][:, None])


@flax.struct.dataclass
class Outcome:
    """What one random event leads to."""

    successor: jax.Array
    """int32 `[]`."""
    reward: jax.Array
    """`[]`."""
    probability: jax.Array
    """`[]`; over the events of an action they sum to one."""


@flax.struct.dataclass
class FunctionalTransitions:
    """Transitions that are computed in every sweep, never stored, however many states an action can lead to.

    Args:
      outcome: function of (params, state, action, event), all int32 `[]` but the first, that gives an `Outcome`.
      num_states: S.
      num_actions: A.
      num_events: E, random events of each action.
      params: passed to the function: a pytree that may be traced and vmapped.
    """

    outcome: Callable[..., Outcome] = flax.struct.field(pytree_node=False)
    num_states: int = flax.struct.field(pytree_node=False)
    num_actions: int = flax.struct.field(pytree_node=False)
    num_events: int = flax.struct.field(pytree_node=False)
    params: Any = None

    @property
    def num_terms(self) -> int:
        """Terms of each sum in `expected`."""
        return self.num_events

    def outcomes(self) -> Outcome:
        """All outcomes `[S, A, E]`; under `jit` they are computed where they are used."""
        function = self.outcome
        for axes in ((None, None, None, 0), (None, None, 0, None), (None, 0, None, None)):
            function = jax.vmap(function, axes)
        return function(self.params, *map(jnp.arange, (self.num_states, self.num_actions, self.num_events)))

    def expected(self, values: jax.Array) -> jax.Array:
        """Σ p(e|s, a) v(s'_e) `[S, A]` of values `[S]`."""
        outcome = self.outcomes()
        next_values = values.at[outcome.successor].get(mode="promise_in_bounds")
        return (outcome.probability.astype(values.dtype) * next_values).sum(-1)

    def follow(self, policy: jax.Array) -> "FunctionalTransitions":
        """Transitions of a policy `[S, A]`, with one action and A E events."""
        events = self.num_actions * self.num_events
        outcome = _FollowedOutcome(self.outcome, self.num_events)
        return FunctionalTransitions(outcome, self.num_states, 1, events, (self.params, policy))

    def choose(self, action: jax.Array) -> "FunctionalTransitions":
        """Transitions of one action int `[S]` in each state: still E events."""
        outcome = _ChosenOutcome(self.outcome)
        return FunctionalTransitions(outcome, self.num_states, 1, self.num_events, (self.params, action))


@flax.struct.dataclass
class MDP:
    """A Markov decision process with expected rewards.

    Args:
      transitions: `DenseTransitions`, `FanoutTransitions` or `FunctionalTransitions`.
      reward: `[S, A]`, expected reward of an action.
      terminal: bool `[S]`, or None if no episode ever ends.
      allowed: bool `[S, A]`, or None if every action is allowed everywhere; at terminal states all are.

    Source: Puterman (1994), Markov Decision Processes, section 2.1.
    """

    transitions: DenseTransitions | FanoutTransitions | FunctionalTransitions
    reward: jax.Array
    terminal: jax.Array | None = None
    allowed: jax.Array | None = None

    @property
    def num_states(self) -> int:
        """S."""
        return self.reward.shape[0]

    @property
    def num_actions(self) -> int:
        """A."""
        return self.reward.shape[1]

    def q_values(self, values: jax.Array, discount: float | jax.Array) -> jax.Array:
        """q(s, a) = r(s, a) + γ Σ p(s'|s, a) v(s') `[S, A]` of values `[S]`; -inf where an action is not allowed."""
        q = self.reward + discount * self.transitions.expected(values)
        if self.terminal is not None:
            q = jnp.where(self.terminal[:, None], 0.0, q)
        return q if self.allowed is None else jnp.where(self.allowed, q, -jnp.inf)

    def follow(self, policy: jax.Array) -> "MDP":
        """The process of a policy, with one action: actions int `[S]`, or probabilities `[S, A]`."""
        if policy.ndim == 1:
            reward = jnp.take_along_axis(self.reward, policy[:, None], axis=1)
            return MDP(self.transitions.choose(policy), reward, self.terminal)
        reward = (policy * self.reward).sum(-1, keepdims=True)
        return MDP(self.transitions.follow(policy), reward, self.terminal)


@flax.struct.dataclass
class _ChosenOutcome:
    """The outcomes of one action a state. A dataclass: equal ones share a compilation."""

    outcome: Callable[..., Outcome] = flax.struct.field(pytree_node=False)

    def __call__(self, params: Any, state: jax.Array, action: jax.Array, event: jax.Array) -> Outcome:
        inner, actions = params
        return self.outcome(inner, state, actions[state], event)


@flax.struct.dataclass
class _FollowedOutcome:
    """The outcomes of a policy: an event is an action and an event of it."""

    outcome: Callable[..., Outcome] = flax.struct.field(pytree_node=False)
    num_events: int = flax.struct.field(pytree_node=False)

    def __call__(self, params: Any, state: jax.Array, action: jax.Array, event: jax.Array) -> Outcome:
        inner, policy = params
        chosen = event // self.num_events
        outcome = self.outcome(inner, state, chosen, event % self.num_events)
        return dataclasses.replace(outcome, probability=outcome.probability * policy[state, chosen])
