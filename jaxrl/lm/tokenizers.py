"""From text to tokens and back."""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from jaxrl.lm.hf_settings import end_ids, read_json, read_utf8, special_tokens


class Tokenizer(Protocol):
    """What every tokenizer can do."""

    @property
    def name(self) -> str:
        """By which `lm.tasks.tokenizer_of` finds it again, `bytes` or a directory; an empty one if it does not."""
        ...

    @property
    def vocab_size(self) -> int:
        """V, number of tokens."""
        ...

    @property
    def stop_tokens(self) -> tuple[int, ...]:
        """Tokens that end a text."""
        ...

    def encode(self, text: str) -> list[int]:
        """Tokens of a text, without a stop token."""
        ...

    def encode_prompt(self, text: str) -> list[int]:
        """Tokens of a text that a completion follows, and before them what all texts of the model begin with."""
        ...

    def decode(self, tokens: Iterable[int]) -> str:
        """Text of tokens; those that end a text say nothing."""
        ...


@dataclasses.dataclass(frozen=True)
class Characters:
    """One token per character of an alphabet.

    Args:
      alphabet: its characters; the first one pads.
      end: the character that ends a text.

    Example:
      >>> tokens = Characters(".abc;").encode("cab;")
      >>> tokens, Characters(".abc;").decode(tokens)
      ([3, 1, 2, 4], 'cab;')

    Source: our own.
    """

    alphabet: str
    end: str = ";"

    @property
    def name(self) -> str:
        """An empty one: it belongs to its task."""
        return ""

    @property
    def vocab_size(self) -> int:
        """V, number of characters."""
        return len(self.alphabet)

    @property
    def stop_tokens(self) -> tuple[int, ...]:
        """The end's token."""
        return (self.alphabet.index(self.end),)

    def encode(self, text: str) -> list[int]:
        """Tokens of a text.

        Raises:
          ValueError: for a character that the alphabet lacks, naming it.
        """
        if unknown := sorted(set(text) - set(self.alphabet)):
            raise ValueError(f"text: {unknown[0]!r} is not in the alphabet {self.alphabet!r}")
        return [self.alphabet.index(character) for character in text]

    def encode_prompt(self, text: str) -> list[int]:
        """As `encode`: nothing stands before a text."""
        return self.encode(text)

    def decode(self, tokens: Iterable[int]) -> str:
        """Text of tokens, the end included; those that a model has to spare say nothing."""
        return "".join(self.alphabet[token] for token in tokens if token < len(self.alphabet))


@dataclasses.dataclass(frozen=True)
class Bytes:
    """One token per byte of UTF-8, and one that ends a text.

    Example:
      >>> Bytes().encode("hé"), Bytes().decode([104, 195, 169, 256])
      ([104, 195, 169], 'hé')

    Source: Xue et al. (2022), ByT5, arXiv:2105.13626.
    """

    name: str = "bytes"
    vocab_size: int = 257
    stop_tokens: tuple[int, ...] = (256,)

    def encode(self, text: str) -> list[int]:
        """Tokens of a text."""
        return list(text.encode())

    def encode_prompt(self, text: str) -> list[int]:
        """As `encode`: nothing stands before a text."""
        return self.encode(text)

    def decode(self, tokens: Iterable[int]) -> str:
        """Text of tokens; bytes that are no UTF-8 become replacement characters."""
        return bytes(token for token in tokens if token < 256).decode(errors="replace")


class HuggingFace:
    """The tokenizer of a directory in the Hugging Face layout, and its chat template.

    Args:
      directory: with `tokenizer.json`, and `tokenizer_config.json` or `chat_template.jinja`.

    Raises:
      ModuleNotFoundError: without the extra `hf`.
      FileNotFoundError: without `tokenizer.json`.
      ValueError: for a damaged file, naming it.

    Source: the tokenizers library.
    """

    def __init__(self, directory: Path | str) -> None:
        try:
            from tokenizers import Tokenizer as Library
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("tokenizer.json needs the extra hf: pip install 'jaxrl[hf]'") from error
        directory = Path(directory)
        if not (directory / "tokenizer.json").is_file():
            raise FileNotFoundError(f"{directory / 'tokenizer.json'}: there is no such file")
        self.name = str(directory.resolve())
        library: Any = Library  # written in Rust, without types
        try:
            self._tokenizer = library.from_file(str(directory / "tokenizer.json"))
        except Exception as error:  # the library raises nothing more special
            raise ValueError(f"{directory / 'tokenizer.json'}: it is damaged: {error}") from error
        self._tokenizer.no_padding()  # some files say how those of a training were cut and filled up
        self._tokenizer.no_truncation()
        self._begin = self._begins()
        files = [directory / name for name in ("tokenizer_config.json", "generation_config.json", "config.json")]
        read = {path: read_json(path) for path in files if path.is_file()}
        template = directory / "chat_template.jinja"
        named = [one["chat_template"] for one in read.values() if isinstance(one.get("chat_template"), str)]
        self._template = read_utf8(template) if template.is_file() else next(iter(named), None)
        special = [special_tokens(path, one) for path, one in read.items()]
        self._special = {name: token for tokens in special for name, token in tokens.items()}
        ends = [self._tokenizer.token_to_id(tokens["eos_token"]) for tokens in special if "eos_token" in tokens]
        found = [end for end in ends if end is not None]  # the tokenizer's own comes first, which answers are given
        found += [end for path, one in read.items() for end in end_ids(path, one)]
        self.stop_tokens: tuple[int, ...] = tuple(dict.fromkeys(found))

    @property
    def vocab_size(self) -> int:
        """V, number of tokens, added ones included."""
        return self._tokenizer.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """Tokens of a text, without special ones that it does not contain."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def encode_prompt(self, text: str) -> list[int]:
        """Tokens of a text behind what `tokenizer.json` begins texts with, as `<|begin_of_text|>`.

        It stands there once: a text that has it already gets no second one.
        """
        tokens = self.encode(text)
        return tokens if tokens[: len(self._begin)] == self._begin else [*self._begin, *tokens]

    def decode(self, tokens: Iterable[int]) -> str:
        """Text of tokens, without special ones."""
        return self._tokenizer.decode(list(tokens), skip_special_tokens=True)

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        """A conversation as the model was trained to read it, ready for its next answer; `encode` gives its tokens.

        Args:
          messages: `role` and `content` of each.

        Raises:
          ValueError: without a chat template, or if it refuses the messages.
        """
        if self._template is None:
            raise ValueError("the tokenizer has no chat template; give the prompt as plain text")
        from jinja2.exceptions import TemplateError  # pyright: ignore[reportMissingImports]
        from jinja2.sandbox import ImmutableSandboxedEnvironment  # pyright: ignore[reportMissingImports]

        def refuse(message: str) -> None:
            raise ValueError(f"messages: {message}")

        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = refuse
        try:
            return environment.from_string(self._template).render(
                messages=messages, add_generation_prompt=True, **self._special
            )
        except (TemplateError, TypeError) as error:
            raise ValueError(f"the chat template cannot be applied: {error}") from error

    def _begins(self) -> list[int]:
        """Tokens that the post-processor writes before a text."""
        encoded = self._tokenizer.encode("a", add_special_tokens=True)
        added = list(
            itertools.takewhile(lambda pair: pair[1], zip(encoded.ids, encoded.special_tokens_mask, strict=True))
        )
        return [token for token, _ in added]


def check_vocabulary(tokenizer: Tokenizer, vocab_size: int) -> None:
    """Refuse a tokenizer that has tokens which the model lacks; a model may have some to spare.

    Args:
      tokenizer: any.
      vocab_size: of the model.

    Raises:
      ValueError: naming both sizes.

    Example:
      >>> check_vocabulary(Bytes(), 100)
      Traceback (most recent call last):
      ...
      ValueError: the tokenizer has 257 tokens and the model 100; they are not of one checkpoint
    """
    if tokenizer.vocab_size > vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.vocab_size} tokens and the model {vocab_size}; "
            "they are not of one checkpoint"
        )
