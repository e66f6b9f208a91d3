"""Networks of action values."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrl.networks.heads import Head
from jaxrl.networks.torsos import NoisyDense


class QNetwork(nn.Module):
    """A torso and a head of action values, or a dueling head: q = v + a - mean a.

    Args:
      num_actions: A.
      torso: observations `[B, ...]` to features `[B, D]`.
      dueling: whether the head is split.
      num_outputs: Z, numbers of each action; 0 gives outputs without an axis for them.
      noisy: whether the head is noisy (`NoisyDense`); else it begins at zero.

    Maps observations `[B, ...]` to `[B, A]` or `[B, A, Z]`.

    Example:
      >>> from jaxrl import networks
      >>> model = QNetwork(2, networks.MLP((8,)), dueling=True)
      >>> model.init_with_output(jax.random.key(0), jax.numpy.zeros((5, 3)))[0].shape
      (5, 2)

    Source: Wang et al. (2016), Dueling Network Architectures for Deep Reinforcement Learning, eq. 9, arXiv:1511.06581,
    with one linear layer for each part; the zero heads are our own.
    """

    num_actions: int
    torso: nn.Module
    dueling: bool = False
    num_outputs: int = 0
    noisy: bool = False

    @nn.compact
    def __call__(self, obs: Any) -> jax.Array:
        """Return `[B, A]` or `[B, A, Z]`."""
        features = self.torso(obs)
        head = NoisyDense if self.noisy else Head
        size = max(1, self.num_outputs)
        outputs = head(self.num_actions * size, name="q")(features).reshape(-1, self.num_actions, size)
        if self.dueling:
            value = head(size, name="value")(features)[:, None]
            outputs = value + outputs - outputs.mean(1, keepdims=True)
        return outputs if self.num_outputs else jnp.squeeze(outputs, -1)
