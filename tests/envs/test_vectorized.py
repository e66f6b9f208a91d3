"""Stepping N environments: dtypes, true successors, bounded actions."""

import gymnax
import gymnax.wrappers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces

import jaxrl
from jaxrl import envs


@pytest.mark.parametrize("name", ["Pendulum-v1", "FrozenLake-misc", "UmbrellaChain-bsuite", "Catch-bsuite"])
def test_a_step_keeps_every_dtype_and_casts_rewards_and_flags(name):
    # Pendulum mixes weak and strong types, UmbrellaChain pays integers, Catch declares integers and gives
    # floats.
    env, env_params = gymnax.make(name)
    before = jax.eval_shape(lambda key: envs.reset(env, env_params, key, 3), jax.random.key(0))

    def step(obs, env_state, keys):
        action = jax.vmap(env.action_space(env_params).sample)(keys)
        return envs.step(env, env_params, jax.random.split(jax.random.key(1), 3), obs, env_state, action)

    *after, transition = jax.eval_shape(step, *before, jax.random.split(jax.random.key(0), 3))
    assert jax.tree.leaves(before) == jax.tree.leaves(after)
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(before))
    for field, dtype in {
        "reward": jnp.float32,
        "terminated": bool,
        "truncated": bool,
        "log_prob": jnp.float32,
    }.items():
        value = getattr(transition, field)
        assert (value.shape, value.dtype) == ((3,), dtype)


def test_the_successor_of_a_time_limit_is_the_observation_before_the_reset():
    env, env_params = envs.make("Pendulum-v1", max_steps_in_episode=1)
    obs, env_state = envs.reset(env, env_params, jax.random.key(0), 2)
    keys = jax.random.split(jax.random.key(1), 2)
    next_obs, _, transition = envs.step(env, env_params, keys, obs, env_state, jnp.zeros((2, 1)))
    raw = [
        env.step_env(key, jax.tree.map(lambda x: x[n], env_state), jnp.zeros(1), env_params)[0]
        for n, key in enumerate(jax.random.split(jax.random.key(2), 2))  # Pendulum's step is deterministic
    ]
    np.testing.assert_allclose(transition.next_obs, np.stack(raw), rtol=1e-4, atol=1e-6)
    assert transition.truncated.all()
    assert not np.allclose(transition.next_obs, next_obs)


def test_a_bounded_action_by_hand():
    # [-1, 1] -> [0, 4]: -1 -> 0, 0 -> 2, ½ -> 3; beyond the bounds -> the bounds.
    space = spaces.Box(0.0, 4.0, (1,))
    action = envs.bounded_action(space, jnp.array([[-1.0], [0.0], [0.5], [9.0], [-9.0]]))
    np.testing.assert_allclose(action[:, 0], [0.0, 2.0, 3.0, 4.0, 0.0])


def test_bounds_may_differ_by_dimension_and_be_infinite():
    # First dimension [-2, 2], the second without bounds, the third with a lower one alone.
    low, high = jnp.array([-2.0, -jnp.inf, 0.0]), jnp.array([2.0, jnp.inf, jnp.inf])
    space = spaces.Box(low, high, (3,))
    action = envs.bounded_action(space, jnp.array([[0.5, 7.0, -3.0], [-4.0, -7.0, 3.0]]))
    np.testing.assert_allclose(action, [[1.0, 7.0, 0.0], [-2.0, -7.0, 3.0]])
    gradient = jax.grad(lambda a: envs.bounded_action(space, a).sum())(jnp.array([[0.5, 7.0, 3.0]]))
    np.testing.assert_allclose(gradient, [[2.0, 1.0, 1.0]])  # no NaN from the infinite bounds


def test_a_discrete_action_passes_untouched():
    action = jnp.array([0, 2])
    np.testing.assert_array_equal(envs.bounded_action(spaces.Discrete(3), action), action)


def test_make_names_the_nearest_environment_and_option():
    with pytest.raises(ValueError, match="did you mean CartPole-v1"):
        jaxrl.envs.make("Cartpole-v1")
    with pytest.raises(ValueError, match="max_steps_in_episode"):
        jaxrl.envs.make("CartPole-v1", max_step_in_episode=3)
    assert jaxrl.envs.make("CartPole-v1", max_steps_in_episode=3)[1].max_steps_in_episode == 3
    assert "CartPole-v1" in jaxrl.envs.environment_names()


def first_episodes(env, env_params, resets, num_steps=30):
    """Observations, rewards and ends `[T, N]` of first episodes, zero after their ends."""
    obs, env_state = envs.reset(env, env_params, jax.random.key(0), 4)
    playing, found = jnp.ones(4, bool), []
    step = jax.jit(envs.step, static_argnums=(0, 6))
    for key in jax.random.split(jax.random.key(1), num_steps):
        act_key, step_key = jax.random.split(key)
        action = jax.random.randint(act_key, (4,), 0, env.num_actions)
        obs, env_state, transition = step(
            env, env_params, jax.random.split(step_key, 4), obs, env_state, action, resets
        )
        seen = (
            transition.next_obs.reshape(4, -1).sum(-1),
            transition.reward,
            transition.terminated,
            transition.truncated,
        )
        found.append([np.where(playing, x, 0) for x in seen])
        playing &= ~transition.done
    assert not playing.all(), "some ended"
    return np.array(found)


@pytest.mark.parametrize("name", ["CartPole-v1", "Catch-bsuite", "DeepSea-bsuite", "Breakout-MinAtar"])
def test_first_episodes_are_the_same_without_resets(name):
    env, env_params = envs.make(name, max_steps_in_episode=20)
    with_resets, without = (first_episodes(env, env_params, resets) for resets in (True, False))
    np.testing.assert_allclose(without, with_resets, rtol=1e-6)


def test_a_step_without_reset_does_not_reset(monkeypatch):
    env, env_params = envs.make("CartPole-v1", max_steps_in_episode=1)
    obs, env_state = envs.reset(env, env_params, jax.random.key(0), 4)
    keys, action = jax.random.split(jax.random.key(1), 4), jnp.zeros(4, jnp.int32)
    monkeypatch.setattr(type(env), "reset_env", None)
    _, after, transition = envs.step(env, env_params, keys, obs, env_state, action, resets=False)
    assert transition.truncated.all() and (transition.next_obs != obs).any()
    jax.tree.map(np.testing.assert_array_equal, after, env_state)


def test_an_own_step_is_taken_though_it_resets():
    env, env_params = envs.make("CartPole-v1")
    env = gymnax.wrappers.LogWrapper(env)
    obs, env_state = envs.reset(env, env_params, jax.random.key(0), 4)
    keys, action = jax.random.split(jax.random.key(1), 4), jnp.zeros(4, jnp.int32)
    after = envs.step(env, env_params, keys, obs, env_state, action, resets=False)[1]
    assert after.episode_lengths.tolist() == [1, 1, 1, 1], "the wrapper's step, not that of what it wraps"
