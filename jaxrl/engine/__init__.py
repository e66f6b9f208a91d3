"""Drivers: what runs an algorithm."""

from jaxrl.engine.check import check
from jaxrl.engine.evaluate import Evaluation, evaluate
from jaxrl.engine.evaluate_task import TaskEvaluation, evaluate_task
from jaxrl.engine.fit import Fit, fit
from jaxrl.engine.host import evaluate_on_host, train_on_host
from jaxrl.engine.load import load
from jaxrl.engine.profiling import Profile, profile
from jaxrl.engine.solve import solve
from jaxrl.engine.stream import stream
from jaxrl.engine.train import run, train

__all__ = [
    "Evaluation",
    "Fit",
    "Profile",
    "TaskEvaluation",
    "check",
    "evaluate",
    "evaluate_on_host",
    "evaluate_task",
    "fit",
    "load",
    "profile",
    "run",
    "solve",
    "stream",
    "train",
    "train_on_host",
]
