"""Observations that say which actions are allowed."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from gymnax.environments import spaces

from jaxrl.envs.wrappers.base import Wrapper
from jaxrl.envs.wrappers.observations import flattened


class MaskActions(Wrapper):
    """Observations as dicts of `obs` and `action_mask`, bool `[A]`, True where allowed: what default policies read.

    Without `mask` the environment's own observations have a part `action_mask`, as Jumanji's; all other parts then make
    the vector `obs`, float32 `[D]`. With it, observations stay as they are.

    Args:
      env: gymnax environment (six values from `step`).
      mask: function of (state, parameters) that gives the mask; `envs.allowed_actions` for an `MDP`.

    Raises:
      TypeError: without `mask`, for an observation without `action_mask`, at the first reset.

    Example:
      >>> import jaxrl
      >>> env, env_params = jaxrl.envs.make("Catch-bsuite")
      >>> def walls(state, env_params):
      ...     return jnp.stack([state.paddle_x > 0, True, state.paddle_x < 4])
      >>> obs, _ = MaskActions(env, walls).reset(jax.random.key(0), env_params)
      >>> obs["obs"].shape, obs["action_mask"].tolist()
      ((10, 5), [True, True, True])

    Source: our own; the mask as in Huang & Ontañón (2022), A Closer Look at Invalid Action Masking in Policy Gradient
    Algorithms, arXiv:2006.14171.
    """

    def __init__(self, env: Any, mask: Callable[[Any, Any], jax.Array] | None = None) -> None:
        super().__init__(env)
        self.mask = mask

    def observation_space(self, params: Any) -> Any:
        """A `Dict` of the two."""
        obs, _ = jax.eval_shape(self.reset, jax.random.key(0), params)
        mask: Any = spaces.Box(0, 1, obs["action_mask"].shape, jnp.dtype(bool))
        if self.mask is not None:
            return spaces.Dict({"obs": self.env.observation_space(params), "action_mask": mask})
        return spaces.Dict({"obs": spaces.Box(-jnp.inf, jnp.inf, obs["obs"].shape, jnp.float32), "action_mask": mask})

    def reset_env(self, key: jax.Array, params: Any) -> tuple[dict[str, Any], Any]:
        """Begin an episode."""
        obs, state = self.env.reset_env(key, params)
        return self._masked(obs, state, params), state

    def step_env(self, key: jax.Array, state: Any, action: Any, params: Any) -> tuple[Any, ...]:
        """One step, without reset and time limit."""
        obs, state, *rest = self.env.step_env(key, state, action, params)
        return (self._masked(obs, state, params), state, *rest)

    def _masked(self, obs: Any, state: Any, params: Any) -> dict[str, Any]:
        if self.mask is not None:
            return {"obs": obs, "action_mask": jnp.asarray(self.mask(state, params), bool)}
        parts = dict(obs._asdict() if hasattr(obs, "_asdict") else obs if isinstance(obs, dict) else {})
        if "action_mask" not in parts:
            raise TypeError(f"env: observations of {self.name} have no part action_mask; pass a function as mask")
        return {"action_mask": jnp.asarray(parts.pop("action_mask"), bool), "obs": flattened(parts)}
