"""Probe environments: rewards, flags and observations step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import envs
from jaxrl.envs import probes

DISCRETE = [
    probes.constant_reward,
    probes.observed_reward,
    probes.delayed_reward,
    probes.rewarded_action,
    probes.rewarded_matching,
    probes.time_limit,
    probes.time_limit_successor,
    probes.terminated_and_truncated,
]


def play(probe, num_steps, action=0.0, num_envs=4):
    """Transitions `[num_steps, num_envs]` of a constant action."""
    env, env_params = probe
    actions = jnp.full(num_envs, int(action)) if env.actions else jnp.full((num_envs, 1), action)

    def step(carry, key):
        keys = jax.random.split(key, num_envs)
        *carry, transition = envs.step(env, env_params, keys, *carry, actions)
        return tuple(carry), transition

    @jax.jit
    def run(reset_key, step_key):
        carry = envs.reset(env, env_params, reset_key, num_envs)
        return jax.lax.scan(step, carry, jax.random.split(step_key, num_steps))[1]

    return jax.tree.map(np.asarray, run(*jax.random.split(jax.random.key(0))))


def test_constant_reward_terminates_at_once_and_is_never_truncated():
    batch = play(probes.constant_reward(), 3)
    assert np.all(batch.reward == 1) and batch.terminated.all() and not batch.truncated.any()
    assert np.all(batch.obs == 0)


def test_observed_reward_is_the_observation():
    batch = play(probes.observed_reward(), 6)
    np.testing.assert_array_equal(batch.reward, batch.obs[..., 0])
    assert set(np.unique(batch.obs)) == {-1.0, 1.0}


def test_delayed_reward_comes_at_the_second_step():
    batch = play(probes.delayed_reward(), 4)
    np.testing.assert_array_equal(batch.reward[:, 0], [0, 1, 0, 1])
    np.testing.assert_array_equal(batch.terminated[:, 0], [False, True, False, True])
    np.testing.assert_array_equal(batch.obs[:, 0, 0], [0, 1, 0, 1])


def test_actions_are_rewarded():
    assert np.all(play(probes.rewarded_action(), 1, 1).reward == 1)
    assert np.all(play(probes.rewarded_action(), 1, 0).reward == -1)
    batch = play(probes.rewarded_matching(), 1, 1)
    np.testing.assert_array_equal(batch.reward, batch.obs[..., 0])
    assert np.all(play(probes.rewarded_action(num_actions=0), 1, 0.5).reward == 0)
    # -(-1 - ½)² = -2.25; and with the sign s, -(½ - s/2)² is 0 or -1.
    assert np.all(play(probes.rewarded_action(num_actions=0), 1, -1.0).reward == -2.25)
    batch = play(probes.rewarded_matching(num_actions=0), 1, 0.5)
    np.testing.assert_array_equal(batch.reward, np.where(batch.obs[..., 0] > 0, 0.0, -1.0))


def test_the_time_limit_never_terminates():
    batch = play(probes.time_limit(), 3)
    assert batch.truncated.all() and not batch.terminated.any()
    batch = play(probes.time_limit(max_steps=2), 4)
    np.testing.assert_array_equal(batch.truncated[:, 0], [False, True, False, True])


def test_the_successor_of_a_time_limit_is_of_the_other_sign():
    batch = play(probes.time_limit_successor(), 8)
    np.testing.assert_array_equal(batch.next_obs, -batch.obs)
    assert batch.truncated.all() and not batch.terminated.any()
    # The reset draws anew: the next step's observation is often not the successor.
    assert np.any(batch.obs[1:] != batch.next_obs[:-1])


def test_both_flags_at_once():
    batch = play(probes.terminated_and_truncated(), 2)
    assert batch.terminated.all() and batch.truncated.all()


@pytest.mark.parametrize("probe", DISCRETE)
def test_spaces_contain_what_they_should_and_scale_is_a_leaf(probe):
    env, env_params = probe(num_actions=0)
    obs, state = env.reset(jax.random.key(0), env_params)
    assert env.observation_space(env_params).contains(obs)
    action = env.action_space(env_params).sample(jax.random.key(1))
    outputs = [env.step(jax.random.key(2), state, action, env_params.replace(scale=scale)) for scale in (1.0, 2.0)]
    assert env.observation_space(env_params).contains(outputs[0][5]["final_observation"])
    np.testing.assert_allclose(2.0 * outputs[0][2], outputs[1][2])
