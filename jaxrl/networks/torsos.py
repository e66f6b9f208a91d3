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


class NoisyDense(nn.Module):
    """A linear layer whose weights are noisy: w = μ + σ ε with ε = f(ε_in) f(ε_out), f(x) = sign(x) √|x|.

    The noise is that of `apply(…, rngs={"noise": key})`, one sample for the whole batch; without it the layer is that
    of the means.

    Args:
      size: width of the output.
      sigma: σ₀; σ begins at σ₀ / √D.

    Maps `[B, D]` to `[B, size]`.

    Example:
      >>> layer, x = NoisyDense(3), jnp.ones((1, 2))
      >>> params = layer.init(jax.random.key(0), x)
      >>> one, two = (layer.apply(params, x, rngs={"noise": jax.random.key(i)}) for i in (1, 2))
      >>> bool((one != two).all())
      True

    Source: Fortunato et al. (2018), Noisy Networks for Exploration, eqs. 9 to 11, arXiv:1706.10295.
    """

    size: int
    sigma: float = 0.5

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return `[B, size]`."""
        bound = 1.0 / np.sqrt(x.shape[-1])

        def uniform(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
            return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

        def signed_root(key: jax.Array, size: int) -> jax.Array:
            noise = jax.random.normal(key, (size,))
            return jnp.sign(noise) * jnp.sqrt(jnp.abs(noise))

        kernel = self.param("kernel", uniform, (x.shape[-1], self.size))
        bias = self.param("bias", uniform, (self.size,))
        scale = nn.initializers.constant(self.sigma * bound)
        kernel_noise = self.param("kernel_noise", scale, kernel.shape)
        bias_noise = self.param("bias_noise", scale, bias.shape)
        if self.has_rng("noise"):
            in_key, out_key = jax.random.split(self.make_rng("noise"))
            noise_in, noise_out = signed_root(in_key, x.shape[-1]), signed_root(out_key, self.size)
            kernel = kernel + kernel_noise * noise_in[:, None] * noise_out[None]
            bias = bias + bias_noise * noise_out
        return x @ kernel + bias[None]


class MLP(nn.Module):
    """Fully connected layers with uniform weights (gain √2) and zero biases.

    Args:
      hidden_sizes: width of each layer.
      activation: function of an array.
      noisy: whether the layers explore by their own noise (`NoisyDense`).
      layer_norm: whether each layer's outputs are normalized before the activation.

    Maps `[B, ...]`, flattened and cast to float32, to `[B, hidden_sizes[-1]]`.

    Example:
      >>> MLP((8,)).init_with_output(jax.random.key(0), jnp.zeros((5, 3)))[0].shape
      (5, 8)

    Source: Rumelhart, Hinton & Williams (1986), Learning Representations by Back-Propagating Errors.
    """

    hidden_sizes: tuple[int, ...] = (64, 64)
    activation: Callable[[jax.Array], jax.Array] = tanh
    noisy: bool = False
    layer_norm: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return features `[B, D]`."""
        x = Flatten()(x)
        for size in self.hidden_sizes:
            dense = NoisyDense(size) if self.noisy else nn.Dense(size, kernel_init=scaled_uniform(np.sqrt(2)))
            x = dense(x)
            x = self.activation(nn.LayerNorm()(x) if self.layer_norm else x)
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
      noisy: whether these are noisy.
      layer_norm: whether all layers' outputs are normalized before the activation.

    Maps `[B, H, W, C]` to `[B, hidden_sizes[-1]]`.

    Raises:
      ValueError: for images without room for the convolution, at the first call.

    Example:
      >>> MinAtarCNN().init_with_output(jax.random.key(0), jnp.zeros((2, 10, 10, 4)))[0].shape
      (2, 128)

    Source: Young & Tian (2019), MinAtar, arXiv:1903.03176; the uniform weights are a deviation.
    """

    channels: int = 16
    hidden_sizes: tuple[int, ...] = (128,)
    noisy: bool = False
    layer_norm: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return features `[B, D]`."""
        if min(x.shape[1:3]) < 3:
            raise ValueError(f"network: MinAtarCNN needs images of at least 3x3, not {x.shape[1:]}; take networks.MLP")
        x = x.astype(jnp.float32)
        # As a matrix product over patches: XLA's CPU backend is slow at the gradient of its own convolution.
        height, width = x.shape[1] - 2, x.shape[2] - 2
        patches = [x[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
        x = nn.Dense(self.channels, kernel_init=scaled_uniform(np.sqrt(2)))(jnp.concatenate(patches, axis=-1))
        x = nn.LayerNorm()(x) if self.layer_norm else x
        return MLP(self.hidden_sizes, nn.relu, self.noisy, self.layer_norm)(nn.relu(x))
