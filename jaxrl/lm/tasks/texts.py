"""Texts and questions of your own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.lm.generate import Completions
from jaxrl.lm.prompts import Prompts, Text
from jaxrl.lm.sampling import Sampling
from jaxrl.lm.splits import is_held_out
from jaxrl.lm.tokenizers import Tokenizer
from jaxrl.types import static


@flax.struct.dataclass
class Corpus:
    """Windows of one long text, for pretraining: every token of a window is predicted from those before it.

    Args:
      tokens: int `[n]`.
      length: tokens of a window.

    Example:
      >>> Corpus(jnp.arange(100), length=8).corpus(jax.random.key(0), 3).tokens.shape
      (3, 8)

    Source: Radford et al. (2018), Improving Language Understanding by Generative Pre-Training.
    """

    tokens: jax.Array
    length: int = static(128, low=2)

    def corpus(self, key: jax.Array, num_texts: int) -> Text:
        """Windows `[B, length]` from anywhere. The key is consumed."""
        first = jax.random.randint(key, (num_texts, 1), 0, len(self.tokens) - self.length + 1)
        return Text(self.tokens[first + jnp.arange(self.length)[None]], 0, jnp.ones((num_texts, self.length), bool))


def read_text(path: Path | str, tokenizer: Tokenizer, length: int = 128) -> Corpus:
    """A file as a corpus.

    Args:
      path: of UTF-8 text.
      tokenizer: any.
      length: tokens of a window.

    Raises:
      ValueError: for a text shorter than a window.

    Source: our own.
    """
    tokens = tokenizer.encode(Path(path).read_text())
    if len(tokens) < length:
        raise ValueError(
            f"{path}: it has {len(tokens)} tokens, fewer than a window of {length}; choose a smaller length"
        )
    return Corpus(jnp.array(tokens, jnp.int32), length)


@flax.struct.dataclass
class Questions:
    """Prompts and answers from a list; one question of eight is held out.

    The verifier wants exactly the answer. For other rewards write them into the batch between `rollout` and `learn`,
    from the row of each question, which is `prompts.answer[0]`.

    Args:
      questions: int `[n, L]`, padded on the left.
      start: int `[n]`, column of each first token.
      answers: int `[n, T]`, each with the stop token behind it; padded on the right by -1.
      learned: rows of the training split.
      kept: rows of the held-out split.
      sampling: how completions are drawn.

    Source: our own.
    """

    questions: jax.Array
    start: jax.Array
    answers: jax.Array
    learned: jax.Array
    kept: jax.Array
    sampling: Sampling

    def prompts(self, key: jax.Array, num_prompts: int, held_out: bool = False) -> Prompts:
        """Questions of a split, any of them as often as it comes. The key is consumed."""
        row = jax.random.choice(key, self.kept if held_out else self.learned, (num_prompts,))
        return Prompts(self.questions[row], self.start[row], (row, self.answers[row]))

    def verify(self, prompts: Prompts, completions: Completions) -> jax.Array:
        """1 for exactly the answer and the stop token, `[B]`."""
        _, answer = prompts.answer
        longest = max(answer.shape[1], completions.tokens.shape[1])

        def padded(x: jax.Array) -> jax.Array:
            return jnp.pad(x, ((0, 0), (0, longest - x.shape[1])), constant_values=-1)

        return (padded(completions.counted) == padded(answer)).all(axis=1).astype(jnp.float32)

    def conclusion(self, completions: Completions) -> jax.Array:
        """All tokens of the answers `[B, T]`."""
        return completions.counted

    def corpus(self, key: jax.Array, num_texts: int) -> Text:
        """Questions of the training split with their answers. The key is consumed."""
        asked = self.prompts(key, num_texts)
        _, answer = asked.answer
        tokens = jnp.concatenate([asked.tokens, jnp.maximum(answer, 0)], axis=1)
        return Text(tokens, asked.tokens.shape[1], answer >= 0, asked.start)


def read_questions(path: Path | str, tokenizer: Tokenizer, max_new_tokens: int, max_prompt_tokens: int) -> Questions:
    """A file of JSON lines as a task.

    Args:
      path: each line has `prompt`, a text or a list of chat messages, and may have `answer`, a text.
      tokenizer: any; lists of messages need a chat template.
      max_new_tokens: T, longest completion.
      max_prompt_tokens: L, longest prompt.

    Raises:
      ValueError: naming the line, for what is no question or a prompt that is too long.

    Source: our own.
    """
    rows = [_question(path, number, line, tokenizer) for number, line in enumerate(_lines(path), 1)]
    if not rows:
        raise ValueError(f"{path}: it has no questions")
    for number, (prompt, _) in enumerate(rows, 1):
        if len(prompt) > max_prompt_tokens:
            raise ValueError(
                f"{path}, line {number}: the prompt has {len(prompt)} tokens, more than max_prompt_tokens="
                f"{max_prompt_tokens}"
            )
    longest = max(len(prompt) for prompt, _ in rows)
    prompts = np.array([[0] * (longest - len(prompt)) + prompt for prompt, _ in rows], np.int32)
    start = np.array([longest - len(prompt) for prompt, _ in rows], np.int32)
    width = max(len(answer) for _, answer in rows) + 1
    stop = tokenizer.stop_tokens[:1]
    answers = np.array([(*answer, *stop, *[-1] * width)[:width] for _, answer in rows], np.int32)
    kept = np.asarray(is_held_out(jnp.asarray(prompts)))
    if kept.all() or not kept.any():  # of very few
        kept = np.arange(len(rows)) == 0
    sampling = Sampling(max_new_tokens, tuple(tokenizer.stop_tokens))
    learned, held_out = (jnp.asarray(np.flatnonzero(which)) for which in (~kept, kept))
    return Questions(jnp.asarray(prompts), jnp.asarray(start), jnp.asarray(answers), learned, held_out, sampling)


def _lines(path: Path | str) -> Sequence[str]:
    return [line for line in Path(path).read_text().splitlines() if line.strip()]


def _question(path: Path | str, number: int, line: str, tokenizer: Any) -> tuple[list[int], list[int]]:
    """Tokens of a line's prompt and answer."""
    try:
        row = json.loads(line)
        prompt, answer = row["prompt"], row.get("answer", "")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        remedy = 'write {"prompt": "...", "answer": "..."}'
        raise ValueError(f"{path}, line {number}: it is no question; {remedy}") from error
    text = tokenizer.chat(prompt) if isinstance(prompt, list) else prompt
    if not isinstance(text, str) or not text or not isinstance(answer, str):
        raise ValueError(f"{path}, line {number}: prompt and answer must be texts, the prompt not an empty one")
    return tokenizer.encode(text), tokenizer.encode(answer)
