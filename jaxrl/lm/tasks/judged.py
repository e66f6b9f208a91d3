"""Rewards that a function of Python gives."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.lm.decoding import Completions
from jaxrl.lm.prompts import Prompts, Text
from jaxrl.lm.sampling import Sampling
from jaxrl.lm.tokenizers import Tokenizer
from jaxrl.types import static

Reward = Callable[[Sequence[dict[str, Any]], Sequence[str]], Sequence[float]]
"""Of questions and completions; a question has at least `prompt`, its text."""


class RewardError(ValueError):
    """A function gave something else than a finite number for each completion."""


@flax.struct.dataclass
class Judged:
    """A task whose rewards a function of Python gives, on the host, of texts.

    A compiled program cannot call it: `verify` gives NaN, and who drives the learner writes the rewards into the batch
    between `rollout` and `learn`. `jaxrl.fit` and `jaxrl.evaluate_task` do.

    Args:
      task: prompts and texts; its verifier is not asked.
      reward: function of (questions, completions): one dictionary and one text, without stop token, of each; it gives
        as many numbers, 1 for what is right. A question has `prompt`, and what else its line of a file says.

    Example:
      >>> from jaxrl import lm
      >>> def short(questions, completions):
      ...     return [float(len(text) < 3) for text in completions]
      >>> task = Judged(lm.tasks.Parity(4), short)
      >>> prompts = task.prompts(jax.random.key(0), 1)
      >>> completions = Completions(jnp.array([[4, 6, 0]]), jnp.zeros((1, 3)), jnp.array([[True, True, False]]))
      >>> task.judge(prompts, completions).tolist()
      [1.0]

    Source: our own.
    """

    task: Any
    reward: Reward = static()

    @property
    def tokenizer(self) -> Tokenizer:
        """The task's."""
        return self.task.tokenizer

    @property
    def sampling(self) -> Sampling:
        """The task's."""
        return self.task.sampling

    def prompts(self, key: jax.Array, num_prompts: int, held_out: bool = False) -> Prompts:
        """The task's. The key is consumed."""
        return self.task.prompts(key, num_prompts, held_out)

    def verify(self, prompts: Prompts, completions: Completions) -> jax.Array:
        """NaN `[B]`: nobody has judged yet."""
        return jnp.full(len(completions.tokens), jnp.nan)

    def conclusion(self, completions: Completions) -> jax.Array:
        """The task's, `[B, ...]`."""
        return self.task.conclusion(completions)

    def corpus(self, key: jax.Array, num_texts: int) -> Text:
        """The task's. The key is consumed."""
        return self.task.corpus(key, num_texts)

    def judge(self, prompts: Prompts, completions: Completions) -> np.ndarray:
        """Rewards `[B]`, float32, by Python.

        Raises:
          RewardError: if the function gives another number of rewards, or one that is not finite.
        """
        prompts, completions = jax.device_get((prompts, completions))
        texts = texts_of(self.tokenizer, completions)
        given = self.reward(questions_of(self.task, prompts), texts)
        try:
            rewards = np.asarray(given, np.float32)
        except (TypeError, ValueError):
            rewards = np.zeros(0)
        if rewards.shape != (len(texts),):
            raise RewardError(
                f"reward: {len(texts)} completions need as many numbers, a flat list; the function gave {_shape(given)}"
            )
        if not np.isfinite(rewards).all():
            row = int(np.flatnonzero(~np.isfinite(rewards))[0])
            raise RewardError(f"reward: the function gave {rewards[row]} for {texts[row]!r}; rewards must be finite")
        return rewards


def rewards_of(task: Any, prompts: Prompts, completions: Completions) -> Any:
    """Rewards `[B]` by the task's verifier, or by Python where that judges.

    Args:
      task: of `lm.tasks`.
      prompts: B rows.
      completions: B rows.

    Returns:
      float32 `[B]`.

    Raises:
      RewardError: as `Judged.judge`.

    Example:
      >>> from jaxrl import lm
      >>> task = lm.tasks.Parity(4)
      >>> completions = Completions(jnp.array([[4, 4]]), jnp.zeros((1, 2)), jnp.ones((1, 2), bool))
      >>> rewards_of(task, task.prompts(jax.random.key(0), 1), completions).tolist()  # it has no end
      [0.0]

    Source: our own.
    """
    return task.judge(prompts, completions) if hasattr(task, "judge") else task.verify(prompts, completions)


def texts_of(tokenizer: Tokenizer, completions: Completions) -> list[str]:
    """Texts of completions, without their stop tokens.

    Args:
      tokenizer: the task's.
      completions: B rows, on the host.

    Returns:
      B texts.

    Example:
      >>> from jaxrl import lm
      >>> completions = Completions(jnp.array([[97, 98, 256]]), jnp.zeros((1, 3)), jnp.ones((1, 3), bool))
      >>> texts_of(lm.Bytes(), completions)
      ['ab']

    Source: our own.
    """
    rows = zip(np.asarray(completions.tokens), np.asarray(completions.mask), strict=True)
    kept = ([int(token) for token in tokens[mask]] for tokens, mask in rows)
    return [tokenizer.decode([token for token in row if token not in tokenizer.stop_tokens]) for row in kept]


def questions_of(task: Any, prompts: Prompts) -> list[dict[str, Any]]:
    """What each prompt asks, `prompt` and whatever the task knows besides.

    Args:
      task: of `lm.tasks`.
      prompts: B rows, on the host.

    Returns:
      B dictionaries.

    Example:
      >>> from jaxrl import lm
      >>> task = lm.tasks.Parity(4)
      >>> questions_of(task, task.prompts(jax.random.key(0), 1))
      [{'prompt': '0111?'}]

    Source: our own.
    """
    if hasattr(task, "questions_of"):
        return task.questions_of(prompts)
    rows = zip(np.asarray(prompts.tokens), np.asarray(prompts.start), strict=True)
    return [{"prompt": task.tokenizer.decode([int(token) for token in tokens[start:]])} for tokens, start in rows]


def _shape(given: Any) -> str:
    """What a function gave instead of numbers, in words."""
    try:
        shape = np.asarray(given, np.float32).shape
    except (TypeError, ValueError):
        return f"a {type(given).__name__}"
    return f"an array of shape {shape}" if len(shape) != 1 else f"{shape[0]}"
