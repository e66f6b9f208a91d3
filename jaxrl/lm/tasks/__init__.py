"""Tasks: prompts that a program makes, verifiers that a program runs, and texts of a teacher who errs."""

from jaxrl.lm.tasks.addition import Addition
from jaxrl.lm.tasks.countdown import Countdown
from jaxrl.lm.tasks.parity import Parity
from jaxrl.lm.tasks.texts import Corpus, Questions, read_questions, read_text

__all__ = ["Addition", "Corpus", "Countdown", "Parity", "Questions", "read_questions", "read_text"]
