"""Language models in jaxrl."""

import time
from typing import Any, ClassVar

import flax.struct
import jax
import jax.numpy as jnp

import jaxrl
from benchmarks.workers.lm_tasks import LEARNING_RATE, MAX_GRAD_NORM, SHAPE, Task, peak_gib, read_task
from benchmarks.workers.protocol import describe, serve
from jaxrl import lm, networks
from jaxrl.lm.hf_config import from_hf


@flax.struct.dataclass
class LowTokens:
    """Random prompts; a completion earns the share of its tokens in the lower half of the vocabulary from 2 on."""

    prompt_length: int = flax.struct.field(pytree_node=False)
    vocab_size: int = flax.struct.field(pytree_node=False)
    sampling: lm.Sampling

    tokenizer: ClassVar[lm.Tokenizer] = lm.Bytes()  # its tokens stand for nothing

    def prompts(self, key: jax.Array, num_prompts: int, held_out: bool = False) -> lm.Prompts:
        """Any tokens."""
        tokens = jax.random.randint(key, (num_prompts, self.prompt_length), 2, self.vocab_size)
        return lm.Prompts(tokens, jnp.zeros(num_prompts, jnp.int32))

    def verify(self, prompts: lm.Prompts, completions: lm.Completions) -> jax.Array:
        """Shares of tokens."""
        low = (completions.tokens >= 2) & (completions.tokens < self.vocab_size // 2) & completions.mask
        return low.sum(axis=1) / completions.lengths


def make(task: Task) -> Any:
    """A function of (state, key) that is one step, and the first state."""
    model = networks.Transformer(from_hf({"model_type": "qwen2"} | SHAPE))
    if task.kind == "generate":
        params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))
        sampling, start = lm.Sampling(task.new_tokens), jnp.zeros(task.rows, jnp.int32)

        def step(params: Any, key: jax.Array) -> Any:
            prompt_key, draw_key = jax.random.split(key)
            prompts = jax.random.randint(prompt_key, (task.rows, task.prompt_length), 2, SHAPE["vocab_size"])
            drawn = lm.generate(model, params, prompts, start, draw_key, sampling)
            return params, drawn.tokens

        return step, params
    common: dict[str, Any] = {"learning_rate": LEARNING_RATE, "max_grad_norm": MAX_GRAD_NORM}
    if task.kind == "grpo":
        asked = LowTokens(task.prompt_length, SHAPE["vocab_size"], lm.Sampling(task.new_tokens, (1,)))
        prompts = task.rows // task.group_size
        learner: Any = jaxrl.GRPO(asked, model, num_prompts=prompts, group_size=task.group_size, **common)
    else:
        text = jax.random.randint(jax.random.key(0), (100_000,), 0, SHAPE["vocab_size"])
        learner = jaxrl.Pretraining(lm.tasks.Corpus(text, task.new_tokens), model, num_texts=task.rows, **common)
    return learner.update, jax.jit(learner.init)(jax.random.key(0))


def main() -> None:
    """Answer commands."""
    task = read_task()
    step, first = make(task)
    state = [first]

    def several(state: Any, key: jax.Array, steps: int) -> Any:
        return jax.lax.scan(step, state, jax.random.split(key, steps))

    program = jax.jit(several, static_argnums=2, donate_argnums=0)

    def run(steps: int, seed: int) -> dict[str, Any]:
        key = jax.block_until_ready(jax.random.key(seed))
        began = time.perf_counter()
        state[0], _ = jax.block_until_ready(program(state[0], key, steps))
        return {"seconds": time.perf_counter() - began}

    parameters = sum(x.size for x in jax.tree.leaves(first if task.kind == "generate" else first.params))
    facts = describe((), {}) | {"parameters": parameters}
    serve({"describe": lambda: facts, "run": run, "peak": lambda: {"gib": peak_gib()}})


if __name__ == "__main__":
    main()
