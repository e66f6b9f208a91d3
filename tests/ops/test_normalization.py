"""Running statistics against numpy on the concatenated data, and discounted sums against a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import ops


def accumulated(batches):
    statistics = ops.init_statistics(jnp.zeros(batches[0].shape[1:]))
    for batch in batches:
        statistics = ops.update_statistics(statistics, jnp.asarray(batch))
    return statistics


def test_statistics_by_hand():
    # {1, 3} and then {5}: mean 3, variance (4 + 0 + 4)/3.
    statistics = accumulated([np.array([1.0, 3.0]), np.array([5.0])])
    np.testing.assert_allclose(statistics.count, 3.0)
    np.testing.assert_allclose(statistics.mean, 3.0, rtol=1e-6)
    np.testing.assert_allclose(statistics.variance, 8 / 3, rtol=1e-6)


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_statistics_equal_numpy_on_everything_together(shape):
    generator = np.random.default_rng(0)
    batches = [generator.normal(i, 1 + i, size=(size, *shape)) for i, size in enumerate((7, 1, 12, 30))]
    statistics, everything = accumulated(batches), np.concatenate(batches)
    np.testing.assert_allclose(statistics.mean, everything.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(statistics.variance, everything.var(axis=0), rtol=1e-4)


def test_a_large_offset_cancels_nothing():
    # A sum of squares in float32 has lost everything at 1e4: 1e8 + 1 = 1e8 there.
    generator = np.random.default_rng(1)
    batches = [(1e4 + generator.normal(size=(64, 2))).astype(np.float32) for _ in range(20)]
    everything = np.concatenate(batches).astype(np.float64)
    statistics = accumulated(batches)
    # Exact to the float32 spacing of the data themselves, which is 1e-3 at 1e4.
    np.testing.assert_allclose(statistics.mean, everything.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(statistics.variance, everything.var(axis=0), rtol=2e-2)


def test_statistics_of_a_pytree_and_of_integers():
    example = {"position": jnp.zeros(2, jnp.int32), "image": jnp.zeros((2, 2), jnp.uint8)}
    batch = {"position": jnp.array([[0, 2], [2, 2]]), "image": jnp.full((2, 2, 2), 255, jnp.uint8)}
    statistics = ops.update_statistics(ops.init_statistics(example), batch)
    np.testing.assert_allclose(statistics.mean["position"], [1.0, 2.0])
    np.testing.assert_allclose(statistics.variance["position"], [1.0, 0.0])
    np.testing.assert_allclose(statistics.mean["image"], np.full((2, 2), 255.0))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(statistics))


def test_normalize_by_hand_and_for_any_leading_axes():
    # (5 - 3)/√4 = 1; (100 - 3)/2 is beyond the clip of 10.
    statistics = ops.RunningStatistics(jnp.array(9.0), jnp.array([3.0]), jnp.array([4.0]))
    x = jnp.array([[[5.0], [100.0]]])
    np.testing.assert_allclose(ops.normalize(statistics, x), [[[1.0], [10.0]]], rtol=1e-6)
    np.testing.assert_allclose(ops.normalize(statistics, x[0, 0]), [1.0], rtol=1e-6)


def test_statistics_of_nothing_change_nothing():
    x = jnp.array([[1.0, -2.0]])
    np.testing.assert_allclose(ops.normalize(ops.init_statistics(x[0]), x), x, rtol=1e-6)


def test_normalized_data_have_mean_zero_and_deviation_one():
    x = jnp.asarray(np.random.default_rng(2).normal(-7.0, 3.0, size=(500, 3)), jnp.float32)
    z = ops.normalize(accumulated([x]), x)
    np.testing.assert_allclose(z.mean(axis=0), np.zeros(3), atol=1e-5)
    np.testing.assert_allclose(z.std(axis=0), np.ones(3), rtol=1e-5)


def test_discounted_sums_by_hand():
    # γ = ½, the episode ends at t=1:  4·1 + ... : carry 4 -> 4+1 = 5; ½·5 + 2 = 4.5, end; 3; carry ½·3 = 1.5.
    carry, sums = ops.discounted_sums(jnp.array(4.0), jnp.array([1.0, 2.0, 3.0]), jnp.array([False, True, False]), 0.5)
    np.testing.assert_allclose(sums, [5.0, 4.5, 3.0])
    np.testing.assert_allclose(carry, 1.5)


def test_discounted_sums_equal_a_loop_and_continue_over_pieces():
    generator = np.random.default_rng(3)
    reward, done = generator.normal(size=(20, 3)).astype(np.float32), generator.random((20, 3)) < 0.2
    expected, total = np.zeros((20, 3)), np.zeros(3)
    for t in range(20):
        total = reward[t] + 0.9 * (~done[t - 1] if t else 1) * total
        expected[t] = total
    carry, first = ops.discounted_sums(jnp.zeros(3), jnp.asarray(reward[:7]), jnp.asarray(done[:7]), 0.9)
    _, second = ops.discounted_sums(carry, jnp.asarray(reward[7:]), jnp.asarray(done[7:]), 0.9)
    np.testing.assert_allclose(np.concatenate([first, second]), expected, rtol=1e-4, atol=1e-5)
