"""Optimizers as functions of a learning rate, which may be traced."""

import jax
import optax


def adam(learning_rate: jax.Array | float) -> optax.GradientTransformation:
    """Adam with ε = 1e-5, the field's choice for policy gradients.

    Args:
      learning_rate: step size, may be traced.

    Source: Kingma & Ba (2015), arXiv:1412.6980; ε after Huang et al. (2022), The 37 Implementation Details, detail 3.
    """
    return optax.adam(learning_rate, eps=1e-5)


def sgd(learning_rate: jax.Array | float) -> optax.GradientTransformation:
    """Plain gradient descent.

    Args:
      learning_rate: step size, may be traced.
    """
    return optax.sgd(learning_rate)
