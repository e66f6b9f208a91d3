"""A decoder: from tokens to the logits of the next one."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.core import Tracer

from jaxrl.networks.attention import Attention, LayerCache, dense
from jaxrl.networks.heads import Head
from jaxrl.networks.transformer_config import TransformerConfig

Cache = tuple[LayerCache, ...]
"""One pair of keys and values per layer: XLA updates separate arrays in place, and slices of one large array not."""


class Block(nn.Module):
    """Normalized attention and a normalized MLP, each added to the residual stream.

    Args:
      config: the decoder's.

    Example:
      >>> config = TransformerConfig(vocab_size=10, width=16, num_layers=1, num_heads=2, rotary=None)
      >>> x, mask = jnp.ones((1, 3, 16)), jnp.tril(jnp.ones((1, 3, 3), bool))
      >>> (y, cache), _ = Block(config).init_with_output(jax.random.key(0), x, mask, None, None, 0)
      >>> y.shape, cache[0].shape
      ((1, 3, 16), (1, 2, 8, 3))

    Source: Vaswani et al. (2017); Xiong et al. (2020), On Layer Normalization in the Transformer Architecture,
    arXiv:2002.04745, for the place of the normalization; Shazeer (2020), GLU Variants Improve Transformer,
    arXiv:2002.05202, for the gate.
    """

    config: TransformerConfig

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        mask: jax.Array,
        rotation: tuple[jax.Array, jax.Array] | None,
        cache: LayerCache | None,
        column: int | jax.Array,
    ) -> tuple[jax.Array, LayerCache]:
        """Return `[B, T, D]` of `x [B, T, D]`, and the layer's cache; arguments as of `Attention`."""
        config = self.config
        attention = Attention(
            config.num_heads,
            config.kv_heads,
            config.head_size,
            config.qk_norm,
            config.qkv_bias,
            config.out_bias,
            config.norm_epsilon,
            config.dtype,
            name="attention",
        )
        y, cache = attention(_norm(config, "attention_norm")(x), mask, rotation, cache, column)
        x = x + y
        return x + self._mlp(_norm(config, "mlp_norm")(x)), cache

    def _mlp(self, x: jax.Array) -> jax.Array:
        config = self.config
        size = config.mlp_size or 4 * config.width
        hidden = config.activation(dense(x, size, config.mlp_bias, config.dtype, "mlp_in"))
        if config.gated:
            hidden = hidden * dense(x, size, config.mlp_bias, config.dtype, "mlp_gated")
        return dense(hidden, config.width, config.mlp_bias, config.dtype, "mlp_out")


def _norm(config: TransformerConfig, name: str) -> nn.Module:
    return config.norm(epsilon=config.norm_epsilon, dtype=config.dtype, name=name)


class Transformer(nn.Module):
    """A decoder of GPT-2's, Llama's and Qwen's kind.

    Rows are padded on the left: `start` is the column of each row's first token, positions count from there, and
    nothing sees what stands before. So all rows write the same column of the cache. Where a row holds several texts,
    `start` is of each token, the column of its text's first one.

    Args:
      config: its shape.

    Example:
      >>> model = Transformer(TransformerConfig(vocab_size=10, width=16, num_layers=2, num_heads=2))
      >>> tokens = jnp.zeros((3, 7), jnp.int32)
      >>> params = model.init(jax.random.key(0), tokens)
      >>> model.apply(params, tokens).shape
      (3, 7, 10)
      >>> features, cache = model.apply(params, tokens, cache=model.empty_cache(3, 9), method="features")
      >>> features.shape, len(cache), cache[0][0].shape
      ((3, 7, 16), 2, (3, 2, 8, 9))

    Source: Radford et al. (2019), GPT-2; Touvron et al. (2023), Llama 2, arXiv:2307.09288; Yang et al. (2024),
    Qwen2, arXiv:2407.10671; Yang et al. (2025), Qwen3, arXiv:2505.09388.
    """

    config: TransformerConfig

    def setup(self) -> None:
        """Name the parts."""
        config = self.config
        shape = (config.vocab_size, config.width)
        self.embedding = self.param("embedding", nn.initializers.normal(0.02), shape)
        block = nn.remat(Block) if config.remat else Block
        self.blocks = [block(config) for _ in range(config.num_layers)]
        self.norm = config.norm(epsilon=config.norm_epsilon, dtype=config.dtype)
        if config.position_embedding is not None:
            self.positions = config.position_embedding(width=config.width, max_length=config.max_length)
        if not config.tied:
            self.head = self.param("head", nn.initializers.normal(0.02), shape)
        if config.value_head:
            self.value = Head(1)

    def __call__(self, tokens: jax.Array, start: jax.Array | None = None) -> jax.Array:
        """Return the logits `[B, T, V]`, float32, of what follows each of the tokens `[B, T]`."""
        features, _ = self.features(tokens, start)
        if self.config.value_head and self.is_initializing():
            self.values(features)
        return self.logits(features)

    def features(
        self,
        tokens: jax.Array,
        start: jax.Array | None = None,
        cache: Cache | None = None,
        column: int | jax.Array = 0,
    ) -> tuple[jax.Array, Cache]:
        """What logits and values are linear in.

        Args:
          tokens: `[B, T]`.
          start: int `[B]`, column of each row's first token, or `[B, T]`, of each token's text; None: 0.
          cache: of S columns, those before `column` filled; None: the tokens see only each other.
          column: where the first of the tokens stands.

        Returns:
          Features `[B, T, D]`, and the cache with the tokens' keys and values.

        Raises:
          ValueError: if the tokens end behind the cache's last column. A traced `column` cannot be checked: tokens
            behind the end overwrite the last columns, and features mean nothing.
        """
        config = self.config
        start = jnp.zeros(len(tokens), jnp.int32) if start is None else start
        start = start[:, None] if start.ndim == 1 else start
        length = tokens.shape[1] if cache is None else cache[0][0].shape[3]
        first = 0 if isinstance(column, Tracer) else int(column)
        if cache is not None and first + tokens.shape[1] > length:
            raise ValueError(
                f"cache: {tokens.shape[1]} tokens from column {first} on do not fit into {length} columns; "
                "make a longer one with empty_cache"
            )
        columns = (column + jnp.arange(tokens.shape[1]))[None]
        keys = jnp.arange(length)[None, None]
        mask = (keys <= columns[..., None]) & (keys >= start[..., None])
        positions = jnp.maximum(columns - start, 0)
        rotation = None if config.rotary is None else config.rotary.angles(positions, config.head_size)
        x = self.embedding[tokens].astype(config.dtype)
        if config.position_embedding is not None:
            x = x + self.positions(positions).astype(config.dtype)
        caches = (None,) * config.num_layers if cache is None else cache
        new = []
        for block, old in zip(self.blocks, caches, strict=True):
            x, layer_cache = block(x, mask, rotation, old, column)
            new.append(layer_cache)
        return self.norm(x), tuple(new)

    def logits(self, features: jax.Array) -> jax.Array:
        """Logits `[..., V]`, float32, of features `[..., D]`."""
        head = self.embedding if self.config.tied else self.head
        return jnp.einsum("...d,vd->...v", features, head.astype(features.dtype), preferred_element_type=jnp.float32)

    def values(self, features: jax.Array) -> jax.Array:
        """Values `[...]`, float32, of features `[..., D]`; the config says `value_head`."""
        flat = features.reshape(-1, features.shape[-1]).astype(jnp.float32)
        return self.value(flat).reshape(features.shape[:-1])

    def empty_cache(self, batch_size: int, length: int) -> Cache:
        """A cache of S = `length` columns, keys and values of each layer as `attend` takes them."""
        config = self.config
        heads, size = (batch_size, config.kv_heads), config.head_size
        keys, values = (*heads, size, length), (*heads, length, size)
        # Arrays of its own for each layer, so that all may be donated.
        return tuple((jnp.zeros(keys, config.dtype), jnp.zeros(values, config.dtype)) for _ in range(config.num_layers))
