"""Shuffling by a keyed bijection on indices: no sort, no random number per element."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

ROUNDS = 6


def permute_index(index: jax.Array, size: jax.Array | int, round_keys: jax.Array) -> jax.Array:
    """Send every index below `size` to another one, without repetition.

    Each round multiplies by an odd number, adds a key and folds the high bits onto the low ones; each is a
    bijection of the integers below the next power of two, and repeating it until the result is below `size`
    ("cycle walking") restricts it to a bijection of the integers below `size`.

    Args:
      index: uint32 `[...]`, values below `size`.
      size: number of indices, 1 ≤ size ≤ 2³¹; may be traced.
      round_keys: uint32 `[ROUNDS, 2]` random bits.

    Returns:
      uint32 `[...]`, values below `size`.

    Example:
      >>> round_keys = jax.random.bits(jax.random.key(0), (ROUNDS, 2), jnp.uint32)
      >>> sorted(permute_index(jnp.arange(3, dtype=jnp.uint32), 3, round_keys).tolist())
      [0, 1, 2]

    Source: cycle walking from Black & Rogaway (2002), Ciphers with Arbitrary Finite Domains, method 2; the
    rounds are a mixing of our own, tested as a permutation, and not meant to be a cipher.
    """
    fills_its_power = isinstance(size, int) and not size & (size - 1)
    size = jnp.asarray(size, jnp.uint32)
    bits = 32 - jax.lax.clz(size - 1)
    mask = jnp.where(size == 1, jnp.uint32(0), jnp.uint32(0xFFFFFFFF) >> (32 - jnp.maximum(bits, 1)))
    fold = jnp.maximum(bits // 2, 1)

    def mixed(x: jax.Array) -> jax.Array:
        for multiplier, offset in round_keys:
            x = (x * (multiplier | 1) + offset) & mask
            x = x ^ (x >> fold)
        return x

    def walk(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        x, outside = carry
        x = jnp.where(outside, mixed(x), x)
        return x, x >= size

    if fills_its_power:  # nothing ever leaves it, and no loop has to ask
        return mixed(index)
    everything = jnp.ones_like(index, dtype=bool)
    return jax.lax.while_loop(lambda carry: jnp.any(carry[1]), walk, (index, everything))[0]


def permutation(key: jax.Array, size: int) -> jax.Array:
    """A pseudo-random permutation of `0 .. size - 1`, for minibatches.

    Much faster than `jax.random.permutation` on a CPU, where that is a sort. The number of permutations it can
    reach is bounded by the round keys: use the sort where every permutation must be equally likely.

    Args:
      key: consumed.
      size: number of indices, static, 1 ≤ size ≤ 2³¹.

    Returns:
      int32 `[size]`.

    Example:
      >>> sorted(permutation(jax.random.key(0), 5).tolist())
      [0, 1, 2, 3, 4]

    Source: as `permute_index`.
    """
    round_keys = jax.random.bits(key, (ROUNDS, 2), jnp.uint32)
    return permute_index(jnp.arange(size, dtype=jnp.uint32), size, round_keys).astype(jnp.int32)


def shuffled(data: Any, key: jax.Array) -> Any:
    """Arrays `[B, ...]` in another order, the same for all. Our own.

    Args:
      data: a pytree of arrays.
      key: consumed.

    Example:
      >>> sorted(shuffled(jnp.arange(3), jax.random.key(0)).tolist())
      [0, 1, 2]
    """
    order = permutation(key, len(jax.tree.leaves(data)[0]))
    return jax.tree.map(lambda x: x[order], data)


def flat(batch: Any) -> Any:
    """Arrays `[T, N, ...]` as `[T N, ...]`. Our own.

    Args:
      batch: a pytree of arrays.

    Example:
      >>> flat(jnp.zeros((2, 3, 4))).shape
      (6, 4)
    """
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)


def check_minibatches(num_minibatches: Any, **sizes: Any) -> None:
    """Refuse minibatches that do not divide a batch; what is not an integer is left to `jaxrl.check`. Our own.

    Args:
      num_minibatches: parts.
      **sizes: whose product is the size of the batch, by the names of their fields.

    Raises:
      ValueError: naming all.

    Example:
      >>> check_minibatches(3, num_envs=8)
      Traceback (most recent call last):
      ...
      ValueError: num_minibatches=3 does not divide the batch of num_envs=8; choose a divisor
    """
    integers = all(type(size) is int for size in (num_minibatches, *sizes.values()))
    if integers and num_minibatches > 0 and math.prod(sizes.values()) % num_minibatches:
        what = " times ".join(f"{name}={size}" for name, size in sizes.items())
        raise ValueError(f"num_minibatches={num_minibatches} does not divide the batch of {what}; choose a divisor")


def scan_minibatches(
    step: Callable[[Any, Any], tuple[Any, Any]],
    carry: Any,
    data: Any,
    key: jax.Array,
    num_epochs: int,
    num_minibatches: int,
) -> tuple[Any, Any]:
    """Scan `step` over the minibatches of `num_epochs` passes, each in an order of its own.

    Args:
      step: function of (carry, minibatch `[B / num_minibatches, ...]`) that gives (carry, output).
      carry: its first carry.
      data: pytree of `[B, ...]`.
      key: consumed.
      num_epochs: passes.
      num_minibatches: of each pass; divides B.

    Returns:
      The last carry, and the outputs `[num_epochs, num_minibatches, ...]`.

    Example:
      >>> def total(carry, minibatch):
      ...     return carry + minibatch.sum(), minibatch.size
      >>> carry, sizes = scan_minibatches(total, jnp.int32(0), jnp.arange(6), jax.random.key(0), 2, 3)
      >>> int(carry), sizes.tolist()
      (30, [[2, 2, 2], [2, 2, 2]])

    Source: Schulman et al. (2017), Proximal Policy Optimization Algorithms, arXiv:1707.06347, Algorithm 1.
    """
    size = len(jax.tree.leaves(data)[0])

    def gather(carry: Any, index: jax.Array) -> tuple[Any, Any]:
        return step(carry, jax.tree.map(lambda x: x[index], data))

    def epoch(carry: Any, key: jax.Array) -> tuple[Any, Any]:
        return jax.lax.scan(gather, carry, permutation(key, size).reshape(num_minibatches, -1))

    return jax.lax.scan(epoch, carry, jax.random.split(key, num_epochs))


def minimize(
    loss: Callable[[Any, Any], tuple[jax.Array, Any]],
    transform: optax.GradientTransformation,
    start: tuple[Any, Any],
    data: Any,
    key: jax.Array,
    num_epochs: int,
    num_minibatches: int,
) -> tuple[Any, Any, Any]:
    """Gradient steps on the minibatches of `num_epochs` passes.

    Args:
      loss: function of (parameters, minibatch `[B / num_minibatches, ...]`) that gives the loss and metrics.
      transform: of gradients.
      start: parameters, and the state of the transform.
      data: pytree of `[B, ...]`.
      key: consumed.
      num_epochs: passes.
      num_minibatches: of each pass; divides B.

    Returns:
      Parameters, the state of the transform, and the metrics averaged over the steps.

    Example:
      >>> def loss(x, minibatch):
      ...     return 0.5 * jnp.square(x - minibatch).mean(), {"x": x}
      >>> sgd = optax.sgd(0.5)
      >>> x, _, metrics = minimize(loss, sgd, (0.0, sgd.init(0.0)), jnp.ones(4), jax.random.key(0), 1, 2)
      >>> print(x, metrics["x"])
      0.75 0.25

    Source: Robbins & Monro (1951), A Stochastic Approximation Method.
    """

    def step(carry: tuple[Any, Any], minibatch: Any) -> tuple[tuple[Any, Any], Any]:
        params, state = carry
        gradient, metrics = jax.grad(loss, has_aux=True)(params, minibatch)
        updates, state = transform.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), metrics

    (params, state), metrics = scan_minibatches(step, start, data, key, num_epochs, num_minibatches)
    return params, state, jax.tree.map(jnp.mean, metrics)
