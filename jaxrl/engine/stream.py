"""A completion as it is drawn, token by token."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl import lm
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
      ValueError: for an empty prompt, and for one that leaves no room in the model's context.

    Example:
      >>> from jaxrl import networks
      >>> model = networks.Transformer(networks.TransformerConfig(vocab_size=10, width=16, num_layers=1, num_heads=2))
      >>> params = model.init(jax.random.key(0), jnp.ones((1, 1), jnp.int32))
      >>> len(list(stream(model, params, [1, 2, 3], jax.random.key(1), lm.Sampling(5))))
      5

    Source: our own.
    """
    length = whole_number("the prompt's length", len(prompt), 1)
    lm.check_context(model, length, sampling.max_new_tokens)
    tokens = jnp.asarray(prompt, jnp.int32)[None]
    token, cache = _read(model, params, tokens, key, sampling)
    for index in range(1, sampling.max_new_tokens + 1):
        yield int(token[0])
        if int(token[0]) in sampling.stop_tokens or index == sampling.max_new_tokens:
            return
        token, cache = _go_on(model, params, token, cache, length, index, key, sampling)


@functools.partial(jax.jit, static_argnames="model")
def _read(model: Any, params: Any, tokens: jax.Array, key: jax.Array, sampling: lm.Sampling) -> Any:
    """The first token `[1]`, and the cache."""
    start = jnp.zeros(1, jnp.int32)
    cache = model.empty_cache(1, tokens.shape[1] + sampling.max_new_tokens - 1)
    features, cache = model.apply(params, tokens, start, cache, method="features")
    logits = model.apply(params, features[:, -1], method="logits")
    return sampling.draw(jax.random.fold_in(key, 0), logits)[0], cache


@functools.partial(jax.jit, static_argnames="model", donate_argnames="cache")
def _go_on(
    model: Any,
    params: Any,
    token: jax.Array,
    cache: Any,
    length: jax.Array,
    index: jax.Array,
    key: jax.Array,
    sampling: lm.Sampling,
) -> Any:
    """The next token `[1]`, and the cache."""
    start, column = jnp.zeros(1, jnp.int32), length + index - 1
    features, cache = model.apply(params, token[:, None], start, cache, column, method="features")
    logits = model.apply(params, features[:, 0], method="logits")
    return sampling.draw(jax.random.fold_in(key, index), logits)[0], cache
