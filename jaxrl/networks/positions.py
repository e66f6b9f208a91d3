"""Where a token stands: encodings that are added to embeddings, and rotations of queries and keys."""

import dataclasses
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


class SinusoidalPositions(nn.Module):
    """Sines and cosines of the position at wavelengths from 2π to 20,000π: no parameters, and no last position.

    Args:
      width: D, even.
      max_length: not read; `LearnedPositions` needs it.

    Example:
      >>> SinusoidalPositions(8).apply({}, jnp.arange(5)[None]).shape
      (1, 5, 8)

    Source: Vaswani et al. (2017), Attention Is All You Need, section 3.5. Deviation: all sines stand before all
    cosines.
    """

    width: int
    max_length: int | None = None

    def __call__(self, positions: jax.Array) -> jax.Array:
        """Return `[B, T, D]`, float32, of positions `[B, T]`."""
        frequencies = 10_000.0 ** (-np.arange(0, self.width, 2) / self.width)
        angles = positions[..., None].astype(jnp.float32) * frequencies.astype(np.float32)[None, None]
        return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


class LearnedPositions(nn.Module):
    """One learned vector per position.

    Args:
      width: D.
      max_length: number of positions.

    Example:
      >>> LearnedPositions(8, max_length=16).init_with_output(jax.random.key(0), jnp.arange(5)[None])[0].shape
      (1, 5, 8)

    Source: Radford et al. (2019), Language Models are Unsupervised Multitask Learners (GPT-2).
    """

    width: int
    max_length: int

    @nn.compact
    def __call__(self, positions: jax.Array) -> jax.Array:
        """Return `[B, T, D]` of positions `[B, T]` below `max_length`."""
        return self.param("table", nn.initializers.normal(0.02), (self.max_length, self.width))[positions]


@dataclasses.dataclass(frozen=True)
class LinearScaling:
    """Rotary frequencies divided by one factor, as if positions were.

    Args:
      factor: how many times longer the context becomes.

    Example:
      >>> LinearScaling(4.0)(np.ones(2)).tolist()
      [0.25, 0.25]

    Source: Chen et al. (2023), Extending Context Window of Large Language Models via Positional Interpolation,
    arXiv:2306.15595.
    """

    factor: float

    def __call__(self, frequencies: np.ndarray) -> np.ndarray:
        """Return the scaled frequencies `[head_dim / 2]`."""
        return frequencies / self.factor


@dataclasses.dataclass(frozen=True)
class Llama3Scaling:
    """Rotary frequencies divided where a wavelength is long, kept where it is short, and blended between.

    Args:
      factor: division of the longest wavelengths.
      low_freq_factor: wavelengths above `original_length` over this are divided.
      high_freq_factor: wavelengths below `original_length` over this are kept.
      original_length: context of the model before it was extended, in tokens.

    Example:
      >>> Llama3Scaling(8.0)(np.array([1.0, 1e-4])).tolist()
      [1.0, 1.25e-05]

    Source: Grattafiori et al. (2024), The Llama 3 Herd of Models, arXiv:2407.21783; the rule is that of the released
    configuration, `rope_type: llama3`.
    """

    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_length: int = 8192

    def __call__(self, frequencies: np.ndarray) -> np.ndarray:
        """Return the scaled frequencies `[head_dim / 2]`."""
        turns = self.original_length * frequencies / (2 * math.pi)
        kept = np.clip((turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor), 0.0, 1.0)
        return frequencies * (kept + (1 - kept) / self.factor)


@dataclasses.dataclass(frozen=True)
class Rotary:
    """Rotations of queries and keys by angles that grow with the position: their product knows the distance only.

    Args:
      theta: base of the wavelengths.
      scaling: function of the frequencies, `LinearScaling` or `Llama3Scaling`; None keeps them.

    Example:
      >>> cosine, sine = Rotary().angles(jnp.arange(3)[None], head_dim=8)
      >>> cosine.shape
      (1, 3, 1, 4)

    Source: Su et al. (2021), RoFormer, arXiv:2104.09864. Deviation: dimension i is paired with i + head_dim / 2, as
    checkpoints of the Hugging Face layout have it, not with its neighbour.
    """

    theta: float = 10_000.0
    scaling: Callable[[np.ndarray], np.ndarray] | None = None

    def frequencies(self, head_dim: int) -> np.ndarray:
        """Radians per position `[head_dim / 2]`."""
        frequencies = self.theta ** (-np.arange(0, head_dim, 2) / head_dim)
        return frequencies if self.scaling is None else self.scaling(frequencies)

    def angles(self, positions: jax.Array, head_dim: int) -> tuple[jax.Array, jax.Array]:
        """Cosines and sines `[B, T, 1, head_dim / 2]`, float32, of positions `[B, T]`."""
        frequencies = self.frequencies(head_dim).astype(np.float32)[None, None, None]
        angles = positions[..., None, None].astype(jnp.float32) * frequencies
        return jnp.cos(angles), jnp.sin(angles)


def rotate(x: jax.Array, cosine: jax.Array, sine: jax.Array) -> jax.Array:
    """Rotate `x [B, T, heads, head_dim]` by angles `[B, T, 1, head_dim / 2]`, in the dtype of `x`.

    Example:
      >>> angles = Rotary().angles(jnp.arange(3)[None], 2)
      >>> rotate(jnp.ones((1, 3, 1, 2)), *angles)[0, 0, 0].tolist()
      [1.0, 1.0]

    Source: as `Rotary`.
    """
    first, second = jnp.split(x, 2, axis=-1)
    cosine, sine = cosine.astype(x.dtype), sine.astype(x.dtype)
    return jnp.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)
