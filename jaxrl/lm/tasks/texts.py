"""Texts of your own."""

import hashlib
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.lm.hf_settings import read_utf8
from jaxrl.lm.prompts import Text
from jaxrl.lm.tokenizers import Bytes, Tokenizer
from jaxrl.types import static


@flax.struct.dataclass
class Corpus:
    """Windows of one long text, for pretraining: every token of a window is predicted from those before it.

    Args:
      tokens: int `[n]`, n at least `length`.
      length: tokens of a window.
      tokenizer: of the text.
      path: of the file; None: it is of none.
      digest: of the file.

    Example:
      >>> Corpus(jnp.arange(100), length=8).corpus(jax.random.key(0), 3).tokens.shape
      (3, 8)

    Source: Radford et al. (2018), Improving Language Understanding by Generative Pre-Training.
    """

    tokens: jax.Array
    length: int = static(128, low=2)
    tokenizer: Tokenizer = static(Bytes())
    path: str | None = static(None)
    digest: str | None = static(None)

    @property
    def origin(self) -> tuple[str, dict[str, Any]] | None:
        """Name and options that `lm.tasks.make` makes it from, if file and tokenizer have names."""
        options = {"path": self.path, "tokenizer": self.tokenizer.name, "length": self.length}
        return ("text", options) if self.path and self.tokenizer.name else None

    def corpus(self, key: jax.Array, num_texts: int) -> Text:
        """Windows `[B, length]` from anywhere. The key is consumed."""
        _check_window("text", len(self.tokens), self.length)
        first = jax.random.randint(key, (num_texts, 1), 0, len(self.tokens) - self.length + 1)
        return Text(self.tokens[first + jnp.arange(self.length)[None]], 0, jnp.ones((num_texts, self.length), bool))


def read_text(path: Path | str, tokenizer: Tokenizer, length: int = 128) -> Corpus:
    """A file as a corpus.

    Args:
      path: of UTF-8 text.
      tokenizer: any.
      length: tokens of a window.

    Returns:
      The `Corpus`.

    Raises:
      ValueError: for a file that cannot be read, and for a text shorter than a window.

    Example:
      >>> read_text("nowhere.txt", Bytes())
      Traceback (most recent call last):
      ...
      ValueError: nowhere.txt: it cannot be read: No such file or directory; check the path

    Source: our own.
    """
    tokens = tokenizer.encode(read_utf8(path))
    _check_window(str(path), len(tokens), length)
    array = jnp.asarray(np.array(tokens, np.int32))  # of a long list NumPy makes one in a fraction of the time
    return Corpus(array, length, tokenizer, str(Path(path).resolve()), digest_of(path))


def digest_of(path: Path | str) -> str:
    """What tells a file from another one, or from itself after a change.

    Args:
      path: of the file.

    Returns:
      16 hexadecimal digits.

    Source: our own.
    """
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def _check_window(what: str, num_tokens: int, length: int) -> None:
    if num_tokens < length:
        raise ValueError(
            f"{what}: it has {num_tokens} tokens, fewer than a window of {length}; choose a smaller length"
        )
