"""A finished run, found again."""

from pathlib import Path
from typing import Any

from jaxrl import envs
from jaxrl.engine import describe
from jaxrl.engine.names import ALGORITHMS, CHOICES, resolve
from jaxrl.engine.session import restore
from jaxrl.types import field_types


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
      ImportError: without the package of the suite that its environment is of, with the command that installs it.

    Example:
      >>> import jax, jaxrl, tempfile
      >>> ppo = jaxrl.PPO(*jaxrl.envs.make("CartPole-v1"), num_envs=4, num_steps=8, num_minibatches=2)
      >>> with tempfile.TemporaryDirectory() as directory:
      ...     _ = jaxrl.fit(ppo, jax.random.key(0), 2, out=f"{directory}/run", loggers=[])
      ...     loaded, state = load(f"{directory}/run")
      >>> loaded.num_envs, int(state.num_updates)
      (4, 2)

    Source: our own.
    """
    algorithm, content = load_content(Path(directory))
    return algorithm, content["state"]


def load_content(directory: Path) -> tuple[Any, dict[str, Any]]:
    """Algorithm of a run directory, and all that its last save holds: `state`, `alive` and keys.

    Raises:
      ValueError: as `load`.
    """
    saved = describe.read(directory)
    algorithm = rebuild(saved)
    describe.check_same(algorithm, saved)  # parameters of the environment that have no name
    return algorithm, restore(algorithm, directory, saved)[0]


def rebuild(saved: dict[str, Any]) -> Any:
    """The algorithm that a `config.json` describes.

    Raises:
      ValueError: for a field that has no name to find it by.
    """
    algorithm_class = resolve("algorithm", saved["algorithm"], ALGORITHMS)
    name, options = describe.environment(saved)
    types = field_types(algorithm_class)
    values = {
        field: _field(field, types[field], value)
        for field, value in saved["fields"].items()
        if field in types and field not in ("env", "env_params")
    }
    return algorithm_class(*envs.make(name, **options), **values)


def _field(name: str, kind: Any, value: Any) -> Any:
    if isinstance(value, dict):
        raise ValueError(
            f"{name}: arrays, and functions and networks without a name, are not in config.json; "
            "use jaxrl.fit(algorithm, resume=...) with the algorithm itself"
        )
    if isinstance(value, str) and kind not in (str, float):
        return resolve(name, value, CHOICES.get(name, {}))
    return describe.decode(kind, value)
