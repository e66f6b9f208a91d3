"""Files of settings in a checkpoint, and what settings must be."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

INTEGERS = (
    "vocab_size",
    "n_embd",
    "n_layer",
    "n_head",
    "n_inner",
    "n_positions",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "max_position_embeddings",
    "original_max_position_embeddings",
)
EPSILONS = ("layer_norm_epsilon", "rms_norm_eps")
NUMBERS = ("rope_theta", "factor", "low_freq_factor", "high_freq_factor")
SWITCHES = ("tie_word_embeddings", "attention_bias", "mlp_bias", "use_sliding_window")


def is_integer(value: Any) -> bool:
    """Whether a value is a whole number: `true` is none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number: `true` is none."""
    return is_integer(value) or (isinstance(value, float | np.floating) and math.isfinite(value))


KINDS: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
    (INTEGERS, lambda x: is_integer(x) and x > 0, "a positive integer"),
    (EPSILONS, lambda x: is_number(x) and x >= 0, "a number, at least 0"),
    (NUMBERS, lambda x: is_number(x) and x > 0, "a positive number"),
    (SWITCHES, lambda x: isinstance(x, bool), "true or false"),
    (("activation_function", "hidden_act"), lambda x: isinstance(x, str), "a name"),
    (("rope_parameters", "rope_scaling"), lambda x: isinstance(x, dict), "a table"),
)


def checked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that are what they must be; those that are null are as if they were not there.

    Args:
      settings: of a model, or of its rotary positions.

    Raises:
      ValueError: for one that is not, naming it.

    Example:
      >>> checked({"vocab_size": "many"})
      Traceback (most recent call last):
      ...
      ValueError: vocab_size='many' must be a positive integer

    Source: our own.
    """
    found = {name: value for name, value in settings.items() if value is not None}
    for names, fits, what in KINDS:
        for name in names:
            if name in found and not fits(found[name]):
                raise ValueError(f"{name}={found[name]!r} must be {what}")
    return found


def read_json(path: Path) -> dict[str, Any]:
    """What a file of settings says.

    Args:
      path: of the file.

    Raises:
      ValueError: if it is no table in JSON, naming the file.

    Source: our own.
    """
    text = read_utf8(path)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: it is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: it is no table of settings")
    return found


def read_utf8(path: Path | str) -> str:
    """Text of a file.

    Args:
      path: of the file.

    Returns:
      The text.

    Raises:
      ValueError: if it cannot be read, or is no UTF-8.

    Source: our own.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path}: it cannot be read: {error.strerror}; check the path") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: it is no UTF-8 text") from None


def special_tokens(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that are tokens, by name; some files describe tokens instead of naming them.

    Args:
      path: of the file, for a message.
      settings: what it says.

    Raises:
      ValueError: if what begins or ends a text is no text itself, naming the file.

    Example:
      >>> special_tokens(Path("tokenizer_config.json"), {"eos_token": {"content": "</s>"}, "model_max_length": 8})
      {'eos_token': '</s>'}

    Source: the tokenizer configurations of the transformers library.
    """
    found = {}
    for name, value in settings.items():
        token = value.get("content", value) if isinstance(value, dict) else value
        if name in ("bos_token", "eos_token") and not isinstance(token, str | None):
            raise ValueError(f"{path}: {name}={value!r} must be a token's text")
        if name.endswith("_token") and token is not None:
            found[name] = token
    return found


def end_ids(path: Path, settings: Mapping[str, Any]) -> list[int]:
    """Tokens that end a text.

    Args:
      path: of the file, for a message.
      settings: what it says.

    Raises:
      ValueError: if they are no integers, naming the file.

    Example:
      >>> end_ids(Path("config.json"), {"eos_token_id": [3, 5]}), end_ids(Path("config.json"), {"eos_token_id": 3})
      ([3, 5], [3])

    Source: the configuration classes of the transformers library.
    """
    value = settings.get("eos_token_id")
    ids = value if isinstance(value, list) else [] if value is None else [value]
    if not all(is_integer(number) for number in ids):
        raise ValueError(f"{path}: eos_token_id={value!r} must be an integer, or a list of them")
    return ids
