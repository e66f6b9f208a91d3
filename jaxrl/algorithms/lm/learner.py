"""What all learners of language models share: their state, its beginning, and a gradient step of whole texts."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from jaxrl import ops
from jaxrl.types import Metrics


@flax.struct.dataclass
class LanguageState:
    """State of a learner between updates.

    Args:
      params: of the model.
      opt_state: of the optimizer.
      num_updates: updates made, int32 `[]`.
    """

    params: Any
    opt_state: Any
    num_updates: jax.Array


def init_state(algorithm: Any, key: jax.Array) -> LanguageState:
    """Parameters that were given, or random ones, and a fresh optimizer. The key is consumed."""
    params = algorithm.params
    if params is None:
        params = algorithm.model.init(key, jnp.zeros((1, 1), jnp.int32))
    transform = ops.clipped_optimizer(algorithm, jnp.int32(0))
    return LanguageState(jax.tree.map(jnp.array, params), transform.init(params), jnp.int32(0))


def descend(
    algorithm: Any,
    state: LanguageState,
    loss: Callable[[Any, Any], tuple[jax.Array, Metrics]],
    data: Any,
    key: jax.Array,
) -> tuple[LanguageState, Metrics]:
    """Gradient steps on the minibatches of `num_epochs` passes over data `[B, ...]`. The key is consumed."""
    transform = ops.clipped_optimizer(algorithm, state.num_updates)
    start, sizes = (state.params, state.opt_state), (algorithm.num_epochs, algorithm.num_minibatches)
    params, opt_state, metrics = ops.minimize(loss, transform, start, data, key, *sizes)
    return LanguageState(params, opt_state, state.num_updates + 1), metrics


def step(
    algorithm: Any, state: LanguageState, loss: Callable[[Any], tuple[jax.Array, Metrics]]
) -> tuple[LanguageState, Metrics]:
    """One gradient step."""
    transform = ops.clipped_optimizer(algorithm, state.num_updates)
    gradient, metrics = jax.grad(loss, has_aux=True)(state.params)
    updates, opt_state = transform.update(gradient, state.opt_state, state.params)
    return LanguageState(optax.apply_updates(state.params, updates), opt_state, state.num_updates + 1), metrics
