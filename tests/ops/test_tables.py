"""Updates of tables against loops over one step at a time."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import ops
from jaxrl.types import Transition

S, A, GAMMA, ALPHA = 4, 3, 0.9, 0.3


def batch(size, seed=0):
    keys = jax.random.split(jax.random.key(seed), 6)
    return Transition(
        obs=jax.random.randint(keys[0], (size,), 0, S),
        action=jax.random.randint(keys[1], (size,), 0, A),
        reward=jax.random.normal(keys[2], (size,)),
        terminated=jax.random.bernoulli(keys[3], 0.3, (size,)),
        truncated=jax.random.bernoulli(keys[4], 0.3, (size,)),
        next_obs=jax.random.randint(keys[5], (size,), 0, S),
        log_prob=jnp.zeros(size),
    )


def table(seed=1, shape=(S, A)):
    return jax.random.normal(jax.random.key(seed), shape)


def one(transition, index):
    return jax.tree.map(lambda x: x[index], transition)


def targets(transition, next_value):
    return np.asarray(transition.reward) + GAMMA * (1 - np.asarray(transition.terminated)) * np.asarray(next_value)


def applied(q, transition, target):
    """The textbook's step, one transition at a time, all targets from the table before."""
    q = np.array(q)
    for s, a, y in zip(transition.obs, transition.action, target, strict=True):
        q[s, a] += ALPHA * (y - q[s, a])
    return q


@pytest.mark.parametrize("kind", ["q", "sarsa", "expected"])
def test_one_transition_is_the_textbooks_update(kind):
    step, q = batch(1), table()
    next_q, rates = np.asarray(q[step.next_obs]), dict(learning_rate=ALPHA, discount=GAMMA)
    probability = jnp.full((1, A), 1 / A)
    updated, next_value = {
        "q": lambda: (ops.q_learning_update(q, step, **rates), next_q.max(-1)),
        "sarsa": lambda: (ops.sarsa_update(q, step, jnp.array([2]), **rates), next_q[:, 2]),
        "expected": lambda: (ops.expected_sarsa_update(q, step, probability, **rates), next_q.mean(-1)),
    }[kind]()
    np.testing.assert_allclose(updated, applied(q, step, targets(step, next_value)), rtol=1e-6)


def test_batches_of_different_pairs_are_the_textbooks_update_too():
    step = batch(64)
    pairs = np.asarray(step.obs) * A + np.asarray(step.action)
    kept = np.sort(np.unique(pairs, return_index=True)[1])
    step, q = one(step, kept), table()
    updated = ops.q_learning_update(q, step, learning_rate=ALPHA, discount=GAMMA)
    expected = applied(q, step, targets(step, np.asarray(q)[step.next_obs].max(-1)))
    np.testing.assert_allclose(updated, expected, rtol=1e-5, atol=1e-6)


def test_a_shared_entry_takes_the_mean_over_all_orders_of_its_targets():
    start, meets = 0.5, [1.0, -2.0, 4.0]
    ends = []
    for order in itertools.permutations(meets):
        value = start
        for target in order:
            value += ALPHA * (target - value)
        ends.append(value)
    index = (jnp.zeros(3, jnp.int32),)
    updated = ops.table_update(jnp.array([start]), index, jnp.array(meets), ALPHA)
    np.testing.assert_allclose(updated, [np.mean(ends)], rtol=1e-6)


def plain_sum(q, step, *, learning_rate, discount):
    """The wrong way: every environment adds its whole step."""
    target = ops.td_target(step, q[step.next_obs].max(-1), discount)
    error = target - q[step.obs, step.action]
    return q.at[step.obs, step.action].add(learning_rate * error)


@pytest.mark.parametrize(("update", "stays"), [(ops.q_learning_update, True), (plain_sum, False)])
def test_only_the_count_aware_step_of_a_shared_table_stays_bounded(update, stays):
    # 64 environments, 12 pairs, α = 1/2: each pair meets about five targets, α c = 2.7 > 2.
    q = table()
    for seed in range(60):
        q = update(q, batch(64, seed), learning_rate=0.5, discount=GAMMA)
    assert (np.abs(q).max() < 1 / (1 - GAMMA) * 4) == stays


def test_double_q_learning_values_with_the_other_table():
    q, step = table(shape=(2, S, A)), batch(1)
    for second in (False, True):
        learner, judge = int(second), int(not second)
        updated = ops.double_q_learning_update(q, step, jnp.array([second]), learning_rate=ALPHA, discount=GAMMA)
        best = np.asarray(q)[learner, step.next_obs[0]].argmax()
        target = targets(step, np.asarray(q)[judge, step.next_obs, best])
        np.testing.assert_allclose(updated[learner], applied(q[learner], step, target), rtol=1e-6)
        np.testing.assert_array_equal(updated[judge], q[judge])


def test_td_update_of_values():
    values, step = table(shape=(S,)), batch(1)
    updated = np.array(values)
    s = int(step.obs[0])
    updated[s] += ALPHA * (targets(step, values[step.next_obs])[0] - updated[s])
    np.testing.assert_allclose(ops.td_update(values, step, learning_rate=ALPHA, discount=GAMMA), updated, rtol=1e-6)


def test_time_limits_bootstrap_and_terminations_do_not():
    step = batch(1).replace(terminated=jnp.array([False]), truncated=jnp.array([True]), reward=jnp.zeros(1))
    q = jnp.ones((S, A))
    kept = ops.q_learning_update(q, step, learning_rate=1.0, discount=0.5)
    assert kept[step.obs[0], step.action[0]] == 0.5
    ended = ops.q_learning_update(q, step.replace(terminated=jnp.array([True])), learning_rate=1.0, discount=0.5)
    assert ended[step.obs[0], step.action[0]] == 0.0


def test_averages_hold_all_targets_with_their_weights():
    targets_, weights = [1.0, 2.0, 6.0, 5.0], [1.0, 0.5, 2.0, 0.0]
    average, total = jnp.full(2, 9.0), jnp.zeros(2)
    for part in (slice(0, 2), slice(2, 4)):  # the first return replaces the starting value
        index = (jnp.zeros(2, jnp.int32),)
        average, total = ops.average_update(average, total, index, jnp.array(targets_[part]), jnp.array(weights[part]))
    np.testing.assert_allclose(average, [np.average(targets_, weights=weights), 9.0], rtol=1e-6)
    np.testing.assert_allclose(total, [3.5, 0.0])


def test_updates_work_inside_jit_vmap_and_grad():
    q, step = table(), batch(8)

    def loss(rate):
        return ops.q_learning_update(q, step, learning_rate=rate, discount=GAMMA).sum()

    rates = jnp.array([0.1, 0.2])
    slopes = jax.jit(jax.vmap(jax.grad(loss)))(rates)
    difference = (loss(0.1001) - loss(0.0999)) / 0.0002
    np.testing.assert_allclose(slopes[0], difference, rtol=2e-2)


@pytest.mark.parametrize("learning_rate", [1.0, 0.5])
def test_the_derivative_by_the_step_size_is_finite_up_to_one(learning_rate):
    two = batch(2).replace(obs=jnp.array([0, 1]))
    values = jax.grad(lambda a: ops.q_learning_update(jnp.zeros((S, A)), two, learning_rate=a, discount=GAMMA).sum())
    np.testing.assert_allclose(values(learning_rate), two.reward.sum(), rtol=1e-6)
    trace = jnp.array([[[1.0, 0.0, 0.5]], [[0.0, 0.5, 1.0]]])
    moved = jax.grad(lambda a: ops.trace_update(jnp.zeros((1, 3)), trace, jnp.ones(2), a).sum())
    # Entries move by 1 - (1 - α z₁)(1 - α z₂): 1, 1/2 and, of both, 3/2 - α.
    np.testing.assert_allclose(moved(learning_rate), 1.0 + 0.5 + (1.5 - learning_rate), rtol=1e-6)


def test_a_forbidden_action_is_never_taken():
    q = jnp.array([[0.0, ops.FORBIDDEN, -5.0]])
    np.testing.assert_allclose(ops.epsilon_greedy(q, 0.5), [[0.75, 0.0, 0.25]])
    probability = ops.epsilon_greedy(q, 1.0)
    drawn = ops.sample_index(jax.random.key(0), jnp.broadcast_to(probability, (10_000, 3)))
    counts = np.bincount(np.asarray(drawn), minlength=3)
    assert counts[1] == 0 and abs(counts[0] - 5000) < 5 * 50
    assert float(ops.expected_value(q, probability, jnp.array([0]))[0]) == -2.5


def test_sampling_follows_the_probabilities():
    probability = jnp.array([0.1, 0.0, 0.6, 0.3])
    drawn = ops.sample_index(jax.random.key(1), jnp.broadcast_to(probability, (40_000, 4)))
    frequency = np.bincount(np.asarray(drawn), minlength=4) / 40_000
    assert frequency[1] == 0
    np.testing.assert_allclose(frequency, probability, atol=5 * 0.0025)


def test_first_visits_and_first_episode_against_a_loop():
    index = jax.random.randint(jax.random.key(0), (20, 3), 0, 5)
    done = jax.random.bernoulli(jax.random.key(1), 0.1, (20, 3))
    first, played = np.zeros((20, 3), bool), np.zeros((20, 3), bool)
    for n in range(3):
        seen, ended = set(), False
        for t in range(20):
            first[t, n], played[t, n] = int(index[t, n]) not in seen, not ended
            seen.add(int(index[t, n]))
            ended |= bool(done[t, n])
    np.testing.assert_array_equal(ops.first_visits(index, 5), first)
    np.testing.assert_array_equal(ops.first_episode(done), played)
