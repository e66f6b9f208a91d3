"""A worker for libraries whose whole training run is one function of a key."""

import time
from collections.abc import Callable
from typing import Any

import jax

from benchmarks.workers.protocol import Layers, describe, serve


def serve_jax(
    make_train: Callable[[int], Callable[[jax.Array], Any]],
    actor_layers: Callable[[Any], Layers],
    packages: tuple[str, ...] = (),
) -> None:
    """Answer commands.

    Args:
      make_train: from environment steps to the training run.
      actor_layers: from what the run of one seed returned to the actor's layers.
      packages: more packages whose versions matter.
    """
    programs: dict[int, Any] = {}

    def compile_program(steps: int) -> dict[str, Any]:
        train, key = make_train(steps), jax.block_until_ready(jax.random.key(0))
        start = time.perf_counter()
        programs[steps] = jax.jit(train).lower(key).compile()
        return {"seconds": time.perf_counter() - start}

    def run(steps: int, seed: int) -> dict[str, Any]:
        key = jax.block_until_ready(jax.random.key(seed))
        start = time.perf_counter()
        jax.block_until_ready(programs[steps](key))
        return {"seconds": time.perf_counter() - start}

    def train_policy(steps: int, seeds: list[int]) -> dict[str, Any]:
        keys = jax.block_until_ready(jax.vmap(jax.random.key)(jax.numpy.asarray(seeds)))
        start = time.perf_counter()
        results = jax.device_get(jax.jit(jax.vmap(make_train(steps)))(keys))
        seconds = time.perf_counter() - start
        one = [jax.tree.map(lambda x: x[i], results) for i in range(len(seeds))]
        return {"policies": [actor_layers(result) for result in one], "seconds": seconds}

    serve(
        {
            "describe": lambda: describe(packages, {}),
            "compile": compile_program,
            "run": run,
            "train_policy": train_policy,
        }
    )
