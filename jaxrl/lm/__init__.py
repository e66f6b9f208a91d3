"""Text: how completions are drawn and scored, tokenizers, tasks with their verifiers, and the Hugging Face layout."""

from jaxrl.lm import tasks
from jaxrl.lm.decoding import Completions, Decoding, decode, next_logits, prefill
from jaxrl.lm.generate import check_context, generate
from jaxrl.lm.hf import load
from jaxrl.lm.hf_save import save
from jaxrl.lm.lora import ATTENTION, LoRA, adapters_adam, only_adapters, without_adapters
from jaxrl.lm.packing import pack
from jaxrl.lm.peft import load_adapters, save_adapters
from jaxrl.lm.prompts import Prompts, Task, Text
from jaxrl.lm.sampling import Sampling
from jaxrl.lm.score import Scores, score, token_scores
from jaxrl.lm.tokenizers import Bytes, Characters, HuggingFace, Tokenizer, check_vocabulary

__all__ = [
    "ATTENTION",
    "Bytes",
    "Characters",
    "Completions",
    "Decoding",
    "HuggingFace",
    "LoRA",
    "Prompts",
    "Sampling",
    "Scores",
    "Task",
    "Text",
    "Tokenizer",
    "adapters_adam",
    "check_context",
    "check_vocabulary",
    "decode",
    "generate",
    "load",
    "load_adapters",
    "next_logits",
    "only_adapters",
    "pack",
    "prefill",
    "save",
    "save_adapters",
    "score",
    "tasks",
    "token_scores",
    "without_adapters",
]
