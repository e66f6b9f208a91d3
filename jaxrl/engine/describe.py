"""An algorithm in words: what `config.json` holds, so that a run can be checked and found again."""

import dataclasses
import functools
import hashlib
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxrl import envs
from jaxrl.engine import recipes
from jaxrl.engine.checkpoint import write_json
from jaxrl.engine.names import ALGORITHMS, CHOICES, full_name, name_of
from jaxrl.types import field_types, first_steps, steps_per_update

CONFIG = "config.json"


def describe(algorithm: Any) -> dict[str, Any]:
    """Algorithm and fields as JSON: numbers as they are, functions and environments by name, arrays by digest."""
    fields = {field.name: _value(field.name, getattr(algorithm, field.name)) for field in dataclasses.fields(algorithm)}
    name = name_of(type(algorithm), ALGORITHMS) or full_name(type(algorithm))
    steps = {"first_steps": first_steps(algorithm), "steps_per_update": steps_per_update(algorithm)}
    return {"algorithm": name, **steps, "fields": fields}


def new_directory(directory: Path) -> Path:
    """Create the directory of a new run.

    Raises:
      ValueError: if it holds anything but a run that was killed before its first save.
    """
    if directory.is_file():
        raise ValueError(f"out={directory} is a file; choose another directory")
    if _never_began(directory):
        return directory  # nothing is lost
    try:
        directory.mkdir(parents=True, exist_ok=True)
        held = any(directory.iterdir())
    except OSError as error:
        raise ValueError(f"out={directory} cannot be made: {error.strerror}; choose another directory") from None
    if held:
        what = "another run" if (directory / CONFIG).exists() else "other files"
        raise ValueError(f"out={directory} holds {what}; choose another directory, or resume it to go on")
    if not os.access(directory, os.W_OK):
        raise ValueError(f"out={directory} cannot be written to; choose another directory")
    return directory


def _never_began(directory: Path) -> bool:
    """Whether the directory holds a run without a save and without a record."""
    try:
        read(directory)
    except ValueError:
        return False
    metrics = directory / "metrics.jsonl"
    saved = any(save.name.isdigit() for save in (directory / "checkpoints").glob("*"))
    return not saved and not (metrics.exists() and metrics.stat().st_size)


def write(directory: Path, algorithm: Any, extra: dict[str, Any]) -> None:
    """Write the run's `config.json`."""
    write_json(directory / CONFIG, describe(algorithm) | extra)


def read(directory: Path) -> dict[str, Any]:
    """The run's `config.json`.

    Raises:
      ValueError: if the directory holds no run.
    """
    try:
        saved = json.loads((directory / CONFIG).read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{directory} holds no run: there is no {CONFIG}; check the path") from None
    except json.JSONDecodeError:
        saved = None
    if not isinstance(saved, dict) or not {"algorithm", "fields", "num_updates", "key_shape"} <= set(saved):
        raise ValueError(f"{directory} holds no run: its {CONFIG} is of something else; check the path")
    return saved


def check_same(algorithm: Any, saved: dict[str, Any]) -> None:
    """Refuse to go on with another algorithm or other values.

    Raises:
      ValueError: naming the field.
    """
    now = describe(algorithm)
    if now["algorithm"] != saved["algorithm"]:
        raise ValueError(f"algorithm: the save is of {saved['algorithm']}, not of {now['algorithm']}")
    for name, value in now["fields"].items():
        if value != saved["fields"].get(name):
            raise ValueError(
                f"{name}: the save was made with {saved['fields'].get(name)}, not with {value}; resume with the "
                "saved value, or start a new run"
            )


def flag_defaults(algorithm_class: Any, saved: dict[str, Any]) -> dict[str, Any]:
    """What the command line's flags begin with when a run is resumed: the saved fields and options."""
    types = field_types(algorithm_class)
    values = {name: decode(types.get(name), value) for name, value in saved["fields"].items()}
    options = {name: saved[name] for name in ("evaluate_every", "save_every") if name in saved}
    total_steps = saved["first_steps"] + saved["num_updates"] * saved["steps_per_update"]
    return values | options | {"total_steps": total_steps, "seeds": (saved["key_shape"] or [1])[0]}


def environment(saved: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and options of the saved run's environment.

    Raises:
      ValueError: if it was not made by `jaxrl.envs.make`.
    """
    env = saved["fields"].get("env")
    if not isinstance(env, dict) or "name" not in env:
        what = env["unnamed"] if isinstance(env, dict) and "unnamed" in env else env
        raise ValueError(
            f"env: {what or 'this algorithm'} was not made by jaxrl.envs.make, so it has no name to make it again by; "
            "use jaxrl.fit(algorithm, resume=...) with the algorithm itself"
        )
    return env["name"], {key: decode(None, option) for key, option in env["options"].items()}


def decode(kind: Any, value: Any) -> Any:
    """A saved value as Python has it: lists are tuples, and the words inf, -inf and nan are floats."""
    if isinstance(value, list):
        return tuple(decode(None, item) for item in value)
    return float(value) if kind is float and isinstance(value, str) else value


def _value(name: str, value: Any) -> Any:
    if isinstance(value, np.generic) or (isinstance(value, jax.Array) and value.ndim == 0):
        value = np.asarray(value).item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, tuple | list):
        return [_value(name, item) for item in value]
    if name in ("task", "model", "sampling") and (words := recipes.in_words(name, value)) is not None:
        return words
    origin = envs.origin(value)
    if origin is not None:
        env, options = origin
        return {"name": env, "options": {key: _value(key, option) for key, option in options.items()}}
    leaves, structure = jax.tree.flatten(value)
    numbers = all(isinstance(leaf, bool | int | float | np.ndarray | np.generic | jax.Array) for leaf in leaves)
    if callable(value) or not leaves or not numbers:  # functions, networks, an environment that the user made
        return name_of(value, CHOICES.get(name, {})) or {"unnamed": _unnamed(value)}
    digest = hashlib.sha256(str(structure).encode())
    for leaf in leaves:
        digest.update(np.asarray(leaf).tobytes())
    return {"sha256": digest.hexdigest()[:16]}


def _unnamed(value: Any) -> str:
    """A description that another process gives again; no address in memory."""
    if isinstance(value, functools.partial):
        parts = [_unnamed(value.func), *map(repr, value.args), *(f"{k}={v!r}" for k, v in value.keywords.items())]
        return f"partial({', '.join(parts)})"
    if hasattr(value, "scope") or dataclasses.is_dataclass(value):  # a linen module tells its fields
        return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
    if _is_environment(value):
        return f"{full_name(value)}({ {name: _value(name, field) for name, field in _fields(value).items()} })"
    return full_name(value)


def _is_environment(value: Any) -> bool:
    return all(hasattr(value, name) for name in ("reset", "step", "__dict__")) and not isinstance(value, type)


def _fields(env: Any) -> dict[str, Any]:
    """What tells an environment from others of its class: all fields of a wrapper of ours, simple ones of others."""
    if isinstance(env, envs.wrappers.Wrapper):
        return vars(env)
    simple = {
        name: field
        for name, field in vars(env).items()
        if isinstance(field, bool | int | float | str) or _is_environment(field)
    }
    name = getattr(env, "name", None)
    return simple | ({"name": name} if isinstance(name, str) else {})
