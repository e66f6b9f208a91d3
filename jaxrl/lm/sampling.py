"""From logits to tokens: which distribution completions are drawn from."""

import math

import flax.struct
import jax
import jax.numpy as jnp

from jaxrl.types import leaf, static


@flax.struct.dataclass
class Sampling:
    """How completions are drawn. Their log-probabilities are those of this very distribution.

    Args:
      max_new_tokens: T, longest completion.
      stop_tokens: tokens that end a completion, and belong to it; none: it always has T tokens.
      temperature: what logits are divided by.
      top_k: how many of the most probable tokens are left; 0, or more than there are: all; 1 is greedy. Ties with the
        last one stay too.
      top_p: the most probable tokens are left that together reach this probability; None or 1: all.
      banned: tokens that are never drawn.
      vocab_size: how many tokens the tokenizer knows: those behind it, which a model may have to spare, are never drawn
        either; None: as many as the model.
      pad_token: what stands after a completion's end.
      early_exit: whether decoding ends when all completions have; otherwise it always takes T steps. Under `vmap` a
        loop of unknown length selects all that it carries in every step.

    Example:
      >>> Sampling(max_new_tokens=8, banned=(2,)).logits(jnp.zeros((1, 3))).tolist()
      [[0.0, 0.0, -inf]]

    Source: Fan et al. (2018), Hierarchical Neural Story Generation, arXiv:1805.04833, for top-k; Holtzman et al.
    (2019), The Curious Case of Neural Text Degeneration, arXiv:1904.09751, for top-p.
    """

    max_new_tokens: int = static(low=1)
    stop_tokens: tuple[int, ...] = static((), low=0)
    temperature: float = leaf(1.0, low=0, open_low=True)
    top_k: int = static(0, low=0)
    top_p: float | None = leaf(None, low=0, high=1, open_low=True)
    banned: tuple[int, ...] = static((), low=0)
    vocab_size: int | None = static(None, low=1)
    pad_token: int = static(0, low=0)
    early_exit: bool = static(True)

    def logits(self, logits: jax.Array) -> jax.Array:
        """The logits `[..., V]` of the distribution drawn from; -inf where nothing is."""
        if self.banned:
            logits = logits.at[..., jnp.array(self.banned)].set(-jnp.inf)
        if self.vocab_size is not None and self.vocab_size < logits.shape[-1]:
            logits = jnp.where(jnp.arange(logits.shape[-1]) < self.vocab_size, logits, -jnp.inf)
        logits = logits / self.temperature
        if self.top_k:
            smallest = jax.lax.top_k(logits, min(self.top_k, logits.shape[-1]))[0][..., -1:]
            logits = jnp.where(logits < smallest, -jnp.inf, logits)
        if self.top_p is not None:
            logits = jnp.where(logits < _smallest_kept(logits, self.top_p), -jnp.inf, logits)
        return logits

    def log_probs(self, logits: jax.Array) -> jax.Array:
        """Log-probabilities `[..., V]` of all tokens, of a model's logits `[..., V]`."""
        return jax.nn.log_softmax(self.logits(logits))

    def draw(self, key: jax.Array, logits: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Tokens `[B]` of a model's logits `[B, V]`, and their log-probabilities. The key is consumed."""
        log_probs = self.log_probs(logits)
        token = jnp.argmax(log_probs, axis=-1) if self.top_k == 1 else categorical(key, log_probs)
        return token.astype(jnp.int32), jnp.take_along_axis(log_probs, token[:, None], axis=-1)[:, 0]

    def stops(self, token: jax.Array) -> jax.Array:
        """Whether tokens `[...]` end a completion, bool."""
        if not self.stop_tokens:
            return jnp.zeros(token.shape, bool)
        return jnp.isin(token, jnp.array(self.stop_tokens))


def categorical(key: jax.Array, log_probs: jax.Array) -> jax.Array:
    """Draw from distributions by one uniform number each: where it falls among the sums of probabilities.

    Of about √V sums of about √V probabilities each, so that rounding stays small: that of the number, 2⁻²³, is the
    largest. `jax.random.categorical` draws V numbers instead.

    Args:
      key: consumed.
      log_probs: `[B, V]`, normalized; -inf is never drawn.

    Returns:
      int32 `[B]`.

    Example:
      >>> categorical(jax.random.key(0), jnp.log(jnp.array([[0.0, 1.0, 0.0]]))).tolist()
      [1]

    Source: inversion; Devroye (1986), Non-Uniform Random Variate Generation, section III.2.
    """
    batch, vocab_size = log_probs.shape
    width = math.isqrt(vocab_size - 1) + 1
    padding = -vocab_size % width
    probs = jnp.pad(jnp.exp(log_probs), ((0, 0), (0, padding))).reshape(batch, -1, width)
    sums = probs.sum(axis=2)
    place = jax.random.uniform(key, (batch, 1)) * sums.sum(axis=1, keepdims=True)
    part, place = _fall(sums, place)
    token, _ = _fall(jnp.take_along_axis(probs, part[:, :, None], axis=1)[:, 0], place)
    return (part * width + token)[:, 0]


def _fall(mass: jax.Array, place: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The first of masses `[B, n]` whose sum with those before it is above a place `[B, 1]`, and the place within it.

    One without mass is never the one, whatever the rounding of the sums.
    """
    sums, positive = jnp.cumsum(mass, axis=1), mass > 0
    reached = positive & (sums > place)
    last = mass.shape[1] - 1 - jnp.argmax(positive[:, ::-1], axis=1)
    index = jnp.where(reached.any(axis=1), jnp.argmax(reached, axis=1), last)[:, None]
    return index, place - jnp.take_along_axis(sums - mass, index, axis=1)


def _smallest_kept(logits: jax.Array, top_p: jax.Array | float) -> jax.Array:
    """The smallest logit `[..., 1]` of the most probable tokens that together reach `top_p`."""
    ordered = jnp.flip(jnp.sort(logits, axis=-1), axis=-1)
    probs = jax.nn.softmax(ordered)
    before = jnp.cumsum(probs, axis=-1) - probs
    kept = ((before < top_p) | (top_p >= 1)).at[..., 0].set(True)  # rounded sums reach 1 before the last token
    return jnp.min(jnp.where(kept, ordered, jnp.inf), axis=-1, keepdims=True)
