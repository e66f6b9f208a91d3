"""Distributions of returns and rules of backup against loops, and against one another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import ops
from jaxrl.buffers import Experience

B, A, Z = 5, 3, 7


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def policy(seed=9):
    return jax.nn.softmax(normal(seed, B, A))


MODELS = {
    "mean": (ops.MeanReturns(), (B, A)),
    "categorical": (ops.CategoricalReturns(-3.0, 3.0, Z), (B, A, Z)),
    "quantile": (ops.QuantileReturns(Z), (B, A, Z)),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_points_have_the_mean_of_the_values(name):
    model, shape = MODELS[name]
    outputs = normal(0, *shape)
    atoms, weights = model.atoms(outputs, policy())
    np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=1e-5)
    np.testing.assert_allclose((atoms * weights).sum(-1), (model.mean(outputs) * policy()).sum(-1), atol=1e-5)


@pytest.mark.parametrize("name", ["mean", "categorical"])
def test_a_prediction_of_the_points_themselves_has_no_slope(name):
    model, shape = MODELS[name]
    outputs = normal(0, *shape)
    one = jax.nn.one_hot(jnp.zeros(B, int), A)
    atoms, weights = model.atoms(outputs, one)
    slope = jax.grad(lambda prediction: model.loss(prediction, atoms, weights)[0].sum())(outputs[:, 0])
    np.testing.assert_allclose(slope, 0.0, atol=1e-5)


def test_projection_against_the_papers_loop():
    model = ops.CategoricalReturns(-3.0, 3.0, Z)
    atoms, weights = 2 * normal(1, B, 6), jax.nn.softmax(normal(2, B, 6))
    gap, expected = 1.0, np.zeros((B, Z))
    for b in range(B):
        for y, w in zip(np.clip(np.asarray(atoms[b]), -3, 3), weights[b], strict=True):
            place = (y + 3.0) / gap
            low, high = int(np.floor(place)), int(np.ceil(place))
            if low == high:
                expected[b, low] += w
            else:
                expected[b, low] += w * (high - place)
                expected[b, high] += w * (place - low)
    np.testing.assert_allclose(model.project(atoms, weights), expected, atol=1e-6)
    np.testing.assert_allclose(
        expected @ np.asarray(model.support), (np.clip(atoms, -3, 3) * weights).sum(-1), atol=1e-5
    )


def test_quantile_loss_against_a_loop():
    prediction, atoms, weights = normal(1, B, Z), normal(2, B, 4), jax.nn.softmax(normal(3, B, 4))
    expected = np.zeros(B)
    for b in range(B):
        for i in range(Z):
            for k in range(4):
                error = float(atoms[b, k] - prediction[b, i])
                huber = 0.5 * error**2 if abs(error) <= 1 else abs(error) - 0.5
                expected[b] += weights[b, k] * abs((i + 0.5) / Z - (error < 0)) * huber
    np.testing.assert_allclose(ops.quantile_loss(prediction, atoms, weights), expected, rtol=1e-4)


def test_quantiles_are_what_minimizes_the_loss():
    # Of points 0, …, 999: for large numbers of points Huber's corner does not matter beside errors of hundreds.
    atoms = jnp.arange(1000.0)[None]
    weights = jnp.full((1, 1000), 1e-3)
    slope = jax.grad(lambda theta: ops.quantile_loss(theta, atoms, weights).sum())
    np.testing.assert_allclose(slope(jnp.array([[249.5, 749.5]])), 0.0, atol=2e-3)
    assert np.all(np.asarray(slope(jnp.array([[150.0, 650.0]]))) < -0.05)


def experience():
    return Experience(
        obs=jnp.zeros(B, int),
        action=jnp.array([0, 1, 2, 0, 1]),
        reward=normal(4, B),
        discounts=jnp.array([0.9, 0.0, 0.9, 0.5, 0.9]),
        next_obs=jnp.ones(B, int),
    )


def functions():
    """Of observation 0 and 1, different for both networks."""
    online, target = normal(5, 2, B, A), normal(6, 2, B, A)
    return (lambda obs: online[obs[0]]), (lambda obs: target[obs[0]])


def backed_up(backup):
    online, target = functions()
    following, bonus = backup(experience(), online, target)
    value = (following * target(jnp.ones(B, int))).sum(-1)
    return np.asarray(experience().reward + bonus + experience().discounts * value)


def test_max_and_double_backups_against_a_loop():
    online, target = (np.asarray(f(jnp.ones(B, int))) for f in functions())
    reward, discounts = np.asarray(experience().reward), np.asarray(experience().discounts)
    np.testing.assert_allclose(backed_up(ops.max_backup), reward + discounts * target.max(-1), rtol=1e-5)
    chosen = target[np.arange(B), online.argmax(-1)]
    np.testing.assert_allclose(backed_up(ops.double_backup), reward + discounts * chosen, rtol=1e-5)


def test_munchausen_backup_against_the_papers_equation():
    _, target = functions()
    q, next_q = (np.asarray(target(jnp.full(B, i)), np.float64) for i in (0, 1))
    tau, expected = 0.03, []
    for b in range(B):

        def log_softmax(x):
            return x / tau - np.logaddexp.reduce(x / tau)

        taken = log_softmax(q[b])[int(experience().action[b])]
        log_policy = log_softmax(next_q[b])
        soft = (np.exp(log_policy) * (next_q[b] - tau * log_policy)).sum()
        bonus = 0.9 * np.clip(tau * taken, -1, 0)
        expected.append(float(experience().reward[b]) + bonus + float(experience().discounts[b]) * soft)
    np.testing.assert_allclose(backed_up(ops.munchausen_backup), expected, rtol=1e-4)


@pytest.mark.parametrize("shape", [(B, A), (B, A, Z)])
def test_what_is_said_about_the_actions_taken(shape):
    outputs, action = normal(0, *shape), jnp.array([0, 2, 1, 1, 0])
    np.testing.assert_array_equal(ops.taken(outputs, action), outputs[jnp.arange(B), action])


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: ops.QuantileReturns(0), "num_quantiles=0 must be an integer, at least 1"),
        (lambda: ops.QuantileReturns(2.5), r"num_quantiles=2\.5 must be an integer"),  # pyright: ignore
        (lambda: ops.QuantileReturns(True), "num_quantiles=True must be an integer"),
        (lambda: ops.CategoricalReturns(0.0, 1.0, 1), "num_atoms=1 must be an integer, at least 2"),
        (lambda: ops.CategoricalReturns(0.0, 1.0, 51.0), r"num_atoms=51\.0 must be an integer"),  # pyright: ignore
        (lambda: ops.CategoricalReturns(1.0, 1.0), r"low=1\.0, high=1\.0: low must be below high"),
        (lambda: ops.CategoricalReturns(0.0, float("inf")), "both finite"),
        (lambda: ops.CategoricalReturns("0", 1.0), "low=0, high=1.0: low must be"),  # pyright: ignore
    ],
)
def test_what_is_no_distribution_is_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()
