"""From text to tokens and back."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol


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
        settings = [directory / name for name in ("tokenizer_config.json", "generation_config.json", "config.json")]
        read = [read_json(path) for path in settings if path.is_file()]
        template = directory / "chat_template.jinja"
        named = [one["chat_template"] for one in read if isinstance(one.get("chat_template"), str)]
        self._template = template.read_text() if template.is_file() else next(iter(named), None)
        self._special = {key: value for one in read for key, value in one.items() if key.endswith("_token")}
        self.stop_tokens: tuple[int, ...] = self._stops(read)

    @property
    def vocab_size(self) -> int:
        """V, number of tokens, added ones included."""
        return self._tokenizer.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """Tokens of a text, without special ones that it does not contain."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, tokens: Iterable[int]) -> str:
        """Text of tokens, without special ones."""
        return self._tokenizer.decode(list(tokens), skip_special_tokens=True)

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        """A conversation as the model was trained to read it, ready for its next answer.

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
        special = {name: _content(value) for name, value in self._special.items()}
        try:
            return environment.from_string(self._template).render(
                messages=messages, add_generation_prompt=True, **special
            )
        except TemplateError as error:
            raise ValueError(f"the chat template cannot be applied: {error}") from error

    def _stops(self, read: Sequence[dict[str, Any]]) -> tuple[int, ...]:
        """Ids that end a text, by every file that knows some; first the tokenizer's own, which answers are given."""
        found: list[int] = []
        for settings in read:
            token = _content(settings.get("eos_token"))
            if isinstance(token, str) and (number := self._tokenizer.token_to_id(token)) is not None:
                found.append(number)
        for settings in read:
            ids = settings.get("eos_token_id")
            found += ids if isinstance(ids, list) else [] if ids is None else [ids]
        return tuple(dict.fromkeys(found))


def read_json(path: Path) -> dict[str, Any]:
    """What a file of settings says.

    Args:
      path: of the file.

    Raises:
      ValueError: if it is no table in JSON, naming the file.

    Source: our own.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: it is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: it is no table of settings")
    return found


def _content(token: Any) -> Any:
    """A special token, which some files describe instead of naming it."""
    return token["content"] if isinstance(token, dict) else token


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
