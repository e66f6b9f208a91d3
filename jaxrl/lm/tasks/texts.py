"""Texts and questions of your own."""

import dataclasses
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
from jaxrl.lm.tokenizers import Bytes, Tokenizer
from jaxrl.types import static


@flax.struct.dataclass
class Corpus:
    """Windows of one long text, for pretraining: every token of a window is predicted from those before it.

    Args:
      tokens: int `[n]`.
      length: tokens of a window.
      tokenizer: of the text.
      path: of the file; None: it is of none.

    Example:
      >>> Corpus(jnp.arange(100), length=8).corpus(jax.random.key(0), 3).tokens.shape
      (3, 8)

    Source: Radford et al. (2018), Improving Language Understanding by Generative Pre-Training.
    """

    tokens: jax.Array
    length: int = static(128, low=2)
    tokenizer: Tokenizer = static(Bytes())
    path: str | None = static(None)

    @property
    def origin(self) -> tuple[str, dict[str, Any]] | None:
        """Name and options that `lm.tasks.make` makes it from, if it was read from a file."""
        options = {"path": self.path, "tokenizer": self.tokenizer.name, "length": self.length}
        return None if self.path is None else ("text", options)

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
      ValueError: for a file that cannot be read, and for a text shorter than a window.

    Source: our own.
    """
    tokens = tokenizer.encode(_read(path))
    if len(tokens) < length:
        raise ValueError(
            f"{path}: it has {len(tokens)} tokens, fewer than a window of {length}; choose a smaller length"
        )
    return Corpus(jnp.array(tokens, jnp.int32), length, tokenizer, str(Path(path).resolve()))


@dataclasses.dataclass(frozen=True, eq=False)
class Lines:
    """A file of questions: its path, what each line says, and how long a prompt may be; equal to itself alone."""

    path: str
    rows: Sequence[dict[str, Any]]
    max_prompt_tokens: int


@flax.struct.dataclass
class Questions:
    """Prompts and answers from a list; one question of eight is held out.

    The verifier wants exactly the answer; `Judged` asks a function of Python instead, which sees the whole line.

    Args:
      questions: int `[n, L]`, padded on the left.
      start: int `[n]`, column of each first token.
      answers: int `[n, T]`, each with the stop token behind it; padded on the right by -1.
      learned: rows of the training split.
      kept: rows of the held-out split.
      sampling: how completions are drawn.
      tokenizer: of the questions.
      lines: what the file says.

    Source: our own.
    """

    questions: jax.Array
    start: jax.Array
    answers: jax.Array
    learned: jax.Array
    kept: jax.Array
    sampling: Sampling
    tokenizer: Tokenizer = static()
    lines: Lines = static()

    @property
    def origin(self) -> tuple[str, dict[str, Any]]:
        """Name and options that `lm.tasks.make` makes it from."""
        settings = {"path": self.lines.path, "tokenizer": self.tokenizer.name}
        limits = {"max_new_tokens": self.sampling.max_new_tokens, "max_prompt_tokens": self.lines.max_prompt_tokens}
        return "questions", settings | limits

    def questions_of(self, prompts: Prompts) -> list[dict[str, Any]]:
        """The lines of prompts, with `prompt` as a text."""
        return [self.lines.rows[row] for row in np.asarray(prompts.answer[0])]

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
    read = [_question(path, number, line, tokenizer) for number, line in enumerate(_read(path).splitlines(), 1) if line]
    if not read:
        raise ValueError(f"{path}: it has no questions")
    prompts, answers = ([tokenizer.encode(row[name]) for row in read] for name in ("prompt", "answer"))
    for row, prompt in zip(read, prompts, strict=True):
        if len(prompt) > max_prompt_tokens:
            raise ValueError(
                f"prompt: {row['prompt'][:40]!r} has {len(prompt)} tokens, more than max_prompt_tokens="
                f"{max_prompt_tokens}; shorten it or raise the number"
            )
    longest, width = max(map(len, prompts)), max(map(len, answers)) + 1
    questions = np.array([[0] * (longest - len(prompt)) + prompt for prompt in prompts], np.int32)
    start = np.array([longest - len(prompt) for prompt in prompts], np.int32)
    stop = tokenizer.stop_tokens[:1]
    expected = np.array([(*answer, *stop, *[-1] * width)[:width] for answer in answers], np.int32)
    kept = np.asarray(is_held_out(jnp.asarray(questions)))
    if kept.all() or not kept.any():  # of very few
        kept = np.arange(len(read)) == 0
    sampling = Sampling(max_new_tokens, tuple(tokenizer.stop_tokens))
    learned, held_out = (jnp.asarray(np.flatnonzero(which)) for which in (~kept, kept))
    arrays = (jnp.asarray(questions), jnp.asarray(start), jnp.asarray(expected), learned, held_out)
    return Questions(*arrays, sampling, tokenizer, Lines(str(Path(path).resolve()), read, max_prompt_tokens))


def _read(path: Path | str) -> str:
    """Text of a file."""
    try:
        return Path(path).read_text()
    except OSError as error:
        raise ValueError(f"{path}: it cannot be read: {error.strerror}; check the path") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: it is no UTF-8 text") from None


def _question(path: Path | str, number: int, line: str, tokenizer: Any) -> dict[str, Any]:
    """What a line says, its prompt as a text, its answer an empty one if it has none."""
    try:
        row = json.loads(line)
        row = {"answer": ""} | row
        prompt, answer = row["prompt"], row["answer"]
    except (ValueError, KeyError, TypeError) as error:
        remedy = 'write {"prompt": "...", "answer": "..."}'
        raise ValueError(f"{path}, line {number}: it is no question; {remedy}") from error
    if isinstance(prompt, list) and not hasattr(tokenizer, "chat"):
        raise ValueError(f"{path}, line {number}: messages need the chat template of a model's tokenizer")
    prompt = tokenizer.chat(prompt) if isinstance(prompt, list) else prompt
    if not isinstance(prompt, str) or not prompt or not isinstance(answer, str):
        raise ValueError(f"{path}, line {number}: prompt and answer must be texts, the prompt not an empty one")
    return row | {"prompt": prompt}
