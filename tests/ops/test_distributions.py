"""Distributions against scipy, and samples against their own probabilities."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
import scipy.stats

from jaxrl import ops

LOGITS = np.array([[0.0, 1.0, -2.0], [3.0, 3.0, 3.0], [-40.0, 0.0, 40.0]], np.float32)
MEAN = np.array([[0.5, -1.0], [2.0, 0.0]], np.float32)
LOG_STD = np.array([[0.0, -1.0], [0.7, 0.3]], np.float32)


def test_categorical_by_hand():
    # Odds 1 : 3 of two actions: probabilities 1/4 and 3/4, entropy ¼ log 4 + ¾ log(4/3).
    policy = ops.Categorical(jnp.log(jnp.array([[1.0, 3.0]])))
    np.testing.assert_allclose(policy.log_prob(jnp.array([1])), np.log([0.75]), rtol=1e-6)
    expected = 0.25 * np.log(4) + 0.75 * np.log(4 / 3)
    np.testing.assert_allclose(policy.entropy(), [expected], rtol=1e-6)
    assert policy.mode().tolist() == [1]


def test_categorical_equals_scipy_for_every_action():
    policy = ops.Categorical(jnp.asarray(LOGITS))
    for action in range(LOGITS.shape[1]):
        expected = LOGITS[:, action] - scipy.special.logsumexp(LOGITS, axis=1)
        log_prob = policy.log_prob(jnp.full(len(LOGITS), action))
        np.testing.assert_allclose(log_prob, expected, rtol=1e-5, atol=1e-6)
    expected = [scipy.stats.entropy(scipy.special.softmax(row)) for row in LOGITS]
    np.testing.assert_allclose(policy.entropy(), expected, rtol=1e-4, atol=1e-6)


def test_categorical_log_prob_has_the_gradient_of_a_softmax():
    # ∂ log p(a) / ∂ logits = one-hot(a) - p
    gradient = jax.grad(lambda logits: ops.Categorical(logits).log_prob(jnp.array(2)))(jnp.asarray(LOGITS[0]))
    np.testing.assert_allclose(gradient, np.eye(3)[2] - scipy.special.softmax(LOGITS[0]), atol=1e-6)


def test_categorical_samples_follow_the_probabilities():
    num_samples = 4000
    policy = ops.Categorical(jnp.broadcast_to(jnp.asarray(LOGITS[0]), (num_samples, 3)))
    actions = policy.sample(jax.random.key(0))
    assert actions.dtype == jnp.int32
    counts = np.bincount(actions, minlength=3)
    expected = num_samples * scipy.special.softmax(LOGITS[0].astype(np.float64))
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-4


def test_an_action_of_probability_zero_gives_no_nan():
    policy = ops.Categorical(jnp.array([0.0, -jnp.inf]))
    np.testing.assert_allclose(policy.entropy(), 0.0, atol=1e-6)
    assert policy.log_prob(jnp.array(0)) == 0.0 and policy.log_prob(jnp.array(1)) == -jnp.inf
    for function in (ops.Categorical.entropy, lambda policy: policy.log_prob(jnp.array(0))):
        gradient = jax.grad(lambda logits, f=function: f(ops.Categorical(logits)))(policy.logits)
        assert np.isfinite(gradient).all()


def test_gaussian_equals_scipy():
    policy, action = (
        ops.Gaussian(jnp.asarray(MEAN), jnp.asarray(LOG_STD)),
        np.array([[0.0, 1.0], [2.0, -3.0]]),
    )
    for i in range(2):
        normal = scipy.stats.multivariate_normal(MEAN[i], np.diag(np.exp(2 * LOG_STD[i])))
        log_prob = policy.log_prob(jnp.asarray(action, jnp.float32))
        np.testing.assert_allclose(log_prob[i], normal.logpdf(action[i]), rtol=1e-5)
        np.testing.assert_allclose(policy.entropy()[i], normal.entropy(), rtol=1e-5)
    np.testing.assert_array_equal(policy.mode(), MEAN)


def test_gaussian_samples_have_its_distribution():
    policy = ops.Gaussian(jnp.full((2000, 2), 0.5), jnp.full((2000, 2), np.log(3.0)))
    samples = policy.sample(jax.random.key(1))
    assert samples.shape == (2000, 2)
    standardized = (np.asarray(samples).ravel() - 0.5) / 3.0
    assert scipy.stats.kstest(standardized, "norm").pvalue > 1e-4
    assert abs(np.corrcoef(samples.T)[0, 1]) < 0.1  # its deviation is 1/√2000 = 0.022


def test_an_expectation_knows_no_masked_action():
    policy = ops.Categorical(jnp.array([0.0, jnp.log(3.0), -jnp.inf]))
    values = jnp.array([4.0, 8.0, -jnp.inf])
    np.testing.assert_allclose(policy.expectation(values), 0.25 * 4 + 0.75 * 8, rtol=1e-6)
    slope = jax.grad(lambda logits: ops.Categorical(logits).expectation(values))(policy.logits)
    np.testing.assert_allclose(slope, [0.25 * (4 - 7), 0.75 * (8 - 7), 0.0], rtol=1e-5)
