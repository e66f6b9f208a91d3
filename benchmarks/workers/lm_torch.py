"""The same language model in PyTorch, run eagerly: generation by transformers, pretraining by a plain loop."""

import time
from collections.abc import Callable
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
import transformers  # pyright: ignore[reportMissingImports]

from benchmarks.workers.lm_tasks import LEARNING_RATE, MAX_GRAD_NORM, SHAPE, Task, peak_gib, read_task
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


def grpo(task: Task) -> Callable[[int], float]:
    """By TRL, whose imports would count in the memory of the other tasks."""
    from benchmarks.workers.lm_trl import reinforcing

    return reinforcing(task, make_model())


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
