"""Training and held-out prompts, told apart by a hash of their tokens: no list of either is kept."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

HELD_OUT = 8
"""One prompt of so many is held out."""


def is_held_out(tokens: jax.Array, counted: jax.Array | None = None) -> jax.Array:
    """Whether prompts are kept for evaluation.

    Args:
      tokens: int `[P, K]`, theirs, or what else tells them apart.
      counted: bool `[P, K]`, what of it counts; None: all.

    Returns:
      bool `[P]`, true for one in eight.

    Example:
      >>> tokens = jnp.arange(8000)[:, None]
      >>> bool(abs(is_held_out(tokens).mean() - 1 / 8) < 0.02)
      True

    Source: Fowler, Noll & Vo (1991), FNV-1a, over whole tokens, and a last mixing after Steele et al. (2014), Fast
    Splittable Pseudorandom Number Generators.
    """
    counted = jnp.ones(tokens.shape, bool) if counted is None else counted

    def mix(digest: jax.Array, column: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        token, counts = column
        return jnp.where(counts, (digest ^ token.astype(jnp.uint32)) * jnp.uint32(16777619), digest), None

    digest, _ = jax.lax.scan(mix, jnp.full(len(tokens), 2166136261, jnp.uint32), (tokens.T, counted.T))
    digest = (digest ^ (digest >> 16)) * jnp.uint32(0x85EBCA6B)
    digest = (digest ^ (digest >> 13)) * jnp.uint32(0xC2B2AE35)
    return (digest ^ (digest >> 16)) % HELD_OUT == 0


def of_split(draw: Callable[[jax.Array], tuple[jax.Array, Any]], key: jax.Array, held_out: bool) -> Any:
    """Prompts of one split only: those of the other are drawn again, until none is left.

    Args:
      draw: function of a key that gives what tells prompts apart, int `[P, K]`, and a pytree `[P, ...]`. What two
        prompts share that are one question asked twice, as `1+2` and `2+1`, should be the same. It must be able to
        draw prompts of both splits: where one has none, the search does not end.
      key: consumed.
      held_out: which split.

    Returns:
      The pytree.

    Example:
      >>> def draw(key):
      ...     numbers = jax.random.randint(key, (4, 1), 0, 1000)
      ...     return numbers, numbers
      >>> is_held_out(of_split(draw, jax.random.key(0), held_out=True)).tolist()
      [True, True, True, True]

    Source: our own.
    """

    def again(carry: tuple[jax.Array, jax.Array, Any]) -> tuple[jax.Array, jax.Array, Any]:
        index, wrong, old = carry
        identity, new = draw(jax.random.fold_in(key, index))

        def chosen(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(wrong.reshape(-1, *[1] * (old.ndim - 1)), new, old)

        return index + 1, wrong & (is_held_out(identity) != held_out), jax.tree.map(chosen, new, old)

    identity, first = draw(jax.random.fold_in(key, 0))
    start = (jnp.int32(1), is_held_out(identity) != held_out, first)
    return jax.lax.while_loop(lambda carry: carry[1].any(), again, start)[2]
