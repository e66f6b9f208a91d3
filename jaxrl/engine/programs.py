"""The compiled programs of `fit`: initial state, a chunk of updates, an evaluation; for one seed or for many."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.engine.evaluate import evaluate
from jaxrl.engine.train import run, split_run_key

EVALUATION_EPISODES = 16
_EVALUATION_STREAM = 0x7FFFFFFF  # folded into the run's key; update numbers stay below


@functools.partial(jax.jit, static_argnames="batched")
def initialize(algorithm: Any, key: jax.Array, batched: bool) -> Any:
    """Initial state of one seed, or of each."""
    return jax.vmap(algorithm.init)(key) if batched else algorithm.init(key)


@functools.partial(jax.jit, static_argnames="num_updates", donate_argnames="state")
def updates(
    algorithm: Any, state: Any, key: jax.Array, start: jax.Array, alive: jax.Array, num_updates: int
) -> tuple[Any, Any, jax.Array]:
    """`run` for one seed or many; a seed that is not finite afterwards keeps the state it had.

    Donates the state: the caller owns it, `jit` copied it out of whatever it was made from.
    """

    def one(state: Any, key: jax.Array) -> tuple[Any, Any, jax.Array]:
        new, metrics = run(algorithm, state, key, num_updates, start)
        floats = [x for x in jax.tree.leaves(new) if jnp.issubdtype(x.dtype, jnp.inexact)]
        return new, metrics, jnp.all(jnp.array([jnp.all(jnp.isfinite(x)) for x in floats]))

    if not alive.ndim:
        return one(state, key)
    new, metrics, finite = jax.vmap(one)(state, key)

    def keep(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where((alive & finite).reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return jax.tree.map(keep, new, state), metrics, finite


@functools.partial(jax.jit, static_argnames="batched")
def _episodes(algorithm: Any, state: Any, key: jax.Array, update: jax.Array, batched: bool) -> Any:
    def one(state: Any, key: jax.Array) -> Any:
        stream = jax.random.fold_in(key, _EVALUATION_STREAM)
        return evaluate(algorithm, state, jax.random.fold_in(stream, update), EVALUATION_EPISODES)

    return jax.vmap(one)(state, key) if batched else one(state, key)


def evaluate_seeds(algorithm: Any, state: Any, key: jax.Array, alive: jax.Array, update: int) -> dict[str, np.ndarray]:
    """Mean return and length of the finished episodes and their share, `[]` or `[K]`; NaN for a frozen seed."""
    episodes = _episodes(algorithm, state, key, jnp.int32(update), batched=key.ndim > 0)
    finished = np.asarray(episodes.finished)
    count = finished.sum(axis=-1)

    def mean(values: jax.Array) -> np.ndarray:
        total = np.where(finished, np.asarray(values, np.float64), 0.0).sum(axis=-1)
        return np.divide(total, count, out=np.full(total.shape, np.nan), where=(count > 0) & np.asarray(alive))

    return {
        "return": mean(episodes.returns),
        "length": mean(episodes.lengths),
        "finished": finished.mean(axis=-1),
    }


def split_keys(key: jax.Array) -> Any:
    """The init and run keys of one seed, or of each, as `train` splits them."""
    return jnp.moveaxis(jax.vmap(split_run_key)(key), 1, 0) if key.ndim else split_run_key(key)
