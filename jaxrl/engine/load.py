"""A finished run, found again."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import envs
from jaxrl.engine import describe, recipes
from jaxrl.engine.names import ALGORITHMS, CHOICES, resolve
from jaxrl.engine.session import restore
from jaxrl.types import field_types

PARTS_OF_LANGUAGE = ("task", "model", "sampling", "params", "reference_params")
"""Fields of a learner of language models that are no plain values; parameters to begin with are in no config.json."""


def load(directory: str | Path) -> tuple[Any, Any]:
    """Algorithm and last saved state of a run directory.

    Works for every run of the command line, and for one made in Python whose environment came from `jaxrl.envs.make`
    and whose functions and networks have names. Others: `jaxrl.fit(algorithm, resume=directory)`. A learner of a
    language model comes with what the run learned (of several seeds the first alive) as its starting point, and without
    a reference.

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
    if not hasattr(algorithm, "task"):
        describe.check_same(algorithm, saved)  # parameters of the environment that have no name
        return algorithm, restore(algorithm, directory, saved)[0]
    content = restore(algorithm, directory, saved)[0]
    learned = content["state"].params
    if saved["key_shape"]:
        learned = jax.tree.map(lambda x: x[int(np.argmax(content["alive"]))], learned)
    return algorithm.replace(params=learned), content


def rebuild(saved: dict[str, Any]) -> Any:
    """The algorithm that a `config.json` describes.

    Raises:
      ValueError: for a field that has no name to find it by.
    """
    algorithm_class = resolve("algorithm", saved["algorithm"], ALGORITHMS)
    types = field_types(algorithm_class)
    parts = PARTS_OF_LANGUAGE if "task" in types else ("env", "env_params")
    values = {
        field: _field(field, types[field], value)
        for field, value in saved["fields"].items()
        if field in types and field not in parts
    }
    if "task" in types:
        task, model = language_of(saved["fields"])
        if saved["fields"]["params"] is not None:
            values["params"] = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 1), jnp.int32))
        return algorithm_class(task, model, **values, **recipes.sampling_fields(saved["fields"]))
    name, options = describe.environment(saved)
    return algorithm_class(*envs.make(name, **options), **values)


def language_of(fields: dict[str, Any]) -> tuple[Any, Any]:
    """Task and model of a run's fields.

    Raises:
      ValueError: for a task or model without a name.
    """
    for name in ("task", "model"):
        if not isinstance(fields[name], dict) or not {"name", "transformer"} & fields[name].keys():
            raise ValueError(
                f"{name}: {fields[name]} has no name to make it again by; use jaxrl.fit(algorithm, resume=...) with "
                "the algorithm itself"
            )
    return recipes.task_of(fields["task"]), recipes.model_of(fields["model"])


def _field(name: str, kind: Any, value: Any) -> Any:
    if isinstance(value, dict):
        raise ValueError(
            f"{name}: arrays, and functions and networks without a name, are not in config.json; "
            "use jaxrl.fit(algorithm, resume=...) with the algorithm itself"
        )
    if isinstance(value, str) and kind not in (str, float):
        return resolve(name, value, CHOICES.get(name, {}))
    return describe.decode(kind, value)
