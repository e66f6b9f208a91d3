"""Questions of your own."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.lm.decoding import Completions
from jaxrl.lm.hf_settings import read_utf8
from jaxrl.lm.prompts import Prompts, Text
from jaxrl.lm.sampling import Sampling
from jaxrl.lm.splits import is_held_out
from jaxrl.lm.tasks.texts import digest_of
from jaxrl.lm.tokenizers import Tokenizer
from jaxrl.types import static


@dataclasses.dataclass(frozen=True, eq=False)
class Lines:
    """A file of questions: its path, a digest of it, what each line says, and how long a prompt may be.

    Equal to itself alone.
    """

    path: str
    digest: str
    rows: Sequence[dict[str, Any]]
    max_prompt_tokens: int
    unanswered: str | None
    """Which line has no answer; None: all have one."""
    unreachable: str | None
    """Which line's answer no completion can be; None: all can be drawn."""


@flax.struct.dataclass
class Questions:
    """Prompts and answers from a list; one question of eight is held out.

    The verifier wants exactly the answer, ended by any stop token; `Judged` asks a function of Python instead, which
    sees the whole line.

    Args:
      questions: int `[n, L]`, padded on the left.
      start: int `[n]`, column of each first token.
      answers: int `[n, T]`, each with the first stop token behind it; padded on the right by -1.
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
    def origin(self) -> tuple[str, dict[str, Any]] | None:
        """Name and options that `lm.tasks.make` makes it from, if its tokenizer has a name."""
        settings = {"path": self.lines.path, "tokenizer": self.tokenizer.name}
        limits = {"max_new_tokens": self.sampling.max_new_tokens, "max_prompt_tokens": self.lines.max_prompt_tokens}
        return ("questions", settings | limits) if self.tokenizer.name else None

    @property
    def digest(self) -> str:
        """Of the file."""
        return self.lines.digest

    @property
    def num_held_out(self) -> int:
        """Questions of the held-out split."""
        return len(self.kept)

    def questions_of(self, prompts: Prompts) -> list[dict[str, Any]]:
        """The lines of prompts, with `prompt` as a text."""
        return [self.lines.rows[row] for row in np.asarray(prompts.answer[0])]

    def prompts(self, key: jax.Array, num_prompts: int, held_out: bool = False) -> Prompts:
        """Questions of a split in random order; all of them come before one comes again. The key is consumed."""
        rows = self.kept if held_out else self.learned
        rounds = jax.random.split(key, -(-num_prompts // len(rows)))
        row = jax.vmap(jax.random.permutation, (0, None))(rounds, rows).reshape(-1)[:num_prompts]
        return Prompts(self.questions[row], self.start[row], (row, self.answers[row]))

    def verify(self, prompts: Prompts, completions: Completions) -> jax.Array:
        """1 for exactly the answer and a stop token, `[B]`.

        Raises:
          ValueError: for a file in which a line has no answer, or one that no completion can be.
        """
        wrong = self.lines.unanswered or self.lines.unreachable
        if wrong:
            raise ValueError(f"{wrong}, or let a function judge (jaxrl.lm.tasks.Judged, --reward)")
        _, answer = prompts.answer
        stops = self.sampling.stop_tokens
        if stops:  # any of them ends an answer
            tokens = jnp.where(self.sampling.stops(completions.tokens), stops[0], completions.tokens)
            completions = dataclasses.replace(completions, tokens=tokens)
        return completions.equal(answer).astype(jnp.float32)

    def conclusion(self, completions: Completions) -> jax.Array:
        """All tokens of the answers `[B, T]`."""
        return completions.counted

    def corpus(self, key: jax.Array, num_texts: int) -> Text:
        """Questions of the training split with their answers. The key is consumed.

        Raises:
          ValueError: for a file in which a line has no answer.
        """
        if self.lines.unanswered:
            remedy = "where a function judges (--reward), leave the pretraining before it out (--pretraining-texts 0)"
            raise ValueError(f"{self.lines.unanswered}, or, {remedy}")
        asked = self.prompts(key, num_texts)
        _, answer = asked.answer
        tokens = jnp.concatenate([asked.tokens, jnp.maximum(answer, 0)], axis=1)
        return Text(tokens, asked.tokens.shape[1], answer >= 0, asked.start)


def read_questions(path: Path | str, tokenizer: Tokenizer, max_new_tokens: int, max_prompt_tokens: int) -> Questions:
    r"""A file of JSON lines as a task.

    Args:
      path: each line has `prompt`, a text or a list of chat messages, and `answer`, a text; without answers the task
        has no verifier and no texts, and is for `Judged`.
      tokenizer: any; lists of messages need a chat template.
      max_new_tokens: T, longest completion.
      max_prompt_tokens: L, longest prompt.

    Returns:
      The task.

    Raises:
      ValueError: naming the line, for what is no question or a prompt that is too long, and for fewer than two
        different prompts, of which none could be held out.

    Example:
      >>> import pathlib, tempfile
      >>> from jaxrl.lm import Bytes
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "sums.jsonl"
      >>> line = '{"prompt": "1+%d=", "answer": "%d"}\n'
      >>> _ = path.write_text("".join(line % (n, n + 1) for n in range(8)))
      >>> read_questions(path, Bytes(), max_new_tokens=4, max_prompt_tokens=8).questions.shape
      (8, 4)

    Source: our own.
    """
    lines = enumerate(read_utf8(path).split("\n"), 1)  # other line breaks may stand within texts
    numbered = {number: _question(path, number, line, tokenizer) for number, line in lines if line.strip()}
    read, prompts = [row for row, _ in numbered.values()], [tokens for _, tokens in numbered.values()]
    if len(set(map(tuple, prompts))) < 2:
        raise ValueError(f"{path}: it has fewer than two different prompts; one is learned from, another held out")
    answers = [tokenizer.encode(row.get("answer", "")) for row in read]
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
    counted = np.arange(longest)[None] >= start[:, None]
    kept = np.asarray(is_held_out(jnp.asarray(questions), jnp.asarray(counted)))
    if kept.all() or not kept.any():  # of very few
        kept = np.array([prompt == prompts[0] for prompt in prompts])
    sampling = Sampling(max_new_tokens, tuple(tokenizer.stop_tokens), vocab_size=tokenizer.vocab_size)
    learned, held_out = (jnp.asarray(np.flatnonzero(which)) for which in (~kept, kept))
    arrays = (jnp.asarray(questions), jnp.asarray(start), jnp.asarray(expected), learned, held_out)
    without = [number for number, (row, _) in numbered.items() if "answer" not in row]
    unanswered = f"{path}, line {without[0]}: it has no answer; write one" if without else None
    unreachable = _unreachable(path, dict(zip(numbered, answers, strict=True)), sampling)
    about = Lines(str(Path(path).resolve()), digest_of(path), read, max_prompt_tokens, unanswered, unreachable)
    return Questions(*arrays, sampling, tokenizer, about)


def _unreachable(path: Path | str, answers: dict[int, list[int]], sampling: Sampling) -> str | None:
    """The line of the longest answer, if no completion can be it and a stop token, and what to do."""
    number, answer = max(answers.items(), key=lambda item: len(item[1]))
    where, longest = f"{path}, line {number}: its answer", sampling.max_new_tokens
    if not sampling.stop_tokens:
        return f"{where} cannot end, for the tokenizer has no stop token; take one that has"
    if len(answer) >= longest:
        return f"{where} of {len(answer)} tokens and a stop token exceed max_new_tokens={longest}; raise the number"
    return None


def _question(path: Path | str, number: int, line: str, tokenizer: Any) -> tuple[dict[str, Any], list[int]]:
    """What a line says, its prompt as a text; the prompt's tokens."""
    try:
        row = json.loads(line)
        prompt, answer = row["prompt"], row.get("answer", "")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        remedy = 'write {"prompt": "...", "answer": "..."}'
        raise ValueError(f"{path}, line {number}: it is no question; {remedy}") from error
    if isinstance(prompt, list) and not hasattr(tokenizer, "chat"):
        raise ValueError(f"{path}, line {number}: messages need the chat template of a model's tokenizer")
    encode = tokenizer.encode_prompt
    if isinstance(prompt, list):  # its template writes what begins a text
        prompt, encode = tokenizer.chat(prompt), tokenizer.encode
    if not isinstance(prompt, str) or not prompt or not isinstance(answer, str):
        raise ValueError(f"{path}, line {number}: prompt and answer must be texts, the prompt not an empty one")
    return row | {"prompt": prompt}, encode(prompt)
