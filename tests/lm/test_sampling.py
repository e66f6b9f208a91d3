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


def test_tokens_that_the_tokenizer_does_not_know_are_never_drawn():
    logits = jnp.zeros((1, 8)).at[0, 6].set(50.0)
    known = Sampling(1, vocab_size=6)
    np.testing.assert_allclose(jnp.exp(known.log_probs(logits))[0], [1 / 6] * 6 + [0, 0], atol=1e-6)
    assert Sampling(1).draw(jax.random.key(0), logits)[0] == 6 and known.draw(jax.random.key(0), logits)[0] < 6
    slope = jax.grad(lambda x: known.log_probs(x)[0, 0])(logits)
    assert jnp.isfinite(slope).all() and (slope[0, 6:] == 0).all()
    assert (Sampling(1, vocab_size=8).logits(logits) == logits).all()  # a model of that very size


def test_rounding_of_long_sums_leads_to_no_forbidden_token(monkeypatch):
    """XLA's blocked sums of 390 numbers neither rise only nor stay flat over zeros: a place within such a step."""
    size, parts = 151_936, 390
    log_probs = Sampling(1, top_k=200).log_probs(3.0 * jax.random.normal(jax.random.key(1), (1, size)))
    probs = jnp.pad(jnp.exp(log_probs), ((0, 0), (0, -size % parts))).reshape(-1, parts)
    sums, mass = np.asarray(jnp.cumsum(probs.sum(axis=1))), np.asarray(probs.sum(axis=1))
    steps = [i for i in range(1, len(sums)) if mass[i] == 0 and sums[i] != sums[i - 1]]
    places = [0.85597813, *(float(max(sums[i], sums[i - 1]) - 3e-8) for i in steps)]
    program = jax.jit(lambda place: categorical_at(place, log_probs, monkeypatch))
    for place in places:
        assert np.isfinite(log_probs[0, int(program(place))]), place


def categorical_at(place, log_probs, monkeypatch):
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape: jnp.full(shape, place, jnp.float32))
    return categorical(jax.random.key(0), log_probs)[0]


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


def test_all_tokens_are_left_by_a_top_p_of_one_and_a_top_k_of_more_than_there_are():
    """Of these the rounded sum reaches one long before the last token."""
    logits = jnp.concatenate([jnp.zeros((1, 1)), jnp.linspace(-2.0, -30.0, 5000)[None]], axis=1)
    for sampling in (Sampling(1, top_p=1.0), Sampling(1, top_p=jnp.float32(1)), Sampling(1, top_k=100_000)):
        np.testing.assert_array_equal(sampling.logits(logits), logits)
    assert int(jnp.isfinite(Sampling(1, top_p=0.5).logits(logits)).sum()) < 5001
    assert int(jnp.isfinite(Sampling(1, top_k=3).logits(logits)).sum()) == 3
