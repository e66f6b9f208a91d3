"""Environments of other suites as gymnax ones: on stand-ins with their interfaces, and on the suites themselves."""

import dataclasses
import pathlib
import re
import sys
import tomllib
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from benchmarks import suites
from jaxrl import envs
from jaxrl.envs.adapters import SUITES, BraxEnvironment, JumanjiEnvironment, LegacyEnvironment, XLandEnvironment

LIMIT = 5


class Space(NamedTuple):
    """A space of another version."""

    low: float = 0.0
    high: float = 10.0
    shape: tuple[int, ...] = (1,)
    dtype: Any = jnp.float32


class Choices(NamedTuple):
    """A discrete one."""

    n: int = 2


@flax.struct.dataclass
class OldParams:
    max_steps_in_episode: int = LIMIT


@flax.struct.dataclass
class OldState:
    place: jax.Array
    time: jax.Array


class OldCorridor:
    """Five values, as in gymnax 0.x: action 1 goes right, place 3 is the end; `done` is that or the time limit."""

    name = "OldCorridor"

    def reset_env(self, key, params):
        return jnp.zeros(1), OldState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))

    def step_env(self, key, state, action, params):
        state = OldState(state.place + action, state.time + 1)
        done = (state.place >= 3) | (state.time >= params.max_steps_in_episode)
        return jnp.full(1, state.place, jnp.float32), state, 1.0, done, {"discount": 1.0 - done}

    def action_space(self, params):
        return Choices()

    def observation_space(self, params):
        return Space()


@flax.struct.dataclass
class TimeStep:
    """As dm_env has it; XLand's is the state too."""

    place: jax.Array
    time: jax.Array
    reward: jax.Array
    discount: jax.Array

    @property
    def observation(self):
        return {"place": jnp.full(2, self.place, jnp.float32)}

    def last(self):
        return (self.discount == 0) | (self.time >= LIMIT)


def corridor_step(timestep, action):
    place = timestep.place + action
    return TimeStep(place, timestep.time + 1, jnp.ones(()), jnp.where(place >= 3, 0.0, 1.0))


FIRST = TimeStep(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32), jnp.zeros(()), jnp.ones(()))


class Jumanji:
    """State and time step apart; when its time is up it says that it has terminated."""

    time_limit = LIMIT

    class action_spec:
        num_values = 2

    def reset(self, key):
        return FIRST.time, FIRST

    def step(self, state, action):
        timestep = corridor_step(TimeStep(state // 10, state % 10, jnp.zeros(()), jnp.ones(())), action)
        discount = jnp.where(timestep.time >= self.time_limit, 0.0, timestep.discount)
        return timestep.place * 10 + timestep.time, timestep.replace(discount=discount)


class XLand:
    """Parameters first."""

    def reset(self, params, key):
        return FIRST

    def step(self, params, timestep, action):
        return corridor_step(timestep, action)

    def num_actions(self, params):
        return 2


@flax.struct.dataclass
class BraxState:
    obs: jax.Array
    reward: jax.Array
    done: jax.Array


class Brax:
    """One state for everything; `done` is a number, and the episode has no limit of its own."""

    action_size, observation_size = 1, 1

    @property
    def unwrapped(self):
        return self

    def reset(self, key):
        return BraxState(jnp.zeros(1), jnp.zeros(()), jnp.zeros(()))

    def step(self, state, action):
        place = state.obs + jnp.where(action > 0, 1.0, 0.0)
        return BraxState(place, jnp.ones(()), jnp.where(place[0] >= 3, 1.0, 0.0))


STAND_INS = {
    "legacy": lambda: LegacyEnvironment(OldCorridor(), OldParams()),
    "jumanji": lambda: JumanjiEnvironment(Jumanji()),
    "xland": lambda: XLandEnvironment(XLand()),
    "brax": lambda: BraxEnvironment(Brax(), episode_length=LIMIT),
}


def play(env, right):
    """Flags and true last places of 7 steps that go right or stay."""
    params = env.default_params
    discrete = hasattr(env.action_space(params), "n")
    action = jnp.int32(right) if discrete else jnp.full(1, 1.0 if right else -1.0)
    _, state = env.reset(jax.random.key(0), params)
    found = []
    for t in range(7):
        obs, state, reward, terminated, truncated, info = env.step(jax.random.key(t), state, action, params)
        last = jax.tree.leaves(info["final_observation"])[0].ravel()[0]
        found.append((bool(terminated), bool(truncated), float(last), float(jax.tree.leaves(obs)[0].ravel()[0])))
        assert float(reward) == 1.0
    return found


@pytest.mark.parametrize("name", STAND_INS)
def test_the_end_and_the_time_limit_are_told_apart(name):
    env = STAND_INS[name]()
    ended = play(env, right=True)
    assert [row[:2] for row in ended] == [(t % 3 == 2, False) for t in range(7)]
    assert [row[2] for row in ended] == [1, 2, 3, 1, 2, 3, 1], "the true last observation"
    assert [row[3] for row in ended] == [1, 2, 0, 1, 2, 0, 1], "after the reset"
    limited = play(env, right=False)
    assert [row[:2] for row in limited] == [(False, t % 5 == 4) for t in range(7)]


@pytest.mark.parametrize("name", STAND_INS)
def test_learners_run_on_it(name):
    env = envs.wrappers.FlattenObservation(STAND_INS[name]())
    ppo = jaxrl.PPO(env, env.default_params, num_envs=4, num_steps=8, num_minibatches=2, hidden_sizes=(8,))
    jaxrl.check(ppo)
    state, metrics = jaxrl.train(ppo, jax.random.key(0), 2)
    assert float(metrics["episodes"].sum()) > 0
    assert jaxrl.evaluate(ppo, state, jax.random.key(1), 4, max_steps=10).finished.all()


class Team(Jumanji):
    """Two agents, each with a reward of its own."""

    class reward_spec:
        shape = (2,)


def test_several_agents_are_refused():
    with pytest.raises(TypeError, match=r"env: Team has a reward of shape \(2,\); take one of one agent"):
        JumanjiEnvironment(Team())


class OldWrapper:
    """As gymnax's: everything else is of what it wraps, and its own `step` resets."""

    def __init__(self, env):
        self._env = env

    def __getattr__(self, name):
        return getattr(self._env, name)

    def step(self, key, state, action, params):
        raise AssertionError("this one resets")


def test_wrappers_that_reset_are_refused():
    with pytest.raises(TypeError, match="env: OldWrapper resets by itself; pass what it wraps"):
        LegacyEnvironment(OldWrapper(OldCorridor()), OldParams())


@flax.struct.dataclass
class HorizonParams:
    horizon: int = LIMIT

    @property
    def max_steps(self):
        return self.horizon


class Horizon(OldCorridor):
    """Its time limit has a name of its own."""

    def step_env(self, key, state, action, params):
        return super().step_env(key, state, action, OldParams(params.horizon))


def test_a_time_limit_of_another_name():
    named = LegacyEnvironment(Horizon(), HorizonParams(), time_limit="horizon")
    assert named.default_params.max_steps_in_episode == LIMIT
    assert [row[:2] for row in play(named, right=False)] == [(False, t % 5 == 4) for t in range(7)]
    unnamed = LegacyEnvironment(Horizon(), HorizonParams())
    assert [row[:2] for row in play(unnamed, right=False)] == [(t % 5 == 4, False) for t in range(7)]
    for name in ("length", "max_steps"):
        with pytest.raises(ValueError, match=f"time_limit='{name}' is no field of HorizonParams"):
            LegacyEnvironment(Horizon(), HorizonParams(), time_limit=name)


@pytest.mark.parametrize("make", [STAND_INS["jumanji"], lambda: envs.wrappers.FlattenObservation(STAND_INS["xland"]())])
def test_a_space_is_found_by_one_trace(make, monkeypatch):
    env, traces = make(), []
    reset_env = type(env).reset_env
    monkeypatch.setattr(type(env), "reset_env", lambda *args: traces.append(1) or reset_env(*args))
    for _ in range(3):
        env.observation_space(env.default_params)
    assert len(traces) == 1


def package(suite):
    return SUITES[suite].partition(">")[0]


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_that_is_not_there_names_its_command(suite, monkeypatch):
    monkeypatch.setitem(sys.modules, package(suite), None)
    with pytest.raises(ModuleNotFoundError, match=re.escape(f'pip install "{SUITES[suite]}"')):
        envs.make(f"{suite}:anything")


def test_a_suite_that_is_broken_is_told_from_one_that_is_not_there(monkeypatch, tmp_path):
    (tmp_path / "jumanji.py").write_text("raise AttributeError('jax.foo was removed')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "jumanji", raising=False)
    with pytest.raises(ImportError, match=r"jumanji is installed but fails .*jax\.foo was removed"):
        envs.make("jumanji:anything")


def test_the_extras_are_the_suites():
    extras = tomllib.loads((pathlib.Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert {suite: [need] for suite, need in SUITES.items()} == {
        suite: extras["optional-dependencies"][suite] for suite in SUITES
    }


class FiveValues(LegacyEnvironment):
    """A `step` that gives five."""

    def step(self, key, state, action, params):
        return self.step_env(key, state, action, params)


@pytest.mark.parametrize(
    ("env", "match"),
    [
        ("CartPole-v1", "env: 'CartPole-v1' is no gymnax environment; make one by jaxrl.envs.make"),
        (OldCorridor(), "is no gymnax environment"),
        (
            FiveValues(OldCorridor(), OldParams()),
            "env: a step of FiveValues gives 5 values, not the 6 of gymnax 1.x; wrap it: jaxrl.envs.LegacyEnvironment",
        ),
    ],
    ids=["name", "incomplete", "five-values"],
)
def test_what_is_no_environment_of_gymnax_1_is_refused(env, match):
    with pytest.raises(TypeError, match=re.escape(match)):
        jaxrl.check(jaxrl.PPO(env, getattr(env, "default_params", None)))


def test_an_unknown_suite_is_refused():
    with pytest.raises(ValueError, match="unknown suite 'atari'"):
        envs.make("atari:Pong")


def test_a_name_of_the_users_own_may_have_a_colon(monkeypatch):
    import gymnax.registration

    monkeypatch.setitem(gymnax.registration._registry, "Mine:Cart-v0", type(envs.make("CartPole-v1")[0]))
    monkeypatch.setattr(gymnax, "registered_envs", [*gymnax.registered_envs, "Mine:Cart-v0"])
    assert envs.make("Mine:Cart-v0", max_steps_in_episode=7)[1].max_steps_in_episode == 7


@pytest.fixture
def as_users_have_it():
    """The suites' own code does not pass the strict settings of these tests."""
    with jax.numpy_rank_promotion("allow"), jax.debug_key_reuse(False), jax.legacy_prng_key("allow"):
        yield


@pytest.mark.usefixtures("as_users_have_it")
@pytest.mark.parametrize("suite", SUITES)
def test_the_suite_itself(suite):
    pytest.importorskip(package(suite), reason=f'pip install "{SUITES[suite]}"')
    cell = suites.CELLS[suite]
    cell = dataclasses.replace(cell, fields=cell.fields | {"num_envs": 2, "num_steps": 8, "num_minibatches": 2})
    algorithm = suites.make(cell)
    short = algorithm.replace(env_params=algorithm.env_params.replace(max_steps_in_episode=3))
    state, batch = jax.jit(jaxrl.PPO.rollout)(short, short.init(jax.random.key(0)), jax.random.key(1))
    third = np.asarray(batch.done)[2] | np.asarray(batch.done)[:2].any(0)
    assert third.all() and np.asarray(batch.truncated).any() and not np.asarray(batch.terminated)[0].all()
    _, metrics = jax.jit(jaxrl.PPO.learn)(short, state, batch, jax.random.key(2))
    assert np.isfinite(metrics["loss"])


@pytest.mark.usefixtures("as_users_have_it")
def test_several_agents_of_the_suite_itself_are_refused():
    pytest.importorskip("jumanji", reason=f'pip install "{SUITES["jumanji"]}"')
    with pytest.raises(ValueError, match=r"Connector has a reward of shape \(10,\)"):
        envs.make("jumanji:Connector-v3")


@pytest.mark.slow
@pytest.mark.usefixtures("as_users_have_it")
@pytest.mark.parametrize("suite", SUITES)
def test_ppo_beats_random_actions_in_the_suite(suite):
    pytest.importorskip(package(suite), reason=f'pip install "{SUITES[suite]}"')
    result = suites.measure(suite, suites.Options(suites=(suite,)))
    assert suites.advantage(result) > 3
    assert result.sides["jaxrl"].measurements["seconds"][0] < 15 * 60


def test_the_time_limit_of_a_suite_is_a_number(monkeypatch):
    from jaxrl.envs import adapters

    monkeypatch.setattr(adapters, "make_from_suite", lambda name: (env := STAND_INS["brax"](), env.default_params))
    assert envs.make("brax:ant", max_steps_in_episode=7)[1].max_steps_in_episode == 7
    with pytest.raises(ValueError, match=r"env\.max_steps_in_episode='long' must be an integer"):
        envs.make("brax:ant", max_steps_in_episode="long")


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("CartPole-v1", {"max_steps_in_episode": 2.5}, "max_steps_in_episode=2.5 must be an integer"),
        ("CartPole-v1", {"max_steps_in_episode": True}, "max_steps_in_episode=True must be an integer"),
        ("CartPole-v1", {"max_steps_in_episode": 0}, "max_steps_in_episode=0 must be at least 1"),
        ("CartPole-v1", {"length": True}, "length=True must be a number"),
        ("DeepSea-bsuite", {"deterministic": 1}, "deterministic=1 must be True or False"),
    ],
)
def test_options_are_of_the_kind_of_their_defaults(name, options, match):
    with pytest.raises(ValueError, match=re.escape(f"env.{match}")):
        envs.make(name, **options)
    assert envs.make("CartPole-v1", length=1)[1].length == 1
