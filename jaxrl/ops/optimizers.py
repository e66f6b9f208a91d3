"""Optimizers as functions of a learning rate, which may be traced."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

LARGE = 2**14
"""Numbers of an array that an optimizer gets by itself."""


def adam(learning_rate: jax.Array | float) -> optax.GradientTransformation:
    """Adam with ε = 1e-5, the field's choice for policy gradients.

    Args:
      learning_rate: step size `[]`, may be traced.

    Returns:
      A transformation of gradients of any shape.

    Example:
      >>> optimizer = adam(0.1)
      >>> updates, _ = optimizer.update(jax.numpy.ones(2), optimizer.init(jax.numpy.zeros(2)))
      >>> bool(abs(updates + 0.1).max() < 1e-5)  # the first step has the size of the learning rate
      True

    Source: Kingma & Ba (2015), arXiv:1412.6980; ε after Huang et al. (2022), The 37 Implementation Details, detail 3.
    """
    return optax.adam(learning_rate, eps=1e-5)


def adamw(learning_rate: jax.Array | float, weight_decay: float = 0.3) -> optax.GradientTransformation:
    """Adam that lets weights decay, for texts that a model would otherwise learn by heart.

    All parameters decay, biases and the scales of norms too. ε is optax's default, 1e-8, not that of `adam`.

    Args:
      learning_rate: step size `[]`, may be traced.
      weight_decay: share of the parameters taken away at a step, times the learning rate.

    Returns:
      A transformation of gradients of any shape, which asks for the parameters too.

    Example:
      >>> weights = jax.numpy.ones(2)
      >>> updates, _ = adamw(0.1, 0.5).update(0 * weights, adamw(0.1).init(weights), weights)
      >>> print(updates)
      [-0.05 -0.05]

    Source: Loshchilov & Hutter (2019), Decoupled Weight Decay Regularization, arXiv:1711.05101. The decay is ours.
    """
    return optax.adamw(learning_rate, weight_decay=weight_decay)


def sgd(learning_rate: jax.Array | float) -> optax.GradientTransformation:
    """Plain gradient descent.

    Args:
      learning_rate: step size `[]`, may be traced.

    Returns:
      A transformation of gradients of any shape.

    Example:
      >>> updates, _ = sgd(0.5).update(jax.numpy.ones(2), sgd(0.5).init(jax.numpy.zeros(2)))
      >>> updates.tolist()
      [-0.5, -0.5]

    Source: Robbins & Monro (1951), A Stochastic Approximation Method.
    """
    return optax.sgd(learning_rate)


def annealed(value: jax.Array | float, num_updates: jax.Array, horizon: jax.Array | float) -> jax.Array:
    """A rate that falls linearly to zero over `horizon` updates, and stays there.

    Args:
      value: at the beginning, `[]`.
      num_updates: updates made so far, int32 `[]`.
      horizon: updates; inf keeps the value.

    Returns:
      `[]`.

    Example:
      >>> print(annealed(0.5, jnp.array(3), 4.0), annealed(0.5, jnp.array(3), jnp.inf))
      0.125 0.5

    Source: Mnih et al. (2016), Asynchronous Methods for Deep Reinforcement Learning, arXiv:1602.01783, section 5.1.
    """
    return value * jnp.maximum(1.0 - num_updates / horizon, 0.0)


def transform_of(algorithm: Any, num_updates: jax.Array) -> optax.GradientTransformation:
    """Clipping by the global norm, and the optimizer at the learning rate of an update.

    Small arrays of parameters are one vector to both: one array to clip and to update, not a dozen; large ones stay as
    they are, for to copy them costs more than it saves.

    Args:
      algorithm: with `optimizer`, `learning_rate`, `anneal_updates` and `max_grad_norm`.
      num_updates: updates made so far, int32 `[]`.

    Example:
      >>> import jaxrl
      >>> ppo = jaxrl.PPO(*jaxrl.envs.make("CartPole-v1"), optimizer=sgd, learning_rate=1.0, max_grad_norm=5.0)
      >>> transform, gradient = transform_of(ppo, jnp.array(0)), jnp.array([30.0, 40.0])
      >>> print(transform.update(gradient, transform.init(gradient))[0].round(4))
      [-3. -4.]

    Source: Pascanu, Mikolov & Bengio (2013), On the Difficulty of Training Recurrent Neural Networks, algorithm 1.
    """
    return _of_few_arrays(clipped_optimizer(algorithm, num_updates))


def _of_few_arrays(transform: optax.GradientTransformation) -> optax.GradientTransformation:
    """A transformation that gets small arrays as one vector, and beside it the large ones."""

    def joined(tree: Any) -> dict[str, Any]:
        small, large = _by_size(tree)
        return {"large": large} | ({"small": ravel_pytree(small)[0]} if small else {})

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        stepped: Any = joined(updates)
        stepped, state = transform.update(stepped, state, None if params is None else joined(params))
        arrays, _ = _by_size(updates)
        small, large = iter(ravel_pytree(arrays)[1](stepped["small"]) if arrays else ()), iter(stepped["large"])
        return jax.tree.map(lambda x: next(small if x.size < LARGE else large), updates), state

    return optax.GradientTransformation(lambda params: transform.init(joined(params)), update)


def _by_size(tree: Any) -> tuple[list[jax.Array], list[jax.Array]]:
    """The small arrays of a tree, and the large ones."""
    arrays = jax.tree.leaves(tree)
    return [x for x in arrays if x.size < LARGE], [x for x in arrays if x.size >= LARGE]


def clipped_optimizer(algorithm: Any, num_updates: jax.Array) -> optax.GradientTransformation:
    """Clipping by the global norm, and the optimizer at the learning rate of an update, of parameters as they are.

    Args:
      algorithm: with `optimizer`, `learning_rate`, `anneal_updates` and `max_grad_norm`.
      num_updates: updates made so far, int32 `[]`.

    Source: as `transform_of`.
    """
    learning_rate = annealed(algorithm.learning_rate, num_updates, algorithm.anneal_updates)
    return optax.chain(optax.clip_by_global_norm(algorithm.max_grad_norm), algorithm.optimizer(learning_rate))
