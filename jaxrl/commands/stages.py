"""The stages of a language model's training on the command line: what comes before a run, and what it leaves."""

from pathlib import Path
from typing import Any


def pretraining_directory(directory: Path) -> Path:
    """Where the pretraining of a run stands: beside it."""
    directory = directory.resolve()
    return directory.with_name(f"{directory.name}-pretraining")


def try_all(setup: Any, directory: Path) -> None:
    """Refuse, before a long pretraining, what would be refused after it.

    Args:
      setup: of the command.
      directory: of the run.

    Raises:
      ValueError: for a directory that is not free, for what does not fit the context, and for rewards that are none.
    """
    import jax

    from jaxrl.engine import describe
    from jaxrl.engine.check import is_judged
    from jaxrl.engine.rewarding import try_reward

    if setup.pretraining is None:
        return
    algorithm = setup.algorithm
    if is_judged(algorithm):
        try_reward(algorithm)
    jax.eval_shape(lambda key: algorithm.update(algorithm.init(key), key), jax.random.key(0))
    before = pretraining_directory(directory)
    there = before.exists()
    describe.new_directory(before)
    try:
        describe.new_directory(directory)
    except ValueError:
        if not there:
            before.rmdir()
        raise


def begin_with(algorithm: Any, params: Any) -> Any:
    """The algorithm with another starting point, which is its reference too if it has one.

    Args:
      algorithm: of a language model.
      params: of its model.
    """
    held = getattr(algorithm, "reference_params", None)
    return algorithm.replace(params=params, **({} if held is None else {"reference_params": params}))


def write_model(algorithm: Any, result: Any, source: Path | None, directory: Path) -> None:
    """Write what a run learned in the Hugging Face layout, if its model came in it; adapters are merged, and beside it.

    Args:
      algorithm: that was trained.
      result: of `fit`; of several seeds the first that is alive is written.
      source: directory of the model that the run began with.
      directory: of the run.
    """
    import jax
    import numpy as np

    from jaxrl import lm

    if source is None or (source / "checkpoints").is_dir():
        return
    params, model = result.state.params, algorithm.model
    if np.ndim(result.alive):
        params = jax.tree.map(lambda x: x[int(np.argmax(result.alive))], params)
    written, adapters = (directory / f"{name}-{result.num_updates}" for name in ("model", "adapters"))
    if isinstance(model, lm.LoRA) and not adapters.exists():
        lm.save_adapters(adapters, model, params, base=str(source))
    if not written.exists():
        lm.save(written, model, params, like=source)
    print(f"written: {written} (the model in the Hugging Face layout)")
