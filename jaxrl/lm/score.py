"""Log-probabilities of given completions, without logits of a whole batch."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl.lm.generate import check_context
from jaxrl.lm.sampling import Sampling

LARGEST = 2**24
"""Logits that exist at one time, 64 MiB of them."""


@flax.struct.dataclass
class Scores:
    """What a model thinks of completions, `[B, T]`.

    Args:
      log_prob: of each token under the distribution it is drawn from.
      entropy: of the model's own distribution, in nats, before any token is left out; no gradient.
      value: of the text before each token, where the model has a value head, else zero.

    Source: our own.
    """

    log_prob: jax.Array
    entropy: jax.Array
    value: jax.Array


def score(
    model: Any, params: Any, prompts: jax.Array, start: jax.Array, tokens: jax.Array, sampling: Sampling
) -> Scores:
    """Scores of completions, by the same functions that draw them.

    Each prompt is read once for all of its group. Logits are made for as many tokens at a time as fit into `LARGEST`,
    and made again in the backward pass: no array `[B, T, V]` exists where it would be large.

    Args:
      model: a `networks.Transformer`.
      params: its parameters.
      prompts: int `[P, L]`, padded on the left.
      start: int `[P]`, column of each prompt's first token.
      tokens: int `[B, T]`, the completions; those of one prompt, B / P, stand beside each other.
      sampling: how they were drawn.

    Returns:
      `Scores`; those behind a completion's end mean nothing.

    Raises:
      ValueError: for texts that are longer than the model's context, or if B is no multiple of P.

    Example:
      >>> from jaxrl import networks
      >>> model = networks.Transformer(networks.TransformerConfig(vocab_size=10, width=16, num_layers=1, num_heads=2))
      >>> prompts, tokens, start = jnp.ones((3, 4), jnp.int32), jnp.ones((3, 5), jnp.int32), jnp.zeros(3, jnp.int32)
      >>> params = model.init(jax.random.key(0), prompts)
      >>> score(model, params, prompts, start, tokens, Sampling(5)).log_prob.shape
      (3, 5)

    Source: our own arrangement.
    """
    (num_prompts, prompt_length), (num_completions, longest) = prompts.shape, tokens.shape
    check_context(model, prompt_length, longest)
    group_size, rest = divmod(num_completions, num_prompts)
    if rest:
        raise ValueError(f"tokens: {num_completions} completions are no whole groups of {num_prompts} prompts")
    cache = model.empty_cache(num_prompts, prompt_length + longest - 1)
    features, cache = model.apply(params, prompts, start, cache, 0, method="features")
    read = (features[:, -1:], cache, start)
    first, cache, start = jax.tree.map(lambda x: jnp.repeat(x, group_size, axis=0), read)
    others, _ = model.apply(params, tokens[:, :-1], start, cache, prompt_length, method="features")
    features = jnp.concatenate([first, others], axis=1)
    value = jnp.zeros(tokens.shape)
    if model.config.value_head:
        value = model.apply(params, features, method="values")
    log_prob, entropy = token_scores(model, params, features, tokens, sampling)
    return Scores(log_prob, entropy, value)


def token_scores(
    model: Any, params: Any, features: jax.Array, tokens: jax.Array, sampling: Sampling
) -> tuple[jax.Array, jax.Array]:
    """Log-probabilities and entropies of tokens by features of what stands before them.

    Args:
      model: a `networks.Transformer`.
      params: its parameters.
      features: float `[B, T, D]`, of the token before each.
      tokens: int `[B, T]`.
      sampling: how they were drawn.

    Returns:
      Log-probabilities `[B, T]` under the distribution that tokens are drawn from, and entropies `[B, T]` in nats of
      the model's own, which have no gradient.

    Example:
      >>> from jaxrl import networks
      >>> model = networks.Transformer(networks.TransformerConfig(vocab_size=10, width=16, num_layers=1, num_heads=2))
      >>> params, features = model.init(jax.random.key(0), jnp.ones((1, 1), jnp.int32)), jnp.zeros((2, 3, 16))
      >>> _, entropy = token_scores(model, params, features, jnp.ones((2, 3), jnp.int32), Sampling(3))
      >>> bool(jnp.allclose(entropy, jnp.log(10)))  # without features all tokens are alike
      True

    Source: our own arrangement.
    """

    def rows(inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        features, tokens = inputs
        logits = model.apply(params, features, method="logits")
        log_prob = jnp.take_along_axis(sampling.log_probs(logits), tokens[:, None], axis=-1)[:, 0]
        everything = jax.nn.log_softmax(jax.lax.stop_gradient(logits))
        return log_prob, -(jnp.exp(everything) * everything).sum(axis=-1)

    count = tokens.size
    num_chunks = -(-count * model.config.vocab_size // LARGEST)
    flat = (features.reshape(count, -1), tokens.reshape(count))
    if num_chunks == 1:
        scores = rows(flat)
    else:
        chunks = jax.tree.map(lambda x: _chunks(x, num_chunks), flat)
        scores = jax.tree.map(lambda x: x.reshape(-1)[:count], jax.lax.map(jax.checkpoint(rows), chunks))
    log_prob, entropy = (x.reshape(tokens.shape) for x in scores)
    return log_prob, entropy


def _chunks(x: jax.Array, num_chunks: int) -> jax.Array:
    """`[C, n / C, ...]` of `x [n, ...]`, filled up with zeros."""
    size = -(-len(x) // num_chunks)
    padded = jnp.pad(x, ((0, num_chunks * size - len(x)), *((0, 0),) * (x.ndim - 1)))
    return padded.reshape(num_chunks, size, *x.shape[1:])
