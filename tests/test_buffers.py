"""Replay against a plain list of everything that happened."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import jaxrl
from jaxrl import buffers, envs, ops
from jaxrl.buffers.samples import below
from jaxrl.types import Transition
from tests.helpers import leaves_of

NUM_ENVS, GAMMA = 3, 0.9


def history(length, seed=0, ends=0.2):
    """Transitions `[T, N]` whose observations number the steps: every one is unique, the resets' too."""
    random = np.random.default_rng(seed)
    terminated = random.random((length, NUM_ENVS)) < ends / 2
    truncated = random.random((length, NUM_ENVS)) < ends / 2
    done = terminated | truncated
    obs, next_obs, counter = np.zeros((2, length, NUM_ENVS), np.int32), None, 0
    obs, next_obs = obs
    for n in range(NUM_ENVS):
        current = counter = 1000 * n + 1
        for t in range(length):
            obs[t, n], counter = current, counter + 1
            next_obs[t, n] = current = counter
            if done[t, n]:
                counter += 1
                current = counter  # what the reset gives
    return Transition(
        obs=jnp.asarray(obs),
        action=jnp.asarray(random.integers(0, 4, (length, NUM_ENVS)), jnp.int32),
        reward=jnp.asarray(random.normal(size=(length, NUM_ENVS)), jnp.float32),
        terminated=jnp.asarray(terminated),
        truncated=jnp.asarray(truncated),
        next_obs=jnp.asarray(next_obs),
        log_prob=jnp.zeros((length, NUM_ENVS)),
    )


def filled(batch, capacity):
    first = jax.tree.map(lambda x: x[0], batch)
    return jax.jit(buffers.add_all)(buffers.init_replay(first, capacity), batch)


def sample(replay, key, batch_size, num_steps=1, *, discount=GAMMA):
    return buffers.n_step(replay, buffers.sample_rows(replay, key, batch_size), num_steps, discount)


def expected(batch, number, num_steps):
    """Reward, discount and last observation of the step whose observation has a number, by a loop over the history."""
    time, env = (int(x) for x in np.argwhere(np.asarray(batch.obs) == number)[0])
    reward, discount = 0.0, 1.0
    for t in range(time, min(time + num_steps, len(batch.obs))):
        reward += discount * float(batch.reward[t, env])
        discount *= GAMMA * (1 - float(batch.terminated[t, env]))
        if batch.done[t, env]:
            break
    return int(batch.action[time, env]), reward, discount, int(batch.next_obs[t, env])


@pytest.mark.parametrize("num_steps", [1, 3])
@pytest.mark.parametrize("ends", [0.2, 1.9])
@pytest.mark.parametrize(
    ("length", "capacity"),
    [(4, 300), (40, 60), (101, 61), (101, 21)],
    ids=["young", "full", "indivisible", "small"],
)
def test_samples_are_what_happened(length, capacity, num_steps, ends):
    batch = jax.device_get(history(length, ends=ends))
    replay = filled(batch, capacity)
    draw = jax.jit(functools.partial(sample, batch_size=400, num_steps=num_steps))
    found = jax.device_get(draw(replay, jax.random.key(0)))
    for i in range(400):
        action, reward, discount, last = expected(batch, int(found.obs[i]), num_steps)
        assert int(found.action[i]) == action and int(found.next_obs[i]) == last
        np.testing.assert_allclose([found.reward[i], found.discounts[i]], [reward, discount], rtol=1e-5, atol=1e-6)


def test_the_newest_steps_are_there_and_the_oldest_are_gone():
    batch = history(100, ends=0.0)
    replay = filled(batch, 60)  # 20 rows each: 19 steps and the last observation
    found = np.unique(sample(replay, jax.random.key(0), 5000, discount=GAMMA).obs)
    np.testing.assert_array_equal(found, np.unique(np.asarray(batch.obs)[-19:]))


@pytest.mark.parametrize("ends", [0.0, 0.2, 1.9])
def test_steps_are_sampled_alike(ends):
    batch = history(50, ends=ends)
    replay = filled(batch, 1000)
    found = np.asarray(sample(replay, jax.random.key(0), 30_000, discount=GAMMA).obs)
    counts = np.array([(found == number).sum() for number in np.asarray(batch.obs).ravel()])
    assert counts.sum() == 30_000
    assert scipy.stats.chisquare(counts).pvalue > 1e-4


def test_observations_keep_their_type_and_stand_there_once():
    batch = history(10)
    pixels = jnp.zeros((10, NUM_ENVS, 4, 4, 2), bool)
    batch = batch.replace(obs=pixels, next_obs=~pixels)
    replay = filled(batch, 30)
    assert replay.obs.dtype == bool and replay.obs.shape == (30, 4, 4, 2)
    assert sum(x.nbytes for x in jax.tree.leaves(replay)) < 30 * 4 * 4 * 2 + 30 * 16 + 100, "no second copy of them"
    found = sample(replay, jax.random.key(0), 8, discount=GAMMA)
    assert found.obs.dtype == bool and found.next_obs.shape == (8, 4, 4, 2)


def test_a_batch_of_rings_equals_a_loop():
    batches = [history(30, seed) for seed in range(3)]
    together = jax.vmap(lambda batch: filled(batch, 60))(jax.tree.map(lambda *x: jnp.stack(x), *batches))
    for index, batch in enumerate(batches):
        jax.tree.map(np.testing.assert_array_equal, jax.tree.map(lambda x, i=index: x[i], together), filled(batch, 60))


def test_a_piece_marked_truncated_keeps_its_last_observation():
    batch, other = history(6, ends=0.0), history(6, seed=1, ends=0.0)
    other = other.replace(obs=other.obs + 500, next_obs=other.next_obs + 500)  # not where the first piece stopped
    cut = batch.replace(truncated=batch.truncated.at[-1].set(True))
    last = np.asarray(batch.obs)[-1]
    for first, kept in ((cut, True), (batch, False)):
        replay = jax.jit(buffers.add_all)(filled(first, 300), other)
        found = jax.device_get(sample(replay, jax.random.key(0), 400))
        at_cut = np.isin(found.obs, last)
        assert at_cut.any()
        assert (found.next_obs[at_cut] == found.obs[at_cut] + 1).all() == kept


def test_too_little_room_is_refused():
    with pytest.raises(ValueError, match="capacity=8: 3 environments need at least 9 rows"):
        filled(history(2), 8)


def test_more_rows_than_priorities_tell_apart_are_refused():
    example = jax.tree.map(lambda x: x[0], history(2))
    with pytest.raises(ValueError, match=r"capacity=20000000: priorities tell 16777216 rows apart; take fewer"):
        buffers.init_replay(example, 20_000_000, prioritized=True)


def test_integers_below_a_bound_are_exact():
    bits = np.append(np.random.default_rng(0).integers(0, 2**32, 1000, np.uint32), np.uint32([0, 2**32 - 1]))
    for bound in (1, 3, 2**16 - 1, 2**16, 2**24 + 3, 2**31 - 1):
        expected = [int(x) * bound >> 32 for x in bits]
        np.testing.assert_array_equal(below(jnp.asarray(bits), bound), expected)


def test_sequences_end_where_episodes_and_the_ring_do():
    batch = jax.device_get(history(40))
    replay = filled(batch, 60)
    row = buffers.sample_rows(replay, jax.random.key(0), 200)
    steps, counts = jax.device_get(buffers.sequence(replay, row, 4))
    newest = np.asarray(batch.obs)[-1]
    assert np.isnan(steps.log_prob).all(), "likelihoods are not kept"
    for b in range(200):
        time, env = (int(x) for x in np.argwhere(np.asarray(batch.obs) == steps.obs[0, b])[0])
        for t in range(4):
            going = t == 0 or (counts[t - 1, b] and not batch.done[time - 1, env] and time < 40)
            assert bool(counts[t, b]) == going, "it goes on until the episode or what was stored ends"
            if going:
                assert steps.obs[t, b] == batch.obs[time, env] and steps.next_obs[t, b] == batch.next_obs[time, env]
                assert steps.reward[t, b] == batch.reward[time, env]
                assert steps.obs[t, b] != newest[env] or t == 3 or not counts[t + 1, b]
            time += 1


def prioritized(batch, capacity):
    first = jax.tree.map(lambda x: x[0], batch)
    return jax.jit(buffers.add_all)(buffers.init_replay(first, capacity, prioritized=True), batch)


def test_steps_are_sampled_in_proportion_to_their_priorities():
    batch = history(50)
    replay = prioritized(batch, 1000)
    rows = np.flatnonzero(np.asarray(replay.is_step))
    assert float(replay.tree[0].sum()) == len(rows) == 150, "new steps have the largest priority, other rows none"
    priority = np.linspace(0.5, 2.0, len(rows)).astype(np.float32)
    replay = buffers.prioritize(replay, jnp.asarray(rows), jnp.asarray(priority))
    found, weight = jax.device_get(buffers.sample_by_priority(replay, jax.random.key(0), 30_000))
    counts = np.array([(found == row).sum() for row in rows])
    assert counts.sum() == 30_000
    np.testing.assert_allclose(counts, 30_000 * priority / priority.sum(), atol=2.5)  # one from each equal part
    np.testing.assert_allclose(weight, (0.5 / np.interp(found, rows, priority)), rtol=1e-5)
    later = jax.jit(buffers.add)(replay, jax.tree.map(lambda x: x[0], batch))
    assert float(later.max_priority) == 2.0 and float(later.tree[0].sum()) == pytest.approx(priority.sum() + 3 * 2.0)


def test_rows_that_are_written_again_lose_their_priority():
    batch = history(200)
    replay = prioritized(batch, 60)
    np.testing.assert_array_equal(leaves_of(replay.tree, 60) > 0, replay.is_step)


@pytest.mark.parametrize("size", [7, 37, 300, 5000])
def test_a_tree_of_sums_against_a_sorted_list(size):
    random = np.random.default_rng(0)
    tree, leaves = ops.init_tree(size), np.zeros(size, np.float32)
    for _ in range(20):
        index = random.choice(size, 5, replace=False)
        value = random.random(5).astype(np.float32) * (random.random(5) < 0.7)
        tree, leaves[index] = ops.set_leaves(tree, jnp.asarray(index), jnp.asarray(value)), value
    np.testing.assert_array_equal(leaves_of(tree, size), leaves)
    np.testing.assert_allclose(tree[0].sum(), leaves.sum(), rtol=1e-6)
    fraction = random.random(500).astype(np.float32)
    expected = np.searchsorted(np.cumsum(leaves), fraction * leaves.sum(), side="right")
    found, number = map(np.asarray, ops.find_leaves(tree, jnp.asarray(fraction)))
    assert (found != expected).mean() < 0.01 and (leaves[found] > 0).all()
    np.testing.assert_array_equal(number, leaves[found])
    last = ops.find_leaves(tree, jnp.full(1, 1.0))[0]  # a rest that rounding leaves
    assert last == np.flatnonzero(leaves)[-1]


LEARNERS = {
    "dqn": lambda **options: jaxrl.DQN(*envs.make("CartPole-v1"), **options),
    "rainbow": lambda **options: jaxrl.rainbow(*envs.make("CartPole-v1"), **options),
    "sac": lambda **options: jaxrl.SAC(*envs.make("Pendulum-v1"), **options),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_a_gradient_step_does_not_copy_the_replay(name):
    # Of 2^17 rows, or a tree of 2^18 sums: a copy of one of them costs more than everything else.
    learner = LEARNERS[name](capacity=2**17, num_envs=2, num_steps=2, batch_size=8, warmup=4, hidden_sizes=(8,))
    state = jax.eval_shape(learner.init, jax.random.key(0))
    update = jax.jit(type(learner).update, donate_argnums=1)
    text = update.lower(learner, state, jax.random.key(0)).compile().as_text()
    assert re.search(r"\[131072(,\d+)*\]", text), "the replay is in the program"
    copies = re.findall(r"= \w+\[(\d+)[^\]]*\]\S* copy\(", text)
    assert not [size for size in copies if int(size) >= 2**16]


def test_a_tree_of_one_leaf():
    tree = ops.set_leaves(ops.init_tree(1), jnp.array([0]), jnp.array([2.0]))
    assert [x.tolist() for x in ops.find_leaves(tree, jnp.array([0.5]))] == [[0], [2.0]]
