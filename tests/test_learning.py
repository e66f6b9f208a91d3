"""Learning, as the median over ten seeds; minutes each, so `pytest -m slow`."""

from typing import Any

import jax
import numpy as np
import pytest

import jaxrl
from jaxrl.presets import annealed, preset

pytestmark = pytest.mark.slow


def scores(env: str, evaluations: int = 20, **changes: Any) -> np.ndarray:
    """Mean of the last ten evaluations of each of ten seeds."""
    total_steps, fields, _ = preset("ppo", env)
    ppo = annealed(jaxrl.PPO(*jaxrl.envs.make(env), **fields | changes), total_steps)
    num_updates = total_steps // ppo.steps_per_update
    keys = jax.random.split(jax.random.key(0), 10)
    result = jaxrl.fit(ppo, keys, num_updates, evaluate_every=num_updates // evaluations, loggers=[])
    return result.evaluations["return"][-10:].mean(axis=0)


@pytest.mark.parametrize(("env", "threshold"), [("CartPole-v1", 475), ("Acrobot-v1", -100), ("Pendulum-v1", -300)])
def test_ppo_learns(env: str, threshold: float) -> None:
    assert np.median(scores(env)) >= threshold


def test_a_sorted_shuffle_learns_no_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keyed bijection costs no return: a uniform permutation does not beat it by more than the spread."""
    ours = scores("Pendulum-v1")
    monkeypatch.setattr("jaxrl.ops.shuffling.permutation", jax.random.permutation)
    jax.clear_caches()  # the function is not part of any compilation key
    plain = scores("Pendulum-v1")
    jax.clear_caches()
    low, high = np.quantile(ours, [0.25, 0.75])
    assert np.median(plain) - np.median(ours) <= high - low
