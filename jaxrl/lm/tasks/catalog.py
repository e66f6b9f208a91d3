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


def sorting(longest: int = 8, shortest: int = 1, slip: float = 0.0) -> Strings:
    """Strings to put in order: `Strings` with `sorted_letters`."""
    return Strings(longest, shortest, sorted_letters, slip)


def reversal(longest: int = 8, shortest: int = 1, slip: float = 0.0) -> Strings:
    """Strings to reverse: `Strings`."""
    return Strings(longest, shortest, slip=slip)


def text(path: str, tokenizer: str = "bytes", length: int = 128) -> Any:
    """A file to pretrain on: `read_text`, with a tokenizer by name."""
    return read_text(path, tokenizer_of(tokenizer), length)


def questions(path: str, tokenizer: str = "bytes", max_new_tokens: int = 64, max_prompt_tokens: int = 256) -> Any:
    """A file of questions: `read_questions`, with a tokenizer by name."""
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

    Raises:
      ValueError: for an unknown name or option, with those that there are, and for a value that does not fit.

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
        return TASKS[name](**options)
    except TypeError as error:  # one that it cannot do without
        raise ValueError(f"task: {name} cannot be made: {error}") from error


def origin(task: Any) -> tuple[str, dict[str, Any]] | None:
    """Name and options that `make` makes an equal task from; None for a task of your own.

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
    """A tokenizer by name: `bytes`, or a directory in the Hugging Face layout."""
    return Bytes() if name == "bytes" else HuggingFace(name)
