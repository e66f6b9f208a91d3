"""Who plays in evaluations: trained actors as plain weights, one judge of all libraries; learners, and chance."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

import jaxrl
from jaxrl.algorithms.replaying import random_action

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh}


@flax.struct.dataclass
class GreedyActor:
    """A network that takes the action of the largest output, or the tanh of all; its state is the list of layers."""

    env_params: Any
    env: Any = jaxrl.static()
    activation: Any = jaxrl.static(jnp.tanh)

    def act(self, state: list[dict[str, jax.Array]], obs: jax.Array, key: jax.Array) -> jax.Array:
        """Actions `[B]` of observations `[B, ...]`."""
        del key
        x = obs.reshape(len(obs), -1)
        *hidden, last = state
        for layer in hidden:
            x = x @ layer["kernel"] + layer["bias"][None]
            if "scale" in layer:  # layer normalization
                x = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6)
                x = x * layer["scale"][None] + layer["offset"][None]
            x = self.activation(x)
        x = x @ last["kernel"] + last["bias"][None]
        if hasattr(self.env.action_space(self.env_params), "n"):
            return jnp.argmax(x, axis=-1).astype(jnp.int32)
        return jnp.tanh(x)


@flax.struct.dataclass
class SampledActor:
    """The policy of a learner as it is in training, whose actions are sampled."""

    algorithm: Any

    @property
    def env(self) -> Any:
        """Of the learner."""
        return self.algorithm.env

    @property
    def env_params(self) -> Any:
        """Of the learner."""
        return self.algorithm.env_params

    def act(self, state: Any, obs: Any, key: jax.Array) -> jax.Array:
        """Actions `[B]` or `[B, A]` of observations `[B, ...]`."""
        return self.algorithm.explore(state, obs, key)[0]


@flax.struct.dataclass
class RandomActor:
    """Uniformly random actions, of those that are allowed where the environment says which; any state is its own."""

    env_params: Any
    env: Any = jaxrl.static()

    def act(self, state: Any, obs: Any, key: jax.Array) -> jax.Array:
        """Actions `[B]` or `[B, A]` for observations `[B, ...]`."""
        del state
        if isinstance(obs, dict):
            logits = jnp.where(obs["action_mask"], 0.0, -jnp.inf)
            return jax.random.categorical(key, logits).astype(jnp.int32)
        return random_action(self.env.action_space(self.env_params), obs, key)[0]


def play(
    policies: list[list[dict[str, Any]]], env_name: str, num_episodes: int = 100, activation: str = "tanh"
) -> np.ndarray:
    """Play every policy from the same starts.

    Args:
      policies: K lists of layers `{"kernel": [in, out], "bias": [out]}`, all of the same shapes, with `scale` and
        `offset` where a layer's output is normalized.
      env_name: gymnax environment with a time limit.
      num_episodes: E.
      activation: of the hidden layers, a key of `ACTIVATIONS`.

    Returns:
      `[K, E]` returns of whole episodes.
    """
    env, env_params = jaxrl.envs.make(env_name)
    actor = GreedyActor(env_params, env, ACTIVATIONS[activation])
    arrays = [[{k: np.asarray(v, np.float32) for k, v in layer.items()} for layer in p] for p in policies]
    stacked = jax.tree.map(lambda *xs: jnp.stack(xs), *arrays)
    key = jax.random.key(20_000)
    episodes = jax.vmap(lambda state: jaxrl.evaluate(actor, state, key, num_episodes))(stacked)
    if not np.all(episodes.finished):
        raise RuntimeError(f"{env_name} cut an episode before its end: its return would be a part of the truth")
    return np.asarray(episodes.returns)
