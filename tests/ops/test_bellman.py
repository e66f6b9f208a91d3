"""Bounds of values against exact answers, and their rounding against float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import ops
from jaxrl.envs import textbook


def test_bounds_by_hand():
    # One state, reward 1, γ = 1/2: v* = 2. From v = 0: Tv = 1, change 1, 1 + 1·1 = 2 on both sides.
    lower, upper = ops.value_bounds(jnp.ones(1), jnp.ones(1), 0.5)
    assert (lower.tolist(), upper.tolist()) == ([2.0], [2.0])
    # Two states that lead to each other, rewards 1 and 0, γ = 1/2: v* = 4/3 and 2/3. From 0: changes 1 and 0.
    lower, upper = ops.value_bounds(jnp.array([1.0, 0.0]), jnp.array([1.0, 0.0]), 0.5)
    assert (lower.tolist(), upper.tolist()) == ([1.0, 0.0], [2.0, 1.0])


@pytest.mark.parametrize("seed", range(5))
def test_bounds_hold_for_any_values(seed):
    with jax.enable_x64():
        mdp = textbook.garnet(30, 1, 4, seed=seed)
        chain = np.zeros((30, 30))
        successor, probability = mdp.transitions.successor.T[:, 0], mdp.transitions.probability.T[:, 0]
        np.add.at(chain, (np.arange(30)[:, None], np.asarray(successor)), np.asarray(probability))
        exact = np.linalg.solve(np.eye(30) - 0.9 * chain, np.asarray(mdp.reward)[:, 0])
        values = 10 * jax.random.normal(jax.random.key(seed), (30,))
        backup = mdp.q_values(values, 0.9)[:, 0]
        lower, upper = ops.value_bounds(backup, backup - values, 0.9)
        assert np.all(lower <= exact + 1e-12) and np.all(exact <= upper + 1e-12)
        wide, wider = ops.value_bounds(backup, backup - values, 0.9, 0.1)
        # An error of 0.1 in Tv moves each end by 0.1 and by 0.1 · γ/(1-γ) = 0.9 through the change.
        np.testing.assert_allclose(lower - wide, 1.0, rtol=1e-9)
        np.testing.assert_allclose(wider - upper, 1.0, rtol=1e-9)


@pytest.mark.parametrize("num_terms", [2, 20, 200])
def test_the_rounding_error_of_float32_is_within_its_bound_and_not_far_below(num_terms):
    mdp = textbook.garnet(256, 2, num_terms, seed=num_terms)
    values = 100 * jax.random.normal(jax.random.key(1), (256,))
    q = mdp.q_values(values, 0.9)
    with jax.enable_x64():
        exact = textbook.garnet(256, 2, num_terms, seed=num_terms).q_values(
            jnp.asarray(np.asarray(values, np.float64)), 0.9
        )
        error = np.abs(np.asarray(q, np.float64) - np.asarray(exact)).max()
    bound = float(ops.rounding_error(q, values, num_terms))
    assert error <= bound <= 1000 * error * num_terms


def test_optimal_actions_are_those_within_the_slack():
    q = jnp.array([[1.0, 0.95, -jnp.inf], [-jnp.inf, -3.0, -3.0]])
    assert ops.optimal_actions(q).tolist() == [[True, False, False], [False, True, True]]
    assert ops.optimal_actions(q, 0.1).tolist() == [[True, True, False], [False, True, True]]
