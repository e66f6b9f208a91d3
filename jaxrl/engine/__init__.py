"""Drivers: what runs an algorithm."""

from jaxrl.engine.check import check
from jaxrl.engine.evaluate import Evaluation, evaluate
from jaxrl.engine.train import run, train

__all__ = ["Evaluation", "check", "evaluate", "run", "train"]
