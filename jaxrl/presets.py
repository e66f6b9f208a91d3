"""Tuned defaults per environment: one table, read by the command line and the benchmarks."""

from typing import Any, NamedTuple


class Preset(NamedTuple):
    """Steps of a run and the fields of an algorithm that differ from its defaults."""

    total_steps: int
    fields: dict[str, Any]


PRESETS: dict[tuple[str, str], Preset] = {
    ("ppo", "CartPole-v1"): Preset(500_000, dict(num_envs=16, num_steps=64, learning_rate=1e-3, anneal_updates=489.0)),
    ("ppo", "Acrobot-v1"): Preset(1_000_000, dict(num_envs=16, learning_rate=1e-3, anneal_updates=489.0)),
    ("ppo", "Pendulum-v1"): Preset(
        1_000_000,
        dict(
            num_envs=16,
            num_epochs=10,
            learning_rate=1e-3,
            anneal_updates=489.0,
            discount=0.95,
            entropy_coef=0.0,
            normalize_observations=True,
            normalize_rewards=True,
        ),
    ),
    ("ppo", "Breakout-MinAtar"): Preset(
        3_000_000, dict(num_minibatches=8, hidden_sizes=(128,), learning_rate=5e-3, anneal_updates=367.0)
    ),
}


def preset(algorithm: str, env: str) -> Preset:
    """The tuned defaults, or one million steps and no changes for a pair that is not in the table.

    Args:
      algorithm: a name such as `"ppo"`.
      env: a name such as `"CartPole-v1"`.
    """
    return PRESETS.get((algorithm, env), Preset(1_000_000, {}))
