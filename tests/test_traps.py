"""The field's mistakes. Each check takes a function and runs twice: ours passes, the wrong one fails.

The wrong versions are in `wrong.py`, each of a kind found in published code. Recurrent carries, Q(λ), target
networks and replay have a file of their own, `test_deep_traps.py`.
"""

import tempfile
from unittest import mock

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from jaxrl import envs, ops
from jaxrl.engine import session
from jaxrl.envs import probes
from tests import wrong
from tests.helpers import assert_trees_equal

NO, YES = jnp.zeros(1, bool), jnp.ones(1, bool)


def check_time_limit_bootstraps(advantages):
    """One step cut by the time limit: A = 1 + ½·4 - 2 = 1, not 1 - 2 = -1."""
    advantage, _ = advantages(jnp.ones(1), jnp.full(1, 2.0), jnp.full(1, 4.0), NO, YES, discount=0.5, gae_lambda=0.9)
    np.testing.assert_allclose(advantage, [1.0], rtol=1e-6)


def check_successor_is_not_the_reset(step):
    """`next_obs` of a step that ends an episode: the sign flipped, not the sign of the next episode."""
    env, env_params = probes.time_limit_successor()
    obs, env_state = envs.reset(env, env_params, jax.random.key(0), 16)
    keys = jax.random.split(jax.random.key(1), 16)
    _, _, transition = step(env, env_params, keys, obs, env_state, jnp.zeros(16, jnp.int32))
    np.testing.assert_array_equal(transition.next_obs, -transition.obs)


def check_a_last_observation_is_wrapped(wrapper):
    """A wrapper transforms the true last observation as every other one."""
    env, env_params = envs.make("MountainCar-v0", max_steps_in_episode=3)
    act = lambda obs, key: (jnp.zeros(2, jnp.int32), jnp.zeros(2))  # noqa: E731
    plain, wrapped = (
        envs.rollout(e, env_params, act, *envs.reset(e, env_params, jax.random.key(0), 2), jax.random.key(1), 7)[2]
        for e in (env, wrapper(env))
    )
    space = env.observation_space(env_params)
    low, high = np.asarray(space.low), np.asarray(space.high)
    expected = 2.0 * (np.asarray(plain.next_obs) - low) / (high - low) - 1.0
    np.testing.assert_allclose(wrapped.next_obs, expected, atol=1e-6)
    assert plain.truncated.any()


def check_no_trace_across_the_reset(advantages):
    """Rewards of the next episode must not reach back, at a termination and at a time limit alike."""
    ends = jnp.array([[False, False], [True, True], [False, False]])
    terminated, truncated = ends & jnp.array([[True, False]]), ends & jnp.array([[False, True]])
    value = jnp.ones((3, 2))

    def before_the_end(later_reward):
        reward = jnp.ones((3, 2)).at[2].set(later_reward)
        return advantages(reward, value, value, terminated, truncated, discount=0.9, gae_lambda=0.9)[0][:2]

    np.testing.assert_array_equal(before_the_end(0.0), before_the_end(100.0))


def check_termination_wins_over_truncation(advantages):
    """Both flags: A = 1 + 0 - 2 = -1."""
    advantage, _ = advantages(jnp.ones(1), jnp.full(1, 2.0), jnp.full(1, 4.0), YES, YES, discount=0.5, gae_lambda=0.9)
    np.testing.assert_allclose(advantage, [-1.0], rtol=1e-6)


def check_seeds_differ(init):
    """Every part of the state that is random differs between two keys."""
    ppo = small_ppo(gymnax.make("CartPole-v1"))
    first, second = (init(ppo, jax.random.key(seed)) for seed in (0, 1))
    torsos = [jax.tree.leaves(state.params["params"]["actor"]) for state in (first, second)]
    assert any(not np.array_equal(a, b) for a, b in zip(*torsos, strict=True))
    assert not np.array_equal(first.obs, second.obs)


def check_keys_are_used_once(init):
    """The checker of keys finds none that is consumed twice."""
    ppo = small_ppo(probes.constant_reward())
    try:
        jax.jit(lambda key: init(ppo, key))(jax.random.key(0))
    except jax.errors.KeyReuseError as error:
        raise AssertionError(error) from None


def distance_from_one(ratio, advantage, clip):
    """In place of a loss: how far the largest ratio is from one."""
    del advantage, clip
    return jnp.full_like(ratio, jnp.max(jnp.abs(ratio - 1.0)))


def check_first_ratio_is_one(update):
    """Acting and learning see the same policy: with one gradient step on the whole batch all ratios are 1.

    Pendulum's episodes of 3 steps put boundaries into each batch of 8 steps, and its velocities are far from
    standardized, so that statistics which moved in between show.
    """
    pendulum = envs.make("Pendulum-v1", max_steps_in_episode=3)
    ppo = small_ppo(
        pendulum, normalize_observations=True, policy_loss=distance_from_one, num_epochs=1, num_minibatches=1
    )
    update = jax.jit(update)
    state = jax.jit(ppo.init)(jax.random.key(0))
    for index in range(4):
        state, metrics = update(ppo, state, jax.random.key(index + 1))
        assert metrics["policy_loss"] < 1e-5


def check_clip_keeps_the_direction(transformation):
    """A gradient (3, 4) of norm 5 under the bound 1 becomes (0.6, 0.8), not (1, 1)."""
    gradient = jnp.array([3.0, 4.0])
    transform = transformation(1.0)
    update, _ = transform.update(gradient, transform.init(gradient), gradient)
    np.testing.assert_allclose(-update, [0.6, 0.8], rtol=1e-5)


def check_no_branch(update):
    """Under vmap a `lax.cond` runs both of its branches: an update has none."""
    ppo = small_ppo(probes.constant_reward())
    state = jax.eval_shape(ppo.init, jax.random.key(0))
    program = str(jax.make_jaxpr(lambda state, key: update(ppo, state, key))(state, jax.random.key(0)))
    assert program.count(" cond[") == program.count("branches_platforms=(")  # platforms are chosen by the compiler


def check_only_finished_episodes_count(metrics):
    """Two environments of three steps; one ends with 1 + 1 = 2, the other goes on: the mean return is 2."""
    done = jnp.array([[False, False], [True, False], [False, False]])
    _, result = metrics(ops.init_episodes(2), jnp.ones((3, 2)), done)
    np.testing.assert_allclose(result["episode_return_sum"] / result["episodes"], 2.0)


def check_evaluation_counts_each_environment_once(evaluate):
    """Lengths 1 and 9 equally often: the mean is 5 of first episodes, and below 3 of those in a window."""
    env = wrong.CoinLength()
    ppo = small_ppo((env, env.default_params))
    state = ppo.init(jax.random.key(0))
    mean = evaluate(ppo, state, jax.random.key(1), 400)
    assert abs(mean - 5.0) < 0.8  # 4 standard errors: 4 · 4/√400


def mean_return(algorithm, state, key, num_episodes):
    """Ours, with the check that nothing was cut."""
    evaluation = jaxrl.evaluate(algorithm, state, key, num_episodes)
    assert evaluation.finished.all()
    np.testing.assert_array_equal(evaluation.returns, evaluation.lengths)
    return evaluation.returns.mean()


def check_the_reset_is_strongly_typed(reset):
    """A weak leaf in the carry compiles the second call anew."""
    env, env_params = gymnax.make("Pendulum-v1")
    _, env_state = jax.eval_shape(lambda key: reset(env, env_params, key, 2), jax.random.key(0))
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(env_state))


def check_log_prob_is_of_the_stored_action(step):
    """What is stored is what was sampled, beyond the bounds too: its likelihood is the policy's."""
    env, env_params = gymnax.make("Pendulum-v1")
    obs, env_state = envs.reset(env, env_params, jax.random.key(0), 3)
    action = jnp.array([[0.5], [7.0], [-7.0]])
    _, _, transition = step(env, env_params, jax.random.split(jax.random.key(1), 3), obs, env_state, action)
    policy = ops.Gaussian(jnp.zeros((3, 1)), jnp.zeros((3, 1)))
    np.testing.assert_allclose(policy.log_prob(transition.action), policy.log_prob(action))


def check_a_column_is_refused(loss):
    """Values [B, 1] against targets [B] are [B, B] errors in silence, unless the loss looks."""
    column, target = jnp.zeros((4, 1)), jnp.ones(4)
    with jax.numpy_rank_promotion("allow"), pytest.raises((AssertionError, ValueError, TypeError)):
        loss(column, target)


def check_a_schedule_counts_updates(transformation):
    """Half of a horizon of 10 updates is 5 updates, whatever the number of gradient steps in each."""
    ppo = small_ppo(gymnax.make("CartPole-v1"), optimizer=ops.sgd, learning_rate=1.0, anneal_updates=10.0)
    transform = transformation(ppo, jnp.int32(5))
    updates, _ = transform.update(jnp.full(1, 0.1), transform.init(jnp.zeros(1)))
    np.testing.assert_allclose(updates, [-0.05], rtol=1e-6)


def check_metrics_are_reduced(update):
    """A metric with an axis of time or environments would need memory for every step of a run."""
    ppo = small_ppo(gymnax.make("CartPole-v1"))
    state = jax.eval_shape(ppo.init, jax.random.key(0))
    _, metrics = jax.eval_shape(lambda state, key: update(ppo, state, key), state, jax.random.key(0))
    assert all(value.shape == () for value in metrics.values())


def check_a_resume_has_everything(content):
    """Two updates, a save, a third: the bits of three updates."""
    ppo = small_ppo(gymnax.make("CartPole-v1"))
    with tempfile.TemporaryDirectory() as out, mock.patch.object(session.Run, "content", property(content)):
        jaxrl.fit(ppo, jax.random.key(0), 2, out=f"{out}/run", loggers=[])
        resumed = jaxrl.fit(ppo, resume=f"{out}/run", num_updates=3, loggers=[])
    assert_trees_equal(resumed.state, jaxrl.fit(ppo, jax.random.key(0), 3, loggers=[]).state)


def small_ppo(problem, **options):
    sizes = {"num_envs": 4, "num_steps": 8, "num_epochs": 2, "num_minibatches": 2, "hidden_sizes": (4,)}
    return jaxrl.PPO(*problem, **(sizes | options))


TRAPS = {
    "time limit": (check_time_limit_bootstraps, ops.generalized_advantages, wrong.done_as_discount),
    "reset successor": (check_successor_is_not_the_reset, envs.step, wrong.step_with_reset_successor),
    "wrapped successor": (
        check_a_last_observation_is_wrapped,
        envs.wrappers.NormalizeObservation,
        wrong.NormalizeAfterTheReset,
    ),
    "trace": (
        check_no_trace_across_the_reset,
        ops.generalized_advantages,
        wrong.trace_cut_by_termination_only,
    ),
    "both flags": (check_termination_wins_over_truncation, ops.generalized_advantages, wrong.truncation_wins),
    "time limit, V-trace": (check_time_limit_bootstraps, wrong.by_vtrace(ops.vtrace), wrong.vtrace_of_done),
    "trace, V-trace": (check_no_trace_across_the_reset, wrong.by_vtrace(ops.vtrace), wrong.vtrace_that_leaks),
    "both flags, V-trace": (
        check_termination_wins_over_truncation,
        wrong.by_vtrace(ops.vtrace),
        wrong.vtrace_where_truncation_wins,
    ),
    "seeds": (check_seeds_differ, jaxrl.PPO.init, wrong.init_with_constant_key),
    "keys": (check_keys_are_used_once, jaxrl.PPO.init, wrong.init_with_one_key),
    "statistics": (check_first_ratio_is_one, jaxrl.PPO.update, wrong.update_that_normalizes_in_between),
    "gradient norm": (check_clip_keeps_the_direction, wrong.our_clip, wrong.element_wise_clip),
    "branches": (check_no_branch, jaxrl.PPO.update, wrong.update_with_branch),
    "unfinished": (check_only_finished_episodes_count, ops.episode_metrics, wrong.mean_over_environments),
    "evaluation": (check_evaluation_counts_each_environment_once, mean_return, wrong.mean_within_window),
    "weak types": (check_the_reset_is_strongly_typed, envs.reset, wrong.weak_reset),
    "clipped action": (check_log_prob_is_of_the_stored_action, envs.step, wrong.step_that_stores_the_clipped),
    "schedule": (
        check_a_schedule_counts_updates,
        ops.transform_of,
        wrong.schedule_of_gradient_steps,
    ),
    "metrics": (check_metrics_are_reduced, jaxrl.PPO.update, wrong.update_with_every_reward),
    "resume": (check_a_resume_has_everything, wrong.whole_content, wrong.content_without_optimizer),
    "value column": (check_a_column_is_refused, wrong.our_value_loss, wrong.broadcasting_value_loss),
    "ratio column": (check_a_column_is_refused, wrong.our_policy_loss, wrong.broadcasting_policy_loss),
}


@pytest.mark.parametrize("name", TRAPS)
def test_ours_passes(name):
    check, ours, _ = TRAPS[name]
    check(ours)


@pytest.mark.parametrize("name", TRAPS)
def test_the_wrong_version_fails(name):
    check, _, wrong_version = TRAPS[name]
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(wrong_version)
