"""Completions under way: prompts are read once, then one token after the other is drawn."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl.lm.sampling import Sampling


@flax.struct.dataclass
class Completions:
    """What a model answered, `[B, T]`.

    Args:
      tokens: int; behind a completion's end stands the pad token.
      log_prob: of each token under the distribution it was drawn from; 0 behind the end.
      mask: bool, tokens that count: up to the stop token, which does. It comes from lengths, never from the tokens: a
        model may draw the pad token.

    Example:
      >>> mask = jnp.array([[True, True, False], [True, True, True]])
      >>> drawn = Completions(jnp.array([[7, 9, 0], [7, 7, 0]]), jnp.zeros((2, 3)), mask)
      >>> drawn.lengths.tolist(), drawn.ended(Sampling(3, (9,))).tolist(), drawn.last(2).tolist()
      ([2, 3], [True, False], [[7, 9], [7, 0]])

    Source: our own arrangement.
    """

    tokens: jax.Array
    log_prob: jax.Array
    mask: jax.Array

    @property
    def lengths(self) -> jax.Array:
        """Tokens of each completion `[B]`, its stop token included."""
        return self.mask.sum(axis=-1)

    @property
    def counted(self) -> jax.Array:
        """Tokens `[B, T]`, and -1 where none counts."""
        return jnp.where(self.mask, self.tokens, -1)

    def ended(self, sampling: Sampling) -> jax.Array:
        """Whether a stop token ended them, bool `[B]`; the others were cut."""
        return sampling.stops(self.last(1)[:, 0])

    def last(self, count: int) -> jax.Array:
        """The last `count` tokens that count `[B, count]`; shorter completions repeat their first one."""
        columns = self.lengths[:, None] - jnp.arange(count, 0, -1)[None]
        return jnp.take_along_axis(self.tokens, jnp.maximum(columns, 0), axis=1)

    def equal(self, tokens: jax.Array) -> jax.Array:
        """Whether they are exactly `tokens [B, K]`, which end where -1 begins, bool `[B]`; K need not be T."""
        longest = max(tokens.shape[1], self.tokens.shape[1])
        ours, theirs = (
            jnp.pad(x, ((0, 0), (0, longest - x.shape[1])), constant_values=-1) for x in (self.counted, tokens)
        )
        return (ours == theirs).all(axis=1)


@flax.struct.dataclass
class Decoding:
    """Completions under way, `[B, ...]`.

    Args:
      index: tokens drawn, int32 `[]`.
      prompt_length: L.
      start: column of each prompt's first token, int `[B]`.
      token: the last ones.
      alive: whether a completion goes on, bool `[B]`.
      cache: keys and values of everything before the last token.
      drawn: what there is of the completions.
    """

    index: jax.Array
    prompt_length: int = flax.struct.field(pytree_node=False)
    start: jax.Array
    token: jax.Array
    alive: jax.Array
    cache: Any
    drawn: Completions


def prefill(
    model: Any,
    params: Any,
    prompts: jax.Array,
    start: jax.Array,
    key: jax.Array,
    sampling: Sampling,
    group_size: int = 1,
) -> Decoding:
    """Read each prompt once, repeat what was read for its group, and draw the first tokens.

    Adapters, and prompts too long for the context, are the caller's to see to, as `generate` does.

    Args:
      model: a `networks.Transformer`.
      params: its parameters.
      prompts: int `[P, L]`, padded on the left.
      start: int `[P]`, column of each prompt's first token.
      key: of the whole completions, as `generate` gets it.
      sampling: how they are drawn.
      group_size: G, completions of each prompt.

    Returns:
      A `Decoding` with one token of each completion.

    Example:
      As `decode`.

    Source: our own arrangement.
    """
    num_prompts, prompt_length = prompts.shape
    cache = model.empty_cache(num_prompts, prompt_length + sampling.max_new_tokens - 1)
    logits, cache = next_logits(model, params, prompts, start, cache, 0)
    logits, cache, start = jax.tree.map(lambda x: jnp.repeat(x, group_size, axis=0), (logits, cache, start))
    token, log_prob = sampling.draw(jax.random.fold_in(key, 0), logits)
    shape = (len(token), sampling.max_new_tokens)
    blank = Completions(jnp.full(shape, sampling.pad_token), jnp.zeros(shape), jnp.zeros(shape, bool))
    alive = jnp.ones(len(token), bool)
    drawn = _written(blank, 0, token, log_prob, alive, sampling)
    return Decoding(jnp.int32(1), prompt_length, start, token, alive & ~sampling.stops(token), cache, drawn)


def decode(at: Decoding, params: Any, key: jax.Array, model: Any, sampling: Sampling) -> Decoding:
    """Draw one more token of each completion.

    Args:
      at: from `prefill`, or an earlier token.
      params: of the model.
      key: of the whole completions; each token folds its number in.
      model: a `networks.Transformer`.
      sampling: how they are drawn.

    Returns:
      A `Decoding` with one token more.

    Example:
      >>> from jaxrl import networks
      >>> model = networks.Transformer(networks.TransformerConfig(10, 16, num_layers=1, num_heads=2))
      >>> prompts, start = jnp.ones((3, 4), jnp.int32), jnp.zeros(3, jnp.int32)
      >>> params, sampling = model.init(jax.random.key(0), prompts), Sampling(5, (9,))
      >>> at = prefill(model, params, prompts, start, jax.random.key(1), sampling, group_size=2)
      >>> at = decode(at, params, jax.random.key(1), model, sampling)
      >>> int(at.index), at.drawn.tokens.shape
      (2, (6, 5))

    Source: our own arrangement.
    """
    column = at.prompt_length + at.index - 1
    logits, cache = next_logits(model, params, at.token[:, None], at.start, at.cache, column)
    token, log_prob = sampling.draw(jax.random.fold_in(key, at.index), logits)
    drawn = _written(at.drawn, at.index, token, log_prob, at.alive, sampling)
    alive = at.alive & ~sampling.stops(token)
    return dataclasses.replace(at, index=at.index + 1, token=token, alive=alive, cache=cache, drawn=drawn)


def next_logits(
    model: Any, params: Any, tokens: jax.Array, start: jax.Array, cache: Any, column: int | jax.Array
) -> tuple[jax.Array, Any]:
    """Logits `[B, V]` of what follows the last of tokens `[B, T]`, and the cache with them.

    Args:
      model: a `networks.Transformer`.
      params: its parameters.
      tokens: int `[B, T]`.
      start: int `[B]`, column of each row's first token.
      cache: of what stands before them, with columns to spare for the tokens.
      column: where the first of the tokens stands.

    Raises:
      ValueError: if the tokens end behind the cache's last column. A traced `column` cannot be checked: tokens behind
        the end overwrite the last columns, and logits mean nothing.

    Example:
      >>> from jaxrl import networks
      >>> model = networks.Transformer(networks.TransformerConfig(10, 16, num_layers=1, num_heads=2))
      >>> tokens, start = jnp.ones((3, 4), jnp.int32), jnp.zeros(3, jnp.int32)
      >>> params = model.init(jax.random.key(0), tokens)
      >>> logits, cache = next_logits(model, params, tokens, start, model.empty_cache(3, 5), 0)
      >>> next_logits(model, params, tokens[:, :1], start, cache, 4)[0].shape
      (3, 10)

    Source: our own arrangement.
    """
    features, cache = model.apply(params, tokens, start, cache, column, method="features")
    return model.apply(params, features[:, -1], method="logits"), cache


def _written(
    drawn: Completions, index: int | jax.Array, token: jax.Array, log_prob: jax.Array, alive: jax.Array, sampling: Any
) -> Completions:
    """The completions with column `index` of those that are alive."""
    return Completions(
        drawn.tokens.at[:, index].set(jnp.where(alive, token, sampling.pad_token)),
        drawn.log_prob.at[:, index].set(jnp.where(alive, log_prob, 0.0)),
        drawn.mask.at[:, index].set(alive),
    )
