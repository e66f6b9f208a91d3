"""The stages of an update, each as a program of its own that repeats it."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxrl.types import Stage


@jax.jit
def repeat(stage: Stage, times: jax.Array) -> Any:
    """Run a stage so many times, one after the other, without leaving anything out.

    Its arguments pass a barrier with the number of the turn: what does not change is not computed before the loop.

    Args:
      stage: with its arguments.
      times: int32 `[]`.

    Returns:
      What the last turn gave.
    """
    shapes = jax.eval_shape(lambda: stage.function(*stage.arguments))

    def turn(index: jax.Array, last: Any) -> Any:
        arguments = (last, *stage.arguments[1:]) if stage.carries else stage.arguments
        arguments, _ = jax.lax.optimization_barrier((arguments, index))
        return stage.function(*arguments)

    if stage.carries:
        return jax.lax.fori_loop(0, times, turn, stage.arguments[0])
    return jax.lax.fori_loop(0, times, turn, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes))


def stages_of(algorithm: Any, state: Any, key: jax.Array) -> dict[str, Stage]:
    """The stages that an algorithm names; else its two halves, if it has them; else none."""
    if hasattr(algorithm, "stages"):
        return algorithm.stages(state, key)
    if not (hasattr(algorithm, "rollout") and hasattr(algorithm, "learn")):
        return {}
    state, batch = jax.jit(type(algorithm).rollout)(algorithm, state, key)
    return {
        "rollout": Stage(_rollout, (state, algorithm, key), carries=True),
        "learn": Stage(_learn, (state, algorithm, batch, key), carries=True),
    }


def _rollout(state: Any, algorithm: Any, key: jax.Array) -> Any:
    return algorithm.rollout(state, key)[0]


def _learn(state: Any, algorithm: Any, batch: Any, key: jax.Array) -> Any:
    return algorithm.learn(state, batch, key)[0]
