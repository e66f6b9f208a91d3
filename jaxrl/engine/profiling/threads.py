"""A CPU device of one thread, to see what XLA's threads cost or save."""

import functools
import os
from typing import Any

import jax
import jax.numpy as jnp
from jaxlib import xla_client

NPROC = "NPROC"
"""Variable of the environment that XLA reads when it begins: how many threads a CPU has."""


@functools.cache
def one_thread() -> Any:
    """A second device of this CPU, on which all that XLA does has one thread, as with `NPROC=1`.

    Returns:
      It; None on an accelerator, and where there is one thread already.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    before = os.environ.get(NPROC)
    if jax.default_backend() != "cpu" or cores == 1 or before == "1":
        return None
    os.environ[NPROC] = "1"
    try:
        return xla_client.make_cpu_client(num_devices=1).local_devices()[0]
    finally:
        del os.environ[NPROC]
        if before is not None:
            os.environ[NPROC] = before


def copied_to(tree: Any, device: Any) -> Any:
    """Copies of its arrays on another device, to which what reads them follows.

    They are copies, as a device may take an array of another one as it is, and a program may consume it.

    Args:
      tree: of anything.
      device: from `one_thread`.

    Returns:
      The tree; what is no array as it was.
    """
    return jax.tree.map(lambda x: jax.device_put(jnp.copy(x), device) if isinstance(x, jax.Array) else x, tree)
