"""Saves of a whole run through orbax: the state, the run's key and what tells its progress."""

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


class Checkpoints:
    """The saves of one run directory; each appears whole or not at all, the last two are kept.

    Args:
      directory: of the run; saves go to its `checkpoints/`.
      read_only: for a look while another process may be writing: nothing is made, removed or cleaned up.
    """

    def __init__(self, directory: Path, read_only: bool = False) -> None:
        import orbax.checkpoint as ocp

        options = ocp.CheckpointManagerOptions(
            save_interval_steps=0 if read_only else 1,
            max_to_keep=None if read_only else 2,
            enable_async_checkpointing=False,
            cleanup_tmp_directories=not read_only,
            read_only=read_only,
            create=not read_only,
        )
        self._args = ocp.args
        with _errors_only("absl"):  # orbax warns that what is to be read only is read only
            self._manager = ocp.CheckpointManager(
                (directory / "checkpoints").absolute(),
                options=options,
                item_handlers=ocp.StandardCheckpointHandler(),
            )

    @property
    def last(self) -> int | None:
        """Number of updates at the last save; None without one."""
        return self._manager.latest_step()

    def save(self, update: int, tree: Any) -> None:
        """Save a pytree of arrays under an update number; returns when it is on the disk."""
        self._manager.save(update, args=self._args.StandardSave(_named_leaves(tree)))
        self._manager.wait_until_finished()

    def restore(self, example: Any) -> Any:
        """The last save, as a pytree like `example`.

        Args:
          example: pytree of arrays or `jax.ShapeDtypeStruct`.

        Raises:
          ValueError: if the save holds other arrays than `example`.
        """
        wanted = _named_leaves(example)
        saved = self._manager.item_metadata(self.last or 0)
        found: dict[str, Any] = {name: (tuple(array.shape), np.dtype(array.dtype)) for name, array in saved.items()}
        for name, array in wanted.items():
            if found.get(name) != (tuple(array.shape), np.dtype(array.dtype)):
                raise ValueError(
                    f"resume: the save holds {found.get(name, 'nothing')} for {name} where this algorithm has "
                    f"{tuple(array.shape), np.dtype(array.dtype)}; resume with the algorithm that was saved"
                )
        targets = {name: np.empty(array.shape, array.dtype) for name, array in wanted.items()}
        restored = self._manager.restore(self.last, args=self._args.StandardRestore(targets))
        leaves = [_undata(restored[name], leaf) for name, leaf in zip(wanted, jax.tree.leaves(example), strict=True)]
        return jax.tree.unflatten(jax.tree.structure(example), leaves)

    def close(self) -> None:
        """Release orbax's threads."""
        self._manager.close()


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _named_leaves(tree: Any) -> dict[str, Any]:
    """Leaves by the path to them; keys as their data, since files hold numbers."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): _data(leaf) for path, leaf in leaves}


def _data(leaf: Any) -> Any:
    if not _is_key(leaf):
        return leaf
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return jax.eval_shape(jax.random.key_data, leaf)
    return jax.random.key_data(leaf)


def _undata(array: np.ndarray, example: Any) -> Any:
    if not _is_key(example):
        return array
    return jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(jnp.empty((), example.dtype)))


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file that is never seen half written."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w") as file:
        json.dump(content, file, indent=2, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@contextlib.contextmanager
def _errors_only(name: str) -> Iterator[None]:
    """Keep a library's logger from warning."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
