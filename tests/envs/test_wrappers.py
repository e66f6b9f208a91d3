"""Wrappers transform what a step gives, the true last observation too, and leave the rest alone."""

import gymnax
import gymnax.wrappers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces

import jaxrl
from jaxrl import envs
from jaxrl.envs import wrappers


def rollout(env, env_params, num_steps=12):
    """Steps of random actions in 3 environments, `[T, N, ...]`."""
    space = env.action_space(env_params)

    def act(obs, key):
        return jax.vmap(space.sample)(jax.random.split(key, 3)), jnp.zeros(3)

    obs, env_state = envs.reset(env, env_params, jax.random.key(0), 3)
    return obs, envs.rollout(env, env_params, act, obs, env_state, jax.random.key(1), num_steps)[2]


def short(name, steps=5):
    return envs.make(name, max_steps_in_episode=steps)


def test_flattening_changes_the_shape_alone():
    env, env_params = short("Catch-bsuite")
    _, plain = rollout(env, env_params)
    first, flat = rollout(wrappers.FlattenObservation(env), env_params)
    assert first.shape == (3, 50) and flat.obs.dtype == jnp.float32
    np.testing.assert_array_equal(flat.obs, plain.obs.reshape(12, 3, 50))
    np.testing.assert_array_equal(flat.next_obs, plain.next_obs.reshape(12, 3, 50))
    np.testing.assert_array_equal(flat.truncated, plain.truncated)
    assert wrappers.FlattenObservation(env).observation_space(env_params).shape == (50,)


def test_normalizing_is_by_the_bounds():
    env, env_params = short("MountainCar-v0")
    space = env.observation_space(env_params)
    _, plain = rollout(env, env_params)
    _, scaled = rollout(wrappers.NormalizeObservation(env), env_params)
    low, high = np.asarray(space.low), np.asarray(space.high)
    expected = (np.asarray(plain.next_obs) - low) / (high - low) * 2 - 1
    np.testing.assert_allclose(scaled.next_obs, expected, atol=1e-6)
    assert np.abs(scaled.obs).max() <= 1.0


class Bounded(wrappers.Wrapper):
    """With bounds of the observations as given."""

    def __init__(self, env, low, high):
        super().__init__(env)
        self.low, self.high = low, high

    def observation_space(self, params):
        space = self.env.observation_space(params)
        return spaces.Box(self.low * jnp.ones(space.shape), self.high * jnp.ones(space.shape), space.shape)


@pytest.mark.parametrize(("low", "high"), [(-jnp.inf, jnp.inf), (-3.4e38, 3.4e38), (0.0, 0.0), (-1e8, 1e8)])
def test_normalizing_without_bounds_is_refused(low, high):
    env, _ = envs.make("MountainCar-v0")
    with pytest.raises(ValueError, match="no bounds to go by"):
        wrappers.NormalizeObservation(Bounded(env, low, high))


@pytest.mark.parametrize("name", ["CartPole-v1", "PointRobot-misc"])
def test_velocities_without_bounds_are_not_made_constants(name):
    with pytest.raises(ValueError, match=f"observations of {name} have no bounds"):
        wrappers.NormalizeObservation(envs.make(name)[0])


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: wrappers.NormalizeObservation(envs.make("FrozenLake-misc")[0]), TypeError, "are a Discrete, not an"),
        (lambda: wrappers.StackFrames(envs.make("FrozenLake-misc")[0]), TypeError, "are a Discrete, not an array"),
        (lambda: wrappers.StackFrames(envs.make("CartPole-v1")[0], 0), ValueError, "num_frames=0 must be at least 1"),
        (lambda: wrappers.ClipReward(envs.make("CartPole-v1")[0], 1.0, -1.0), ValueError, "low=1.0, high=-1.0"),
        (
            lambda: wrappers.ClipReward(gymnax.wrappers.LogWrapper(envs.make("CartPole-v1")[0])),
            TypeError,
            "LogWrapper is no gymnax environment",
        ),
    ],
)
def test_what_wrappers_cannot_wrap_is_refused(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_rewards_are_clipped_and_nothing_else():
    env, env_params = short("Pendulum-v1")
    _, plain = rollout(env, env_params)
    _, clipped = rollout(wrappers.ClipReward(env, -1.0, 0.0), env_params)
    np.testing.assert_array_equal(clipped.reward, np.clip(plain.reward, -1.0, 0.0))
    np.testing.assert_array_equal(clipped.next_obs, plain.next_obs)
    assert plain.reward.min() < -1.0


def test_stacked_frames_are_those_of_the_episode():
    env, env_params = short("CartPole-v1")
    _, plain = rollout(env, env_params)
    first, stacked = rollout(wrappers.StackFrames(env, 3), env_params)
    np.testing.assert_array_equal(first.reshape(3, 3, 4), np.repeat(np.asarray(plain.obs)[0][:, None], 3, axis=1))
    begun = np.zeros(3, int)
    for t in range(12):
        for n in range(3):
            frames = [max(begun[n], s) for s in (t - 2, t - 1, t)]
            np.testing.assert_array_equal(stacked.obs[t, n].reshape(3, 4), np.asarray(plain.obs)[frames, n])
            after = [*np.asarray(plain.obs)[frames[1:], n], np.asarray(plain.next_obs)[t, n]]
            np.testing.assert_array_equal(stacked.next_obs[t, n].reshape(3, 4), after)
        begun = np.where(np.asarray(plain.done)[t], t + 1, begun)
    assert begun.max() > 3, "episodes ended in between"


def test_recorded_returns_and_lengths():
    env, env_params = short("Pendulum-v1", 4)
    env = wrappers.RecordEpisode(env)
    _, state = env.reset(jax.random.key(0), env_params)
    total = 0.0
    for t in range(6):
        _, state, reward, _, truncated, info = env.step(jax.random.key(t), state, jnp.zeros(1), env_params)
        total = (total if t != 4 else 0.0) + float(reward)
        np.testing.assert_allclose(info["episode_return"], total, rtol=1e-5)
        assert int(info["episode_length"]) == (t + 1 if t < 4 else t - 3) and bool(truncated) == (t == 3)


def test_wrappers_inside_one_another_train():
    env, env_params = short("Breakout-MinAtar", 20)
    env = wrappers.RecordEpisode(wrappers.FlattenObservation(wrappers.StackFrames(wrappers.ClipReward(env), 2)))
    ppo = jaxrl.PPO(env, env_params, num_envs=4, num_steps=4, num_minibatches=2, hidden_sizes=(8,))
    state, _ = jaxrl.train(ppo, jax.random.key(0), 2)
    assert np.isfinite(jaxrl.evaluate(ppo, state, jax.random.key(1), 4).returns).all()
