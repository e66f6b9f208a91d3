"""What the learners that learn from every step share: their state, and the loop of one update."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl import envs, ops
from jaxrl.types import Metrics, Transition


@flax.struct.dataclass
class TabularState:
    """A table of action values and N environments.

    Args:
      q: `[S, A]`.
      obs: int `[N]`, states of the environments.
      env_state: `[N, ...]`.
      episode: `[N]`, returns and lengths so far.
      num_updates: int32 `[]`; schedules read it.
    """

    q: jax.Array
    obs: jax.Array
    env_state: Any
    episode: ops.EpisodeStatistics
    num_updates: jax.Array


def init_table(algorithm: Any, key: jax.Array, shape: tuple[int, ...] = ()) -> TabularState:
    """Reset the environments; a table `[*shape, S, A]` of zeros, or a copy of the one that is given."""
    obs, env_state = envs.reset(algorithm.env, algorithm.env_params, key, algorithm.num_envs)
    start, given = envs.action_values(algorithm.env, algorithm.env_params), algorithm.q
    q = jnp.broadcast_to(start, (*shape, *start.shape)) if given is None else jnp.array(given, jnp.float32)
    return TabularState(
        q=q,
        obs=obs,
        env_state=env_state,
        episode=ops.init_episodes(algorithm.num_envs),
        num_updates=jnp.zeros((), jnp.int32),
    )


def annealed(value: jax.Array | float, num_updates: jax.Array, horizon: jax.Array | float) -> jax.Array:
    """A value that falls linearly to zero over `horizon` updates."""
    return value * jnp.maximum(1.0 - num_updates / horizon, 0.0)


def change(after: jax.Array, before: jax.Array, index: tuple[jax.Array, ...]) -> Metrics:
    """Mean change of the entries that a batch visited."""
    return {"change": jnp.abs(after[index] - before[index]).mean()}


def step(algorithm: Any, state: Any, action: jax.Array, key: jax.Array) -> tuple[Any, Transition]:
    """Step the N environments with given actions `[N]`. The key is consumed."""
    keys = jax.random.split(key, algorithm.num_envs)
    obs, env_state, transition = envs.step(
        algorithm.env, algorithm.env_params, keys, state.obs, state.env_state, action
    )
    return dataclasses.replace(state, obs=obs, env_state=env_state), transition


def learn_from_steps(algorithm: Any, state: Any, key: jax.Array) -> tuple[Any, Metrics]:
    """`num_steps` times one rollout of a step and what is learned from it: the update of all these learners."""

    def body(state: Any, keys: jax.Array) -> tuple[Any, tuple[jax.Array, jax.Array, Metrics]]:
        state, batch = algorithm.rollout(state, keys[0])
        state, metrics = algorithm.learn(state, batch, keys[1])
        return state, (batch.reward, batch.done, metrics)

    keys = jax.random.split(key, (algorithm.num_steps, 2))
    state, (reward, done, metrics) = jax.lax.scan(body, state, keys)
    episode, episodes = ops.episode_metrics(state.episode, reward, done)
    state = dataclasses.replace(state, episode=episode, num_updates=state.num_updates + 1)
    return state, episodes | jax.tree.map(jnp.mean, metrics)
