"""Does reinforcement make a language model better than what it was pretrained on, and how fast, from nothing?

Each cell trains a small transformer on a task's texts, and then by verified rewards; held-out prompts are answered
before and after. The controls are the same with random rewards, and without pretraining.
"""

import dataclasses
import pathlib
import time
from typing import Any

from benchmarks import results

CONTROLS = ("random-reward", "no-pretraining")
NUM_SAMPLES = 16


@dataclasses.dataclass(frozen=True)
class Cell:
    """One row of the table."""

    task: str
    """Class of `jaxrl.lm.tasks`."""
    fields: dict[str, Any]
    """Of the task."""
    model: dict[str, Any]
    """Of `networks.TransformerConfig`."""
    pretraining: dict[str, Any]
    """Of `jaxrl.Pretraining`, and `updates`."""
    reinforcement: dict[str, Any]
    """Of `jaxrl.GRPO`, and `updates`."""
    threshold: float
    """What the median seed's pass@1 should reach."""


SMALL: dict[str, Any] = {"width": 96, "num_layers": 2, "num_heads": 4, "mlp_size": 256}
PARITY: dict[str, Any] = {
    "model": SMALL,
    "pretraining": {"updates": 1500, "num_texts": 128, "learning_rate": 2e-3},
    "reinforcement": {"updates": 40, "num_prompts": 64, "group_size": 8, "learning_rate": 1e-3},
}
CELLS = {
    "parity-16": Cell("Parity", {"num_bits": 16}, threshold=0.99, **PARITY),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Pretrain, reinforce and judge language models; writes benchmarks/results/lm_learning_CELL.json."""

    cells: tuple[str, ...] = tuple(CELLS)
    seeds: int = 3
    num_prompts: int = 512
    """Held-out prompts, each answered sixteen times."""
    controls: bool = True
    """Whether random rewards and a random beginning are tried as well."""
    results: pathlib.Path = results.RESULTS


def judge(learner: Any, state: Any, key: Any, num_prompts: int) -> dict[str, float]:
    """pass@1, pass@16, majority@16 and mean length when sampled, and pass@1 of the most probable answer."""
    import jaxrl

    sampled = jaxrl.evaluate_task(learner, state, key, num_prompts, NUM_SAMPLES)
    greedy = jaxrl.evaluate_task(learner, state, key, num_prompts, 1, learner.task.sampling.replace(top_k=1))
    means = {name: mean for name, (mean, _) in sampled.summary().items()}
    return means | {"greedy": float(greedy.pass_at(1).mean())}


def stage(learner: Any, key: Any, updates: int) -> tuple[Any, float]:
    """The last state of a training run, and seconds with compilation."""
    import jax

    import jaxrl

    began = time.perf_counter()
    state, _ = jax.block_until_ready(jaxrl.train(learner, key, updates))
    return state, time.perf_counter() - began


def random_reward(learner: Any) -> Any:
    """The learner, paid by a coin."""
    import jax

    @dataclasses.dataclass(frozen=True)
    class Coin:
        task: Any

        def __getattr__(self, name: str) -> Any:
            return getattr(self.task, name)

        def verify(self, prompts: Any, completions: Any) -> Any:
            bits = jax.random.fold_in(jax.random.key(0), completions.tokens.sum())
            return jax.random.bernoulli(bits, shape=(len(completions.tokens),)).astype("float32")

    return learner.replace(task=Coin(learner.task))
