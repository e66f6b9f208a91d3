"""Learning, as the median over ten seeds; minutes each, so `pytest -m slow`."""

from typing import Any

import jax
import numpy as np
import pytest

import jaxrl
from jaxrl.engine.names import ALGORITHMS
from jaxrl.presets import annealed, preset, updates_of

pytestmark = pytest.mark.slow


def scores(name: str, env: str, evaluations: int = 20) -> np.ndarray:
    """Mean of the last ten evaluations of each of ten seeds."""
    total_steps, fields, _ = preset(name, env)
    algorithm: Any = annealed(ALGORITHMS[name](*jaxrl.envs.make(env), **fields), total_steps)
    num_updates = updates_of(algorithm, total_steps)
    keys = jax.random.split(jax.random.key(0), 10)
    result = jaxrl.fit(algorithm, keys, num_updates, evaluate_every=num_updates // evaluations, loggers=[])
    return result.evaluations["return"][-10:].mean(axis=0)


@pytest.mark.parametrize(
    ("name", "env", "threshold"),
    [
        ("ppo", "CartPole-v1", 475),
        ("ppo", "Acrobot-v1", -100),
        ("ppo", "Pendulum-v1", -200),
        ("dqn", "CartPole-v1", 475),
        ("sac", "Pendulum-v1", -200),
    ],
)
def test_it_learns(name: str, env: str, threshold: float) -> None:
    assert np.median(scores(name, env)) >= threshold


def test_a_sorted_shuffle_learns_no_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keyed bijection costs no return: a uniform permutation does not beat it by more than the spread."""
    ours = scores("ppo", "Pendulum-v1")
    monkeypatch.setattr("jaxrl.ops.shuffling.permutation", jax.random.permutation)
    jax.clear_caches()  # the function is not part of any compilation key
    plain = scores("ppo", "Pendulum-v1")
    jax.clear_caches()
    low, high = np.quantile(ours, [0.25, 0.75])
    assert np.median(plain) - np.median(ours) <= high - low
