"""Learners of language models: a policy whose actions are tokens."""

from jaxrl.algorithms.lm.dpo import DPO, PreferenceBatch
from jaxrl.algorithms.lm.grpo import GRPO
from jaxrl.algorithms.lm.learner import CompletionBatch, LanguageState
from jaxrl.algorithms.lm.pretraining import Pretraining
from jaxrl.algorithms.lm.token_ppo import TokenPPO

__all__ = ["DPO", "GRPO", "CompletionBatch", "LanguageState", "PreferenceBatch", "Pretraining", "TokenPPO"]
