"""Prioritized sweeping with a learned model."""

import dataclasses
from typing import Any, ClassVar

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl import ops
from jaxrl.algorithms.td.model import Model, empty_model
from jaxrl.algorithms.td.steps import explore, init_table, learn_from_steps
from jaxrl.types import Metrics, Transition, leaf, static


@flax.struct.dataclass
class PrioritizedSweepingState:
    """A table of action values, a model of the world, how urgent each pair is, and N environments."""

    q: jax.Array  # [S, A]
    model: Model
    priority: jax.Array  # [S, A]; zero: not in the queue
    obs: jax.Array  # int [N]
    env_state: Any
    episode: ops.EpisodeStatistics
    num_updates: jax.Array  # int32 []; schedules read it


@flax.struct.dataclass
class PrioritizedSweeping:
    """Prioritized sweeping: remembered steps are learned from in the order of how much they would change.

    The model remembers the last outcome of each pair: for worlds without chance. The queue is a table of priorities,
    its first element a maximum over S A pairs.

    Args:
      env: gymnax environment with `Discrete` observations and actions.
      env_params: its parameters; a Markov decision process for `TabularEnvironment`.
      num_envs: N, environments stepped together on one table and one model.
      num_steps: T, steps of each environment per update.
      num_plans: remembered steps that follow each step.
      threshold: θ, the smallest change that enters the queue.
      learning_rate: α.
      epsilon: ε, probability of a random action.
      anneal_updates: updates over which α and ε fall linearly to zero; inf keeps them.
      discount: γ, per step.
      q: starting point `[S, A]`; None starts at zero.

    Source: Moore & Atkeson (1993), Prioritized Sweeping: Reinforcement Learning with Less Data and Less Time; Sutton &
    Barto (2018), section 8.4.
    """

    env: Any = static()
    env_params: Any  # pyright: ignore[reportGeneralTypeIssues]  # `env` has no default either
    _: dataclasses.KW_ONLY
    num_envs: int = static(1, low=1)
    num_steps: int = static(100, low=1)
    num_plans: int = static(10, low=1)
    threshold: float = leaf(1e-4, low=0)
    learning_rate: float = leaf(0.5, low=0, high=1, open_low=True)
    epsilon: float = leaf(0.1, low=0, high=1)
    anneal_updates: float = leaf(jnp.inf, low=0, open_low=True)
    discount: float = leaf(0.99, low=0, high=1)
    q: jax.Array | None = None

    observation_spaces: ClassVar[tuple[str, ...]] = ("Discrete",)
    action_spaces: ClassVar[tuple[str, ...]] = ("Discrete",)

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one update; remembered ones do not count."""
        return self.num_envs * self.num_steps

    def init(self, key: jax.Array) -> PrioritizedSweepingState:
        """Reset the environments. The key is consumed."""
        table = init_table(self, key)
        model, priority = empty_model(table.q.shape), jnp.zeros_like(table.q)
        return PrioritizedSweepingState(**vars(table), model=model, priority=priority)

    def act(self, state: PrioritizedSweepingState, obs: jax.Array, key: jax.Array) -> jax.Array:
        """The best actions `[B]` of states `[B]`, for evaluation."""
        return state.q[obs].argmax(-1)

    def rollout(self, state: PrioritizedSweepingState, key: jax.Array) -> tuple[PrioritizedSweepingState, Transition]:
        """One ε-greedy step of the N environments. The key is consumed."""
        return explore(self, state, state.q[state.obs], key)

    def learn(
        self, state: PrioritizedSweepingState, batch: Transition, key: jax.Array
    ) -> tuple[PrioritizedSweepingState, Metrics]:
        """Remember a batch `[N]` and sweep the most urgent pairs. There is no randomness: the key is not used."""
        learning_rate = ops.annealed(self.learning_rate, state.num_updates, self.anneal_updates)
        model = state.model.remember(batch)

        def urgency(q: jax.Array) -> jax.Array:
            """|δ| of every remembered pair, zero below the threshold, `[S, A]`."""
            target = model.reward + self.discount * (1.0 - model.terminated) * q.max(-1)[model.next_state]
            error = jnp.abs(target - q)
            return jnp.where(model.known & (error > self.threshold), error, 0.0)

        def sweep(carry: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple[jax.Array, jax.Array], None]:
            q, priority = carry
            pair = priority.argmax()
            transition = model.recall(pair)
            learned = ops.q_learning_update(q, transition, learning_rate=learning_rate, discount=self.discount)
            q = jnp.where(priority.max() > 0, learned, q)
            priority = priority.reshape(-1).at[pair].set(0.0).reshape(priority.shape)
            leads_here = model.next_state == transition.obs
            return (q, jnp.where(leads_here, jnp.maximum(priority, urgency(q)), priority)), None

        index = (batch.obs, batch.action)
        priority = state.priority.at[index].max(urgency(state.q)[index])
        (q, priority), _ = jax.lax.scan(sweep, (state.q, priority), None, self.num_plans)
        state = dataclasses.replace(state, q=q, model=model, priority=priority)
        return state, {"queue": (priority > 0).sum(dtype=jnp.float32)}

    def update(self, state: PrioritizedSweepingState, key: jax.Array) -> tuple[PrioritizedSweepingState, Metrics]:
        """`num_steps` steps, each followed by updates of the table. The key is consumed."""
        return learn_from_steps(self, state, key)
