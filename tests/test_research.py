"""What a researcher writes with public names alone: own world, network, loss, optimizer and program."""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gymnax.environments import environment, spaces

import jaxrl


@flax.struct.dataclass
class CorridorState(environment.EnvState):
    """Place on the corridor."""

    time: jax.Array
    place: jax.Array


@flax.struct.dataclass
class CorridorParams(environment.EnvParams):
    """Leaves: they may be traced and vmapped."""

    max_steps_in_episode: int = 6
    reward: float = 1.0


class Corridor(environment.Environment):
    """Five places, the goal at the right end, and a dictionary observation."""

    @property
    def default_params(self):
        return CorridorParams()

    def reset_env(self, key, params):
        state = CorridorState(time=jnp.zeros((), jnp.int32), place=jax.random.randint(key, (), 0, 4))
        return self.observe(key, state, None, params), state

    def step_env(self, key, state, action, params):
        place = jnp.clip(state.place + 2 * action - 1, 0, 4)
        state = CorridorState(time=state.time + 1, place=place)
        return self.observe(key, state, action, params), state, params.reward * (place == 4), place == 4, {}

    def observe(self, key, state, action, params):
        return {"place": state.place, "left": 1.0 - state.time / params.max_steps_in_episode}

    def action_space(self, params=None):
        return spaces.Discrete(2)

    def observation_space(self, params):
        return spaces.Dict({"place": spaces.Discrete(5), "left": spaces.Box(0.0, 1.0, ())})


class OwnNetwork(nn.Module):
    """Reads the dictionary; one linear layer for policy and value each."""

    @nn.compact
    def __call__(self, obs):
        x = jnp.concatenate([jax.nn.one_hot(obs["place"], 5), obs["left"][:, None]], axis=-1)
        return jaxrl.ops.Categorical(nn.Dense(2)(x)), nn.Dense(1)(x)[:, 0]


def own_loss(ratio, advantage, clip):
    """A smooth penalty in place of the clip."""
    return -ratio * advantage + 0.5 / clip * jnp.square(ratio - 1.0)


def own_optimizer(learning_rate):
    """Momentum, which PPO knows nothing of."""
    return optax.sgd(learning_rate, momentum=0.9)


@pytest.fixture(scope="module")
def ppo():
    env = Corridor()
    return jaxrl.PPO(
        env,
        env.default_params,
        network=OwnNetwork(),
        policy_loss=own_loss,
        optimizer=own_optimizer,
        num_envs=8,
        num_steps=8,
        num_epochs=2,
        num_minibatches=2,
        learning_rate=0.1,
    )


def test_it_learns_in_the_callers_program(ppo):
    @jax.jit
    def program(key):
        train_key, evaluate_key = jax.random.split(key)
        state, metrics = jaxrl.train(ppo, train_key, 60)
        return jaxrl.evaluate(ppo, state, evaluate_key, 16).returns.mean(), metrics

    mean_return, metrics = jax.vmap(program)(jax.random.split(jax.random.key(0), 2))
    np.testing.assert_allclose(mean_return, [1.0, 1.0])  # always right: 4 steps at most, of the 6 that there are
    assert metrics["loss"].shape == (2, 60)


def test_worlds_and_hyperparameters_are_vmapped_together(ppo):
    @jax.jit
    @jax.vmap
    def program(reward, learning_rate):
        world = ppo.env_params.replace(reward=reward)
        return jaxrl.train(ppo.replace(env_params=world, learning_rate=learning_rate), jax.random.key(0), 1)[1]

    # In the first rollout all worlds act alike: their rewards differ by the factor alone.
    metrics = program(jnp.array([1.0, 3.0]), jnp.array([0.1, 0.0]))
    returns = metrics["episode_return_sum"][:, 0]
    assert returns[0] > 0
    np.testing.assert_allclose(returns[1], 3.0 * returns[0], rtol=1e-6)


def test_the_gradient_through_learn_is_that_of_finite_differences(ppo):
    rollout_key, next_key = jax.random.split(jax.random.key(1))
    state, batch = jax.jit(jaxrl.PPO.rollout)(ppo, ppo.init(jax.random.key(0)), rollout_key)
    _, other = jax.jit(jaxrl.PPO.rollout)(ppo, state, next_key)
    other = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), other)

    @jax.jit
    def outer(learning_rate):
        """Log-likelihood of other actions after learning: smooth in the learning rate."""
        after, _ = ppo.replace(learning_rate=learning_rate).learn(state, batch, jax.random.key(2))
        return ppo.apply(after.params, after, other.obs)[0].log_prob(other.action).sum()

    step = 0.01
    numerical = (outer(0.1 + step) - outer(0.1 - step)) / (2 * step)
    gradient = jax.jit(jax.grad(outer))(0.1)
    assert abs(numerical) > 0.1
    np.testing.assert_allclose(gradient, numerical, rtol=1e-2)


def test_the_halves_by_hand_equal_update(ppo):
    state = ppo.init(jax.random.key(0))
    rollout_key, learn_key = jax.random.split(jax.random.key(5))
    between, batch = jax.jit(jaxrl.PPO.rollout)(ppo, state, rollout_key)
    by_hand, metrics = jax.jit(jaxrl.PPO.learn)(ppo, between, batch, learn_key)
    together, expected = jax.jit(jaxrl.PPO.update)(ppo, state, jax.random.key(5))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), by_hand, together)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), metrics, expected)


def test_an_action_that_a_verifier_on_the_host_rewards(ppo):
    # The host stands between the halves and replaces the rewards.
    state = ppo.init(jax.random.key(0))
    rollout, learn = jax.jit(jaxrl.PPO.rollout), jax.jit(jaxrl.PPO.learn)
    for index in range(30):
        rollout_key, learn_key = jax.random.split(jax.random.key(index))
        state, batch = rollout(ppo, state, rollout_key)
        reward = np.asarray(batch.action == 0, np.float32)
        state, _ = learn(ppo, state, batch.replace(reward=jnp.asarray(reward)), learn_key)
    assert np.mean(reward) > 0.9
