"""One judge for all libraries: trained actors as plain weights, played greedily in the same environments."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

import jaxrl


@flax.struct.dataclass
class GreedyActor:
    """A tanh network that takes the action of the largest logit; its state is the list of layers."""

    env_params: Any
    env: Any = jaxrl.static()

    def act(self, state: list[dict[str, jax.Array]], obs: jax.Array, key: jax.Array) -> jax.Array:
        """Actions `[B]` of observations `[B, ...]`."""
        del key
        x = obs.reshape(len(obs), -1)
        *hidden, last = state
        for layer in hidden:
            x = jnp.tanh(x @ layer["kernel"] + layer["bias"][None])
        return jnp.argmax(x @ last["kernel"] + last["bias"][None], axis=-1).astype(jnp.int32)


def play(policies: list[list[dict[str, Any]]], env_name: str, num_episodes: int = 100) -> np.ndarray:
    """Play every policy from the same starts.

    Args:
      policies: K lists of layers `{"kernel": [in, out], "bias": [out]}`, all of the same shapes.
      env_name: gymnax environment with discrete actions and a time limit.
      num_episodes: E.

    Returns:
      `[K, E]` returns of whole episodes.
    """
    env, env_params = jaxrl.envs.make(env_name)
    actor = GreedyActor(env_params, env)
    arrays = [[{k: np.asarray(v, np.float32) for k, v in layer.items()} for layer in p] for p in policies]
    stacked = jax.tree.map(lambda *xs: jnp.stack(xs), *arrays)
    key = jax.random.key(20_000)
    episodes = jax.vmap(lambda state: jaxrl.evaluate(actor, state, key, num_episodes))(stacked)
    if not np.all(episodes.finished):
        raise RuntimeError(f"{env_name} cut an episode before its end: its return would be a part of the truth")
    return np.asarray(episodes.returns)
