"""The work that all libraries do with deep learners: one task a comparison."""

import dataclasses
import sys


@dataclasses.dataclass(frozen=True)
class Task:
    """An algorithm in an environment, with equal work for each environment step on all sides."""

    algorithm: str
    env: str
    activation: str
    steps: int
    """Environment steps of a repetition."""
    policy_steps: int
    """Environment steps before a policy is judged."""
    num_envs: int
    hidden_sizes: tuple[int, ...] = (64, 64)
    learning_rate: float = 1e-3
    discount: float = 0.99
    batch_size: int = 128
    capacity: int = 50_000
    warmup: int = 1000
    """Environment steps at random before the first gradient step."""
    target_rate: float = 0.01
    num_steps: int = 128
    num_epochs: int = 4
    num_minibatches: int = 4
    policy_seeds: int = 10
    """Seeds whose policies are judged."""


DQN = Task("dqn", "CartPole-v1", "relu", 100_000, 200_000, num_envs=10)
SAC = Task(
    "sac",
    "Pendulum-v1",
    "relu",
    20_000,
    20_000,
    num_envs=1,
    batch_size=256,
    capacity=100_000,
    warmup=256,  # SBX warms up once, the others in every repetition: it makes 1.3% more gradient steps
    target_rate=0.005,
)
PQN = Task("pqn", "CartPole-v1", "relu", 61 * 8192, 61 * 8192, 64, num_minibatches=16)
PPO = Task("ppo", "Breakout-MinAtar", "tanh", 24 * 8192, 122 * 8192, 64, learning_rate=2.5e-3)

TASKS = {
    "dqn": DQN,
    "dqn-large": dataclasses.replace(DQN, capacity=1_000_000, steps=20_000, policy_seeds=0),
    "sac": SAC,
    "pqn": PQN,
    "ppo-breakout": PPO,
}


def read_task() -> Task:
    """By the worker's only argument."""
    return TASKS[sys.argv[1]]
