"""The work that all libraries do."""

import dataclasses
import json
import sys


@dataclasses.dataclass(frozen=True)
class Configuration:
    """PPO with separate tanh networks for policy and value."""

    env: str = "CartPole-v1"
    num_envs: int = 64
    num_steps: int = 128
    num_epochs: int = 4
    num_minibatches: int = 4
    hidden_sizes: tuple[int, ...] = (64, 64)
    learning_rate: float = 3e-4
    discount: float = 0.99
    gae_lambda: float = 0.95
    clip: float = 0.2
    value_clip: float = 0.2
    entropy_coef: float = 0.01
    value_coef: float = 0.5
    """Weight of half the squared error of the value."""
    max_grad_norm: float = 0.5

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one update."""
        return self.num_envs * self.num_steps

    def updates(self, steps: int) -> int:
        """Updates that make exactly `steps` environment steps.

        Raises:
          ValueError: if no whole number of updates does.
        """
        updates, rest = divmod(steps, self.steps_per_update)
        if rest or not updates:
            raise ValueError(f"steps={steps} is no positive multiple of {self.steps_per_update}")
        return updates


def read_configuration() -> Configuration:
    """From the worker's only argument."""
    record = json.loads(sys.argv[1])
    return Configuration(**record | {"hidden_sizes": tuple(record["hidden_sizes"])})
