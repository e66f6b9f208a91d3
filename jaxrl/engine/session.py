"""A run on the host: what it holds, where it is saved, how it is found again."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.engine import describe
from jaxrl.engine.checkpoint import Checkpoints, write_json
from jaxrl.engine.logging import read_jsonl
from jaxrl.engine.programs import initialize, one_update, split_keys
from jaxrl.types import whole_number

NO_INTERVALS = {"evaluate_every": 0, "save_every": 0}


@dataclasses.dataclass
class Run:
    """What a save holds, where it goes, and the time spent."""

    given_key: np.ndarray
    """Data of the key that the run was given: a resume with another key is refused."""
    run_key: jax.Array
    num_updates: int
    intervals: dict[str, int]
    """`evaluate_every` and `save_every`."""
    state: Any
    alive: jax.Array
    directory: Path | None
    checkpoints: Checkpoints | None
    seconds_before: float = 0.0
    """Seconds that the record of the last save had reached."""
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


def open_run(
    algorithm: Any, key: jax.Array | None, num_updates: int | None, out: Any, resume: Any, intervals: dict[str, int]
) -> tuple[Run, int]:
    """A new run, or a saved one and its number of updates."""
    if resume is not None:
        if out is not None and Path(out) != Path(resume):
            raise ValueError(f"out={out}: a resumed run goes on in its own directory; leave out away")
        return _resume(algorithm, key, num_updates, Path(resume), intervals)
    if key is None or num_updates is None:
        raise ValueError("key, num_updates: a new run needs both; only resume=DIR takes them from the save")
    _check_key(key)
    num_updates = whole_number("num_updates", num_updates)
    one_key = jax.eval_shape(lambda: jax.random.key(0, impl=jax.random.key_impl(key)))
    # What cannot be traced compiles nothing and writes nothing.
    initial, _ = jax.eval_shape(initialize, algorithm, one_key, batched=False)
    jax.eval_shape(one_update, algorithm, initial, one_key)
    directory = None if out is None else describe.new_directory(Path(out))
    began = time.perf_counter()
    given_key = np.asarray(jax.random.key_data(key))
    init_key, run_key = split_keys(key)
    state, finite = jax.block_until_ready(initialize(algorithm, init_key, batched=key.ndim > 0))
    if not np.all(finite):
        raise FloatingPointError("the initial state is not finite; look at params and the environment's reset")
    seconds = time.perf_counter() - began
    intervals = NO_INTERVALS | intervals
    run_ = Run(
        given_key, run_key, num_updates, intervals, state, jnp.ones(key.shape, bool), directory, None, 0.0, seconds
    )
    if directory is not None:
        shape, impl = list(key.shape), str(jax.random.key_impl(key))
        about = {"num_updates": num_updates, "key_shape": shape, "key_impl": impl}
        describe.write(directory, algorithm, about | intervals)
        run_.checkpoints = Checkpoints(directory)
        run_.save(0)
    return run_, 0


def _check_key(key: Any) -> None:
    if not isinstance(key, jax.Array) or not jnp.issubdtype(key.dtype, jax.dtypes.prng_key) or key.ndim > 1:
        raise TypeError("key: must be a key of jax.random.key, or [K] of them for K seeds")


def _resume(
    algorithm: Any, key: jax.Array | None, num_updates: int | None, directory: Path, intervals: dict[str, int]
) -> tuple[Run, int]:
    saved = describe.read(directory)
    describe.check_same(algorithm, saved)
    content, start = restore(algorithm, directory, saved)
    if key is not None:
        _check_key(key)
    if key is not None and not np.array_equal(jax.random.key_data(key), content["given_key"]):
        raise ValueError(f"key: {directory} was trained with another key; leave key away to go on with the saved one")
    total = saved["num_updates"] if num_updates is None else whole_number("num_updates", num_updates)
    if total < start:
        raise ValueError(f"num_updates={total} is less than the {start} updates that {directory} holds")
    intervals = NO_INTERVALS | {name: saved[name] for name in NO_INTERVALS if name in saved} | intervals
    changed = saved | {"num_updates": total} | intervals
    if changed != saved:
        write_json(directory / describe.CONFIG, changed)
    if key is not None and key.ndim:  # seeds live where the keys do
        content |= {name: jax.device_put(content[name], key.sharding) for name in ("state", "alive", "run_key")}
    records = [record for record in read_jsonl(directory / "metrics.jsonl") if record["update"] <= start]
    checkpoints = Checkpoints(directory)
    run_ = Run(**content, num_updates=total, intervals=intervals, directory=directory, checkpoints=checkpoints)
    run_.seconds_before = records[-1]["seconds"] if records else 0.0
    return run_, start


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
        "state": jax.eval_shape(initialize, algorithm, run_key, batched=len(shape) > 0)[0],
        "alive": jax.ShapeDtypeStruct(shape, bool),
        "run_key": run_key,
        "given_key": jax.eval_shape(jax.random.key_data, run_key),
    }
    checkpoints = Checkpoints(directory, read_only=True)
    try:
        if checkpoints.last is None:
            raise ValueError(f"resume: {directory} holds no save; remove it and start the run anew")
        content = checkpoints.restore(example)
        # Copied by jit: the chunks donate the state, so each array must own its buffer.
        copied = jax.jit(lambda x: jax.tree.map(jnp.copy, x))((content["state"], content["alive"]))
        return content | dict(zip(("state", "alive"), copied, strict=True)), checkpoints.last
    finally:
        checkpoints.close()
