"""Evaluation of language models on held-out prompts."""

import functools
import math
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import lm, ops


@flax.struct.dataclass
class TaskEvaluation:
    """K completions of each of P held-out prompts."""

    reward: jax.Array
    """float32 `[P, K]`, by the task's verifier; 1 is right."""
    lengths: jax.Array
    """int32 `[P, K]`, tokens with the stop token."""
    agreed: jax.Array
    """float32 `[P]`, reward of a completion that says what most of the K say; 1 is right."""

    def pass_at(self, k: int) -> jax.Array:
        """Probability `[P]` that one of k completions is right, estimated without bias from all K."""
        return ops.pass_at_k((self.reward == 1.0).sum(axis=1), self.reward.shape[1], k)

    def summary(self) -> dict[str, tuple[float, float]]:
        """Means over prompts, each with half the width of its 95 % interval, by name."""
        num_samples = self.reward.shape[1]
        rows = {"pass@1": self.pass_at(1)}
        if num_samples > 1:
            majority = (self.agreed == 1.0).astype(jnp.float32)
            rows |= {f"pass@{num_samples}": self.pass_at(num_samples), f"majority@{num_samples}": majority}
        rows |= {"reward": self.reward.mean(axis=1), "length": self.lengths.mean(axis=1)}
        return {name: _interval(np.asarray(values, np.float64)) for name, values in rows.items()}


def _interval(values: np.ndarray) -> tuple[float, float]:
    """Mean, and 1.96 standard errors."""
    deviation = values.std(ddof=1) if len(values) > 1 else math.nan
    return float(values.mean()), float(1.96 * deviation / math.sqrt(len(values)))


def evaluate_task(
    algorithm: Any,
    state: Any,
    key: jax.Array,
    num_prompts: int = 256,
    num_samples: int = 16,
    sampling: lm.Sampling | None = None,
) -> TaskEvaluation:
    """Draw `num_samples` completions of each of `num_prompts` held-out prompts, and verify them.

    Args:
      algorithm: with `task` and `model`.
      state: of the algorithm.
      key: consumed.
      num_prompts: P, static.
      num_samples: K, static.
      sampling: how completions are drawn; None: as the task says.

    Returns:
      A `TaskEvaluation`.

    Example:
      >>> import jaxrl
      >>> from jaxrl import networks
      >>> task = lm.tasks.Parity(4)
      >>> config = networks.TransformerConfig(task.tokenizer.vocab_size, width=16, num_layers=1, num_heads=2)
      >>> learner = jaxrl.Pretraining(task, networks.Transformer(config), num_texts=8)
      >>> state = learner.init(jax.random.key(0))
      >>> evaluate_task(learner, state, jax.random.key(1), num_prompts=8, num_samples=4).reward.shape
      (8, 4)

    Source: Chen et al. (2021), Evaluating Large Language Models Trained on Code, arXiv:2107.03374, for pass@k; Wang et
    al. (2023), Self-Consistency Improves Chain of Thought Reasoning, arXiv:2203.11171, for the majority.
    """
    prompts, completions = draw(algorithm, state, key, num_prompts, num_samples, sampling)
    return judged(algorithm.task, prompts, completions, num_samples)


@functools.partial(jax.jit, static_argnames=("num_prompts", "num_samples"))
def draw(
    algorithm: Any, state: Any, key: jax.Array, num_prompts: int, num_samples: int, sampling: lm.Sampling | None = None
) -> tuple[lm.Prompts, lm.Completions]:
    """Held-out prompts, each repeated, and completions of them, `[P K, ...]`. The key is consumed."""
    prompt_key, completion_key = jax.random.split(key)
    chosen = algorithm.task.sampling if sampling is None else sampling
    asked = algorithm.task.prompts(prompt_key, num_prompts, held_out=True)
    completions = lm.generate(
        algorithm.model, state.params, asked.tokens, asked.start, completion_key, chosen, num_samples
    )
    return asked.repeat(num_samples), completions


def judged(task: Any, prompts: lm.Prompts, completions: lm.Completions, num_samples: int) -> TaskEvaluation:
    """The evaluation of completions `[P K, ...]`."""
    reward = jnp.asarray(lm.tasks.rewards_of(task, prompts, completions)).reshape(-1, num_samples)
    said = task.conclusion(completions).reshape(*reward.shape, -1)
    agreeing = (said[:, :, None] == said[:, None]).all(axis=-1).sum(axis=-1)
    first = jnp.argmax(agreeing, axis=1)[:, None]
    agreed = jnp.take_along_axis(reward, first, axis=1)[:, 0]
    return TaskEvaluation(reward, completions.lengths.reshape(reward.shape), agreed)
