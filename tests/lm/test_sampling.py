"""Drawing tokens by one uniform number: frequencies, forbidden tokens, and sizes of the vocabulary."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.lm.sampling import Sampling, categorical


@pytest.mark.parametrize("size", [1, 2, 3, 7, 640, 1000])
def test_frequencies_are_the_probabilities(size):
    log_probs = jax.nn.log_softmax(2.0 * jax.random.normal(jax.random.key(size), (size,)))
    count = 200_000
    rows = jnp.broadcast_to(log_probs, (500, size))
    keys = jax.random.split(jax.random.key(1), count // 500)
    tokens = jax.jit(jax.vmap(lambda key: categorical(key, rows)))(keys).ravel()
    found = np.bincount(tokens, minlength=size) / count
    expected = np.exp(np.asarray(log_probs, np.float64))
    error = np.sqrt(expected * (1 - expected) / count)
    assert (np.abs(found - expected) <= 5 * error + 1e-9).all()
    assert len(found) == size


def test_what_has_no_probability_is_never_drawn():
    size = 151_936
    alive = jax.random.permutation(jax.random.key(0), size)[:5]
    log_probs = jnp.full(size, -jnp.inf).at[alive].set(jnp.log(jnp.array([0.5, 0.3, 0.2 - 1e-6, 5e-7, 5e-7])))
    keys = jax.random.split(jax.random.key(1), 2000)
    tokens = jax.jit(jax.vmap(lambda key: categorical(key, log_probs[None])[0]))(keys)
    assert set(np.asarray(tokens).tolist()) <= set(np.asarray(alive).tolist())


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0 - 2.0**-24])
def test_the_ends_of_the_interval_fall_on_tokens_that_can_be_drawn(place, monkeypatch):
    """Zero, and the largest number below one, with forbidden tokens at both ends."""
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape: jnp.full(shape, place, jnp.float32))
    for size in (3, 5, 17, 257, 1001):
        for seed in range(20):
            logits = 5.0 * jax.random.normal(jax.random.key(seed), (1, size))
            logits = logits.at[0, 0].set(-jnp.inf).at[0, -1].set(-jnp.inf)
            token = int(categorical(jax.random.key(0), jax.nn.log_softmax(logits))[0])
            assert 0 < token < size - 1


def test_drawn_tokens_come_with_their_own_log_probability():
    sampling = Sampling(4, temperature=0.7, top_k=5, banned=(2,))
    logits = jax.random.normal(jax.random.key(0), (64, 11))
    tokens, log_prob = jax.jit(sampling.draw)(jax.random.key(1), logits)
    expected = np.asarray(sampling.log_probs(logits))[np.arange(64), tokens]
    np.testing.assert_allclose(log_prob, expected, atol=1e-6)
    assert np.isfinite(log_prob).all() and 2 not in tokens
