"""Sums over finished episodes against a plain loop over environments and steps."""

import jax.numpy as jnp
import numpy as np

from jaxrl import ops


def loop(episode_return, episode_length, reward, done):
    """Returns and lengths of the episodes that finish, one by one; and what is left."""
    returns, lengths = [], []
    for t in range(len(reward)):
        for n in range(reward.shape[1]):
            episode_return[n] += reward[t, n]
            episode_length[n] += 1
            if done[t, n]:
                returns.append(episode_return[n])
                lengths.append(episode_length[n])
                episode_return[n] = episode_length[n] = 0
    return returns, lengths


def test_by_hand():
    # Two environments, three steps. The first ends at t=1 with 1 + 2 = 3, and 5 is in progress;
    # the second never ends: 10 + 20 + 30 stays in progress and counts nowhere.
    reward = jnp.array([[1.0, 10.0], [2.0, 20.0], [5.0, 30.0]])
    done = jnp.array([[False, False], [True, False], [False, False]])
    episode, metrics = ops.episode_metrics(ops.init_episodes(2), reward, done)
    assert {name: float(value) for name, value in metrics.items()} == {
        "episode_return_sum": 3.0,
        "episode_length_sum": 2.0,
        "episodes": 1.0,
    }
    np.testing.assert_allclose(episode.return_, [5.0, 60.0])
    np.testing.assert_allclose(episode.length, [1.0, 3.0])


def test_equals_a_loop_over_several_rollouts():
    generator = np.random.default_rng(0)
    episode, left = ops.init_episodes(4), (np.zeros(4), np.zeros(4))
    for probability in (0.3, 0.0, 0.1, 1.0, 0.05):
        reward = generator.normal(size=(9, 4)).astype(np.float32)
        done = generator.random((9, 4)) < probability
        returns, lengths = loop(*left, reward, done)
        episode, metrics = ops.episode_metrics(episode, jnp.asarray(reward), jnp.asarray(done))
        assert metrics["episodes"] == len(returns)
        np.testing.assert_allclose(metrics["episode_return_sum"], sum(returns), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(metrics["episode_length_sum"], sum(lengths), rtol=1e-6)
        np.testing.assert_allclose(episode.return_, left[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(episode.length, left[1])


def test_no_finished_episode_is_exactly_none():
    # A difference of large sums would leave rounding noise here, and a plot that divides by `episodes` would
    # show it.
    reward = jnp.asarray(np.random.default_rng(1).normal(size=(50, 3)), jnp.float32)
    _, metrics = ops.episode_metrics(ops.init_episodes(3), reward, jnp.zeros((50, 3), bool))
    assert {name: float(value) for name, value in metrics.items()} == dict.fromkeys(metrics, 0.0)


def test_a_long_episode_in_progress_takes_no_precision_from_a_finished_one():
    # The spacing of float32 at 1e8 is 8: summed together with it, a return of 1 would be lost.
    episode = ops.EpisodeStatistics(jnp.array([1e8, 0.0]), jnp.array([10.0, 0.0]))
    reward, done = jnp.ones((1, 2)), jnp.array([[False, True]])
    _, metrics = ops.episode_metrics(episode, reward, done)
    assert metrics["episode_return_sum"] == 1.0
