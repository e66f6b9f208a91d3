"""Text: how completions are drawn and scored, tokenizers, tasks with their verifiers, and the Hugging Face layout."""

from jaxrl.lm import tasks
from jaxrl.lm.generate import Completions, check_context, generate
from jaxrl.lm.prompts import Prompts, Task, Text
from jaxrl.lm.sampling import Sampling
from jaxrl.lm.score import Scores, score, token_scores

__all__ = [
    "Completions",
    "Prompts",
    "Sampling",
    "Scores",
    "Task",
    "Text",
    "check_context",
    "generate",
    "score",
    "tasks",
    "token_scores",
]
