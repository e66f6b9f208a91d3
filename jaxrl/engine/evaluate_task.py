"""Evaluation of language models on held-out prompts."""

import functools
import math
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import lm, ops
from jaxrl.engine.check import sampling_of
from jaxrl.ranges import check_fields

Z = 1.96
AT_ONCE = 2**28
"""Numbers in caches and logits of the completions that `evaluate_task` draws together, at most."""


class Estimate(NamedTuple):
    """A mean over prompts, and its 95 % interval; NaN where values that never differ tell nothing of one."""

    mean: float
    low: float
    high: float


@flax.struct.dataclass
class TaskEvaluation:
    """K completions of each of P held-out prompts."""

    reward: jax.Array
    """float32 `[P, K]`, by the task's verifier; 1 is right."""
    lengths: jax.Array
    """int32 `[P, K]`, tokens with the stop token."""
    agreed: jax.Array
    """float32 `[P]`, the best reward of the completions that say what most of the K say; 1 is right."""

    def pass_at(self, k: int) -> jax.Array:
        """Probability `[P]` that one of k completions is right, estimated without bias from all K."""
        return ops.pass_at_k((self.reward == 1.0).sum(axis=1), self.reward.shape[1], k)

    def summary(self) -> dict[str, Estimate]:
        """Means over prompts with their intervals, by name."""
        num_samples = self.reward.shape[1]
        shares = {"pass@1": self.pass_at(1)}
        if num_samples > 1:
            majority = (self.agreed == 1.0).astype(jnp.float32)
            shares |= {f"pass@{num_samples}": self.pass_at(num_samples), f"majority@{num_samples}": majority}
        means = {"reward": self.reward.mean(axis=1), "length": self.lengths.mean(axis=1)}
        found = {name: share_interval(np.asarray(values, np.float64)) for name, values in shares.items()}
        return found | {name: mean_interval(np.asarray(values, np.float64)) for name, values in means.items()}


def share_interval(values: np.ndarray) -> Estimate:
    """Mean of numbers in [0, 1], one a prompt, and Wilson's interval of as many prompts as they are worth.

    With m the mean and v the variance of P values, they are worth P (P m (1-m) + 1) / (P v + 1) of zeros and ones: of
    zeros and ones exactly P, and of shares of several completions more, the less the prompts differ. Where all values
    are 1, the interval is P / (P + 3.84) to 1.

    Args:
      values: float `[P]`; prompts are independent, completions of one prompt are not.

    Example:
      >>> [round(x, 3) for x in share_interval(np.ones(256))]
      [1.0, 0.985, 1.0]

    Source: Wilson (1927), Probable Inference, the Law of Succession, and Statistical Inference, Journal of the American
    Statistical Association 22; with an effective sample size as compared by Franco et al. (2019), Comparative Study of
    Confidence Intervals for Proportions in Complex Sample Surveys. Deviation: the two ones above, by which prompts that
    happen to be alike are not worth more than they show.
    """
    count, mean = len(values), float(values.mean())
    spread = count * mean * (1 - mean)
    worth = count * (spread + 1) / (count * float(values.var()) + 1)
    middle = (worth * mean + Z**2 / 2) / (worth + Z**2)
    half = Z * math.sqrt(worth * mean * (1 - mean) + Z**2 / 4) / (worth + Z**2)
    return Estimate(mean, max(middle - half, 0.0), min(middle + half, 1.0))


def mean_interval(values: np.ndarray) -> Estimate:
    """Mean of any numbers, one a prompt, and 1.96 standard errors to both sides.

    Args:
      values: float `[P]`.
    """
    mean = float(values.mean())
    half = Z * values.std(ddof=1) / math.sqrt(len(values)) if values.min() < values.max() else math.nan
    return Estimate(mean, float(mean - half), float(mean + half))


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
      sampling: how completions are drawn; None: as the algorithm draws its own, or as the task says.

    Returns:
      A `TaskEvaluation`.

    Raises:
      ValueError: for a sampling out of its ranges, and for completions that exceed the model's context.

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
    al. (2023), Self-Consistency Improves Chain of Thought Reasoning, arXiv:2203.11171, for the majority. A majority's
    conclusion is right if the verifier finds one of the completions that come to it right.
    """
    sampling = sampling_of(algorithm) if sampling is None else sampling
    check_fields(sampling, "sampling.")
    prompt_key, completion_key = jax.random.split(key)
    asked = _asked(algorithm.task, prompt_key, num_prompts)
    parts = -(-num_prompts * num_samples * _numbers(algorithm.model, asked, sampling) // AT_ONCE)
    size = -(-num_prompts // min(parts, num_prompts))
    completions = []
    for part, part_key in enumerate(jax.random.split(completion_key, -(-num_prompts // size))):
        rows = (part * size + jnp.arange(size)) % num_prompts  # the last part begins again, and is cut
        some = jax.tree.map(lambda x, rows=rows: x[rows], asked)
        completions.append(_drawn(algorithm.model, state.params, some, part_key, sampling, num_samples))
    drawn = jax.tree.map(lambda *x: jnp.concatenate(x)[: num_prompts * num_samples], *completions)
    return judged(algorithm.task, asked.repeat(num_samples), drawn, num_samples)


def _numbers(model: Any, asked: lm.Prompts, sampling: lm.Sampling) -> int:
    """Numbers of a completion's cache, and of its logits with what is made of them."""
    length = asked.tokens.shape[1] + sampling.max_new_tokens
    cache = jax.tree.leaves(jax.eval_shape(lambda: model.empty_cache(1, length)))
    return sum(x.size for x in cache) + 4 * model.config.vocab_size


@functools.partial(jax.jit, static_argnames="num_prompts")
def _asked(task: Any, key: jax.Array, num_prompts: int) -> lm.Prompts:
    """Held-out prompts `[P, ...]`. The key is consumed."""
    return task.prompts(key, num_prompts, held_out=True)


@functools.partial(jax.jit, static_argnames=("model", "num_samples"))
def _drawn(
    model: Any, params: Any, asked: lm.Prompts, key: jax.Array, sampling: lm.Sampling, num_samples: int
) -> lm.Completions:
    """Completions `[P K, ...]`. The key is consumed."""
    return lm.generate(model, params, asked.tokens, asked.start, key, sampling, num_samples)


def judged(task: Any, prompts: lm.Prompts, completions: lm.Completions, num_samples: int) -> TaskEvaluation:
    """The evaluation of completions `[P K, ...]`."""
    reward = jnp.asarray(lm.tasks.rewards_of(task, prompts, completions)).reshape(-1, num_samples)
    said = task.conclusion(completions).reshape(*reward.shape, -1)
    alike = (said[:, :, None] == said[:, None]).all(axis=-1)
    first = jnp.argmax(alike.sum(axis=-1), axis=1)  # of a draw, the conclusion that was said first
    majority = jnp.take_along_axis(alike, first[:, None, None], axis=1)[:, 0]
    # Whether a conclusion is right does not hang on what one completion says before it.
    agreed = jnp.where(majority, reward, -jnp.inf).max(axis=1)
    return TaskEvaluation(reward, completions.lengths.reshape(reward.shape), agreed)
