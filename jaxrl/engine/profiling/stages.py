"""The stages of an update, each as a program of its own that repeats it."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl.types import Stage, Transition, steps_per_update


@functools.partial(jax.jit, static_argnames="nested")
def repeat(stage: Stage, updates: jax.Array, nested: bool) -> Any:
    """Run a stage as often as so many updates do, one turn after the other, without leaving anything out.

    Its arguments pass a barrier with the number of the turn: what does not change is not computed before the loop.
    On an accelerator, which asks the host before each turn of a loop whose length the data say, the turns of an update
    are a loop of known length, as the update has it; a CPU would unroll that, and leave out what is the same in all.

    Args:
      stage: with its arguments.
      updates: so many, int32 `[]`.
      nested: whether the turns of an update are a loop of their own.

    Returns:
      What the last turn gave.
    """

    def turn(index: jax.Array, last: Any) -> Any:
        arguments = list(stage.arguments)
        if stage.carry is not None:
            arguments[stage.carry] = last[0]
        arguments, _ = jax.lax.optimization_barrier((arguments, index))
        return given(stage.function(*arguments))

    def given(result: Any) -> Any:
        alone = stage.carry is not None and jax.tree.structure(result) == jax.tree.structure(carried)
        return (result, None) if alone else result

    def update(_: jax.Array, last: Any) -> Any:
        return jax.lax.fori_loop(0, stage.times, turn, last)

    carried = None if stage.carry is None else stage.arguments[stage.carry]
    shapes = jax.eval_shape(lambda: given(stage.function(*stage.arguments)))
    first = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    if stage.carry is not None:
        first = (carried, first[1])
    if nested and stage.times > 1:
        return jax.lax.fori_loop(0, updates, update, first)
    return jax.lax.fori_loop(0, updates * stage.times, turn, first)


def stages_of(algorithm: Any, state: Any, key: jax.Array) -> dict[str, Stage]:
    """The two halves of an algorithm's update, if it has them, and the stages that it names, most of them within one.

    Raises:
      ValueError: for a part of a stage that there is not.
    """
    halves_key, parts_key = jax.random.split(key)
    found = _halves(algorithm, state, halves_key)
    if hasattr(algorithm, "stages"):
        found |= {name: stage for name, stage in algorithm.stages(state, parts_key).items() if stage.times}
    lost = {stage.within for stage in found.values()} - {None, *found}
    if lost:
        raise ValueError(f"within={lost.pop()!r} is no stage; there are: {', '.join(found)}")
    return found


def _halves(algorithm: Any, state: Any, key: jax.Array) -> dict[str, Stage]:
    """Its `rollout` and `learn`, run as often as their transitions go into the environment steps of an update."""
    if not (hasattr(algorithm, "rollout") and hasattr(algorithm, "learn")):
        return {}
    first_key, rollout_key, learn_key = jax.random.split(key, 3)
    state, batch = jax.jit(type(algorithm).rollout)(algorithm, state, first_key)
    found = [x for x in jax.tree.leaves(batch, is_leaf=_is_transition) if _is_transition(x)]
    times = steps_per_update(algorithm) // found[0].reward.size if found else 1
    return {
        "rollout": Stage(type(algorithm).rollout, (algorithm, state, rollout_key), times, carry=1),
        "learn": Stage(type(algorithm).learn, (algorithm, state, batch, learn_key), times, carry=1),
    }


def _is_transition(x: Any) -> bool:
    return isinstance(x, Transition)
