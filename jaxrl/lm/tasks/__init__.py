"""Tasks: prompts that a program makes, verifiers that a program runs, and texts of a teacher who errs."""

from jaxrl.lm.tasks.addition import Addition
from jaxrl.lm.tasks.catalog import TASKS, make, origin, tokenizer_of
from jaxrl.lm.tasks.countdown import Countdown
from jaxrl.lm.tasks.judged import Judged, RewardError, questions_of, rewards_of, texts_of
from jaxrl.lm.tasks.parity import Parity
from jaxrl.lm.tasks.questions import Questions, read_questions
from jaxrl.lm.tasks.strings import Strings, reversed_letters, sorted_letters
from jaxrl.lm.tasks.texts import Corpus, read_text

__all__ = [
    "TASKS",
    "Addition",
    "Corpus",
    "Countdown",
    "Judged",
    "Parity",
    "Questions",
    "RewardError",
    "Strings",
    "make",
    "origin",
    "questions_of",
    "read_questions",
    "read_text",
    "reversed_letters",
    "rewards_of",
    "sorted_letters",
    "texts_of",
    "tokenizer_of",
]
