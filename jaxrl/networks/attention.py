"""Self-attention of a decoder, over its own tokens or over a cache of earlier ones."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrl.networks.positions import rotate

LayerCache = tuple[jax.Array, jax.Array]
"""Keys `[B, num_kv_heads, head_dim, S]` and values `[B, num_kv_heads, S, head_dim]` of a layer, ready for products."""


def dense(x: jax.Array, size: int, bias: bool, dtype: jnp.dtype, name: str) -> jax.Array:
    """A dense layer of `x [B, T, D]`, as a product of two matrices, within a compact method of a module.

    With two leading axes XLA's CPU backend copies, transposed, what the gradient of the kernel is made of.

    Args:
      x: `[B, T, D]`.
      size: of the output.
      bias: whether there is one.
      dtype: of the computation.
      name: of the layer.

    Returns:
      `[B, T, size]`.

    Source: our own.
    """
    flat = nn.Dense(size, bias, dtype, name=name)(x.reshape(-1, x.shape[-1]))
    return flat.reshape(*x.shape[:-1], size)


def attend(query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Scaled dot-product attention, in which groups of query heads share a key and value head.

    Scores and their softmax are float32. A query that may see nothing, as padding, sees everything alike: its output
    is finite, and nobody reads it.

    Args:
      query: `[B, T, heads, head_dim]`.
      key: `[B, num_kv_heads, head_dim, S]`; heads are a multiple of its.
      value: `[B, num_kv_heads, S, head_dim]`.
      mask: bool `[B, T, S]`, which keys a query may see.

    Returns:
      Outputs `[B, T, heads, head_dim]` and weights `[B, heads, T, S]`, whose rows sum to one.

    Example:
      >>> q, k, v = jnp.ones((1, 3, 4, 8)), jnp.ones((1, 2, 8, 3)), jnp.ones((1, 2, 3, 8))
      >>> output, weights = attend(q, k, v, jnp.tril(jnp.ones((1, 3, 3), bool)))
      >>> output.shape, weights[0, 0].tolist()[1]
      ((1, 3, 4, 8), [0.5, 0.5, 0.0])

    Source: Vaswani et al. (2017), Attention Is All You Need, section 3.2; Ainslie et al. (2023), GQA, arXiv:2305.13245,
    for the groups.
    """
    batch, length, num_heads, head_dim = query.shape
    num_kv_heads, num_keys = key.shape[1], key.shape[3]
    group = num_heads // num_kv_heads
    # One matrix per key head, of all queries that read it: a plain product, which needs no copy of the cache.
    grouped = query.reshape(batch, length, num_kv_heads, group, head_dim).transpose(0, 2, 3, 1, 4)
    flat = grouped.reshape(batch, num_kv_heads, group * length, head_dim)
    scores = jnp.matmul(flat, key, preferred_element_type=jnp.float32) * head_dim**-0.5
    scores = scores.reshape(batch, num_heads, length, num_keys)
    weights = jax.nn.softmax(jnp.where(mask[:, None], scores, -1e30))
    flat = weights.astype(value.dtype).reshape(batch, num_kv_heads, group * length, num_keys)
    output = jnp.matmul(flat, value)
    return output.reshape(batch, num_heads, length, head_dim).swapaxes(1, 2), weights


class Attention(nn.Module):
    """Projections of queries, keys and values, attention, and the projection back.

    The weights `[B, heads, T, S]` are sown as `intermediates/attention`, for whoever asks to see them.

    Args:
      num_heads: query heads.
      num_kv_heads: key and value heads; as many are multi-head attention, fewer are grouped, one is multi-query.
      head_dim: width of a head.
      qk_norm: whether queries and keys are normalized, each head by itself, before they are rotated.
      qkv_bias: whether the three projections have biases.
      out_bias: whether the projection back has one.
      norm_epsilon: of that normalization.
      dtype: of the computation.

    Example:
      >>> x, mask = jnp.ones((1, 3, 16)), jnp.tril(jnp.ones((1, 3, 3), bool))
      >>> (y, cache), _ = Attention(4, 2, 8).init_with_output(jax.random.key(0), x, mask)
      >>> y.shape, cache[0].shape
      ((1, 3, 16), (1, 2, 8, 3))

    Source: as `attend`; Henry et al. (2020), Query-Key Normalization for Transformers, arXiv:2010.04245.
    """

    num_heads: int
    num_kv_heads: int
    head_dim: int
    qk_norm: bool = False
    qkv_bias: bool = False
    out_bias: bool = False
    norm_epsilon: float = 1e-6
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        mask: jax.Array,
        rotation: tuple[jax.Array, jax.Array] | None = None,
        cache: LayerCache | None = None,
        column: int | jax.Array = 0,
    ) -> tuple[jax.Array, LayerCache]:
        """Return `[B, T, D]` of `x [B, T, D]`, and the cache with this call's keys and values from `column` on."""
        query = self._project(x, self.num_heads, "query")
        key = self._project(x, self.num_kv_heads, "key")
        value = self._project(x, self.num_kv_heads, "value")
        if self.qk_norm:
            query = nn.RMSNorm(self.norm_epsilon, self.dtype, name="query_norm")(query)
            key = nn.RMSNorm(self.norm_epsilon, self.dtype, name="key_norm")(key)
        if rotation is not None:
            query, key = rotate(query, *rotation), rotate(key, *rotation)
        key, value = key.transpose(0, 2, 3, 1), value.transpose(0, 2, 1, 3)
        if cache is not None:
            key, value = (
                jax.lax.dynamic_update_slice_in_dim(old, new.astype(old.dtype), column, axis)
                for old, new, axis in zip(cache, (key, value), (3, 2), strict=True)
            )
        output, weights = attend(query, key, value, mask)
        self.sow("intermediates", "attention", weights)
        output = output.reshape(*x.shape[:2], self.num_heads * self.head_dim)
        return dense(output, x.shape[-1], self.out_bias, self.dtype, "out"), (key, value)

    def _project(self, x: jax.Array, num_heads: int, name: str) -> jax.Array:
        """`[B, T, D]` to `[B, T, num_heads, head_dim]`."""
        y = dense(x, num_heads * self.head_dim, self.qkv_bias, self.dtype, name)
        return y.reshape(*x.shape[:2], num_heads, self.head_dim)
