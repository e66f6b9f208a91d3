"""Transitions of a Markov decision process: stored whole, stored as successors, or computed, with the same methods."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl import ops
from jaxrl.envs.refusals import sum_to_one


@flax.struct.dataclass
class DenseTransitions:
    """All transition probabilities: one sweep reads 4 S² A bytes in float32.

    Args:
      probability: `[S, A, S]`, p(s'|s, a); rows sum to one.
      reward: `[S, A, S]`, of each successor, or None if it depends on state and action alone. Only playing reads it.
      num_averaged: actions of which each row is an average; it is rounded as often.
    """

    probability: jax.Array
    reward: jax.Array | None = None
    num_averaged: int = flax.struct.field(pytree_node=False, default=0)

    @property
    def num_terms(self) -> int:
        """Terms of each sum in `expected`: how far rounding can reach."""
        return self.probability.shape[-1] + 2 * self.num_averaged

    def are_distributions(self) -> jax.Array:
        """Whether the row of each state and action is one of probabilities, bool `[S, A]`."""
        return (self.probability >= 0).all(-1) & sum_to_one(self.probability.sum(-1), self.num_terms)

    def expected(self, values: jax.Array) -> jax.Array:
        """Σ p(s'|s, a) v(s') `[S, A]` of values `[S]`."""
        # One matrix-vector product over a matrix of S * A rows: S products of [A, S] would be far slower.
        rows = self.probability.reshape(-1, len(values))
        return jnp.matmul(rows, values, precision="highest").reshape(self.probability.shape[:2])

    def block(self, begin: jax.Array, size: int) -> "DenseTransitions":
        """Transitions of the `size` states from `begin` on, into all states."""
        return DenseTransitions(jax.lax.dynamic_slice_in_dim(self.probability, begin, size))

    def follow(self, policy: jax.Array) -> "DenseTransitions":
        """Transitions of a policy `[S, A]`, with one action."""
        probability = jnp.einsum("sa,sat->st", policy, self.probability, precision="highest")[:, None]
        return DenseTransitions(probability, num_averaged=self.num_averaged + policy.shape[1])

    def choose(self, action: jax.Array) -> "DenseTransitions":
        """Transitions of one action int `[S]` in each state: no sum."""
        probability = self.probability[jnp.arange(len(action)), action][:, None]
        return DenseTransitions(probability, num_averaged=self.num_averaged)

    def sample(self, key: jax.Array, state: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        """A successor int32 `[]`, and its reward if that depends on it. The key is consumed."""
        successor = ops.sample_index(key, self.probability[state, action])
        return successor, None if self.reward is None else self.reward[state, action, successor]


@flax.struct.dataclass
class FanoutTransitions:
    """At most K successors of each state and action: one sweep gathers S A K values.

    States are the last axis: then a sweep is K passes over long rows, several times as fast as S A sums of K terms.
    `x.T` of a field is `[S, A, K]`.

    Args:
      successor: int32 `[K, A, S]`; a successor may stand there twice, padding has probability zero.
      probability: `[K, A, S]`; sums over K are one.
      reward: `[K, A, S]`, of each successor, or None if it depends on state and action alone. Only playing reads it.
    """

    successor: jax.Array
    probability: jax.Array
    reward: jax.Array | None = None

    @property
    def num_terms(self) -> int:
        """Terms of each sum in `expected`."""
        return len(self.successor)

    def are_distributions(self) -> jax.Array:
        """Whether the row of each state and action is one of probabilities of states, bool `[S, A]`."""
        inside = (self.successor >= 0) & (self.successor < self.successor.shape[-1])
        right = (inside & (self.probability >= 0)).all(0) & sum_to_one(self.probability.sum(0), self.num_terms)
        return right.T

    def expected(self, values: jax.Array) -> jax.Array:
        """Σ p(k|s, a) v(s'_k) `[S, A]` of values `[S]`."""

        def add(total: jax.Array, term: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            successor, probability = term
            return total + probability * values.at[successor].get(mode="promise_in_bounds"), None

        start = jnp.zeros(self.successor.shape[1:], values.dtype)
        return jax.lax.scan(add, start, (self.successor, self.probability))[0].T

    def block(self, begin: jax.Array, size: int) -> "FanoutTransitions":
        """Transitions of the `size` states from `begin` on, into all states."""
        rows = (jax.lax.dynamic_slice_in_dim(x, begin, size, -1) for x in (self.successor, self.probability))
        return FanoutTransitions(*rows)

    def follow(self, policy: jax.Array) -> "FanoutTransitions":
        """Transitions of a policy `[S, A]`, with one action and A K successors."""
        successor = self.successor.reshape(-1, 1, len(policy))
        return FanoutTransitions(successor, (policy.T[None] * self.probability).reshape(successor.shape))

    def choose(self, action: jax.Array) -> "FanoutTransitions":
        """Transitions of one action int `[S]` in each state: still K successors."""
        rows = (jnp.take_along_axis(x, action[None, None], axis=1) for x in (self.successor, self.probability))
        return FanoutTransitions(*rows)

    def sample(self, key: jax.Array, state: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        """A successor int32 `[]`, and its reward if that depends on it. The key is consumed."""
        k = ops.sample_index(key, self.probability[:, action, state])
        return self.successor[k, action, state], None if self.reward is None else self.reward[k, action, state]


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

    def are_distributions(self) -> jax.Array:
        """Whether the events of each state and action have probabilities and lead to states, bool `[S, A]`."""

        def add(event: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            sums, right = carry
            outcome = self.outcomes(event)
            inside = (outcome.successor >= 0) & (outcome.successor < self.num_states)
            return sums + outcome.probability, right & inside & (outcome.probability >= 0)

        shape = (self.num_actions, self.num_states)
        sums, right = jax.lax.fori_loop(0, self.num_events, add, (jnp.zeros(shape), jnp.ones(shape, bool)))
        return (right & sum_to_one(sums, self.num_terms)).T

    def outcomes(self, event: jax.Array) -> Outcome:
        """Outcomes `[A, S]` of one event; under `jit` they are computed where they are used."""
        each_state = jax.vmap(self.outcome, (None, 0, None, None))
        each = jax.vmap(each_state, (None, None, 0, None))
        return each(self.params, jnp.arange(self.num_states), jnp.arange(self.num_actions), event)

    def all_outcomes(self) -> Outcome:
        """Outcomes `[E, A, S]` of all events."""
        return jax.vmap(self.outcomes)(jnp.arange(self.num_events))

    def expected(self, values: jax.Array) -> jax.Array:
        """Σ p(e|s, a) v(s'_e) `[S, A]` of values `[S]`."""

        def add(event: jax.Array, total: jax.Array) -> jax.Array:
            outcome = self.outcomes(event)
            next_values = values.at[outcome.successor].get(mode="promise_in_bounds")
            return total + outcome.probability.astype(values.dtype) * next_values

        start = jnp.zeros((self.num_actions, self.num_states), values.dtype)
        return jax.lax.fori_loop(0, self.num_events, add, start).T

    def block(self, begin: jax.Array, size: int) -> "FunctionalTransitions":
        """Transitions of the `size` states from `begin` on, into all states."""
        outcome = _ShiftedOutcome(self.outcome)
        return FunctionalTransitions(outcome, size, self.num_actions, self.num_events, (self.params, begin))

    def follow(self, policy: jax.Array) -> "FunctionalTransitions":
        """Transitions of a policy `[S, A]`, with one action and A E events."""
        events = self.num_actions * self.num_events
        outcome = _FollowedOutcome(self.outcome, self.num_events)
        return FunctionalTransitions(outcome, self.num_states, 1, events, (self.params, policy))

    def choose(self, action: jax.Array) -> "FunctionalTransitions":
        """Transitions of one action int `[S]` in each state: still E events."""
        outcome = _ChosenOutcome(self.outcome)
        return FunctionalTransitions(outcome, self.num_states, 1, self.num_events, (self.params, action))

    def sample(self, key: jax.Array, state: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        """A successor int32 `[]` and its reward. The key is consumed."""
        events = jnp.arange(self.num_events)
        outcomes = jax.vmap(self.outcome, (None, None, None, 0))(self.params, state, action, events)
        event = ops.sample_index(key, jnp.asarray(outcomes.probability, jnp.float32))
        return outcomes.successor[event], outcomes.reward[event]


@flax.struct.dataclass
class _ShiftedOutcome:
    """The outcomes of states from one on."""

    outcome: Callable[..., Outcome] = flax.struct.field(pytree_node=False)

    def __call__(self, params: Any, state: jax.Array, action: jax.Array, event: jax.Array) -> Outcome:
        inner, begin = params
        return self.outcome(inner, begin + state, action, event)


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
