"""Seconds of functions, measured in turn."""

import time
from collections.abc import Callable
from typing import Any

from jaxrl.engine.logging import ProgressLogger


def in_turn(functions: dict[str, Callable[[], float]], repetitions: int) -> dict[str, list[float]]:
    """Seconds of each function, in turn, after a warm-up of each; after two turns and 20 seconds one gets no more."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for repetition in range(repetitions + 1):
        for name, function in functions.items():
            if len(seconds[name]) > 1 and sum(seconds[name]) > 20:
                continue
            spent = function()
            if repetition:
                seconds[name].append(spent)
    return seconds


def timed(function: Callable[..., Any], *arguments: Any) -> Callable[[], float]:
    """A function that runs another one to its end and gives the seconds."""
    import jax

    def run() -> float:
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        return time.perf_counter() - start

    return run


class Clock(ProgressLogger):
    """Shows progress, and takes the seconds from its making to the end of each evaluation."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        super().__init__()
        self._now, self._began = now, now()
        self.seconds: list[float] = []

    def log(self, record: Any) -> None:
        """Take one record."""
        if "evaluation_return" in record:
            self.seconds.append(self._now() - self._began)
        super().log(record)
