"""Markov decision processes: one vocabulary for all kinds of transitions.

`q_values(values, discount)` is all that a solver asks for; `follow(policy)` gives the process of a policy, which is a
Markov decision process with one action, so that evaluating a policy is solving it. An episode ends on entering a
terminal state: nothing follows, nothing is earned.
"""

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl import ops
from jaxrl.envs.refusals import ROW_TOLERANCE, check_policy, counts
from jaxrl.envs.transitions import DenseTransitions, FanoutTransitions, FunctionalTransitions


@flax.struct.dataclass
class MDP:
    """A Markov decision process with expected rewards.

    Solvers read the first four fields; `TabularEnvironment` plays it and reads the others too.

    Args:
      transitions: `DenseTransitions`, `FanoutTransitions` or `FunctionalTransitions`.
      reward: `[S, A]`, expected reward of an action.
      terminal: bool `[S]`, or None if no episode ever ends.
      allowed: bool `[S, A]`, or None if every action is allowed everywhere; at terminal states all are.
      start: `[S]`, probabilities of an episode's first state; None: all states that are not terminal alike.
      reward_noise: `[S, A]`, standard deviation of normal noise on each reward; None: no noise.
      reward_error: `[]`, bound of what rounding has done to the rewards where they are sums of larger ones; None: they
        are rounded once.
      max_steps_in_episode: time limit of an episode.

    Source: Puterman (1994), Markov Decision Processes, section 2.1.
    """

    transitions: DenseTransitions | FanoutTransitions | FunctionalTransitions
    reward: jax.Array
    terminal: jax.Array | None = None
    allowed: jax.Array | None = None
    start: jax.Array | None = None
    reward_noise: jax.Array | None = None
    reward_error: jax.Array | None = None
    max_steps_in_episode: int = flax.struct.field(pytree_node=False, default=1000)

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

    def are_distributions(self) -> jax.Array:
        """Whether a row is one of probabilities of states, bool `[S, A]`; true where none counts."""
        counted = counts(self.reward.shape, self.terminal, self.allowed)
        return self.transitions.are_distributions() | ~counted

    def rounding_error(self, q: jax.Array, values: jax.Array) -> jax.Array:
        """Bound `[]` of the error of every element of `q = q_values(values, discount)`, as `ops.rounding_error`."""
        error = ops.rounding_error(q, values, self.transitions.num_terms)
        return error if self.reward_error is None else error + self.reward_error

    @property
    def start_probability(self) -> jax.Array:
        """Probabilities `[S]` of an episode's first state."""
        if self.start is not None:
            return self.start
        alive = jnp.ones(self.num_states) if self.terminal is None else 1.0 - self.terminal
        return alive / alive.sum()

    def first_values(self, given: jax.Array | None) -> jax.Array:
        """Values `[S]` to begin with: zero, or a copy of the given ones; zero at terminal states.

        Raises:
          ValueError: for values of another shape.
        """
        if given is not None and jnp.shape(given) != (self.num_states,):
            raise ValueError(f"values: must be [{self.num_states}], one for each state, not {jnp.shape(given)}")
        values = jnp.zeros(self.num_states, self.reward.dtype) if given is None else jnp.array(given, self.reward.dtype)
        return values if self.terminal is None else jnp.where(self.terminal, 0.0, values)

    def block(self, begin: jax.Array, size: int) -> "MDP":
        """The rows of the `size` states from `begin` on: `q_values` of all values gives `[size, A]`."""
        masks = [
            None if x is None else jax.lax.dynamic_slice_in_dim(x, begin, size)
            for x in (self.reward, self.terminal, self.allowed)
        ]
        return MDP(self.transitions.block(begin, size), *masks)  # pyright: ignore[reportArgumentType]

    def follow(self, policy: jax.Array) -> "MDP":
        """The process of a policy, with one action, for solvers.

        A policy is actions int `[S]`, or probabilities `[S, A]`, which are divided by their sums. To play by a policy
        take `jaxrl.envs.follow`, whose rewards are those of the actions, not their means.

        Raises:
          ValueError: for another shape and for actions that are no integers; for a state whose action is not allowed or
            whose probabilities do not sum to one, whose reward is NaN instead under `jit`.
        """
        policy = jnp.asarray(policy)
        check_policy("policy", policy, self.reward.shape, self.allowed, self.terminal)
        if policy.ndim == 1:
            reward = jnp.take_along_axis(self.reward, policy[:, None], axis=1)
            right = (policy >= 0) & (policy < self.num_actions)
            if self.allowed is not None:
                right &= jnp.take_along_axis(self.allowed, policy[:, None], axis=1)[:, 0]
            transitions, reward_error = self.transitions.choose(policy), self.reward_error
        else:
            policy = policy.astype(self.reward.dtype)
            sums = policy.sum(-1, keepdims=True)
            right = (policy >= 0).all(-1) & (jnp.abs(sums[:, 0] - 1) < ROW_TOLERANCE)
            if self.allowed is not None:
                right &= (self.allowed | (policy == 0)).all(-1)
            policy = policy / jnp.where(sums > 0, sums, 1.0)
            reward = (policy * self.reward).sum(-1, keepdims=True)
            largest = (policy * jnp.abs(self.reward)).sum(-1).max()
            # Sums round as often as they have terms: those of the probabilities, which divide, and those of rewards.
            reward_error = ops.sum_error(largest, 2 * self.num_actions + 3)
            reward_error = reward_error if self.reward_error is None else reward_error + self.reward_error
            transitions = self.transitions.follow(policy)
        if self.terminal is not None:
            right |= self.terminal
        reward = jnp.where(right[:, None], reward, jnp.nan)
        return MDP(transitions, reward, self.terminal, reward_error=reward_error)
