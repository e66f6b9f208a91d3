"""Tasks by name, for the command line and for saved runs."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jaxrl.envs.catalog import nearest
from jaxrl.lm.tasks.addition import Addition
from jaxrl.lm.tasks.countdown import Countdown
from jaxrl.lm.tasks.parity import Parity
from jaxrl.lm.tasks.questions import read_questions
from jaxrl.lm.tasks.strings import Strings, reversed_letters, sorted_letters
from jaxrl.lm.tasks.texts import read_text
from jaxrl.lm.tokenizers import Bytes, HuggingFace, Tokenizer
from jaxrl.ranges import check_fields


def sorting(longest: int = 8, shortest: int = 1, slip: float = 0.0) -> Strings:
    """Strings to put in order: `Strings` with `sorted_letters`.

    Args:
      longest: letters of a string at most.
      shortest: letters at least.
      slip: probability that the teacher replaces a letter.

    Returns:
      The task.

    Raises:
      ValueError: if `shortest` is more than `longest`.

    Example:
      >>> sorting(4).longest
      4

    Source: as `Strings`.
    """
    return Strings(longest, shortest, sorted_letters, slip)


def reversal(longest: int = 8, shortest: int = 1, slip: float = 0.0) -> Strings:
    """Strings to reverse: `Strings`. Arguments and errors are as of `sorting`.

    Example:
      >>> reversal(4).longest
      4

    Source: as `Strings`.
    """
    return Strings(longest, shortest, slip=slip)


def text(path: str, tokenizer: str = "bytes", length: int = 128) -> Any:
    """A file to pretrain on: `read_text`, with a tokenizer by name.

    Args:
      path: of the file.
      tokenizer: as `tokenizer_of`.
      length: tokens of a window.

    Returns:
      The `Corpus`.

    Raises:
      ValueError: as `read_text`.

    Source: our own.
    """
    return read_text(path, tokenizer_of(tokenizer), length)


def questions(path: str, tokenizer: str = "bytes", max_new_tokens: int = 64, max_prompt_tokens: int = 256) -> Any:
    """A file of questions: `read_questions`, with a tokenizer by name.

    Args:
      path: of the file.
      tokenizer: as `tokenizer_of`.
      max_new_tokens: T, longest completion.
      max_prompt_tokens: L, longest prompt.

    Returns:
      The `Questions`.

    Raises:
      ValueError: as `read_questions`.

    Source: our own.
    """
    return read_questions(path, tokenizer_of(tokenizer), max_new_tokens, max_prompt_tokens)


TASKS: Mapping[str, Callable[..., Any]] = {
    "parity": Parity,
    "addition": Addition,
    "countdown": Countdown,
    "reversal": reversal,
    "sorting": sorting,
    "text": text,
    "questions": questions,
}
"""What makes a task, by name; `text` and `questions` need `path`."""


def make(name: str, **options: Any) -> Any:
    """A task by name.

    Args:
      name: of `TASKS`.
      **options: of what makes it.

    Returns:
      The task.

    Raises:
      ValueError: for an unknown name or option, with those that there are, and for a value of another kind or out of
        its range.

    Example:
      >>> make("parity", num_bits=4).num_bits
      4

    Source: our own.
    """
    if name not in TASKS:
        raise ValueError(f"task: unknown task {name!r}; {nearest(name, list(TASKS))}")
    known = inspect.signature(TASKS[name]).parameters
    for key in options:
        if key not in known:
            raise ValueError(f"task.{key}: {name} has no such option; there are: {', '.join(known)}")
    try:
        task = TASKS[name](**options)
        check_fields(task, "task.")
    except TypeError as error:  # one that it cannot do without, or a value of another kind
        raise ValueError(f"task: {name} cannot be made: {error}") from error
    return task


def origin(task: Any) -> tuple[str, dict[str, Any]] | None:
    """Name and options that `make` makes an equal task from; None for a task of your own.

    Args:
      task: any.

    Returns:
      The pair.

    Example:
      >>> origin(make("sorting", longest=4))
      ('sorting', {'longest': 4, 'shortest': 1, 'slip': 0.0})

    Source: our own.
    """
    if hasattr(task, "origin"):
        return task.origin
    if type(task) not in (Addition, Countdown, Parity, Strings):
        return None
    options = {field.name: getattr(task, field.name) for field in dataclasses.fields(task)}
    rules = {sorted_letters: "sorting", reversed_letters: "reversal", None: type(task).__name__.lower()}
    rule = options.pop("rule", None)
    return (rules[rule], options) if rule in rules else None


def tokenizer_of(name: str) -> Tokenizer:
    """A tokenizer by name.

    Args:
      name: `bytes`, or a directory in the Hugging Face layout.

    Returns:
      The tokenizer.

    Example:
      >>> tokenizer_of("bytes").vocab_size
      257

    Source: our own.
    """
    return Bytes() if name == "bytes" else HuggingFace(name)
