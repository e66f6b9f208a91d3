"""A run on the host: what it holds, where it is saved, how it is found again."""

import dataclasses
import functools
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.engine import describe
from jaxrl.engine.checkpoint import Checkpoints, write_json
from jaxrl.engine.programs import initialize, split_keys


@dataclasses.dataclass
class Run:
    """What a save holds, where it goes, and the time spent."""

    given_key: np.ndarray
    """Data of the key that the run was given: a resume with another key is refused."""
    run_key: jax.Array
    num_updates: int
    state: Any
    alive: jax.Array
    directory: Path | None
    checkpoints: Checkpoints | None
    compile_seconds: float = 0.0
    run_seconds: float = 0.0

    @property
    def content(self) -> dict[str, Any]:
        """What a save holds."""
        return {
            "state": self.state,
            "alive": self.alive,
            "run_key": self.run_key,
            "given_key": self.given_key,
        }

    def save(self, update: int) -> None:
        """Save unless this update is saved already."""
        if self.checkpoints is not None and self.checkpoints.last != update:
            self.checkpoints.save(update, self.content)


def open_run(algorithm: Any, key: jax.Array | None, num_updates: int | None, out: Any, resume: Any) -> tuple[Run, int]:
    """A new run, or a saved one and its number of updates."""
    if resume is not None:
        return _resume(algorithm, key, num_updates, Path(resume), out)
    if key is None or num_updates is None:
        raise ValueError("key, num_updates: a new run needs both; only resume=DIR takes them from the save")
    if num_updates < 0:
        raise ValueError(f"num_updates={num_updates} must be at least 0")
    directory = None if out is None else describe.new_directory(Path(out))
    began = time.perf_counter()
    given_key = np.asarray(jax.random.key_data(key))
    init_key, run_key = split_keys(key)
    state = jax.block_until_ready(initialize(algorithm, init_key, batched=key.ndim > 0))
    seconds = time.perf_counter() - began
    run_ = Run(given_key, run_key, num_updates, state, jnp.ones(key.shape, bool), directory, None, seconds)
    if directory is not None:
        description = {
            "num_updates": num_updates,
            "key_shape": list(key.shape),
            "key_impl": str(jax.random.key_impl(key)),
        }
        describe.write(directory, algorithm, description)
        run_.checkpoints = Checkpoints(directory)
        run_.save(0)
    return run_, 0


def _resume(
    algorithm: Any, key: jax.Array | None, num_updates: int | None, directory: Path, out: Any
) -> tuple[Run, int]:
    if out is not None and Path(out) != directory:
        raise ValueError(f"out={out}: a resumed run goes on in its own directory; leave out away")
    saved = describe.read(directory)
    describe.check_same(algorithm, saved)
    began = time.perf_counter()
    content, start = restore(algorithm, directory, saved)
    if key is not None and not np.array_equal(jax.random.key_data(key), content["given_key"]):
        raise ValueError(f"key: {directory} was trained with another key; leave key away to go on with the saved one")
    total = saved["num_updates"] if num_updates is None else num_updates
    if total < start:
        raise ValueError(f"num_updates={total} is less than the {start} updates that {directory} holds")
    if total != saved["num_updates"]:
        write_json(directory / describe.CONFIG, saved | {"num_updates": total})
    seconds = time.perf_counter() - began
    return Run(
        **content,
        num_updates=total,
        directory=directory,
        checkpoints=Checkpoints(directory),
        compile_seconds=seconds,
    ), start


def restore(algorithm: Any, directory: Path, saved: Any) -> tuple[dict[str, Any], int]:
    """Content and number of updates of the last save in a run directory.

    Args:
      algorithm: the algorithm that was saved.
      directory: of the run.
      saved: its description, from `describe.read`.

    Raises:
      ValueError: if there is no save or it is of another algorithm.
    """
    shape, impl = tuple(saved["key_shape"]), saved["key_impl"]
    run_key = jax.eval_shape(lambda: jax.random.split(jax.random.key(0, impl=impl), shape))
    example = {
        "state": jax.eval_shape(functools.partial(initialize, batched=len(shape) > 0), algorithm, run_key),
        "alive": jax.ShapeDtypeStruct(shape, bool),
        "run_key": run_key,
        "given_key": jax.eval_shape(jax.random.key_data, run_key),
    }
    checkpoints = Checkpoints(directory)
    try:
        if checkpoints.last is None:
            raise ValueError(f"resume: {directory} holds no save; remove it and start the run anew")
        content = checkpoints.restore(example)
        # Copied by jit: the chunks donate the state, so each array must own its buffer.
        copied = jax.jit(lambda x: jax.tree.map(jnp.copy, x))((content["state"], content["alive"]))
        return content | dict(zip(("state", "alive"), copied, strict=True)), checkpoints.last
    finally:
        checkpoints.close()
