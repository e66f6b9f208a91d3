"""Replay: a ring of steps, and samples from it."""

from jaxrl.buffers.ring import Replay, add, add_all, following, init_replay
from jaxrl.buffers.samples import (
    Experience,
    n_step,
    prioritize,
    sample_by_priority,
    sample_rows,
    sequence,
)

__all__ = [
    "Experience",
    "Replay",
    "add",
    "add_all",
    "following",
    "init_replay",
    "n_step",
    "prioritize",
    "sample_by_priority",
    "sample_rows",
    "sequence",
]
