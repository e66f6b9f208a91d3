"""The work that all libraries do with a language model: one task a comparison, all of the same random model."""

import dataclasses
import resource
import sys

SHAPE = {
    "vocab_size": 640,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
}
"""Of Qwen2, as its configuration says it: 0.87 million parameters."""
LEARNING_RATE = 1e-4
MAX_GRAD_NORM = 1.0


@dataclasses.dataclass(frozen=True)
class Task:
    """Work of one step."""

    kind: str
    """`generate`, `grpo` or `pretrain`."""
    steps: int
    """Of a repetition."""
    rows: int
    """Completions, or texts, of a step."""
    prompt_length: int
    new_tokens: int
    """Of a completion at most: none of them ends earlier in `generate`; or of a text."""
    group_size: int = 1
    threads: int = 2

    @property
    def tokens(self) -> int:
        """Tokens that a step draws at most, or predicts."""
        return self.rows * (self.new_tokens if self.kind != "pretrain" else self.new_tokens - 1)


TASKS = {
    "generate": Task("generate", 10, rows=256, prompt_length=7, new_tokens=32),
    "grpo": Task("grpo", 20, rows=256, prompt_length=7, new_tokens=8, group_size=8),
    "pretrain": Task("pretrain", 10, rows=64, prompt_length=0, new_tokens=128),
}


def read_task() -> Task:
    """By the worker's only argument."""
    return TASKS[sys.argv[1]]


def peak_gib() -> float:
    """Most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def reward(tokens: list[int]) -> float:
    """Of a completion: the share of tokens in the lower half of the vocabulary, those that pad and end left out."""
    return sum(2 <= token < SHAPE["vocab_size"] // 2 for token in tokens) / max(len(tokens), 1)
