"""The workers' side of the conversation."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from benchmarks import machine

Layers = list[dict[str, list[Any]]]


def serve(handlers: Mapping[str, Callable[..., dict[str, Any]]]) -> None:
    """Answer commands until standard input closes; an exception ends the process, its traceback tells why."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not be read as a reply
    for line in sys.stdin:
        command = json.loads(line)
        reply = handlers[command.pop("do")](**command)
        print(json.dumps(reply), file=replies, flush=True)


def describe(packages: tuple[str, ...], threads: dict[str, int]) -> dict[str, Any]:
    """Facts about this side of the comparison, for its `results.Side`."""
    found = machine.versions((*machine.PACKAGES, *packages))
    return {"versions": found, "variables": machine.variables(), "threads": threads}


def layers(pairs: Iterable[tuple[Any, Any]]) -> Layers:
    """Kernels `[in, out]` and biases `[out]` of a tanh network, as JSON."""
    return [{"kernel": np.asarray(kernel).tolist(), "bias": np.asarray(bias).tolist()} for kernel, bias in pairs]
