"""Ordinary Gymnasium environments, stepped by Python: learners meet them through `explore` and `learn`."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import environment

from jaxrl.envs.adapters.legacy import as_space
from jaxrl.envs.vectorized import bounded_action
from jaxrl.types import Transition


class HostSpaces(environment.Environment):
    """The spaces of an environment that only the host can step; a learner takes it for its `env`.

    It resets to zeros, so that a learner's `init` finds observations of the right shape. Its rewards are NaN: nothing
    is to be learned from it. `jaxrl.train`, `run`, `fit` and `evaluate` refuse it.

    Args:
      name: of the environment.
      observation_space: gymnax space.
      action_space: gymnax space.

    Source: our own.
    """

    on_host = True
    """What tells it from environments that programs step."""

    def __init__(self, name: str, observation_space: Any, action_space: Any) -> None:
        self._name, self._observation_space, self._action_space = name, observation_space, action_space

    @property
    def name(self) -> str:
        """Of the environment on the host."""
        return self._name

    def observation_space(self, params: Any) -> Any:
        """Of the environment on the host."""
        return self._observation_space

    def action_space(self, params: Any = None) -> Any:
        """Of the environment on the host."""
        return self._action_space

    def reset_env(self, key: jax.Array, params: Any) -> tuple[jax.Array, environment.EnvState]:
        """Zeros."""
        space = self._observation_space
        time: Any = jnp.zeros((), jnp.int32)
        return jnp.zeros(space.shape, space.dtype), environment.EnvState(time=time)

    def step_env(self, key: jax.Array, state: environment.EnvState, action: Any, params: Any) -> tuple[Any, ...]:
        """Zeros again, no reward that is a number, and the end."""
        obs, _ = self.reset_env(key, params)
        return obs, environment.EnvState(time=state.time + 1), jnp.full((), jnp.nan), jnp.ones((), bool), {}


class GymnasiumBridge:
    """N copies of a Gymnasium environment, which Python steps; a context that closes them.

    For learners without a recurrent network: the host keeps no memory for `RecurrentPPO` and `RecurrentPQN`.

    Args:
      name: as for `gymnasium.make`.
      num_envs: N.
      **options: of `gymnasium.make`.

    Raises:
      ValueError: for a name or option that Gymnasium refuses, or less than one copy.
      TypeError: for spaces that are neither discrete nor boxes.

    Example:
      >>> with GymnasiumBridge("CartPole-v1", num_envs=2) as bridge:
      ...     obs = bridge.reset(seed=0)
      ...     transition, obs = bridge.step(obs, np.zeros(2, np.int32))
      >>> transition.reward.tolist()
      [1.0, 1.0]

    Source: Towers et al. (2024), Gymnasium, arXiv:2407.17032.
    """

    def __init__(self, name: str, num_envs: int, **options: Any) -> None:
        import gymnasium

        if num_envs < 1:
            raise ValueError(f"num_envs={num_envs} must be at least 1")
        try:
            # The same step gives the last observation and resets, as gymnax does.
            mode = gymnasium.vector.AutoresetMode.SAME_STEP
            self.envs = gymnasium.make_vec(
                name, num_envs, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **options
            )
        except (gymnasium.error.Error, TypeError) as error:  # an unknown option is the latter
            raise ValueError(f"env: Gymnasium cannot make {name!r} ({error})") from error
        self.num_envs = num_envs
        try:
            observation_space = as_space(self.envs.single_observation_space)
            action_space = as_space(self.envs.single_action_space)
        except TypeError:
            self.close()
            raise
        self.env = HostSpaces(name, observation_space, action_space)
        self.env_params = self.env.default_params
        self._bounded = jax.jit(functools.partial(bounded_action, action_space))

    def reset(self, seed: int) -> np.ndarray:
        """Begin episodes: observations `[N, ...]`."""
        return self._seen(self.envs.reset(seed=seed)[0])

    def step(self, obs: np.ndarray, action: Any) -> tuple[Transition, np.ndarray]:
        """Step all copies by actions `[N, ...]` as the policy sampled them.

        Returns the transition, and the observations to go on from. Those of an episode that ended are of the next one;
        the transition holds the true last ones.
        """
        after, reward, terminated, truncated, info = self.envs.step(np.asarray(self._bounded(action)))
        after = next_obs = self._seen(after)
        if "final_obs" in info:
            rows = zip(info["final_obs"], info["_final_obs"], after, strict=True)
            next_obs = self._seen(np.stack([last if ended else new for last, ended, new in rows]))
        arrays: dict[str, Any] = {
            "obs": obs,
            "action": np.asarray(action),
            "reward": np.asarray(reward, np.float32),
            "terminated": np.asarray(terminated, bool),
            "truncated": np.asarray(truncated, bool),
            "next_obs": next_obs,
            "log_prob": np.zeros(self.num_envs, np.float32),
        }
        return Transition(**arrays), after

    def _seen(self, obs: Any) -> np.ndarray:
        """Observations in the dtype that JAX has for theirs: float32 for float64."""
        return np.asarray(obs, self.env.observation_space(None).dtype)

    def __enter__(self) -> "GymnasiumBridge":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the environments."""
        self.envs.close()
