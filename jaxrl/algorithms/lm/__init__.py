"""Learners of language models: a policy whose actions are tokens."""

from jaxrl.algorithms.lm.grpo import GRPO, CompletionBatch
from jaxrl.algorithms.lm.pretraining import Pretraining

__all__ = ["GRPO", "CompletionBatch", "Pretraining"]
