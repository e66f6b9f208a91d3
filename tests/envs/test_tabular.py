"""Processes as environments: they play what their tables say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import jaxrl
from jaxrl import envs
from jaxrl.envs import textbook


@pytest.fixture(scope="module")
def environment():
    return envs.TabularEnvironment()


def play(env, mdp, action, num_envs=4000, start=None):
    """One step of many environments."""
    if start is not None:
        mdp = textbook.starting_in(mdp, start)
    obs, env_state = envs.reset(env, mdp, jax.random.key(0), num_envs)
    keys = jax.random.split(jax.random.key(1), num_envs)
    return envs.step(env, mdp, keys, obs, env_state, jnp.full(num_envs, action))[2]


@pytest.mark.parametrize("convert", [envs.to_fanout, envs.to_dense])
def test_successors_and_rewards_follow_the_table(environment, convert):
    transition = play(environment, convert(textbook.random_walk(5, (-2.0, 1.0))), 0, start=1)
    left = np.asarray(transition.next_obs) == 0
    assert abs(left.mean() - 0.5) < 5 * 0.5 / np.sqrt(4000)
    np.testing.assert_array_equal(transition.reward, np.where(left, -2.0, 0.0))
    np.testing.assert_array_equal(transition.terminated, left)


def test_a_functional_process_is_played_too(environment):
    def coin(heads, state, action, event):
        return envs.Outcome(event, jnp.where(event == 1, 1.0, 0.0), jnp.where(event == 1, heads, 1 - heads))

    mdp = envs.from_function(coin, (2, 1, 2), 0.25)
    transition = play(environment, mdp, 0)
    assert abs(float(transition.reward.mean()) - 0.25) < 5 * 0.44 / np.sqrt(4000)
    dense = play(environment, envs.to_dense(mdp), 0)
    assert abs(float(dense.reward.mean()) - 0.25) < 5 * 0.44 / np.sqrt(4000)


def test_episodes_begin_where_the_process_says(environment):
    start = jnp.array([0.5, 0.0, 0.25, 0.25, 0.0, 0.0, 0.0])
    obs, _ = envs.reset(environment, textbook.random_walk().replace(start=start), jax.random.key(0), 8000)
    counts = np.bincount(np.asarray(obs), minlength=7)
    assert scipy.stats.chisquare(counts[[0, 2, 3]], [4000, 2000, 2000]).pvalue > 1e-4
    obs, _ = envs.reset(environment, textbook.gridworld_4x4(), jax.random.key(0), 2000)
    assert not np.isin(obs, [0, 15]).any(), "by default not at an end"


def test_rewards_are_noisy_where_the_process_says(environment):
    transition = play(environment, textbook.maximization_bias(), 3, start=1)
    assert abs(float(transition.reward.mean()) + 0.1) < 5 / np.sqrt(4000)
    assert abs(float(transition.reward.std()) - 1.0) < 0.1
    assert float(jnp.abs(play(environment, textbook.maximization_bias(), 1, start=0).reward).max()) == 0.0


def test_a_forbidden_action_does_what_the_first_allowed_one_does(environment):
    transition = play(environment, textbook.maximization_bias(), 7, start=0)
    assert (np.asarray(transition.next_obs) == 2).all()


def test_time_limits_cut(environment):
    mdp = jaxrl.envs.MDP(**vars(textbook.cliff_walking()) | {"max_steps_in_episode": 3})
    obs, env_state = envs.reset(environment, mdp, jax.random.key(0), 1)

    def act(obs, key):
        return jnp.zeros(1, jnp.int32), jnp.zeros(1)

    _, _, batch = envs.rollout(environment, mdp, act, obs, env_state, jax.random.key(1), 7)
    assert batch.truncated[:, 0].tolist() == [False, False, True, False, False, True, False]
    assert batch.next_obs[:, 0].tolist() == [24, 12, 0, 24, 12, 0, 24]


def test_learners_vmap_over_processes(environment):
    mdps = [textbook.garnet(6, 2, 2, seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *mdps)
    learn = jax.jit(lambda mdp, key: jaxrl.train(jaxrl.QLearning(environment, mdp), key, 3)[0].q)
    together = jax.vmap(learn)(stacked, jax.random.split(jax.random.key(0), 3))
    for index, (mdp, key) in enumerate(zip(mdps, jax.random.split(jax.random.key(0), 3), strict=True)):
        np.testing.assert_allclose(together[index], learn(mdp, key), rtol=1e-5, atol=1e-6)


def test_an_environment_that_a_policy_plays_has_its_values():
    env, env_params = envs.make("FrozenLake-misc")
    policy = jnp.full((16, 4), 0.25)
    followed, followed_params = envs.follow(env, env_params, policy)
    assert followed.action_space(followed_params).n == 1
    obs, env_state = envs.reset(followed, followed_params, jax.random.key(0), 4000)
    keys = jax.random.split(jax.random.key(1), 4000)
    transition = envs.step(followed, followed_params, keys, obs, env_state, jnp.zeros(4000, jnp.int32))[2]
    counts = np.bincount(np.asarray(transition.next_obs), minlength=16)
    assert scipy.stats.chisquare(counts[[0, 1, 4]], [2000, 1000, 1000]).pvalue > 1e-4
    assert not counts[[2, 3, 5]].any()


def test_worlds_of_the_textbook_have_names():
    env, mdp = envs.make("WindyGridworld", num_moves=8, max_steps_in_episode=50)
    assert (mdp.num_actions, mdp.max_steps_in_episode, type(env).__name__) == (8, 50, "TabularEnvironment")
    assert envs.origin(env) == ("WindyGridworld", {"num_moves": 8, "max_steps_in_episode": 50})
    with pytest.raises(ValueError, match="num_moves=5 must be 4, 8 or 9"):
        envs.make("WindyGridworld", num_moves=5)
    with pytest.raises(ValueError, match="did you mean CliffWalking"):
        envs.make("CliffWalkin")
