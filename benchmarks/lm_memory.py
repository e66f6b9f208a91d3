"""How much memory does a step of GRPO take with a model of 0.5 billion parameters?

Random weights in the shape of Qwen2.5-0.5B: 2 prompts of 32 tokens, 4 completions of 64 tokens each, Adam included. The
largest array of the compiled program that has the vocabulary as an axis tells whether logits of a whole batch exist.
"""

import dataclasses
import math
import pathlib
import re
import time
from collections.abc import Sequence
from typing import Any

import jax
import tyro

import jaxrl
from benchmarks import machine, results
from benchmarks.results import Result, Side
from benchmarks.turns import say
from benchmarks.workers.lm_jaxrl import LowTokens
from benchmarks.workers.lm_tasks import peak_gib
from jaxrl import lm, networks, ops
from jaxrl.lm.hf_config import from_hf

SHAPE = {
    "vocab_size": 151_936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32_768,
    "rope_theta": 1e6,
    "tie_word_embeddings": True,
}
STOP = 151_643


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure a step of GRPO with a large model; writes benchmarks/results/lm_memory.json."""

    layers: int = SHAPE["num_hidden_layers"]
    """Blocks; fewer for a try."""
    steps: int = 2
    """Steps of GRPO, which is compiled before them."""
    prompts: int = 2
    group_size: int = 4
    prompt_length: int = 32
    new_tokens: int = 64
    results: pathlib.Path = results.RESULTS


def learner_of(options: Options) -> Any:
    """GRPO of the model."""
    model = networks.Transformer(from_hf({"model_type": "qwen2"} | SHAPE | {"num_hidden_layers": options.layers}))
    task = LowTokens(options.prompt_length, SHAPE["vocab_size"], lm.Sampling(options.new_tokens, (STOP,)))
    fields: dict[str, Any] = {"num_prompts": options.prompts, "group_size": options.group_size}
    return jaxrl.GRPO(task, model, advantage=ops.leave_one_out, learning_rate=1e-6, **fields)


def largest_of_vocabulary(program: str, vocab_size: int, parameters: tuple[int, ...]) -> int:
    """Elements of the largest array of a compiled program that has the vocabulary as an axis and is no parameter."""
    found = 0
    for shape in re.findall(r"[a-z0-9]+\[([0-9,]+)\]", program):
        sizes = tuple(int(size) for size in shape.split(","))
        if vocab_size in sizes and sorted(sizes) != sorted(parameters):
            found = max(found, math.prod(sizes))
    return found


def measure(options: Options) -> Result:
    """Compile and run."""
    learner = learner_of(options)
    state = jax.block_until_ready(jax.jit(learner.init)(jax.random.key(0)))
    parameters = sum(x.size for x in jax.tree.leaves(state.params))
    say(f"{parameters:,} parameters, {peak_gib():.1f} GiB")
    update = jax.jit(type(learner).update, donate_argnums=1)
    began = time.perf_counter()
    compiled = update.lower(learner, state, jax.random.key(1)).compile()
    compile_seconds = time.perf_counter() - began
    embedding = state.params["params"]["embedding"].shape
    largest = largest_of_vocabulary(compiled.as_text() or "", SHAPE["vocab_size"], embedding)
    seconds = []
    for step in range(options.steps):
        began = time.perf_counter()
        state, metrics = jax.block_until_ready(compiled(learner, state, jax.random.fold_in(jax.random.key(2), step)))
        seconds.append(time.perf_counter() - began)
        say(f"step {step}: {seconds[-1]:.1f} s, reward {float(metrics['reward']):.3f}, peak {peak_gib():.1f} GiB")
    whole = options.prompts * options.group_size * options.new_tokens * SHAPE["vocab_size"]
    numbers = {
        "step_seconds": seconds,
        "compile_seconds": [compile_seconds],
        "peak_gib": [peak_gib()],
        "largest_logits": [largest],
        "logits_of_the_batch": [whole],
    }
    return Result(
        name="lm_memory",
        command=results.command_line("benchmarks.lm_memory", options, omit=("results",)),
        configuration={"shape": SHAPE, "parameters": parameters, "prompts": options.prompts}
        | {"group_size": options.group_size, "prompt_length": options.prompt_length, "new_tokens": options.new_tokens},
        sides={"jaxrl": Side(machine.versions(), machine.variables(), {}, numbers)},
        **machine.provenance(),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.lm_memory")
    say(f"wrote {results.save(measure(options), options.results).name}")


if __name__ == "__main__":
    main()
