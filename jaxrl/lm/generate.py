"""Completions of prompts: each prompt is read once, and answered as often as wanted."""

from typing import Any

import jax

from jaxrl.lm.decoding import Completions, Decoding, decode, prefill
from jaxrl.lm.lora import without_adapters
from jaxrl.lm.sampling import Sampling


def generate(
    model: Any,
    params: Any,
    prompts: jax.Array,
    start: jax.Array,
    key: jax.Array,
    sampling: Sampling,
    group_size: int = 1,
) -> Completions:
    """Draw completions, token by token, from a cache of keys and values.

    Adapters are added to the kernels once, before the first token.

    Args:
      model: a `networks.Transformer`, or a `LoRA` of one.
      params: its parameters.
      prompts: int `[P, L]`, padded on the left.
      start: int `[P]`, column of each prompt's first token.
      key: consumed.
      sampling: how they are drawn.
      group_size: G, completions of each prompt.

    Returns:
      `Completions` of B = P G rows, those of one prompt beside each other.

    Raises:
      ValueError: for prompts that leave no room in the model's context.

    Example:
      >>> from jaxrl import networks
      >>> config = networks.TransformerConfig(vocab_size=10, width=16, num_layers=1, num_heads=2)
      >>> model, prompts = networks.Transformer(config), jnp.ones((3, 4), jnp.int32)
      >>> params, start = model.init(jax.random.key(0), prompts), jnp.zeros(3, jnp.int32)
      >>> generate(model, params, prompts, start, jax.random.key(1), Sampling(5, (9,)), group_size=2).tokens.shape
      (6, 5)

    Source: our own arrangement.
    """
    num_tokens = sampling.max_new_tokens
    check_context(model, prompts.shape[1], num_tokens)
    model, params = without_adapters(model, params, model.config.dtype)
    begun = prefill(model, params, prompts, start, key, sampling, group_size)

    def step(decoding: Decoding) -> Decoding:
        return decode(decoding, params, key, model, sampling)

    if sampling.early_exit:
        return jax.lax.while_loop(lambda at: (at.index < num_tokens) & at.alive.any(), step, begun).drawn
    return jax.lax.fori_loop(1, num_tokens, lambda _, at: step(at), begun).drawn


def check_context(model: Any, prompt_length: int, num_tokens: int) -> None:
    """Refuse texts that are longer than the context.

    Args:
      model: a `networks.Transformer`.
      prompt_length: L, tokens of the longest prompt.
      num_tokens: T, tokens of the longest completion.

    Raises:
      ValueError: naming both and the context.

    Example:
      >>> from jaxrl import networks
      >>> model = networks.Transformer(networks.TransformerConfig(10, 16, num_layers=1, num_heads=2, max_length=8))
      >>> check_context(model, prompt_length=4, num_tokens=4)

    Source: our own.
    """
    context = model.config.max_length
    if prompt_length + num_tokens > context:
        raise ValueError(
            f"prompts of {prompt_length} tokens and completions of {num_tokens} exceed the model's context of "
            f"{context}; shorten the prompts or max_new_tokens"
        )
