"""Networks for continuous actions in [-1, 1]: actors, and critics of observation and action."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.networks.heads import Head
from jaxrl.networks.torsos import MLP, Flatten
from jaxrl.ops.distributions import SquashedGaussian


class DeterministicActor(nn.Module):
    """One action for an observation: `[B, ...]` to `[B, A]` in [-1, 1].

    Args:
      num_actions: A, dimensions of an action.
      torso: observations `[B, ...]` to features `[B, D]`.

    Example:
      >>> DeterministicActor(2, MLP((8,))).init_with_output(jax.random.key(0), jnp.zeros((5, 3)))[0].shape
      (5, 2)

    Source: Lillicrap et al. (2016), Continuous Control with Deep Reinforcement Learning, section 7, arXiv:1509.02971.
    """

    num_actions: int
    torso: nn.Module

    @nn.compact
    def __call__(self, obs: Any) -> jax.Array:
        """Return `[B, A]`."""
        return jnp.tanh(Head(self.num_actions, name="policy")(self.torso(obs)))


class SquashedActor(nn.Module):
    """A `SquashedGaussian` of actions for an observation `[B, ...]`.

    Args:
      num_actions: A, dimensions of an action.
      torso: observations `[B, ...]` to features `[B, D]`.
      log_std_range: the logarithm of the standard deviation stays between.

    Example:
      >>> policy, _ = SquashedActor(2, MLP((8,))).init_with_output(jax.random.key(0), jnp.zeros((5, 3)))
      >>> policy.mean.shape
      (5, 2)

    Source: Haarnoja et al. (2018), Soft Actor-Critic, appendix C, arXiv:1801.01290; the smooth bound is our own.
    """

    num_actions: int
    torso: nn.Module
    log_std_range: tuple[float, float] = (-5.0, 2.0)

    @nn.compact
    def __call__(self, obs: Any) -> SquashedGaussian:
        """Return the distribution of `[B, A]`."""
        features = self.torso(obs)
        low, high = self.log_std_range
        if not low < 0.0 < high:
            raise ValueError(f"log_std_range={self.log_std_range} must lie around 0, the logarithm to begin with")
        offset = np.log(-high / low)  # of a deviation of one to begin with
        spread = nn.sigmoid(Head(self.num_actions, name="log_std")(features) - offset)
        return SquashedGaussian(Head(self.num_actions, name="policy")(features), low + (high - low) * spread)


class Critics(nn.Module):
    """Several values of an observation and an action, by networks of their own: `[C, B, Z]`.

    Args:
      hidden_sizes: widths of the layers of each.
      num_critics: C.
      num_outputs: Z, quantiles of the return, or one mean.

    Example:
      >>> critics, obs, action = Critics((8,), 2), jnp.zeros((5, 3)), jnp.zeros((5, 1))
      >>> critics.init_with_output(jax.random.key(0), obs, action)[0].shape
      (2, 5, 1)

    Source: Fujimoto, van Hoof & Meger (2018), Addressing Function Approximation Error in Actor-Critic Methods, section
    4.2, arXiv:1802.09477; quantiles: Kuznetsov et al. (2020), arXiv:2005.04269.
    """

    hidden_sizes: tuple[int, ...]
    num_critics: int = 2
    num_outputs: int = 1

    @nn.compact
    def __call__(self, obs: Any, action: jax.Array) -> jax.Array:
        """Return `[C, B, Z]`."""
        x = jnp.concatenate([Flatten()(obs), Flatten()(action)], axis=-1)
        # One product after the other: XLA's CPU backend is slow at products with a batch axis.
        each = [Head(self.num_outputs)(MLP(self.hidden_sizes, nn.relu)(x)) for _ in range(self.num_critics)]
        return jnp.stack(each)
