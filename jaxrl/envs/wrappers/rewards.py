"""Other rewards, and sums of them."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl.envs.wrappers.base import Wrapper


class ClipReward(Wrapper):
    """Rewards within bounds.

    Args:
      env: gymnax environment (six values from `step`).
      low: smallest reward.
      high: largest reward.

    Raises:
      ValueError: unless low is below high.

    Example:
      >>> import jaxrl
      >>> env, env_params = jaxrl.envs.make("Pendulum-v1")
      >>> env = ClipReward(env, -1.0, 1.0)
      >>> _, state = env.reset(jax.random.key(0), env_params)
      >>> float(env.step(jax.random.key(1), state, jnp.zeros(1), env_params)[2]) >= -1.0
      True

    Source: Mnih et al. (2015), Human-level Control through Deep Reinforcement Learning, methods.
    """

    def __init__(self, env: Any, low: float = -1.0, high: float = 1.0) -> None:
        super().__init__(env)
        if not low < high:
            raise ValueError(f"low={low}, high={high}: must be a range")
        self.low, self.high = low, high

    def step_env(self, key: jax.Array, state: Any, action: Any, params: Any) -> tuple[Any, ...]:
        """One step, without reset and time limit."""
        obs, state, reward, *rest = self.env.step_env(key, state, action, params)
        return (obs, state, jnp.clip(reward, self.low, self.high), *rest)


@flax.struct.dataclass
class RecordedState:
    """The state inside, and the episode's return and length so far."""

    inner: Any
    return_: jax.Array
    length: jax.Array

    @property
    def time(self) -> jax.Array:
        """Steps made."""
        return self.inner.time


class RecordEpisode(Wrapper):
    """Return and length of the episode so far, as `episode_return` and `episode_length` of a step's `info`.

    At the last step of an episode they are those of the whole. The learners here keep such sums themselves; this is for
    loops of your own.

    Example:
      >>> import jaxrl
      >>> env, env_params = jaxrl.envs.make("CartPole-v1")
      >>> env = RecordEpisode(env)
      >>> _, state = env.reset(jax.random.key(0), env_params)
      >>> info = env.step(jax.random.key(1), state, 1, env_params)[-1]
      >>> float(info["episode_return"]), int(info["episode_length"])
      (1.0, 1)

    Source: our own.
    """

    def reset_env(self, key: jax.Array, params: Any) -> tuple[Any, RecordedState]:
        """Begin an episode."""
        obs, inner = self.env.reset_env(key, params)
        return obs, RecordedState(inner, jnp.zeros(()), jnp.zeros((), jnp.int32))

    def step_env(self, key: jax.Array, state: RecordedState, action: Any, params: Any) -> tuple[Any, ...]:
        """One step, without reset and time limit."""
        obs, inner, reward, terminated, info = self.env.step_env(key, state.inner, action, params)
        state = RecordedState(inner, state.return_ + jnp.asarray(reward, jnp.float32).reshape(()), state.length + 1)
        info = {**info, "episode_return": state.return_, "episode_length": state.length}
        return obs, state, reward, terminated, info

    def is_truncated(self, state: RecordedState, params: Any) -> jax.Array:
        """By the environment inside."""
        return self.env.is_truncated(state.inner, params)
