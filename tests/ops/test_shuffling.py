"""Shuffling: a permutation for every size, and statistically uniform where minibatches need it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxrl import ops
from jaxrl.ops.shuffling import ROUNDS

LARGEST = 5000
NUM_KEYS = 10_000
SIZES = [2, 3, 5, 8, 13, 32, 60]


def samples(shuffle, size, seed=0):
    """`[NUM_KEYS, size]` permutations."""
    keys = jax.random.split(jax.random.key(seed), NUM_KEYS)
    return np.asarray(jax.jit(jax.vmap(lambda key: shuffle(key, size)))(keys))


def assert_uniform(statistic, degrees):
    """Two-sided: a statistic that is too small would be as suspicious."""
    probability = scipy.stats.chi2.sf(statistic, degrees)
    assert 1e-5 < probability < 1 - 1e-5, f"χ²={statistic:.1f} with {degrees} degrees: p={probability:.1e}"


def check_positions(shuffle, size):
    """Every index is equally likely in every place."""
    permutations = samples(shuffle, size)
    counts = np.stack([np.bincount(permutations[:, i], minlength=size) for i in range(size)])
    expected = NUM_KEYS / size
    # A permutation matrix has fixed row and column sums: (n-1)² free cells, each with the variance of n/(n-1)
    # times that of a table of independent rows.
    assert_uniform(np.sum((counts - expected) ** 2 / expected) * (size - 1) / size, (size - 1) ** 2)


def check_pairs(shuffle, size):
    """The two indices in any two places are equally likely to be any ordered pair."""
    permutations = samples(shuffle, size, seed=1)
    for i, j in {(0, 1), (0, size - 1), (size // 2 - 1, size // 2)}:
        codes = permutations[:, i] * size + permutations[:, j]
        counts = np.bincount(codes, minlength=size * size).reshape(size, size)
        assert np.all(np.diag(counts) == 0)
        pairs, expected = counts[~np.eye(size, dtype=bool)], NUM_KEYS / (size * (size - 1))
        assert_uniform(np.sum((pairs - expected) ** 2 / expected), size * (size - 1) - 1)


def check_differences(shuffle, size):
    """Within one permutation neighbours differ by as many amounts as under a sort of random numbers.

    Of n differences modulo n, uniform, n(1 - 1/e) are distinct, with a deviation below √n / 2.
    """
    permutations = np.asarray(shuffle(jax.random.key(2), size))
    distinct = len(np.unique(np.diff(permutations) % size))
    assert abs(distinct - size * (1 - np.exp(-1))) < 3 * np.sqrt(size)


def rotation(key, size):
    """Wrong: every place is uniform, and neighbours stay neighbours."""
    return (jnp.arange(size) + jax.random.randint(key, (), 0, size)) % size


def half_sorted(key, size):
    """Wrong: the first place never gets the last index."""
    return jnp.where(jax.random.bernoulli(key), jnp.arange(size), jnp.roll(jnp.arange(size), -1))


def affine(key, size):
    """Wrong: multiplied and shifted, so that all neighbours differ by the same amount."""
    multiplier, offset = jax.random.bits(key, (2,), jnp.uint32)
    return ((jnp.arange(size, dtype=jnp.uint32) * (multiplier | 1) + offset) % size).astype(jnp.int32)


def test_every_size_is_a_permutation():
    index = jnp.arange(LARGEST, dtype=jnp.uint32)

    @jax.jit
    def covered(size):
        round_keys = jax.random.bits(jax.random.fold_in(jax.random.key(0), size), (ROUNDS, 2), jnp.uint32)
        # One compilation for every size: places beyond it repeat the last index and add nothing.
        result = ops.permute_index(jnp.minimum(index, size - 1), size, round_keys)
        return jnp.zeros(LARGEST, bool).at[result].set(True).sum(), result.max()

    sizes = jnp.arange(1, LARGEST + 1, dtype=jnp.uint32)
    number, largest = jax.jit(lambda sizes: jax.lax.map(covered, sizes))(sizes)
    np.testing.assert_array_equal(number, sizes)
    np.testing.assert_array_equal(largest, sizes - 1)


@pytest.mark.parametrize("size", [2**16 - 1, 2**16, 2**16 + 1])
def test_large_sizes_are_permutations(size):
    np.testing.assert_array_equal(np.sort(ops.permutation(jax.random.key(3), size)), np.arange(size))


def test_indices_near_the_largest_size_stay_inside_and_distinct():
    # 2³¹ - 1 makes a mask of 31 bits; all arithmetic is modulo 2³².
    size = 2**31 - 1
    index = jnp.asarray(np.random.default_rng(0).choice(size, 4096, replace=False), jnp.uint32)
    round_keys = jax.random.bits(jax.random.key(4), (ROUNDS, 2), jnp.uint32)
    result = np.asarray(ops.permute_index(index, size, round_keys))
    assert len(np.unique(result)) == len(index)
    assert result.max() < size


@pytest.mark.parametrize("size", SIZES)
def test_positions_are_uniform(size):
    check_positions(ops.permutation, size)


@pytest.mark.parametrize("size", [size for size in SIZES if 5 <= size <= 32])
def test_pairs_are_uniform(size):
    check_pairs(ops.permutation, size)


@pytest.mark.parametrize("size", [1000, 4096])
def test_neighbours_scatter(size):
    check_differences(ops.permutation, size)


@pytest.mark.parametrize(
    ("check", "shuffle"),
    [(check_positions, half_sorted), (check_pairs, rotation), (check_differences, affine)],
)
def test_the_checks_find_what_is_wrong(check, shuffle):
    with pytest.raises(AssertionError):
        check(shuffle, 64 if check is check_differences else 8)
    check(jax.random.permutation, 64 if check is check_differences else 8)


def test_keys_differ_and_the_same_key_agrees():
    first, again, other = (ops.permutation(jax.random.key(seed), 100) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.mean(np.asarray(first) == np.asarray(other)) < 0.1
    assert first.dtype == jnp.int32
