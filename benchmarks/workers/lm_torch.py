"""The same language model in PyTorch: generation by transformers, GRPO by TRL, pretraining by a plain loop."""

import tempfile
import time
from collections.abc import Callable
from typing import Any

import datasets  # pyright: ignore[reportMissingImports]
import torch  # pyright: ignore[reportMissingImports]
import transformers  # pyright: ignore[reportMissingImports]
import trl  # pyright: ignore[reportMissingImports]
from tokenizers import Tokenizer, models, pre_tokenizers  # pyright: ignore[reportMissingImports]

from benchmarks.workers.lm_tasks import LEARNING_RATE, MAX_GRAD_NORM, SHAPE, Task, peak_gib, read_task, reward
from benchmarks.workers.protocol import describe, serve


def make_model() -> Any:
    """The random model."""
    torch.manual_seed(0)
    config = transformers.Qwen2Config(**SHAPE, pad_token_id=0, eos_token_id=1, bos_token_id=None, use_cache=True)
    return transformers.Qwen2ForCausalLM(config).float()


def generating(task: Task) -> Callable[[int], float]:
    """Sampling without a stop token, from the whole distribution."""
    model = make_model().eval()
    model.generation_config.eos_token_id = None
    settings = dict(do_sample=True, top_k=0, top_p=1.0, temperature=1.0, pad_token_id=0, use_cache=True)

    def run(steps: int) -> float:
        began = time.perf_counter()
        for _ in range(steps):
            prompts = torch.randint(2, SHAPE["vocab_size"], (task.rows, task.prompt_length))
            mask = torch.ones_like(prompts)
            drawn = model.generate(
                prompts, attention_mask=mask, max_new_tokens=task.new_tokens, min_new_tokens=task.new_tokens, **settings
            )
            assert drawn.shape == (task.rows, task.prompt_length + task.new_tokens), drawn.shape
        return time.perf_counter() - began

    return run


def pretraining(task: Task) -> Callable[[int], float]:
    """Next-token prediction with Adam and a bound of the gradient's norm."""
    model = make_model().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    text = torch.randint(0, SHAPE["vocab_size"], (100_000,))
    columns = torch.arange(task.new_tokens)[None]

    def run(steps: int) -> float:
        began = time.perf_counter()
        for _ in range(steps):
            first = torch.randint(0, len(text) - task.new_tokens + 1, (task.rows, 1))
            tokens = text[first + columns]
            loss = model(input_ids=tokens, labels=tokens, use_cache=False).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
            optimizer.step()
        return time.perf_counter() - began

    return run


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


def grpo(task: Task) -> Callable[[int], float]:
    """TRL's trainer: one gradient step of a batch that was just drawn, no divergence from a reference."""
    model, clock = make_model(), Clock()

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


def main() -> None:
    """Answer commands."""
    task = read_task()
    torch.set_num_threads(task.threads)
    run = {"generate": generating, "grpo": grpo, "pretrain": pretraining}[task.kind](task)

    def timed(steps: int, seed: int) -> dict[str, Any]:
        torch.manual_seed(seed)
        return {"seconds": run(steps)}

    parameters = sum(x.numel() for x in make_model().parameters())
    facts = describe(("torch", "transformers", "trl"), {"intra": torch.get_num_threads()}) | {"parameters": parameters}
    serve({"describe": lambda: facts, "run": timed, "peak": lambda: {"gib": peak_gib()}})


if __name__ == "__main__":
    main()
