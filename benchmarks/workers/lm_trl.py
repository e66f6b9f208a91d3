"""GRPO by TRL, for `lm_torch`."""

import tempfile
import time
from collections.abc import Callable
from typing import Any

import datasets  # pyright: ignore[reportMissingImports]
import torch  # pyright: ignore[reportMissingImports]
import transformers  # pyright: ignore[reportMissingImports]
import trl  # pyright: ignore[reportMissingImports]
from tokenizers import Tokenizer, models, pre_tokenizers  # pyright: ignore[reportMissingImports]

from benchmarks.workers.lm_tasks import LEARNING_RATE, MAX_GRAD_NORM, SHAPE, Task, reward


class Clock(transformers.TrainerCallback):
    """Seconds within steps, which draw, judge and learn."""

    def __init__(self) -> None:
        self.seconds, self.began = 0.0, 0.0

    def on_step_begin(self, *arguments: Any, **options: Any) -> None:
        """Start."""
        self.began = time.perf_counter()

    def on_step_end(self, *arguments: Any, **options: Any) -> None:
        """Stop."""
        self.seconds += time.perf_counter() - self.began


def tokenizer_of_words() -> Any:
    """Every token is a word, `t17`."""
    words = {"<pad>": 0, "<end>": 1} | {f"t{i}": i for i in range(2, SHAPE["vocab_size"])}
    library = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=library, pad_token="<pad>", eos_token="<end>", padding_side="left"
    )


def reinforcing(task: Task, model: Any) -> Callable[[int], float]:
    """TRL's trainer: one gradient step of a batch that was just drawn, no divergence from a reference."""
    clock = Clock()

    def rewards(completion_ids: list[list[int]], **_: Any) -> list[float]:
        return [reward(tokens) for tokens in completion_ids]

    prompts = torch.randint(2, SHAPE["vocab_size"], (4096, task.prompt_length)).tolist()
    data = datasets.Dataset.from_dict({"prompt": [" ".join(f"t{token}" for token in row) for row in prompts]})
    directory = tempfile.mkdtemp()

    def run(steps: int) -> float:
        settings = trl.GRPOConfig(
            output_dir=directory,
            per_device_train_batch_size=task.rows,
            gradient_accumulation_steps=1,
            steps_per_generation=1,
            num_iterations=1,
            num_generations=task.group_size,
            max_completion_length=task.new_tokens,
            temperature=1.0,
            top_k=0,
            beta=0.0,
            learning_rate=LEARNING_RATE,
            max_grad_norm=MAX_GRAD_NORM,
            lr_scheduler_type="constant",
            max_steps=steps,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        trainer = trl.GRPOTrainer(
            model=model,
            reward_funcs=rewards,
            args=settings,
            train_dataset=data,
            processing_class=tokenizer_of_words(),
            callbacks=[clock],
        )
        clock.seconds = 0.0
        trainer.train()
        return clock.seconds

    return run
