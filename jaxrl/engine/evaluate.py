"""Evaluation of whole episodes."""

import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl import envs
from jaxrl.engine.acting import act, initial_memory
from jaxrl.engine.check import check_traceable


@flax.struct.dataclass
class Evaluation:
    """Episodes of an evaluation, `[num_episodes]` each; those cut at `max_steps` are not `finished`."""

    returns: jax.Array
    """float32, undiscounted sum of rewards."""
    lengths: jax.Array
    """int32, steps."""
    finished: jax.Array
    """bool; False: the return is that of a part of the episode, do not average it silently."""


@functools.partial(jax.jit, static_argnames="num_episodes")
def evaluate(
    algorithm: Any, state: Any, key: jax.Array, num_episodes: int = 16, max_steps: int | None = None
) -> Evaluation:
    """Play exactly one episode in each of `num_episodes` environments, with `algorithm.act`.

    The first episode of each, whole: no bias towards short ones.

    Args:
      algorithm: with `env`, `env_params` and `act`.
      state: of the algorithm.
      key: consumed.
      num_episodes: number of episodes, static.
      max_steps: bound of an episode's length; None takes the environment's own time limit.

    Returns:
      The episodes.

    Raises:
      TypeError: if the algorithm has no `act`, or Python steps its environment.

    Example:
      >>> import jaxrl
      >>> ppo = jaxrl.PPO(*jaxrl.envs.make("CartPole-v1"), num_envs=4, num_steps=8, num_minibatches=2)
      >>> episodes = evaluate(ppo, ppo.init(jax.random.key(0)), jax.random.key(1), num_episodes=3)
      >>> bool(episodes.finished.all()), bool((episodes.returns == episodes.lengths).all())
      (True, True)

    Source: our own.
    """
    check_traceable(algorithm)
    if not hasattr(algorithm, "act"):
        raise TypeError(f"algorithm: {type(algorithm).__name__} has no method act to evaluate with")
    reset_key, steps_key = jax.random.split(key)
    env, env_params = algorithm.env, algorithm.env_params
    obs, env_state = envs.reset(env, env_params, reset_key, num_episodes)
    if max_steps is None:
        max_steps = env_params.max_steps_in_episode

    def unfinished(carry: tuple[Any, ...]) -> jax.Array:
        time, *_, episodes = carry
        return (time < max_steps) & ~jnp.all(episodes.finished)

    def step(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        time, obs, env_state, memory, episodes = carry
        act_key, env_key = jax.random.split(jax.random.fold_in(steps_key, time))
        env_keys = jax.random.split(env_key, num_episodes)
        action, memory = act(algorithm, state, obs, act_key, memory)
        obs, env_state, transition = envs.step(env, env_params, env_keys, obs, env_state, action, resets=False)
        playing = ~episodes.finished
        episodes = Evaluation(
            returns=episodes.returns + jnp.where(playing, transition.reward, 0.0),
            lengths=episodes.lengths + playing,
            finished=episodes.finished | transition.done,
        )
        return time + 1, obs, env_state, memory, episodes

    episodes = Evaluation(
        returns=jnp.zeros(num_episodes),
        lengths=jnp.zeros(num_episodes, jnp.int32),
        finished=jnp.zeros(num_episodes, bool),
    )
    start = (jnp.zeros((), jnp.int32), obs, env_state, initial_memory(algorithm, num_episodes), episodes)
    return jax.lax.while_loop(unfinished, step, start)[-1]
