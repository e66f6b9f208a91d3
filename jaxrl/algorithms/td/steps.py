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
    return TabularState(
        q=envs.action_values(algorithm.env, algorithm.env_params, algorithm.q, shape),
        obs=obs,
        env_state=env_state,
        episode=ops.init_episodes(algorithm.num_envs),
        num_updates=jnp.zeros((), jnp.int32),
    )


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


def explore(algorithm: Any, state: Any, q: jax.Array, key: jax.Array) -> tuple[Any, Transition]:
    """Step the N environments ε-greedily by action values `[N, A]` of their states. The key is consumed."""
    action_key, step_key = jax.random.split(key)
    epsilon = ops.annealed(algorithm.epsilon, state.num_updates, algorithm.anneal_updates)
    return step(algorithm, state, ops.sample_index(action_key, ops.epsilon_greedy(q, epsilon)), step_key)


@flax.struct.dataclass
class NextActions:
    """What an on-policy learner does next, `[N]` each.

    Args:
      value: of the true successor, by `next_value`: what the target bootstraps from.
      greedy: whether the action that was drawn at the true successor is a best one.
      action: that action, or where an episode ended one for the first state of the next.
    """

    value: jax.Array
    greedy: jax.Array
    action: jax.Array


def next_actions(algorithm: Any, state: Any, batch: Transition, key: jax.Array) -> NextActions:
    """Draw the next actions ε-greedily after a batch `[N]`. The key is consumed."""
    epsilon = ops.annealed(algorithm.epsilon, state.num_updates, algorithm.anneal_updates)
    # Two draws: at the true successor for the target, and where the environment goes on, after a reset elsewhere.
    q = state.q[jnp.stack([batch.next_obs, state.obs])]
    probability = ops.epsilon_greedy(q, epsilon)
    target, first = ops.sample_index(key, probability)
    value = algorithm.next_value(q[0], probability[0], target)
    greedy = ops.sampled_value(q[0], probability[0], target) == q[0].max(-1)
    return NextActions(value, greedy, jnp.where(batch.done, first, target))


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
