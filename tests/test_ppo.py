"""PPO: its batch field by field, and what it refuses."""

import functools
import itertools

import flax.linen as nn
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from jaxrl import envs, networks, ops
from jaxrl.envs import probes

SMALL = dict(num_envs=4, num_steps=8, num_epochs=1, num_minibatches=2, hidden_sizes=(8,))


@functools.cache
def cartpole():
    return gymnax.make("CartPole-v1")


def test_pendulum_is_truncated_and_never_terminated():
    problem = envs.make("Pendulum-v1", max_steps_in_episode=5)
    ppo = jaxrl.PPO(*problem, **SMALL)
    state = ppo.init(jax.random.key(0))
    state, batch = jax.jit(ppo.rollout)(state, jax.random.key(1))
    assert not batch.terminated.any()
    np.testing.assert_array_equal(batch.truncated[:, 0], [False] * 4 + [True] + [False] * 3)
    # Within an episode the successor is the next observation; where it ends it is not.
    same = np.all(np.isclose(batch.next_obs[:-1], batch.obs[1:]), axis=-1)
    np.testing.assert_array_equal(same, ~np.asarray(batch.truncated[:-1]))


def test_the_stored_action_is_the_sampled_one():
    # A deviation of e² = 7.4 puts most actions beyond the bounds of [-1, 1].
    ppo = jaxrl.PPO(*gymnax.make("Pendulum-v1"), **SMALL)
    state = ppo.init(jax.random.key(0))
    wide = jax.tree_util.tree_map_with_path(lambda path, x: x + 2.0 if "log_std" in str(path) else x, state.params)
    state, batch = jax.jit(ppo.rollout)(state.replace(params=wide), jax.random.key(1))
    assert np.mean(np.abs(batch.action) > 1) > 0.5
    policy, _ = ppo.apply(state.params, state, batch.obs.reshape(-1, 3))
    np.testing.assert_allclose(
        policy.log_prob(batch.action.reshape(-1, 1)), batch.log_prob.ravel(), rtol=1e-4, atol=1e-5
    )


class Echo(type(gymnax.make("Pendulum-v1")[0])):
    """Pendulum whose reward is the torque that it was given, unclipped."""

    def step_env(self, key, state, action, params):
        obs, state, _, terminated, info = super().step_env(key, state, action, params)
        return obs, state, jnp.ravel(action)[0], terminated, info


def test_the_environment_gets_the_bounded_action():
    env = Echo()
    obs, env_state = envs.reset(env, env.default_params, jax.random.key(0), 3)
    action = jnp.array([[-5.0], [0.5], [5.0]])
    keys = jax.random.split(jax.random.key(1), 3)
    *_, transition = envs.step(env, env.default_params, keys, obs, env_state, action)
    # [-1, 1] is stretched over the torques of [-2, 2]; what lies beyond is clipped.
    np.testing.assert_array_equal(transition.reward, [-2.0, 1.0, 2.0])
    np.testing.assert_array_equal(transition.action, action)


def test_the_metrics_count_episodes_over_updates():
    # Episodes of exactly 5 steps in 4 environments, 8 steps an update: after 5 updates 4 · 40 / 5 = 32
    # episodes.
    ppo = jaxrl.PPO(*probes.time_limit(max_steps=5), **SMALL)
    _, metrics = jaxrl.train(ppo, jax.random.key(0), 5)
    assert metrics["episodes"].sum() == 32
    np.testing.assert_allclose(metrics["episode_length_sum"].sum(), 160.0)
    np.testing.assert_allclose(metrics["episode_return_sum"].sum(), 160.0)


@pytest.mark.parametrize(("name", "first"), [("CartPole-v1", networks.Flatten), ("FrozenLake-misc", networks.OneHot)])
def test_default_networks_of_vectors_and_integers(name, first):
    ppo = jaxrl.PPO(*gymnax.make(name), **SMALL)
    model = ppo.model
    assert isinstance(model.actor.layers[0], first)
    obs, _ = envs.reset(ppo.env, ppo.env_params, jax.random.key(0), 2)
    (policy, value), _ = model.init_with_output(jax.random.key(1), obs)
    assert (policy.logits.shape, value.shape) == ((2, ppo.env.num_actions), (2,))


def test_default_network_of_images():
    ppo = jaxrl.PPO(*gymnax.make("Breakout-MinAtar"), **SMALL)
    assert isinstance(ppo.model.actor, networks.MinAtarCNN)
    assert ppo.model.critic is None
    policy, value = jax.eval_shape(
        lambda key: ppo.model.init_with_output(key, jnp.zeros((2, 10, 10, 4)))[0], jax.random.key(0)
    )
    assert (policy.logits.shape, value.shape) == ((2, 3), (2,))


@pytest.mark.parametrize("shape", [(1, 1, 4), (2, 5, 3), (5, 2, 1)])
def test_images_that_are_too_small_for_the_convolution_are_flattened(shape):
    spaces = gymnax.environments.spaces
    model = networks.default_actor_critic(spaces.Box(0.0, 1.0, shape), spaces.Discrete(2), (8,))
    assert model.critic is not None
    torso, obs = networks.default_torso(spaces.Box(0.0, 1.0, shape), (8,)), jnp.ones((1, *shape))
    params = torso.init(jax.random.key(0), obs)
    assert not np.array_equal(torso.apply(params, obs), torso.apply(params, -obs)), "it must not be blind"
    with pytest.raises(ValueError, match="MinAtarCNN needs images of at least 3x3"):
        networks.MinAtarCNN().init(jax.random.key(0), obs)


def test_dictionary_observations_need_a_network_of_their_own():
    space = gymnax.environments.spaces.Dict({"a": gymnax.environments.spaces.Discrete(2)})
    with pytest.raises(TypeError, match="network"):
        networks.default_actor_critic(space, gymnax.environments.spaces.Discrete(2), (8,))


@pytest.mark.parametrize("kind", [jaxrl.PPO, jaxrl.PQN])
def test_minibatches_must_divide_the_batch(kind):
    with pytest.raises(ValueError, match=r"num_minibatches=3.*num_envs=4.*num_steps=8"):
        kind(*cartpole(), num_envs=4, num_steps=8, num_minibatches=3)


@pytest.mark.parametrize("kind", [jaxrl.RecurrentPPO, jaxrl.VTraceActorCritic, jaxrl.RecurrentPQN])
def test_minibatches_must_divide_the_environments(kind):
    with pytest.raises(ValueError, match=r"num_minibatches=3 does not divide the batch of num_envs=4;"):
        kind(*cartpole(), num_envs=4, num_steps=9, num_minibatches=3)


@pytest.mark.parametrize("kind", [jaxrl.RecurrentPPO, jaxrl.RecurrentPQN])
def test_memories_that_are_none_are_refused(kind):
    with pytest.raises(ValueError, match="the memory has the width of the last layer"):
        kind(*cartpole(), hidden_sizes=())
    with pytest.raises(TypeError, match="network: ActorCritic has no memory"):
        jaxrl.check(kind(*cartpole(), network=networks.ActorCritic(2, True, networks.MLP((8,)))))
    with pytest.raises(TypeError, match="must be the class of a cell"):
        jaxrl.check(kind(*cartpole(), cell=nn.GRUCell(8)))
    with pytest.raises(TypeError, match="cell: Dense has no recurrent_kernel_init; pass it in a network of your own"):
        jaxrl.check(kind(*cartpole(), cell=nn.Dense))


def test_seeds_stop_by_themselves_at_a_divergence():
    ppo = jaxrl.PPO(*cartpole(), **SMALL, learning_rate=0.01)
    state = ppo.init(jax.random.key(0))
    state, batch = ppo.rollout(state, jax.random.key(1))

    def learned(target_kl):
        return ppo.replace(target_kl=target_kl).learn(state, batch, jax.random.key(2))[0].params

    free = ppo.learn(state, batch, jax.random.key(2))[0].params
    never, far = (jax.tree.map(lambda x, i=i: x[i], jax.vmap(learned)(jnp.array([1e-9, 1e9]))) for i in range(2))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), far, free)
    # The first step finds a divergence of zero; all that come after it are left out.
    assert any(not np.allclose(a, b) for a, b in zip(*map(jax.tree.leaves, (never, free)), strict=True))
    assert any(not np.allclose(a, b) for a, b in zip(*map(jax.tree.leaves, (never, state.params)), strict=True))


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"discount": 1.5}, ValueError, r"discount=1.5 must be in \[0, 1\]"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate=0.0 must be positive and finite"),
        ({"learning_rate": float("inf")}, ValueError, "learning_rate"),
        ({"num_envs": 4.0}, TypeError, "num_envs=4.0 must be an integer"),
        ({"num_epochs": 0}, ValueError, "num_epochs=0"),
        ({"hidden_sizes": (8, 0)}, ValueError, "hidden_sizes"),
        ({"clip": "small"}, TypeError, "clip='small' must be a number"),
        ({"gae_lambda": np.array([0.9, 1.1])}, ValueError, "gae_lambda"),
    ],
)
def test_check_refuses_in_one_sentence(options, error, match):
    with pytest.raises(error, match=match):
        jaxrl.check(jaxrl.PPO(*cartpole(), **options))


def test_the_learning_rate_falls_to_zero_and_stays_there():
    # Two updates of annealing: factors 1, ½, then 0: the third changes no parameter.
    ppo = jaxrl.PPO(*cartpole(), **SMALL, anneal_updates=2.0, optimizer=ops.sgd, learning_rate=0.1, max_grad_norm=1.0)
    states = [jax.jit(ppo.init)(jax.random.key(0))]
    for index in range(4):
        states.append(jaxrl.run(ppo, states[-1], jax.random.key(1), 1, index)[0])
    changed = [
        any(not np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (this.params, that.params)), strict=True))
        for this, that in itertools.pairwise(states)
    ]
    assert changed == [True, True, False, False]
    transforms = [ops.transform_of(ppo, jnp.asarray(n)) for n in range(3)]
    steps = [t.update(jnp.ones(1), t.init(jnp.ones(1)), jnp.ones(1))[0][0] for t in transforms]
    np.testing.assert_allclose(steps, [-0.1, -0.05, 0.0], rtol=1e-5)


def test_the_batch_statistics_are_exactly_those_of_all_observations():
    ppo = jaxrl.PPO(*cartpole(), **SMALL, normalize_observations=True)
    state, seen = ppo.init(jax.random.key(0)), []
    rollout, learn = jax.jit(jaxrl.PPO.rollout), jax.jit(jaxrl.PPO.learn)
    for index in range(3):
        state, batch = rollout(ppo, state, jax.random.key(2 * index + 1))
        seen.append(np.asarray(batch.obs).reshape(-1, 4))
        state, _ = learn(ppo, state, batch, jax.random.key(2 * index + 2))
    np.testing.assert_allclose(state.obs_statistics.mean, np.concatenate(seen).mean(axis=0), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(state.obs_statistics.variance, np.concatenate(seen).var(axis=0), rtol=1e-3, atol=1e-5)
