"""The whole engine: a scan of `update`."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl.engine.check import check_traceable
from jaxrl.types import Algorithm, Metrics, State


@functools.partial(jax.jit, static_argnames="num_updates")
def run(
    algorithm: Algorithm[State], state: State, key: jax.Array, num_updates: int, start: int | jax.Array = 0
) -> tuple[State, Metrics]:
    """Make `num_updates` updates; update i gets the key `fold_in(key, start + i)`.

    `run(n)` and then `run(m, start=n)` equal `run(n + m)` bit for bit. The state is not donated: it stays yours.

    Args:
      algorithm: the algorithm.
      state: from `algorithm.init` or an earlier run.
      key: the run's key, the same for every piece of it.
      num_updates: number of updates, static.
      start: updates made before.

    Returns:
      The state after the last update, and metrics `[num_updates]`.

    Raises:
      TypeError: for an environment that Python steps, and for a task that Python judges.

    Example:
      >>> import jaxrl
      >>> q_learning = jaxrl.QLearning(*jaxrl.envs.make("CliffWalking"), num_envs=4, num_steps=8)
      >>> state, metrics = run(q_learning, q_learning.init(jax.random.key(0)), jax.random.key(1), 5)
      >>> metrics["episodes"].shape
      (5,)

    Source: our own.
    """
    check_traceable(algorithm)

    def body(state: State, index: jax.Array) -> tuple[State, Metrics]:
        return algorithm.update(state, update_key(key, index))

    return jax.lax.scan(body, state, jnp.asarray(start, jnp.int32) + jnp.arange(num_updates, dtype=jnp.int32))


@functools.partial(jax.jit, static_argnames="num_updates")
def train(algorithm: Algorithm[State], key: jax.Array, num_updates: int) -> tuple[State, Metrics]:
    """A whole training run as one pure function of a key: vmap it over keys or hyperparameters.

    Args:
      algorithm: the algorithm.
      key: consumed.
      num_updates: number of updates, static.

    Returns:
      The final state and metrics `[num_updates]`.

    Raises:
      TypeError: as `run`.

    Example:
      >>> import gymnax, jaxrl
      >>> ppo = jaxrl.PPO(*gymnax.make("CartPole-v1"), num_envs=4, num_steps=8, num_minibatches=2)
      >>> keys = jax.random.split(jax.random.key(0), 3)
      >>> states, metrics = jax.vmap(lambda key: jaxrl.train(ppo, key, 2))(keys)
      >>> metrics["loss"].shape
      (3, 2)

    Source: our own.
    """
    init_key, run_key = split_run_key(key)
    return run(algorithm, algorithm.init(init_key), run_key, num_updates)


def update_key(key: jax.Array, index: jax.Array) -> jax.Array:
    """The key of update `index` of a run: whatever piece of the run makes it, `run` or a chunk of `fit`."""
    return jax.random.fold_in(key, index)


def split_run_key(key: jax.Array) -> Any:
    """The keys of `init` and `run` in a training run: `train` and `fit` share them."""
    return jax.random.split(key)
