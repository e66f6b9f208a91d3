"""What an observation forbids has no probability, in acting and in learning."""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces

import jaxrl
from jaxrl import envs, networks, ops
from jaxrl.engine.check import MASK_READERS
from jaxrl.engine.names import ALGORITHMS
from jaxrl.envs.wrappers import ClipReward, MaskActions, Wrapper


class Walls(Wrapper):
    """Catch that forbids to run into a wall, and everything once the ball has come down."""

    def observation_space(self, params):
        mask = spaces.Box(0, 1, (3,), jnp.dtype(bool))
        return spaces.Dict({"board": self.env.observation_space(params), "action_mask": mask})

    def reset_env(self, key, params):
        board, state = self.env.reset_env(key, params)
        return self.seen(board, state), state

    def step_env(self, key, state, action, params):
        board, state, *rest = self.env.step_env(key, state, action, params)
        return (self.seen(board, state), state, *rest)

    def seen(self, board, state):
        mask = jnp.stack([state.paddle_x > 0, jnp.ones((), bool), state.paddle_x < 4])
        return {"board": board, "action_mask": mask & (state.ball_y < 9)}


def learner(**options):
    env, env_params = envs.make("Catch-bsuite")
    env = MaskActions(Walls(env))
    return jaxrl.PPO(env, env_params, num_envs=16, num_steps=32, num_minibatches=2, hidden_sizes=(16,), **options)


def test_what_is_forbidden_is_never_done():
    ppo = learner(normalize_observations=True)
    state = ppo.init(jax.random.key(0))
    for update in range(4):
        state, batch = jax.jit(jaxrl.PPO.rollout)(ppo, state, jax.random.key(update))
        mask = np.asarray(batch.obs["action_mask"])
        assert np.take_along_axis(mask, np.asarray(batch.action)[..., None], -1).all()
        assert not mask.all() and not np.asarray(batch.next_obs["action_mask"])[np.asarray(batch.done)].any()
        if not update:  # heads begin at zero: uniform over what is allowed
            np.testing.assert_allclose(batch.log_prob, -np.log(mask.sum(-1)), rtol=1e-6)
        state, metrics = jax.jit(jaxrl.PPO.learn)(ppo, state, batch, jax.random.key(10 + update))
        assert all(np.isfinite(value).all() for value in jax.tree.leaves(jax.device_get((metrics, state.params))))


def test_without_the_mask_it_is_done():
    env, env_params = envs.make("Catch-bsuite")
    env = envs.wrappers.FlattenObservation(Walls(env))
    ppo = jaxrl.PPO(env, env_params, num_envs=16, num_steps=32, num_minibatches=2, hidden_sizes=(16,))
    _, batch = ppo.rollout(ppo.init(jax.random.key(0)), jax.random.key(0))
    mask = np.asarray(batch.obs)[..., :3].astype(bool)  # parts in the order of their names
    assert not np.take_along_axis(mask, np.asarray(batch.action)[..., None], -1).all()


def test_where_nothing_is_allowed_nothing_is_masked():
    ppo = learner()
    obs = {"obs": jnp.zeros((2, 50)), "action_mask": jnp.array([[False, False, False], [False, True, True]])}
    (policy, _), _ = ppo.model.init_with_output(jax.random.key(0), obs)
    np.testing.assert_array_equal(policy.logits, [[0, 0, 0], [-np.inf, 0, 0]])
    np.testing.assert_allclose(policy.entropy(), np.log([3, 2]), rtol=1e-6)


def test_it_learns_to_catch():
    ppo = learner(learning_rate=3e-3)
    state, _ = jaxrl.train(ppo, jax.random.key(0), 60)
    assert jaxrl.evaluate(ppo, state, jax.random.key(1), 64, max_steps=10).returns.mean() > 0.9


def gambler():
    return envs.make("Gambler")


@pytest.mark.parametrize("kind", [jaxrl.PPO, jaxrl.RecurrentPPO])
def test_a_process_that_forbids_actions_is_not_passed_by(kind):
    with pytest.raises(ValueError, match=rf"{kind.__name__} does not know them; wrap it: envs.wrappers.MaskActions"):
        jaxrl.check(kind(*gambler()))
    jaxrl.check(jaxrl.QLearning(*gambler()))


class OfTheUsers(nn.Module):
    """A policy that reads the mask itself."""

    @nn.compact
    def __call__(self, obs):
        x = nn.one_hot(obs["obs"], 101)
        logits = jnp.where(obs["action_mask"], nn.Dense(50)(x), -1e9)
        return ops.Categorical(logits), nn.Dense(1)(x)[..., 0]


def test_masks_are_found_in_observations_whoever_reads_them():
    env, mdp = gambler()
    masked = MaskActions(env, envs.allowed_actions)
    for wrapped in (masked, ClipReward(masked, -1.0, 1.0)):
        jaxrl.check(jaxrl.PPO(wrapped, mdp))
        jaxrl.check(jaxrl.PPO(wrapped, mdp, network=OfTheUsers()))
    small = dict(num_envs=4, num_steps=4, num_minibatches=2)
    _, metrics = jaxrl.train(jaxrl.PPO(masked, mdp, network=OfTheUsers(), **small), jax.random.key(0), 1)
    assert np.isfinite(metrics["loss"]).all()


def learners_of_actions():
    """Those of the table that take discrete actions and read any observation."""
    for kind in set(ALGORITHMS.values()):
        if "Discrete" in getattr(kind, "action_spaces", ()) and not hasattr(kind, "observation_spaces"):
            yield kind


@pytest.mark.parametrize("kind", sorted(learners_of_actions(), key=lambda kind: kind.__name__))
def test_who_reads_masks_is_known_and_who_does_not_is_refused(kind):
    env, mdp = gambler()
    masked = MaskActions(env, envs.allowed_actions)
    if re.search(rf"\b{kind.__name__}\b", MASK_READERS):
        jaxrl.check(kind(masked, mdp))
        return
    for world in (env, masked):
        with pytest.raises(ValueError, match=rf"{kind.__name__} would take them; choose jaxrl\.PPO"):
            jaxrl.check(kind(world, mdp))
    own = networks.QNetwork(50, networks.MLP((8,)))  # random actions do not ask it
    if kind is not jaxrl.RecurrentPQN:
        with pytest.raises(ValueError, match="would take them"):
            jaxrl.check(kind(masked, mdp, network=own))


@pytest.mark.parametrize("kind", [jaxrl.PPO, jaxrl.RecurrentPPO])
def test_a_process_is_played_by_its_rules(kind):
    env, mdp = gambler()
    learner = kind(
        MaskActions(env, envs.allowed_actions), mdp, num_envs=16, num_steps=16, num_minibatches=2, hidden_sizes=(8,)
    )
    jaxrl.check(learner)
    state, batch = jax.jit(kind.rollout)(learner, learner.init(jax.random.key(0)), jax.random.key(1))
    steps = getattr(batch, "transition", batch)
    assert steps.obs["obs"].dtype == jnp.int32
    allowed = np.asarray(mdp.allowed)[np.asarray(steps.obs["obs"])]
    assert not allowed.all() and np.take_along_axis(allowed, np.asarray(steps.action)[..., None], -1).all()
    _, metrics = jax.jit(kind.learn)(learner, state, batch, jax.random.key(2))
    assert np.isfinite(metrics["loss"])


@pytest.mark.parametrize("kind", [jaxrl.PPO, jaxrl.RecurrentPPO])
def test_masks_are_for_discrete_actions(kind):
    env, env_params = envs.make("Pendulum-v1")
    env = MaskActions(env, lambda state, env_params: jnp.ones(1, bool))
    with pytest.raises(TypeError, match="an action_mask is for discrete actions"):
        kind(env, env_params).init(jax.random.key(0))


def distance_from_one(ratio, advantage, clip):
    del advantage, clip
    return jnp.full_like(ratio, jnp.max(jnp.abs(ratio - 1.0)))


def check_the_first_ratio_is_one(rollout):
    ppo = learner(normalize_observations=True, policy_loss=distance_from_one, num_epochs=1)
    ppo = ppo.replace(num_minibatches=1)
    state = ppo.init(jax.random.key(0))
    for index in range(3):
        state, batch = rollout(ppo, state, jax.random.key(2 * index))
        state, metrics = ppo.learn(state, batch, jax.random.key(2 * index + 1))
        np.testing.assert_allclose(metrics["policy_loss"], 0.0, atol=1e-5)


def rollout_that_masks_in_acting_only(ppo, state, key):
    """What is learned from does not know the mask."""
    state, batch = ppo.rollout(state, key)
    return state, batch.replace(obs=batch.obs | {"action_mask": jnp.ones_like(batch.obs["action_mask"])})


def test_learning_knows_the_mask():
    check_the_first_ratio_is_one(jaxrl.PPO.rollout)
    with pytest.raises(AssertionError):
        check_the_first_ratio_is_one(rollout_that_masks_in_acting_only)


class NumberMask(Wrapper):
    """A mask of zeros and ones, as users' own environments have it."""

    def reset_env(self, key, params):
        obs, state = self.env.reset_env(key, params)
        return obs | {"action_mask": obs["action_mask"].astype(jnp.float32)}, state

    def step_env(self, key, state, action, params):
        obs, *rest = self.env.step_env(key, state, action, params)
        return (obs | {"action_mask": obs["action_mask"].astype(jnp.float32)}, *rest)


def test_statistics_leave_a_mask_of_numbers_alone():
    ppo = learner(normalize_observations=True)
    ppo = ppo.replace(env=NumberMask(ppo.env))
    state, _ = jaxrl.train(ppo, jax.random.key(0), 2)
    state, batch = ppo.rollout(state, jax.random.key(1))
    obs = jaxrl.ops.flat(batch.obs)
    policy, _ = ppo.apply(state.params, state, obs)
    np.testing.assert_array_equal(jnp.isfinite(policy.logits), obs["action_mask"] > 0)
    assert not jnp.isfinite(policy.logits).all()
