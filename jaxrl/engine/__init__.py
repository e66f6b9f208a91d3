"""Drivers: what runs an algorithm."""

from jaxrl.engine.check import check
from jaxrl.engine.evaluate import Evaluation, evaluate
from jaxrl.engine.fit import Fit, fit
from jaxrl.engine.load import load
from jaxrl.engine.solve import solve
from jaxrl.engine.train import run, train

__all__ = ["Evaluation", "Fit", "check", "evaluate", "fit", "load", "run", "solve", "train"]
