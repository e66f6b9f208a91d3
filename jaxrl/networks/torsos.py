"""Torsos: from a batch of observations to a batch of features."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


def scaled_uniform(gain: float) -> nn.initializers.Initializer:
    """Uniform weights of variance 2 gain² / (D_in + D_out): a square layer's are those of an orthogonal matrix.

    The orthogonal matrices that are usual for PPO need a QR factorization, a good part of its compile time.

    Args:
      gain: factor of the standard deviation.

    Returns:
      A linen initializer of kernels `[D_in, D_out]`.

    Example:
      >>> weights = scaled_uniform(1.0)(jax.random.key(0), (200, 200))
      >>> bool(abs(weights.var() - 1 / 200) < 1e-4)
      True

    Source: Glorot & Bengio (2010), Understanding the Difficulty of Training Deep Feedforward Neural Networks, eq. 16,
    times the gain.
    """
    return nn.initializers.variance_scaling(gain**2, "fan_avg", "uniform")


@jax.custom_jvp
def tanh(x: jax.Array) -> jax.Array:
    """Hyperbolic tangent `[...]` whose derivative is written `1 - y²`: XLA's CPU backend fuses that better than JAX's.

    Our own rule for a textbook derivative.

    Example:
      >>> float(jax.grad(tanh)(0.0))
      1.0
    """
    return jnp.tanh(x)


@tanh.defjvp
def _tanh_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    y = tanh(*primals)
    return y, tangents[0] * (1.0 - y * y)


class MLP(nn.Module):
    """Fully connected layers with uniform weights (gain √2) and zero biases.

    Args:
      hidden_sizes: width of each layer.
      activation: function of an array.

    Maps `[B, ...]`, flattened and cast to float32, to `[B, hidden_sizes[-1]]`.

    Example:
      >>> MLP((8,)).init_with_output(jax.random.key(0), jnp.zeros((5, 3)))[0].shape
      (5, 8)

    Source: Rumelhart, Hinton & Williams (1986), Learning Representations by Back-Propagating Errors.
    """

    hidden_sizes: tuple[int, ...] = (64, 64)
    activation: Callable[[jax.Array], jax.Array] = tanh

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return features `[B, D]`."""
        x = Flatten()(x)
        for size in self.hidden_sizes:
            x = self.activation(nn.Dense(size, kernel_init=scaled_uniform(np.sqrt(2)))(x))
        return x


class Flatten(nn.Module):
    """Flatten each observation and cast it to float32: `[B, ...]` to `[B, D]`. Our own.

    Example:
      >>> Flatten().apply({}, jnp.zeros((5, 2, 3), jnp.uint8)).shape
      (5, 6)
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return `[B, D]`."""
        return x.reshape(len(x), -1).astype(jnp.float32)


class OneHot(nn.Module):
    """Integers below `size` as one-hot vectors: `[B]` to float32 `[B, size]`. Our own.

    Args:
      size: number of values.

    Raises:
      TypeError: for observations that are not integers, at the first call.

    Example:
      >>> OneHot(3).apply({}, jnp.array([2])).tolist()
      [[0.0, 0.0, 1.0]]
    """

    size: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return `[B, size]`."""
        if not jnp.issubdtype(x.dtype, jnp.integer):
            raise TypeError(
                f"network: one-hot observations must be integers, not {x.dtype}; leave normalize_observations off for "
                "an environment whose observations are categories"
            )
        return jax.nn.one_hot(x, self.size)


class MinAtarCNN(nn.Module):
    """The MinAtar network: one 3x3 convolution of 16 channels, then fully connected layers.

    Args:
      channels: output channels of the convolution.
      hidden_sizes: widths of the layers after it.

    Maps `[B, H, W, C]` to `[B, hidden_sizes[-1]]`.

    Example:
      >>> MinAtarCNN().init_with_output(jax.random.key(0), jnp.zeros((2, 10, 10, 4)))[0].shape
      (2, 128)

    Source: Young & Tian (2019), MinAtar, arXiv:1903.03176; the uniform weights are a deviation.
    """

    channels: int = 16
    hidden_sizes: tuple[int, ...] = (128,)

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return features `[B, D]`."""
        x = x.astype(jnp.float32)
        # As a matrix product over patches: XLA's CPU backend is slow at the gradient of its own convolution.
        height, width = x.shape[1] - 2, x.shape[2] - 2
        patches = [x[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
        x = nn.Dense(self.channels, kernel_init=scaled_uniform(np.sqrt(2)))(jnp.concatenate(patches, axis=-1))
        return MLP(self.hidden_sizes, nn.relu)(nn.relu(x))
