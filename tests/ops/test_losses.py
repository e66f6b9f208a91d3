"""Losses against arithmetic by hand, and the gradients that their clips must stop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import ops


def test_ppo_clip_by_hand():
    # ε = 0.2. min(ρA, clip(ρ)A):
    # ρ=1.5 A= 2: min( 3.0,  2.4) =  2.4    clipped: no reward for going further
    # ρ=0.5 A= 2: min( 1.0,  1.6) =  1.0    not clipped: it must come back
    # ρ=1.5 A=-2: min(-3.0, -2.4) = -3.0    not clipped
    # ρ=0.5 A=-2: min(-1.0, -1.6) = -1.6    clipped
    # ρ=1.1 A= 2: 2.2                       inside
    ratio, advantage = jnp.array([1.5, 0.5, 1.5, 0.5, 1.1]), jnp.array([2.0, 2.0, -2.0, -2.0, 2.0])
    loss = ops.ppo_clip(ratio, advantage, 0.2)
    np.testing.assert_allclose(loss, [-2.4, -1.0, 3.0, 1.6, -2.2], rtol=1e-6)


def test_ppo_clip_stops_the_gradient_exactly_where_it_clips():
    ratio, advantage = jnp.array([1.5, 0.5, 1.5, 0.5, 1.1]), jnp.array([2.0, 2.0, -2.0, -2.0, 2.0])
    gradient = jax.grad(lambda ratio: ops.ppo_clip(ratio, advantage, 0.2).sum())(ratio)
    np.testing.assert_allclose(gradient, [0.0, -2.0, 2.0, 0.0, -2.0])


def test_ppo_clip_without_a_bound_is_the_importance_weighted_policy_gradient():
    ratio, advantage = jnp.array([0.1, 1.0, 9.0]), jnp.array([1.0, -1.0, 3.0])
    np.testing.assert_allclose(ops.ppo_clip(ratio, advantage, jnp.inf), -ratio * advantage, rtol=1e-6)


def test_clipped_value_loss_by_hand():
    # ε = 1, v_old = 0:
    # v=3   G=4: max((3-4)², (1-4)²)/2 = 9/2      the step was longer than ε: the pessimistic one counts
    # v=3   G=0: max(3², 1²)/2         = 9/2      too far on the wrong side: not clipped, it must come back
    # v=0.5 G=4: 3.5²/2                = 6.125    inside
    value, target = jnp.array([3.0, 3.0, 0.5]), jnp.array([4.0, 0.0, 4.0])
    loss = ops.clipped_value_loss(value, jnp.zeros(3), target, 1.0)
    np.testing.assert_allclose(loss, [4.5, 4.5, 6.125], rtol=1e-6)
    gradient = jax.grad(lambda v: ops.clipped_value_loss(v, jnp.zeros(3), target, 1.0).sum())(value)
    np.testing.assert_allclose(gradient, [0.0, 3.0, -3.5], rtol=1e-6)


@pytest.mark.parametrize("old_value", [0.0, -5.0])
def test_clipped_value_loss_without_a_bound_is_half_the_squared_error(old_value):
    value, target = jnp.array([1.0, -2.0]), jnp.array([3.0, 3.0])
    loss = ops.clipped_value_loss(value, jnp.full(2, old_value), target, jnp.inf)
    np.testing.assert_allclose(loss, [2.0, 12.5], rtol=1e-6)  # (1-3)²/2, (-2-3)²/2
