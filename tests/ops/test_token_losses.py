"""Losses of tokens where a policy no longer draws what was drawn."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import ops

LOSSES = [ops.token_clip, ops.sequence_clip, ops.weight_clip]


def losses_of(loss, log_prob, advantage, low, high):
    """Losses, ratios and gradients `[1, T]` of tokens that were drawn with probability 1/2."""
    log_prob = jnp.array([log_prob])
    old, mask = jnp.full(log_prob.shape, jnp.log(0.5)), jnp.ones(log_prob.shape, bool)
    advantage = jnp.full(log_prob.shape, advantage)
    values, ratio = loss(log_prob, old, advantage, mask, low, high)
    gradient = jax.grad(lambda x: loss(x, old, advantage, mask, low, high)[0].sum())(log_prob)
    return values[0], ratio[0], gradient[0]


@pytest.mark.parametrize("low", [0.25, 1.0])
def test_a_token_without_probability_has_no_gradient_and_the_others_keep_theirs(low):
    # Of tokens with ratios 0 and 1, at A = 2.
    log_prob, half = [-jnp.inf, np.log(0.5)], float(np.log(0.5))
    for loss, expected in ((ops.token_clip, [0.0, -2.0]), (ops.weight_clip, [0.0, -2.0 * half])):
        values, ratio, gradient = losses_of(loss, log_prob, 2.0, low, 4.0)
        np.testing.assert_allclose(values, expected, rtol=1e-6)
        np.testing.assert_allclose(ratio, [0.0, 1.0], rtol=1e-6)
        np.testing.assert_allclose(gradient, [0.0, -2.0], rtol=1e-6)
    values, ratio, gradient = losses_of(ops.sequence_clip, log_prob, 2.0, low, 4.0)
    np.testing.assert_array_equal([values, ratio, gradient], np.zeros((3, 2)))  # the whole has none


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_is_infinite_where_a_worse_token_has_no_probability(loss):
    for low in (0.25, 1.0):
        for x in losses_of(loss, [-jnp.inf, -1.0], -2.0, low, jnp.inf):
            assert np.isfinite(x).all()


def test_a_weight_at_its_lower_bound_has_a_gradient_all_the_same():
    values, _, gradient = losses_of(ops.weight_clip, [-200.0], 2.0, 0.25, 4.0)  # of ratio 0 in float32
    np.testing.assert_allclose([values, gradient], [[300.0], [-1.5]], rtol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_column_is_refused(loss):
    rows, column = jnp.zeros((2, 2)), jnp.zeros((2, 1))
    with pytest.raises(AssertionError):
        loss(rows, rows, column, rows == 0, 0.2, 0.2)
    with pytest.raises(AssertionError):
        loss(rows, rows, rows, column == 0, 0.2, 0.2)
    chex.assert_equal_shape([*loss(rows, rows, rows, rows == 0, 0.2, 0.2), rows])
