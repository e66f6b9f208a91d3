"""The compiled programs of `fit`: initial state, a chunk of updates, an evaluation; for one seed or for many."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.engine.evaluate import evaluate
from jaxrl.engine.train import split_run_key, update_key

EVALUATION_EPISODES = 16
_EVALUATION_STREAM = 0x7FFFFFFF  # folded into the run's key; update numbers stay below
INITIALIZE_OPTIONS = {"static_argnames": "batched"}
UPDATES_OPTIONS = {"static_argnames": "longest", "donate_argnames": "state"}
"""Of `jax.jit`, with which a profile compiles the same functions anew."""


@functools.partial(jax.jit, **INITIALIZE_OPTIONS)
def initialize(algorithm: Any, key: jax.Array, batched: bool) -> Any:
    """Initial state of one seed, or of each, and whether it is finite."""

    def one(key: jax.Array) -> tuple[Any, jax.Array]:
        state = algorithm.init(key)
        return state, is_finite(state)

    return jax.vmap(one)(key) if batched else one(key)


def one_update(algorithm: Any, state: Any, key: jax.Array) -> tuple[Any, Any]:
    """The method as a function, by which a trace of it is found again."""
    return algorithm.update(state, key)


@functools.partial(jax.jit, **UPDATES_OPTIONS)
def updates(
    algorithm: Any, state: Any, key: jax.Array, start: jax.Array, alive: jax.Array, num_updates: jax.Array, longest: int
) -> tuple[Any, Any, jax.Array]:
    """`run` for one seed or many, of any length up to `longest`: one program for every chunk of a run.

    A seed that is not finite afterwards keeps the state it had before the chunk. Donates the state: the caller owns
    it, `jit` copied it out of whatever it was made from.

    Returns:
      The state, the metrics `[longest]` or `[K, longest]` (zero from `num_updates` on), and who is finite.
    """

    def one(state: Any, key: jax.Array) -> tuple[Any, Any, jax.Array]:
        def body(index: jax.Array, carry: tuple[Any, Any]) -> tuple[Any, Any]:
            state, history = carry
            state, metrics = algorithm.update(state, update_key(key, start + index))
            return state, jax.tree.map(lambda x, row: row.at[index].set(x), metrics, history)

        shapes = jax.eval_shape(one_update, algorithm, state, key)[1]
        history = jax.tree.map(lambda x: jnp.zeros((longest, *x.shape), x.dtype), shapes)
        new, metrics = jax.lax.fori_loop(0, num_updates, body, (state, history))
        return new, metrics, is_finite(new)

    if not alive.ndim:
        return one(state, key)
    new, metrics, finite = jax.vmap(one)(state, key)
    return kept(alive & finite, new, state), metrics, finite


def kept(good: jax.Array, new: Any, old: Any) -> Any:
    """New states of the seeds `[K]` that are good, and old ones of the others."""
    return jax.tree.map(lambda x, y: jnp.where(good.reshape(-1, *[1] * (x.ndim - 1)), x, y), new, old)


def is_finite(state: Any) -> jax.Array:
    """Whether every float of a state is finite, bool `[]`."""
    floats = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(x)) for x in floats]))


@functools.partial(jax.jit, static_argnames="batched")
def _episodes(algorithm: Any, state: Any, key: jax.Array, update: jax.Array, batched: bool) -> Any:
    def one(state: Any, key: jax.Array) -> Any:
        return evaluate(algorithm, state, evaluation_key(key, update), EVALUATION_EPISODES)

    return jax.vmap(one)(state, key) if batched else one(state, key)


def evaluation_key(key: jax.Array, update: jax.Array) -> jax.Array:
    """The key of the evaluation after an update, of the run's key: of a stream of its own."""
    return jax.random.fold_in(jax.random.fold_in(key, _EVALUATION_STREAM), update)


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
        "finished": np.where(np.asarray(alive), finished.mean(axis=-1), np.nan),
    }


def split_keys(key: jax.Array) -> Any:
    """The init and run keys of one seed, or of each, as `train` splits them."""
    return jnp.moveaxis(jax.vmap(split_run_key)(key), 1, 0) if key.ndim else split_run_key(key)
