"""The shape of a decoder: flags that reach from GPT-2 to Qwen3."""

import dataclasses
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrl.networks.positions import Rotary
from jaxrl.types import whole_number


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    """The shape of a decoder. The defaults are a small one of the Llama kind.

    Args:
      vocab_size: V, number of tokens.
      width: D, of the residual stream.
      num_layers: blocks of attention and MLP.
      num_heads: query heads.
      num_kv_heads: key and value heads; None: as many as query heads.
      head_dim: width of a head; None: `width / num_heads`.
      mlp_size: hidden width of the MLP; None: four times `width`.
      max_length: context, tokens of prompt and completion together.
      rotary: rotation of queries and keys; None: none.
      position_embedding: class of what is added to the embeddings, `LearnedPositions` or `SinusoidalPositions`;
        None: nothing.
      norm: class of the normalizations, `nn.RMSNorm` or `nn.LayerNorm`.
      norm_epsilon: added to their variance.
      activation: of the MLP.
      gated: whether the activated half of the MLP multiplies another (with `nn.silu`: SwiGLU).
      qk_norm: whether queries and keys are normalized, each head by itself.
      qkv_bias: whether queries, keys and values have biases.
      out_bias: whether the projection after attention has one.
      mlp_bias: whether the MLP's layers have them.
      tied: whether logits are products with the embeddings; otherwise with a matrix of their own.
      value_head: whether there is a value beside the logits.
      remat: whether the backward pass computes blocks again instead of storing them.
      dtype: of the computation; parameters are float32, or what a checkpoint says.

    Raises:
      ValueError: for sizes that are no positive integers, or do not divide each other, naming the field.

    Example:
      >>> TransformerConfig(vocab_size=32, width=64, num_layers=2, num_heads=4).head_size
      16

    Source: as `Transformer`.
    """

    vocab_size: int
    width: int
    num_layers: int
    num_heads: int
    num_kv_heads: int | None = None
    head_dim: int | None = None
    mlp_size: int | None = None
    max_length: int = 1024
    rotary: Rotary | None = Rotary()  # noqa: RUF009  # frozen
    position_embedding: Callable[..., nn.Module] | None = None
    norm: Callable[..., nn.Module] = nn.RMSNorm
    norm_epsilon: float = 1e-6
    activation: Callable[[jax.Array], jax.Array] = nn.silu
    gated: bool = True
    qk_norm: bool = False
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    tied: bool = True
    value_head: bool = False
    remat: bool = False
    dtype: jnp.dtype = jnp.float32

    def __post_init__(self) -> None:
        for name in ("vocab_size", "width", "num_layers", "num_heads", "max_length"):
            whole_number(name, getattr(self, name), 1)
        for name in ("num_kv_heads", "head_dim", "mlp_size"):
            if getattr(self, name) is not None:
                whole_number(name, getattr(self, name), 1)
        for name in ("gated", "qk_norm", "qkv_bias", "out_bias", "mlp_bias", "tied", "value_head", "remat"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}={getattr(self, name)!r} must be True or False")
        for name in ("norm", "activation"):
            if not callable(getattr(self, name)):
                raise ValueError(f"{name}={getattr(self, name)!r} must be a function or a module")
        if not isinstance(self.rotary, Rotary | None):
            raise ValueError(f"rotary={self.rotary!r} must be a Rotary or None")
        if self.position_embedding is not None and not callable(self.position_embedding):
            raise ValueError(f"position_embedding={self.position_embedding!r} must be a module or None")
        if not 0 <= self.norm_epsilon < math.inf:
            raise ValueError(f"norm_epsilon={self.norm_epsilon} must be at least 0, and finite")
        if self.head_dim is None and self.width % self.num_heads:
            raise ValueError(f"num_heads={self.num_heads} must divide width={self.width}, or head_dim be given")
        if self.num_heads % self.kv_heads:
            raise ValueError(f"num_kv_heads={self.num_kv_heads} must divide num_heads={self.num_heads}")
        if self.rotary is not None and self.head_size % 2:
            raise ValueError(f"head_dim={self.head_size} must be even for rotary positions")

    @property
    def head_size(self) -> int:
        """Width of a head."""
        return self.head_dim or self.width // self.num_heads

    @property
    def kv_heads(self) -> int:
        """Key and value heads."""
        return self.num_kv_heads or self.num_heads
