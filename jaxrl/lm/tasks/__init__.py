"""Tasks: prompts that a program makes, verifiers that a program runs, and texts of a teacher who errs."""

from jaxrl.lm.tasks.addition import Addition
from jaxrl.lm.tasks.countdown import Countdown
from jaxrl.lm.tasks.parity import Parity

__all__ = ["Addition", "Countdown", "Parity"]
