"""What the learners from replay share: the worlds they act in, what they remember of them, and the order of things."""

import dataclasses
import functools
import math
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl import buffers, envs, ops
from jaxrl.types import Metrics, Stage, Transition


@flax.struct.dataclass
class Memory:
    """Worlds `[N, ...]`, and the steps made in them."""

    obs: Any
    env_state: Any
    episode: ops.EpisodeStatistics
    replay: buffers.Replay


def begin(algorithm: Any, key: jax.Array, prioritized: bool = False) -> Memory:
    """Reset the environments, and remember `warmup` random steps of each. The key is consumed."""
    env, env_params = algorithm.env, algorithm.env_params
    env_key, warmup_key = jax.random.split(key)
    start = envs.reset(env, env_params, env_key, algorithm.num_envs)
    act = functools.partial(random_action, env.action_space(env_params))
    obs, env_state, batch = envs.rollout(env, env_params, act, *start, warmup_key, algorithm.warmup)
    replay = buffers.init_replay(jax.tree.map(lambda x: x[0], batch), algorithm.capacity, prioritized)
    # Episodes go on: what they have earned so far belongs to their returns.
    episode, _ = ops.episode_metrics(ops.init_episodes(algorithm.num_envs), batch.reward, batch.done)
    return Memory(obs, env_state, episode, buffers.add_all(replay, batch))


def check_sizes(algorithm: Any) -> None:
    """Refuse a replay that cannot hold the warm-up; what is not an integer is left to `jaxrl.check`.

    Raises:
      ValueError: naming the field.
    """
    sizes = (algorithm.capacity, algorithm.num_envs, algorithm.warmup)
    if not all(type(size) is int and size > 0 for size in sizes):
        return
    capacity, num_envs, warmup = sizes
    least = max(3, warmup + 1) * num_envs  # the observation after the last step has a row too
    if capacity < least:
        raise ValueError(f"capacity={capacity}: num_envs={num_envs} and warmup={warmup} need at least {least} rows")


def empty_replay(algorithm: Any, state: Any, example: Transition) -> buffers.Replay:
    """A replay like that of a state, for transitions like an example `[N, ...]`."""
    return buffers.init_replay(example, algorithm.capacity, state.memory.replay.tree is not None)


def random_action(space: Any, obs: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Uniform actions for observations `[N, ...]`, of [-1, 1] where they are continuous. The key is consumed."""
    num_envs = len(jax.tree.leaves(obs)[0])
    if hasattr(space, "n"):
        action = jax.random.randint(key, (num_envs,), 0, space.n)
    else:
        action = jax.random.uniform(key, (num_envs, math.prod(space.shape)), minval=-1.0, maxval=1.0)
    return action, jnp.zeros(num_envs)


def rollout(algorithm: Any, state: Any, key: jax.Array) -> tuple[Any, Transition]:
    """`train_every` steps of each environment, `[train_every, N, ...]`, not remembered yet. The key is consumed."""
    memory, act = state.memory, functools.partial(algorithm.explore, state)
    start = (memory.obs, memory.env_state)
    obs, env_state, batch = envs.rollout(algorithm.env, algorithm.env_params, act, *start, key, algorithm.train_every)
    return dataclasses.replace(state, memory=dataclasses.replace(memory, obs=obs, env_state=env_state)), batch


def remember(memory: Memory, batch: Transition) -> Memory:
    """Store a batch `[T, N, ...]`, whose steps continue those before them."""
    return dataclasses.replace(memory, replay=buffers.add_all(memory.replay, batch))


def draw(algorithm: Any, replay: buffers.Replay, key: jax.Array) -> buffers.Experience:
    """Experience `[B]`, each row as likely as any other. The key is consumed."""
    row = buffers.sample_rows(replay, key, algorithm.batch_size)
    return buffers.n_step(replay, row, algorithm.num_backup_steps, algorithm.discount)


def num_updates(algorithm: Any, state: Any) -> jax.Array:
    """Whole updates that a state has behind it, int32 `[]`: `learn` by hand counts as in `update`."""
    return state.num_learned // algorithm.num_steps


def update(algorithm: Any, state: Any, key: jax.Array) -> tuple[Any, Metrics]:
    """`num_steps` times `rollout` and `learn`. The key is consumed.

    Metrics are means over the gradient steps, and sums over the episodes that ended.
    """

    def one(state: Any, key: jax.Array) -> tuple[Any, tuple[Metrics, jax.Array, jax.Array]]:
        rollout_key, learn_key = jax.random.split(key)
        state, batch = algorithm.rollout(state, rollout_key)
        state, metrics = algorithm.learn(state, batch, learn_key)
        return state, (metrics, batch.reward, batch.done)

    state, (losses, reward, done) = jax.lax.scan(one, state, jax.random.split(key, algorithm.num_steps))
    reward, done = (x.reshape(-1, algorithm.num_envs) for x in (reward, done))
    episode, metrics = ops.episode_metrics(state.memory.episode, reward, done)
    memory = dataclasses.replace(state.memory, episode=episode)
    state = dataclasses.replace(state, memory=memory)
    return state, metrics | jax.tree.map(jnp.mean, losses)


def stages(algorithm: Any, state: Any, key: jax.Array) -> dict[str, Stage]:
    """Acting, and remembering, as often as an update does, for the profiler. The key is consumed."""
    rollout_key, act_key = jax.random.split(key)
    memory, turns = state.memory, algorithm.num_steps
    _, batch = rollout(algorithm, state, rollout_key)
    begin, times = (memory.obs, memory.env_state), algorithm.train_every
    acting = envs.acting_stages(algorithm, state, begin, act_key, times, turns)
    return acting | {"remember": Stage(remember, (memory, batch), turns, carry=0, within="learn")}
