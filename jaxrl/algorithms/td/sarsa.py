"""Sarsa, of one step or several, sampled or expected."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl import ops
from jaxrl.algorithms.td.steps import change, init_table, learn_from_steps, next_actions, step
from jaxrl.types import Metrics, Transition, leaf, static


@flax.struct.dataclass
class Window:
    """The last steps of N environments, `[n, N]`, the newest last; those that have been learned from are not `due`."""

    obs: jax.Array
    action: jax.Array
    reward: jax.Array
    discount: jax.Array
    due: jax.Array


@flax.struct.dataclass
class SarsaState:
    """A table of action values, N environments, the actions that they take next, and their last steps."""

    q: jax.Array  # [S, A]
    obs: jax.Array  # int [N]
    env_state: Any
    action: jax.Array  # int32 [N]
    window: Window
    episode: ops.EpisodeStatistics
    num_updates: jax.Array  # int32 []; schedules read it


@flax.struct.dataclass
class Sarsa:
    """Sarsa: q(s, a) ← q(s, a) + α [G - q(s, a)] with G = r + … + γⁿ q(s', a') n steps later, ε-greedy on policy.

    The action a' is drawn where the step really led; where an episode ends, the next one begins with another draw. The
    end of an episode makes all steps of the window due, by a shorter G.

    n-step Sarsa: `num_backup_steps`. Expected Sarsa: `next_value=ops.expected_value`. On an environment of
    `jaxrl.envs.follow`, which has one action, `q[:, 0]` is the value of a given policy, learned by TD(0) or n-step TD.

    Args:
      env: gymnax environment with `Discrete` observations and actions.
      env_params: its parameters; a Markov decision process for `TabularEnvironment`.
      next_value: function of (q `[N, A]` of the successor, probabilities `[N, A]`, the drawn action `[N]`) from
        `jaxrl.ops`: `sampled_value` or `expected_value`.
      num_envs: N, environments stepped together on one table.
      num_steps: T, steps of each environment per update; the table is updated after each.
      num_backup_steps: n, rewards of a target.
      learning_rate: α.
      epsilon: ε, probability of a random action.
      anneal_updates: updates over which α and ε fall linearly to zero; inf keeps them.
      discount: γ, per step.
      q: starting point `[S, A]`; None starts at zero.

    Example:
      >>> import jaxrl
      >>> env, mdp = jaxrl.envs.make("RandomWalk")
      >>> state, metrics = jaxrl.train(jaxrl.Sarsa(env, mdp, num_backup_steps=4, discount=1.0), jax.random.key(0), 20)
      >>> bool(state.q[1, 0] < state.q[5, 0])  # one action: this is 4-step TD of the walk's values
      True

    Source: Sutton & Barto (2018), Reinforcement Learning, sections 6.4, 6.6, 7.1 and 7.2; van Seijen et al. (2009).
    """

    env: Any = static()
    env_params: Any  # pyright: ignore[reportGeneralTypeIssues]  # `env` has no default either
    _: dataclasses.KW_ONLY
    next_value: Callable[..., jax.Array] = static(ops.sampled_value)
    num_envs: int = static(1, low=1)
    num_steps: int = static(100, low=1)
    num_backup_steps: int = static(1, low=1)
    learning_rate: float = leaf(0.1, low=0, high=1, open_low=True)
    epsilon: float = leaf(0.1, low=0, high=1)
    anneal_updates: float = leaf(jnp.inf, low=0, open_low=True)
    discount: float = leaf(0.99, low=0, high=1)
    q: jax.Array | None = None

    observation_spaces: ClassVar[tuple[str, ...]] = ("Discrete",)
    action_spaces: ClassVar[tuple[str, ...]] = ("Discrete",)

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one update."""
        return self.num_envs * self.num_steps

    def init(self, key: jax.Array) -> SarsaState:
        """Reset the environments and draw their first actions. The key is consumed."""
        env_key, action_key = jax.random.split(key)
        table = init_table(self, env_key)
        shape = (self.num_backup_steps, self.num_envs)
        window = Window(
            obs=jnp.zeros(shape, table.obs.dtype),
            action=jnp.zeros(shape, jnp.int32),
            reward=jnp.zeros(shape),
            discount=jnp.zeros(shape),
            due=jnp.zeros(shape, bool),
        )
        action = ops.sample_index(action_key, ops.epsilon_greedy(table.q[table.obs], self.epsilon))
        return SarsaState(**vars(table), action=action, window=window)

    def act(self, state: SarsaState, obs: jax.Array, key: jax.Array) -> jax.Array:
        """The best actions `[B]` of states `[B]`, for evaluation."""
        return state.q[obs].argmax(-1)

    def rollout(self, state: SarsaState, key: jax.Array) -> tuple[SarsaState, Transition]:
        """One step of the N environments with the actions drawn before. The key is consumed."""
        return step(self, state, state.action, key)

    def learn(self, state: SarsaState, batch: Transition, key: jax.Array) -> tuple[SarsaState, Metrics]:
        """Draw the next actions, and update the table at what is due after a batch `[N]`. The key is consumed."""
        learning_rate = ops.annealed(self.learning_rate, state.num_updates, self.anneal_updates)
        following = next_actions(self, state, batch, key)
        newest = Window(
            batch.obs, batch.action, batch.reward, self.discount * (1.0 - batch.terminated), jnp.ones_like(batch.done)
        )
        window = jax.tree.map(lambda old, new: jnp.concatenate([old[1:], new[None]]), state.window, newest)
        every = jnp.ones_like(window.reward)  # λ = 1: only the newest step is followed by a value
        returns = ops.lambda_returns(window.reward, window.discount, following.value[None] * every, every)
        now = window.due & (batch.done[None] | (jnp.arange(self.num_backup_steps) == 0)[:, None])
        q = ops.table_update(state.q, (window.obs, window.action), returns, learning_rate, now)

        window = dataclasses.replace(window, due=window.due & ~now)
        metrics = change(q, state.q, (batch.obs, batch.action))
        return dataclasses.replace(state, q=q, window=window, action=following.action), metrics

    def update(self, state: SarsaState, key: jax.Array) -> tuple[SarsaState, Metrics]:
        """`num_steps` steps, each followed by an update of the table. The key is consumed."""
        return learn_from_steps(self, state, key)
