"""Tuned defaults per environment: one table, read by the command line and the benchmarks."""

import math
from typing import Any, NamedTuple

from jaxrl.types import steps_per_update


class Preset(NamedTuple):
    """Steps of a run, the fields of an algorithm that differ from its defaults, and whether the learning rate falls."""

    total_steps: int
    fields: dict[str, Any]
    anneal: bool = True


PRESETS: dict[tuple[str, str], Preset] = {
    ("ppo", "CartPole-v1"): Preset(500_000, dict(num_envs=16, num_steps=64, learning_rate=1e-3)),
    ("ppo", "Acrobot-v1"): Preset(1_000_000, dict(num_envs=16, learning_rate=1e-3)),
    ("ppo", "Pendulum-v1"): Preset(
        1_000_000,
        dict(
            num_envs=16,
            num_epochs=10,
            learning_rate=1e-3,
            discount=0.95,
            entropy_coef=0.0,
            normalize_observations=True,
            normalize_rewards=True,
        ),
    ),
    ("ppo", "Breakout-MinAtar"): Preset(3_000_000, dict(num_minibatches=8, hidden_sizes=(128,), learning_rate=5e-3)),
}


def preset(algorithm: str, env: str) -> Preset:
    """The tuned defaults, or one million steps and no changes for a pair that is not in the table.

    Args:
      algorithm: a name such as `"ppo"`.
      env: a name such as `"CartPole-v1"`.
    """
    return PRESETS.get((algorithm, env), Preset(1_000_000, {}, anneal=False))


def updates_of(algorithm: Any, total_steps: int) -> int:
    """Updates that make at least so many environment steps."""
    return math.ceil(total_steps / steps_per_update(algorithm))


def annealed(algorithm: Any, total_steps: int) -> Any:
    """The algorithm with a learning rate that falls to zero over a run of so many steps."""
    return algorithm.replace(anneal_updates=float(updates_of(algorithm, total_steps)))
