"""Targets and losses of the off-policy actor-critics, by hand; networks that answer what the test says."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces as gymnax_spaces

import jaxrl
from jaxrl import buffers, envs, ops
from jaxrl.algorithms import replaying
from tests import wrong_deep

SIZES = dict(num_envs=2, num_steps=2, batch_size=4, capacity=100, warmup=8)


class Constant(nn.Module):
    """An actor whose action is one parameter."""

    @nn.compact
    def __call__(self, obs):
        return jnp.broadcast_to(self.param("action", nn.initializers.zeros, ()), (len(obs), 1))


class Spread(nn.Module):
    """An actor whose distribution is one of two parameters."""

    @nn.compact
    def __call__(self, obs):
        mean, log_std = (self.param(name, nn.initializers.zeros, ()) for name in ("mean", "log_std"))
        return ops.SquashedGaussian(*(jnp.broadcast_to(x, (len(obs), 1)) for x in (mean, log_std)))


class Slopes(nn.Module):
    """Critics `[C, B, Z]` of slopes in the action, and offsets."""

    num_critics: int = 2
    num_outputs: int = 1

    @nn.compact
    def __call__(self, obs, action):
        shape = (self.num_critics, 1, self.num_outputs)
        slope, offset = (self.param(name, nn.initializers.zeros, shape) for name in ("slope", "offset"))
        return slope * action[None] + offset


class Logits(nn.Module):
    """One row `[A]` for all observations."""

    @nn.compact
    def __call__(self, obs):
        return jnp.broadcast_to(self.param("row", nn.initializers.zeros, (2,))[None], (len(obs), 2))


def experience(discounts=0.5):
    obs = jnp.zeros((4, 3))
    return buffers.Experience(obs, jnp.full((4, 1), 0.25), jnp.ones(4), jnp.full(4, discounts), obs)


def leaves(**values):
    return {"params": {name: jnp.asarray(value, jnp.float32) for name, value in values.items()}}


def column(*values):
    """One number for each critic."""
    return np.reshape(values, (-1, 1, 1))


def td3(**options):
    learner = jaxrl.TD3(*envs.make("Pendulum-v1"), actor=Constant(), critics=Slopes(), **SIZES, **options)
    return learner, learner.init(jax.random.key(0))


def test_td3s_target_is_the_least_of_the_slow_critics_at_the_slow_actors_noisy_action():
    learner, state = td3(target_noise=10.0, target_noise_bound=0.25)
    # The slow actor says 0.9; noise beyond ± 0.25 is cut, and so is an action beyond 1. Critics: a and 2 a - 1.
    slow = {"actor": leaves(action=0.9), "critics": leaves(slope=column(1, 2), offset=column(0, -1))}
    state = dataclasses.replace(state, target_params=slow)
    target = np.concatenate([learner.targets(state, experience(), jax.random.key(seed)) for seed in range(4)])
    least = {round(1 + 0.5 * min(a, 2 * a - 1), 3) for a in (0.65, 1.0)}
    assert {round(float(x), 3) for x in target.ravel()} == least
    np.testing.assert_allclose(learner.targets(state, experience(0.0), jax.random.key(1)), 1.0)


def test_td3_without_noise_and_its_losses():
    learner, state = td3(target_noise=0.0)
    critics = leaves(slope=column(1, 2), offset=column(0, -1))
    state = dataclasses.replace(state, target_params={"actor": leaves(action=0.5), "critics": critics})
    np.testing.assert_allclose(learner.targets(state, experience(), jax.random.key(1)), 1.0 + 0.5 * 0.0)
    # At the action 1/4 the critics say 1/4 and -1/2; of a target of 1 that is half of (3/4)² + (3/2)².
    np.testing.assert_allclose(learner.critic_loss(critics, experience(), jnp.ones(4)), 0.5 * (0.75**2 + 1.5**2))
    # The policy climbs the first critic: the gradient of -a is -1, and the second critic's slope is not in it.
    slope = jax.grad(learner.actor_loss)(leaves(action=0.5), critics, jnp.zeros((4, 3)))
    np.testing.assert_allclose(slope["params"]["action"], -1.0)


LEARNERS = {
    "td3": lambda **options: jaxrl.TD3(*envs.make("Pendulum-v1"), **options),
    "ddpg": lambda **options: jaxrl.ddpg(*envs.make("Pendulum-v1"), **options),
    "sac": lambda **options: jaxrl.SAC(*envs.make("Pendulum-v1"), **options),
    "discrete-sac": lambda **options: jaxrl.DiscreteSAC(*envs.make("CartPole-v1"), **options),
    "dqn": lambda **options: jaxrl.DQN(*envs.make("CartPole-v1"), **options),
}


def check_target_networks_follow_once(learn, name):
    """Parameters stand still, targets are one away: after `learn` the distance is 1 - τ."""
    learner = LEARNERS[name](**SIZES, hidden_sizes=(8,), learning_rate=1e-30, target_rate=0.25)
    state = learner.init(jax.random.key(0))
    away = jax.tree.map(lambda x: x + 1.0, state.target_params)
    state, batch = learner.rollout(dataclasses.replace(state, target_params=away), jax.random.key(1))
    new, _ = learn(learner, state, batch, jax.random.key(2))
    followed = learner.target_of(new.params) if hasattr(learner, "target_of") else new.params
    for slow, fast in zip(*map(jax.tree.leaves, (new.target_params, followed)), strict=True):
        np.testing.assert_allclose(slow - fast, 0.75, atol=1e-5)


def learn_that_follows_at_each_step(learner, state, batch, key):
    """As many times as there are gradient steps."""
    new, metrics = learner.learn(state, batch, key)
    followed = learner.target_of(new.params) if hasattr(learner, "target_of") else new.params
    move = lambda slow, fast: slow + learner.target_rate * (fast - slow)  # noqa: E731
    return dataclasses.replace(new, target_params=jax.tree.map(move, new.target_params, followed)), metrics


@pytest.mark.parametrize("name", LEARNERS)
def test_target_networks_follow_once(name):
    check_target_networks_follow_once(lambda learner, *rest: learner.learn(*rest), name)


def test_targets_that_follow_at_each_gradient_step_are_found():
    with pytest.raises(AssertionError):
        check_target_networks_follow_once(learn_that_follows_at_each_step, "td3")


@pytest.mark.parametrize("name", LEARNERS)
def test_learning_by_hand_counts_as_updates_do(name):
    """Two calls of `learn` are one update: ε has fallen, the learning rate too."""
    learner = LEARNERS[name](**SIZES, hidden_sizes=(8,), anneal_updates=2.0, learning_rate=0.5, optimizer=ops.sgd)
    state, after_one = learner.init(jax.random.key(0)), None
    for call in range(4):
        state, batch = learner.rollout(state, jax.random.key(2 * call))
        state, _ = learner.learn(state, batch, jax.random.key(2 * call + 1))
        after_one = state if call == 1 else after_one
    assert int(replaying.num_updates(learner, after_one)) == 1 and int(replaying.num_updates(learner, state)) == 2
    stopped, batch = learner.rollout(state, jax.random.key(8))
    stopped, _ = learner.learn(stopped, batch, jax.random.key(9))
    jax.tree.map(np.testing.assert_array_equal, stopped.params, state.params)  # the rate has fallen to zero
    assert state.num_learned == jaxrl.train(learner, jax.random.key(0), 2)[0].num_learned


def sac(num_critics=2, num_outputs=1, **options):
    critics = Slopes(num_critics, num_outputs)
    learner = jaxrl.SAC(*envs.make("Pendulum-v1"), actor=Spread(), critics=critics, **SIZES, **options)
    return learner, learner.init(jax.random.key(0))


def check_sacs_target_is_the_least_critic_less_the_price_of_the_action(targets):
    learner, state = sac()
    policy = leaves(mean=0.3, log_std=-1.0)
    slow = leaves(slope=column(1, 2), offset=column(0, -1))
    params = {"actor": policy, "critics": leaves(slope=column(9, 9), offset=column(9, 9))}
    params["log_temperature"] = jnp.log(0.2)
    state = dataclasses.replace(state, params=params, target_params=slow)
    action, log_prob = Spread().apply(policy, experience().next_obs).sample_and_log_prob(jax.random.key(1))
    expected = 1 + 0.5 * (np.minimum(action[:, 0], 2 * action[:, 0] - 1) - 0.2 * log_prob)
    np.testing.assert_allclose(targets(learner, state, experience(), jax.random.key(1))[:, 0], expected, rtol=1e-5)


def test_tqc_drops_the_largest_of_all_together():
    learner, state = sac(2, 3, num_quantiles=3, num_dropped=2)
    slow = leaves(slope=np.zeros((2, 1, 3)), offset=[[[1, 5, 9]], [[2, 8, 4]]])  # 8 and 9 go
    params = {"actor": leaves(mean=0.0, log_std=0.0), "critics": slow, "log_temperature": jnp.asarray(-1e9)}
    found = learner.targets(
        dataclasses.replace(state, params=params, target_params=slow), experience(), jax.random.key(1)
    )
    np.testing.assert_allclose(found, np.tile(1 + 0.5 * np.array([1, 2, 4, 5.0]), (4, 1)))


def test_sacs_losses_have_gradients_of_their_own_parameters_alone():
    learner, _ = sac()
    critics = leaves(slope=column(1, 2), offset=column(0, -1))
    params = {"actor": leaves(mean=0.3, log_std=-1.0), "critics": critics, "log_temperature": jnp.log(0.2)}
    target = jnp.ones((4, 1))
    gradient = jax.grad(learner.loss, has_aux=True)(params, experience(), target, jax.random.key(1))[0]
    # Critics: at 1/4 they say 1/4 and -1/2, so that errors of -3/4 and -3/2 are the gradients of the offsets.
    np.testing.assert_allclose(gradient["critics"]["params"]["offset"].ravel(), [-0.75, -1.5], rtol=1e-5)

    def actor_loss(actor):
        action, log_prob = Spread().apply(actor, experience().obs).sample_and_log_prob(jax.random.key(1))
        return (0.2 * log_prob - jnp.minimum(action[:, 0], 2 * action[:, 0] - 1)).mean()

    expected = jax.grad(actor_loss)(params["actor"])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), gradient["actor"], expected)
    # The temperature rises where there is less entropy than aimed at, -1: the policy is too sure.
    log_prob = Spread().apply(params["actor"], experience().obs).sample_and_log_prob(jax.random.key(1))[1].mean()
    np.testing.assert_allclose(gradient["log_temperature"], -(log_prob - 1.0), rtol=1e-5)
    sure = params | {"actor": leaves(mean=0.3, log_std=-6.0)}
    assert jax.grad(learner.loss, has_aux=True)(sure, experience(), target, jax.random.key(1))[0]["log_temperature"] < 0


def discrete():
    learner = jaxrl.DiscreteSAC(*envs.make("CartPole-v1"), network=Logits(), **SIZES)
    return learner, learner.init(jax.random.key(0))


def check_discrete_sacs_target_is_an_expectation(targets):
    learner, state = discrete()
    params = {"actor": leaves(row=np.log([0.25, 0.75])), "critics": state.params["critics"]}
    params["log_temperature"] = jnp.log(0.2)
    slow = [leaves(row=[1.0, 4.0]), leaves(row=[2.0, 3.0])]  # the least: 1 and 3
    state = dataclasses.replace(state, params=params, target_params=slow)
    soft = 0.25 * (1 - 0.2 * np.log(0.25)) + 0.75 * (3 - 0.2 * np.log(0.75))
    np.testing.assert_allclose(targets(learner, state, experience()), 1 + 0.5 * soft, rtol=1e-5)


@pytest.mark.parametrize(
    ("check", "kind"),
    [
        (check_sacs_target_is_the_least_critic_less_the_price_of_the_action, jaxrl.SAC),
        (check_discrete_sacs_target_is_an_expectation, jaxrl.DiscreteSAC),
    ],
)
def test_sacs_targets_are_those_of_the_slow_critics(check, kind):
    check(kind.targets)
    with pytest.raises(AssertionError):
        check(wrong_deep.targets_of_fast_critics)


def test_discrete_sacs_losses():
    learner, _ = discrete()
    params = {"actor": leaves(row=np.log([0.25, 0.75])), "critics": [leaves(row=[1.0, 4.0]), leaves(row=[2.0, 3.0])]}
    params["log_temperature"] = jnp.log(0.2)
    steps = experience().replace(action=jnp.array([0, 0, 1, 1]))
    gradient, metrics = jax.grad(learner.loss, has_aux=True)(params, steps, jnp.full(4, 2.0))
    np.testing.assert_allclose(metrics["critic_loss"], 0.5 * (0.5 * 1 + 0.5 * 4) + 0.5 * (0.5 * 0 + 0.5 * 1), rtol=1e-5)
    np.testing.assert_allclose(gradient["critics"][0]["params"]["row"], [0.5 * -1, 0.5 * 2], rtol=1e-5)
    p = np.array([0.25, 0.75])
    cost = 0.2 * np.log(p) - np.array([1.0, 3.0])
    np.testing.assert_allclose(metrics["actor_loss"], (p * cost).sum(), rtol=1e-5)
    np.testing.assert_allclose(gradient["actor"]["params"]["row"], p * (cost - (p * cost).sum()), rtol=1e-4)
    entropy = -(p * np.log(p)).sum()
    np.testing.assert_allclose(gradient["log_temperature"], -(0.3 * np.log(2) - entropy), rtol=1e-5)


class Pair(nn.Module):
    """Reads a dict."""

    @nn.compact
    def __call__(self, obs, action=None):
        x = jnp.concatenate([obs["place"], obs["speed"]], axis=-1)
        if action is None:
            return jnp.tanh(nn.Dense(1)(x))
        return nn.Dense(1)(jnp.concatenate([x, action], axis=-1))[None]


class Parts(envs.wrappers.Wrapper):
    """Pendulum in parts."""

    def observation_space(self, params):
        return gymnax_spaces.Dict({"place": None, "speed": None})

    def reset_env(self, key, params):
        obs, state = self.env.reset_env(key, params)
        return {"place": obs[:2], "speed": obs[2:]}, state

    def step_env(self, key, state, action, params):
        obs, *rest = self.env.step_env(key, state, action, params)
        return ({"place": obs[:2], "speed": obs[2:]}, *rest)


def test_networks_of_the_users_own_read_any_observation():
    env, env_params = envs.make("Pendulum-v1")
    learner = jaxrl.TD3(Parts(env), env_params, actor=Pair(), critics=Pair(), **SIZES)
    _, metrics = jaxrl.train(learner, jax.random.key(0), 2)
    assert np.isfinite(metrics["critic_loss"]).all()


class Flat(nn.Module):
    """A critic that forgets the axis of its outputs."""

    @nn.compact
    def __call__(self, obs, action):
        return nn.Dense(1)(jnp.concatenate([obs, action], axis=-1))[..., 0][None]


@pytest.mark.parametrize("make", [jaxrl.ddpg, lambda *problem, **o: jaxrl.SAC(*problem, num_dropped=0, **o)])
def test_a_critic_without_the_axis_of_outputs_is_refused(make):
    learner = make(*envs.make("Pendulum-v1"), critics=Flat(), **(SIZES | {"train_every": 1}))
    with pytest.raises(AssertionError):
        jaxrl.train(learner, jax.random.key(0), 1)


class FourOutputs(nn.Module):
    """Two critics of two outputs."""

    @nn.compact
    def __call__(self, obs, action):
        values = nn.Dense(4)(jnp.concatenate([obs, action], axis=-1))
        return jnp.moveaxis(values.reshape(-1, 2, 2), 1, 0)


def test_what_is_dropped_is_counted_by_the_users_critics():
    problem, options = envs.make("Pendulum-v1"), SIZES | {"train_every": 1}
    learner = jaxrl.SAC(*problem, critics=FourOutputs(), num_dropped=3, **options)
    _, metrics = jaxrl.train(learner, jax.random.key(0), 1)
    assert np.isfinite(metrics["critic_loss"]).all()
    with pytest.raises(ValueError, match="num_dropped=4 leaves nothing of the 4 critics' outputs"):
        jaxrl.train(learner.replace(num_dropped=4), jax.random.key(0), 1)
    with pytest.raises(ValueError, match="num_dropped=2 leaves nothing of num_critics=2"):
        jaxrl.SAC(*problem, num_dropped=2, **options)


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"capacity": 5}, r"capacity=5: num_envs=2 and warmup=8 need at least 18 rows"),
        ({"capacity": 100, "warmup": 51}, r"capacity=100: num_envs=2 and warmup=51 need at least 104 rows"),
        ({"target_rate": 0.0}, r"target_rate=0.0 must be in \(0, 1\]"),
    ],
)
def test_what_cannot_work_is_refused(name, options, match):
    with pytest.raises(ValueError, match=match):
        jaxrl.check(LEARNERS[name](**(SIZES | options)))


def test_returns_of_episodes_that_began_in_the_warm_up_are_whole():
    env, env_params = envs.make("CartPole-v1", max_steps_in_episode=3)
    learner = jaxrl.DQN(env, env_params, **(SIZES | {"warmup": 4, "capacity": 60}))
    _, metrics = jaxrl.train(learner, jax.random.key(0), 3)
    np.testing.assert_allclose(metrics["episode_return_sum"].sum() / metrics["episodes"].sum(), 3.0)
