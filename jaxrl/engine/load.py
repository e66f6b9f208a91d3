"""A finished run, found again."""

import dataclasses
from pathlib import Path
from typing import Any

from jaxrl import envs
from jaxrl.engine import describe
from jaxrl.engine.names import ALGORITHMS, CHOICES, resolve
from jaxrl.engine.session import restore


def load(directory: str | Path) -> tuple[Any, Any]:
    """Algorithm and last saved state of a run directory.

    Works for every run of the command line, and for one made in Python whose environment came from `jaxrl.envs.make`
    and whose functions and networks have names. Others: `jaxrl.fit(algorithm, resume=directory)`.

    Args:
      directory: of the run.

    Returns:
      The algorithm and its state; with several seeds the state has a first axis `[K]`.

    Raises:
      ValueError: if there is no run, no save, or a field without a name.
    """
    directory = Path(directory)
    saved = describe.read(directory)
    algorithm = rebuild(saved)
    content, _ = restore(algorithm, directory, saved)
    return algorithm, content["state"]


def rebuild(saved: dict[str, Any]) -> Any:
    """The algorithm that a `config.json` describes.

    Raises:
      ValueError: for a field that has no name to find it by.
    """
    algorithm_class = resolve("algorithm", saved["algorithm"], ALGORITHMS)
    described = dict(saved["fields"])
    env = described.pop("env")
    if not isinstance(env, dict):
        raise ValueError(
            f"env: {env} was not made by jaxrl.envs.make, so it has no name to make it again by; "
            "use jaxrl.fit(algorithm, resume=...) with the algorithm itself"
        )
    del described["env_params"]
    options = {key: tuple(v) if isinstance(v, list) else v for key, v in env["options"].items()}
    fields = {field.name: field for field in dataclasses.fields(algorithm_class)}
    values = {name: _field(fields[name], value) for name, value in described.items() if name in fields}
    return algorithm_class(*envs.make(env["name"], **options), **values)


def _field(field: Any, value: Any) -> Any:
    if isinstance(value, dict):
        raise ValueError(
            f"{field.name}: arrays and networks are not in config.json; "
            "use jaxrl.fit(algorithm, resume=...) with the algorithm itself"
        )
    if isinstance(value, list):
        return tuple(value)
    if field.type is float and isinstance(value, str):
        return float(value)
    if isinstance(value, str) and field.type is not str:
        return resolve(field.name, value, CHOICES.get(field.name, {}))
    return value
