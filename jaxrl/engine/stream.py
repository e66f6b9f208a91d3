"""A completion as it is drawn, token by token."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl import lm
from jaxrl.ranges import check_fields
from jaxrl.types import whole_number


def stream(model: Any, params: Any, prompt: Sequence[int], key: jax.Array, sampling: lm.Sampling) -> Iterator[int]:
    """Draw a completion of one prompt, and give each token when it is there.

    The same tokens as of `lm.generate`.

    Args:
      model: `networks.Transformer`, or what stands for one.
      params: its parameters.
      prompt: tokens.
      key: consumed.
      sampling: how they are drawn.

    Yields:
      Tokens, a stop token last if there is one.

    Raises:
      ValueError: for a sampling out of its ranges, for an empty prompt, and for one that leaves no room in the model's
        context.

    Example:
      >>> from jaxrl import networks
      >>> model = networks.Transformer(networks.TransformerConfig(vocab_size=10, width=16, num_layers=1, num_heads=2))
      >>> params = model.init(jax.random.key(0), jnp.ones((1, 1), jnp.int32))
      >>> len(list(stream(model, params, [1, 2, 3], jax.random.key(1), lm.Sampling(5))))
      5

    Source: our own.
    """
    check_fields(sampling, "sampling.")
    length = whole_number("the prompt's length", len(prompt), 1)
    lm.check_context(model, length, sampling.max_new_tokens)
    model, params = lm.without_adapters(model, params, model.config.dtype)
    tokens = jnp.asarray(prompt, jnp.int32)[None]
    cache, column = model.empty_cache(1, length + sampling.max_new_tokens - 1), 0
    for index in range(sampling.max_new_tokens):
        token, cache = _next(model, params, tokens, cache, column, jax.random.fold_in(key, index), sampling)
        yield int(token[0])
        if int(token[0]) in sampling.stop_tokens:
            return
        tokens, column = token[:, None], length + index


@functools.partial(jax.jit, static_argnames="model", donate_argnames="cache")
def _next(
    model: Any,
    params: Any,
    tokens: jax.Array,
    cache: Any,
    column: jax.Array,
    key: jax.Array,
    sampling: lm.Sampling,
) -> Any:
    """The token `[1]` behind tokens `[1, T]`, and the cache with them."""
    logits, cache = lm.next_logits(model, params, tokens, jnp.zeros(1, jnp.int32), cache, column)
    return sampling.draw(key, logits)[0], cache
