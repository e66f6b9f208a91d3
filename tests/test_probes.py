"""Every learner of a network on the probe environments: exact values and best actions. A new one joins by one line."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from jaxrl import networks, ops
from jaxrl.algorithms.pg import experience
from jaxrl.engine.acting import act, initial_memory
from jaxrl.envs import probes

DISCOUNT = 0.75  # 1/(1-γ) = 4, 1/(1+γ) = 4/7
POLICY: dict[str, Any] = dict(num_envs=16, num_steps=4, hidden_sizes=(16,), learning_rate=1e-2, entropy_coef=0.0)

REPLAY: dict[str, Any] = dict(
    num_envs=4, num_steps=16, hidden_sizes=(16,), learning_rate=1e-2, batch_size=64, capacity=2000, warmup=100
)

MEMORY: dict[str, Any] = POLICY | dict(num_minibatches=2)
QUEUE: dict[str, Any] = dict(num_envs=16, num_steps=4, hidden_sizes=(16,), learning_rate=1e-2, num_minibatches=2)


def of_critic(learner: Any, state: Any, obs: Any) -> Any:
    return experience.apply(learner, state.params, state, obs)[1]


def of_q(learner: Any, state: Any, obs: Any) -> Any:
    return learner.q_values(state.params, obs).max(-1)


def of_pqn(learner: Any, state: Any, obs: Any) -> Any:
    return learner.model.apply(state.params, obs).max(-1)


def of_memory(learner: Any, state: Any, obs: Any) -> Any:
    """Values of `[N, 1]` first observations, or of those of one episode `[T, 1, 1]`, one after the other."""
    sequence = obs if obs.ndim == 3 else obs[None]
    carry, start = learner.initial_memory(sequence.shape[1])
    starts = jnp.zeros(sequence.shape[:2], bool).at[0].set(start)
    outputs = networks.unroll(learner.model, state.params, carry, sequence, starts)[1]
    return outputs[1] if isinstance(outputs, tuple) else outputs.max(-1)


def of_critics(learner: Any, state: Any, obs: Any) -> Any:
    action = learner.act(state, obs, jax.random.key(0))
    return learner.models[1].apply(state.params["critics"], obs, action).mean(-1).min(0)


def of_discrete_critics(learner: Any, state: Any, obs: Any) -> Any:
    return learner.q_values(state.params["critics"], obs).min(0).max(-1)


QUICK = ("ppo", "dqn")
"""The others belong to `pytest -m slow`."""

LEARNERS: dict[str, tuple[Any, int, Any, str]] = {  # updates that it needs, what it thinks of states, its actions
    "ppo": (functools.partial(jaxrl.PPO, num_minibatches=2, **POLICY), 400, of_critic, "both"),
    "actor-critic": (functools.partial(jaxrl.ActorCritic, **POLICY), 3000, of_critic, "both"),
    "reinforce": (functools.partial(jaxrl.Reinforce, **POLICY), 3000, of_critic, "both"),
    "vtrace": (functools.partial(jaxrl.VTraceActorCritic, **POLICY), 800, of_critic, "both"),
    "recurrent ppo": (functools.partial(jaxrl.RecurrentPPO, **MEMORY), 400, of_memory, "both"),
    "dqn": (functools.partial(jaxrl.DQN, target_rate=0.05, **REPLAY), 100, of_q, "discrete"),
    "dqn of three steps": (
        functools.partial(jaxrl.DQN, target_rate=0.05, num_backup_steps=3, **REPLAY),
        100,
        of_q,
        "discrete",
    ),
    "rainbow": (
        functools.partial(jaxrl.rainbow, target_rate=0.05, returns=ops.CategoricalReturns(-2.0, 6.0, 41), **REPLAY),
        300,
        of_q,
        "discrete",
    ),
    "c51": (
        functools.partial(
            jaxrl.DQN, target_rate=0.05, prioritized=True, returns=ops.CategoricalReturns(-2.0, 6.0, 41), **REPLAY
        ),
        200,
        of_q,
        "discrete",
    ),
    "quantiles": (
        functools.partial(jaxrl.DQN, target_rate=0.05, dueling=True, returns=ops.QuantileReturns(11), **REPLAY),
        200,
        of_q,
        "discrete",
    ),
    "noisy": (functools.partial(jaxrl.DQN, target_rate=0.05, noisy=True, **REPLAY), 200, of_q, "discrete"),
    "pqn": (functools.partial(jaxrl.PQN, **QUEUE), 800, of_pqn, "discrete"),
    "recurrent pqn": (functools.partial(jaxrl.RecurrentPQN, **QUEUE), 800, of_memory, "discrete"),
    "td3": (functools.partial(jaxrl.TD3, target_rate=0.05, **REPLAY), 200, of_critics, "continuous"),
    "ddpg": (functools.partial(jaxrl.ddpg, target_rate=0.05, **REPLAY), 200, of_critics, "continuous"),
    "sac": (
        functools.partial(jaxrl.SAC, target_rate=0.05, temperature=1e-3, target_entropy=-5.0, **REPLAY),
        200,
        of_critics,
        "continuous",
    ),
    "tqc": (
        functools.partial(
            jaxrl.tqc,
            target_rate=0.05,
            temperature=1e-3,
            target_entropy=-5.0,
            **REPLAY | dict(num_quantiles=5, num_dropped=1),
        ),
        200,
        of_critics,
        "continuous",
    ),
    "discrete sac": (
        functools.partial(jaxrl.DiscreteSAC, target_rate=0.05, temperature=1e-3, target_entropy=0.0, **REPLAY),
        200,
        of_discrete_critics,
        "discrete",
    ),
}


def learners_with(others: Iterable[Any], fits: Callable[[str, Any], bool]) -> list[Any]:
    """Learners, each with what fits it of others."""
    marks = {name: [] if name in QUICK else [pytest.mark.slow] for name in LEARNERS}
    return [pytest.param(name, other, marks=marks[name]) for name in LEARNERS for other in others if fits(name, other)]


VALUES = {  # by observation
    "constant reward": (probes.constant_reward, {0.0: 1.0}),
    "observed reward": (probes.observed_reward, {1.0: 1.0, -1.0: -1.0}),
    "delayed reward": (probes.delayed_reward, {0.0: DISCOUNT, 1.0: 1.0}),
    "time limit": (probes.time_limit, {0.0: 1 / (1 - DISCOUNT)}),
    "successor of the time limit": (
        probes.time_limit_successor,
        {1.0: 1 / (1 + DISCOUNT), -1.0: -1 / (1 + DISCOUNT)},
    ),
    "both flags": (probes.terminated_and_truncated, {0.0: 1.0}),
}


def trained(name: str, probe: Any, share: float = 1.0) -> tuple[Any, Any]:
    """A learner and its state after a share of its updates in a probe."""
    kind, num_updates, *_ = LEARNERS[name]
    num_updates = int(share * num_updates)
    # Annealed: with a constant step size the values would keep jittering around the fixed point.
    learner = kind(*probe, discount=DISCOUNT, anneal_updates=float(num_updates))
    state, _ = jaxrl.train(learner, jax.random.key(0), num_updates)
    return learner, state


def best_actions(learner: Any, state: Any, obs: Any) -> Any:
    return act(learner, state, obs, jax.random.key(0), initial_memory(learner, len(obs)))[0]


@pytest.mark.parametrize(
    ("name", "probe"),
    # A memory of the sign before is met by no step of the second probe: what it bootstraps is never learned.
    learners_with(VALUES, lambda name, probe: not ("recurrent" in name and probe == "successor of the time limit")),
)
def test_values(name: str, probe: str) -> None:
    make, expected = VALUES[probe]
    learner, state = trained(name, make(num_actions=0 if LEARNERS[name][3] == "continuous" else 2))
    obs = jnp.array(list(expected))[:, None]
    if "recurrent" in name and probe == "delayed reward":
        obs = obs[:, None]  # they are one episode
    found = LEARNERS[name][2](learner, state, obs)
    np.testing.assert_allclose(found, list(expected.values()), atol=0.05)


@pytest.mark.parametrize(
    ("name", "num_actions"),
    learners_with((2, 0), lambda name, num: LEARNERS[name][3] in ("both", "discrete" if num else "continuous")),
)
def test_best_actions(name: str, num_actions: int) -> None:
    learner, state = trained(name, probes.rewarded_matching(num_actions), 0.5)
    action = best_actions(learner, state, jnp.array([[1.0], [-1.0]]))
    if num_actions:
        assert action.tolist() == [1, 0]
    else:
        np.testing.assert_allclose(action[:, 0], [0.5, -0.5], atol=0.15)


@pytest.mark.parametrize(
    ("name", "num_actions"), learners_with((2,), lambda name, _: LEARNERS[name][3] in ("both", "discrete"))
)
def test_the_rewarded_action(name: str, num_actions: int) -> None:
    learner, state = trained(name, probes.rewarded_action(num_actions), 0.25)
    assert best_actions(learner, state, jnp.array([[0.0]])).tolist() == [1]
