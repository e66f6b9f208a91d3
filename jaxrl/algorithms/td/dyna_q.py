"""Dyna-Q."""

import dataclasses
from typing import Any, ClassVar

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl import ops
from jaxrl.algorithms.td.model import Model, empty_model
from jaxrl.algorithms.td.steps import change, explore, init_table, learn_from_steps
from jaxrl.types import Metrics, Transition, leaf, static


@flax.struct.dataclass
class DynaQState:
    """A table of action values, a model of the world, and N environments."""

    q: jax.Array  # [S, A]
    model: Model
    obs: jax.Array  # int [N]
    env_state: Any
    episode: ops.EpisodeStatistics
    num_updates: jax.Array  # int32 []; schedules read it


@flax.struct.dataclass
class DynaQ:
    """Dyna-Q: Q-learning from each step, and from `num_plans` remembered ones drawn at random.

    The model remembers the last outcome of each pair: for worlds without chance.

    Args:
      env: gymnax environment with `Discrete` observations and actions.
      env_params: its parameters; a Markov decision process for `TabularEnvironment`.
      num_envs: N, environments stepped together on one table and one model.
      num_steps: T, steps of each environment per update.
      num_plans: remembered steps that follow each step.
      learning_rate: α.
      epsilon: ε, probability of a random action.
      anneal_updates: updates over which α and ε fall linearly to zero; inf keeps them.
      discount: γ, per step.
      q: starting point `[S, A]`; None starts at zero.

    Source: Sutton (1990), Integrated Architectures for Learning, Planning, and Reacting Based on Approximating Dynamic
    Programming; Sutton & Barto (2018), section 8.2.
    """

    env: Any = static()
    env_params: Any  # pyright: ignore[reportGeneralTypeIssues]  # `env` has no default either
    _: dataclasses.KW_ONLY
    num_envs: int = static(1, low=1)
    num_steps: int = static(100, low=1)
    num_plans: int = static(10, low=1)
    learning_rate: float = leaf(0.1, low=0, high=1, open_low=True)
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

    def init(self, key: jax.Array) -> DynaQState:
        """Reset the environments. The key is consumed."""
        table = init_table(self, key)
        return DynaQState(**vars(table), model=empty_model(table.q.shape))

    def act(self, state: DynaQState, obs: jax.Array, key: jax.Array) -> jax.Array:
        """The best actions `[B]` of states `[B]`, for evaluation."""
        return state.q[obs].argmax(-1)

    def rollout(self, state: DynaQState, key: jax.Array) -> tuple[DynaQState, Transition]:
        """One ε-greedy step of the N environments. The key is consumed."""
        return explore(self, state, state.q[state.obs], key)

    def learn(self, state: DynaQState, batch: Transition, key: jax.Array) -> tuple[DynaQState, Metrics]:
        """Update the table by a batch `[N]`, remember it, and plan. The key is consumed."""
        learning_rate = ops.annealed(self.learning_rate, state.num_updates, self.anneal_updates)
        model = state.model.remember(batch)
        known = jnp.broadcast_to(model.known.reshape(-1).astype(jnp.float32), (self.num_plans, model.known.size))
        plans = jax.vmap(model.recall)(ops.sample_index(key, known))

        def learn_from(q: jax.Array, transition: Transition) -> tuple[jax.Array, None]:
            return ops.q_learning_update(q, transition, learning_rate=learning_rate, discount=self.discount), None

        q, _ = learn_from(state.q, batch)
        q, _ = jax.lax.scan(learn_from, q, plans)
        return dataclasses.replace(state, q=q, model=model), change(q, state.q, (batch.obs, batch.action))

    def update(self, state: DynaQState, key: jax.Array) -> tuple[DynaQState, Metrics]:
        """`num_steps` steps, each followed by updates of the table. The key is consumed."""
        return learn_from_steps(self, state, key)
