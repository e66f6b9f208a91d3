"""Training in environments that Python steps."""

import os
import signal
from typing import Any

import flax.struct
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from jaxrl import envs, presets
from jaxrl.algorithms import replaying
from jaxrl.envs.adapters.legacy import as_space
from tests.helpers import compilations


def test_transitions_are_gymnasiums():
    bridge = envs.GymnasiumBridge("CartPole-v1", num_envs=2, max_episode_steps=12)
    obs = bridge.reset(seed=0)
    ends = []
    for t in range(40):
        transition, after = bridge.step(obs, np.array([t % 2, 1], np.int32))
        np.testing.assert_array_equal(transition.obs, obs)
        for n in range(2):
            if transition.done[n]:
                ends.append((bool(transition.terminated[n]), bool(transition.truncated[n])))
                assert np.abs(after[n]).max() < 0.06, "a new episode begins near zero"
                assert np.abs(transition.next_obs[n]).max() > 0.06
            else:
                np.testing.assert_array_equal(transition.next_obs[n], after[n])
        obs = after
    bridge.close()
    assert (True, False) in ends and (False, True) in ends


def test_continuous_actions_are_brought_into_bounds():
    bridge = envs.GymnasiumBridge("Pendulum-v1", num_envs=2)
    obs = bridge.reset(seed=0)
    far, _ = bridge.step(obs, np.full((2, 1), 5.0, np.float32))
    bridge.reset(seed=0)
    near, _ = bridge.step(obs, np.full((2, 1), 1.0, np.float32))
    np.testing.assert_array_equal(far.next_obs, near.next_obs)
    np.testing.assert_array_equal(far.action, 5.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda bridge: jaxrl.PPO(
            bridge.env, bridge.env_params, num_envs=4, num_steps=8, num_minibatches=2, normalize_observations=True
        ),
        lambda bridge: jaxrl.DQN(
            bridge.env, bridge.env_params, num_envs=4, num_steps=4, batch_size=8, capacity=400, warmup=8
        ),
    ],
    ids=["ppo", "dqn"],
)
def test_learners_train(make):
    bridge = envs.GymnasiumBridge("CartPole-v1", num_envs=4)
    algorithm = make(bridge)
    state, history = jaxrl.train_on_host(algorithm, bridge, jax.random.key(0), 3, progress=False)
    assert len(history) == 3
    assert int(replaying.num_updates(algorithm, state) if hasattr(state, "memory") else state.num_updates) == 3
    assert all(np.isfinite(row["loss"]) for row in history)
    if hasattr(state, "memory"):
        stored = np.asarray(state.memory.replay.obs)[np.asarray(state.memory.replay.is_step)]
        assert len(stored) == 4 * (8 + 3 * 4), "warm-up and steps, and nothing that init made up"
        assert (np.abs(stored).sum(-1) > 0).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda bridge: jaxrl.Reinforce(bridge.env, bridge.env_params, num_envs=2),
        lambda bridge: jaxrl.RecurrentPPO(bridge.env, bridge.env_params, num_envs=2, num_minibatches=2),
    ],
    ids=["reinforce", "recurrent-ppo"],
)
def test_learners_from_whole_episodes_and_with_a_memory_are_refused(make):
    with envs.GymnasiumBridge("CartPole-v1", num_envs=2) as bridge:
        learner = make(bridge)
        with pytest.raises(
            TypeError, match=f"{type(learner).__name__} has no method explore .* use ActorCritic or PPO"
        ):
            jaxrl.train_on_host(learner, bridge, jax.random.key(0), 1, progress=False)


def test_what_does_not_fit_is_refused():
    bridge = envs.GymnasiumBridge("CartPole-v1", num_envs=2)
    with pytest.raises(ValueError, match="num_envs=4: the bridge holds 2"):
        jaxrl.train_on_host(jaxrl.PPO(bridge.env, bridge.env_params, num_envs=4), bridge, jax.random.key(0), 1)
    with pytest.raises(ValueError, match=r"discount=1\.5 must be in"):
        learner = jaxrl.PPO(bridge.env, bridge.env_params, num_envs=2, discount=1.5)
        jaxrl.train_on_host(learner, bridge, jax.random.key(0), 1)
    with pytest.raises(ValueError, match="num_updates=0 must be an integer, at least 1"):
        jaxrl.train_on_host(jaxrl.PPO(bridge.env, bridge.env_params, num_envs=2), bridge, jax.random.key(0), 0)
    with pytest.raises(ValueError, match="Gymnasium cannot make 'NoSuch-v1'"):
        envs.GymnasiumBridge("NoSuch-v1", num_envs=1)
    with pytest.raises(ValueError, match=r"Gymnasium cannot make 'CartPole-v1'.*speed"):
        envs.GymnasiumBridge("CartPole-v1", num_envs=1, speed=3)
    with pytest.raises(ValueError, match="num_envs=0 must be at least 1"):
        envs.GymnasiumBridge("CartPole-v1", num_envs=0)


@pytest.mark.parametrize(
    "use",
    [
        lambda ppo: jaxrl.train(ppo, jax.random.key(0), 1),
        lambda ppo: jaxrl.run(ppo, ppo.init(jax.random.key(0)), jax.random.key(1), 1),
        lambda ppo: jaxrl.fit(ppo, jax.random.key(0), 1, loggers=[]),
        lambda ppo: jaxrl.evaluate(ppo, ppo.init(jax.random.key(0)), jax.random.key(1), 2),
    ],
    ids=["train", "run", "fit", "evaluate"],
)
def test_what_only_python_can_step_is_refused_elsewhere(use):
    with envs.GymnasiumBridge("CartPole-v1", num_envs=2) as bridge:
        ppo = jaxrl.PPO(bridge.env, bridge.env_params, num_envs=2, num_steps=4, num_minibatches=2)
        with pytest.raises(TypeError, match=r"env: CartPole-v1 is stepped by Python; use jaxrl\.train_on_host"):
            use(ppo)


class Interrupted:
    """A bridge that is interrupted in its third step."""

    def __init__(self, bridge):
        self.bridge, self.steps = bridge, 0
        self.num_envs, self.reset = bridge.num_envs, bridge.reset

    def step(self, obs, action):
        self.steps += 1
        if self.steps == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return self.bridge.step(obs, action)


def test_an_interrupt_ends_the_run_and_loses_nothing():
    bridge = envs.GymnasiumBridge("CartPole-v1", num_envs=2)
    ppo = jaxrl.PPO(bridge.env, bridge.env_params, num_envs=2, num_steps=4, num_minibatches=2)
    state, history = jaxrl.train_on_host(ppo, Interrupted(bridge), jax.random.key(0), 10, progress=False)
    assert len(history) == 1 == int(state.num_updates)


def test_double_observations_become_what_jax_has():
    class Wide(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float64)
        action_space = gymnasium.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.full(3, 0.1), {}

        def step(self, action):
            return np.full(3, 0.2), 1.0, bool(action), False, {}

    gymnasium.register("Wide-v0", entry_point=Wide)
    with envs.GymnasiumBridge("Wide-v0", num_envs=2) as bridge:
        obs = bridge.reset(0)
        transition, after = bridge.step(obs, np.array([0, 1], np.int32))
        assert {x.dtype for x in (obs, after, transition.obs, transition.next_obs)} == {np.dtype(np.float32)}
        np.testing.assert_allclose(transition.next_obs, 0.2)
        np.testing.assert_allclose(after[1], 0.1)


def test_evaluation_counts_as_many_episodes_of_each():
    with envs.GymnasiumBridge("CartPole-v1", num_envs=3) as bridge:
        ppo = jaxrl.PPO(bridge.env, bridge.env_params, num_envs=3, num_steps=4, num_minibatches=2)
        state = ppo.init(jax.random.key(0))
        result = jaxrl.evaluate_on_host(ppo, state, bridge, jax.random.key(1), 5)
        assert result.returns.shape == (6,) and result.finished.all()
        np.testing.assert_array_equal(result.returns, result.lengths)  # one for each step
        assert result.returns.min() >= 8 and result.returns.max() < 12  # always left: it falls within 12 steps
        cut = jaxrl.evaluate_on_host(ppo, state, bridge, jax.random.key(1), 6, max_steps=12)
        np.testing.assert_array_equal(cut.finished, [True] * 3 + [False] * 3)


def test_evaluation_needs_act_alone():
    with envs.GymnasiumBridge("CartPole-v1", num_envs=3) as bridge:
        learner = jaxrl.Reinforce(bridge.env, bridge.env_params, num_envs=2)  # others than the bridge's
        state, key = learner.init(jax.random.key(0)), jax.random.key(1)
        assert jaxrl.evaluate_on_host(learner, state, bridge, key, 3, max_steps=2).lengths.tolist() == [2, 2, 2]
        for name in ("num_episodes", "max_steps"):
            with pytest.raises(ValueError, match=f"{name}=0 must be an integer, at least 1"):
                jaxrl.evaluate_on_host(learner, state, bridge, key, **({"num_episodes": 1} | {name: 0}))
        recurrent = jaxrl.RecurrentPPO(bridge.env, bridge.env_params, num_envs=4)
        with pytest.raises(TypeError, match="RecurrentPPO is recurrent"):
            jaxrl.evaluate_on_host(recurrent, None, bridge, key, 1)
        with pytest.raises(TypeError, match="ValueIteration has no method act"):
            jaxrl.evaluate_on_host(jaxrl.ValueIteration(envs.make("Taxi")[1]), None, bridge, key, 1)


@pytest.mark.parametrize(
    "make",
    [
        lambda bridge: jaxrl.PPO(bridge.env, bridge.env_params, num_envs=2, num_steps=4, num_minibatches=2),
        lambda bridge: jaxrl.DQN(
            bridge.env, bridge.env_params, num_envs=2, num_steps=2, batch_size=4, capacity=100, warmup=4
        ),
    ],
    ids=["ppo", "dqn"],
)
def test_the_second_call_compiles_nothing(make):
    with envs.GymnasiumBridge("CartPole-v1", num_envs=2) as bridge:
        learner = make(bridge)

        def train_and_evaluate():
            state, _ = jaxrl.train_on_host(learner, bridge, jax.random.key(0), 2, progress=False)
            jaxrl.evaluate_on_host(learner, state, bridge, jax.random.key(1), 2, max_steps=5)

        train_and_evaluate()
        with compilations() as messages:
            train_and_evaluate()
    assert messages == []


def test_a_field_called_memory_does_not_make_a_learner_from_replay():
    @flax.struct.dataclass
    class State:
        memory: jax.Array
        num_updates: jax.Array

    @flax.struct.dataclass
    class Counting:
        """Goes left, and learns the number of updates."""

        env: Any = jaxrl.static()
        env_params: Any
        num_envs: int = jaxrl.static(2)
        num_steps: int = jaxrl.static(4)

        def init(self, key):
            return State(jnp.zeros(3), jnp.zeros((), jnp.int32))

        def explore(self, state, obs, key):
            return jnp.zeros(len(obs), jnp.int32), jnp.zeros(len(obs))

        def learn(self, state, batch, key):
            return state.replace(num_updates=state.num_updates + 1), {"loss": batch.reward.mean()}

    with envs.GymnasiumBridge("CartPole-v1", num_envs=2) as bridge:
        learner = Counting(bridge.env, bridge.env_params)
        state, history = jaxrl.train_on_host(learner, bridge, jax.random.key(0), 3, progress=False)
    assert int(state.num_updates) == 3 and [row["loss"] for row in history] == [1.0] * 3


def test_environments_of_refused_spaces_are_closed():
    closed = []

    class Shifted(gymnasium.Env):
        observation_space = gymnasium.spaces.Discrete(5, start=-2)
        action_space = gymnasium.spaces.Discrete(2)

        def close(self):
            closed.append(self)

    gymnasium.register("Shifted-v0", entry_point=Shifted)
    with pytest.raises(TypeError, match="does not begin at zero"):
        envs.GymnasiumBridge("Shifted-v0", num_envs=2)
    assert len(closed) >= 2


def test_spaces_that_do_not_begin_at_zero_are_refused():
    with pytest.raises(TypeError, match="does not begin at zero"):
        as_space(gymnasium.spaces.Discrete(5, start=-2))
    with pytest.raises(TypeError, match="MultiBinary is neither discrete nor a box"):
        as_space(gymnasium.spaces.MultiBinary(4))


@pytest.mark.slow
def test_cartpole_is_learned_on_the_host():
    bridge = envs.GymnasiumBridge("CartPole-v1", num_envs=16)
    ppo = jaxrl.PPO(bridge.env, bridge.env_params, num_envs=16, num_steps=64, learning_rate=1e-3)
    _, history = jaxrl.train_on_host(ppo, bridge, jax.random.key(0), 120, progress=False)
    assert np.nanmean([row["episode_return"] for row in history[-10:]]) > 300


@pytest.mark.slow
def test_pendulum_is_learned_on_the_host():
    with envs.GymnasiumBridge("Pendulum-v1", num_envs=4) as bridge:
        learner = jaxrl.SAC(bridge.env, bridge.env_params, **presets.preset("sac", "Pendulum-v1").fields)
        state, _ = jaxrl.train_on_host(learner, bridge, jax.random.key(0), 100, progress=False)
        result = jaxrl.evaluate_on_host(learner, state, bridge, jax.random.key(1), 20)
    assert result.returns.mean() > -300
