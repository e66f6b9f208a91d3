"""The stages of an update, each as a program of its own that repeats it."""

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl.types import Stage, Transition, steps_per_update


@functools.partial(jax.jit, static_argnames="known", donate_argnames="carried")
def repeat(stage: Stage, carried: Any, rounds: jax.Array, known: int) -> Any:
    """Run a stage `rounds · known` times, one turn after the other, without leaving anything out.

    Its arguments pass a barrier with the number of the turn, which goes on from what the barrier gives (XLA leaves out
    of a barrier what nobody uses): what does not change is not computed before the loop.
    Keys are others in each turn, so that what they choose is not in a cache from the turn before.

    Args:
      stage: with its arguments; None stands for what it carries.
      carried: that argument, which is consumed; None: it carries nothing.
      rounds: turns of a loop whose length the data say, int32 `[]`. An accelerator asks the host before each of them.
      known: turns of a loop of known length in each round, as an update has it. A CPU, which would unroll that and
        leave out what is the same in all, wants 1.

    Returns:
      What the last turn gave.
    """
    return _repeated(stage, _first(stage, carried), rounds, known)


def _repeated(stage: Stage, first: tuple[Any, Any], rounds: jax.Array, known: int = 1) -> tuple[Any, Any]:
    """As `repeat`, behind what a stage carries and what else it gave last."""

    def turn(_: Any, carry: tuple[jax.Array, Any]) -> tuple[jax.Array, Any]:
        index, last = carry
        arguments, index = jax.lax.optimization_barrier((stage.arguments, index))
        arguments = jax.tree.map(lambda x: _of_turn(x, index), arguments)
        return index + 1, _result(dataclasses.replace(stage, arguments=arguments), last[0])

    def run_round(_: Any, carry: tuple[jax.Array, Any]) -> tuple[jax.Array, Any]:
        return turn(None, carry) if known == 1 else jax.lax.fori_loop(0, known, turn, carry)

    return jax.lax.fori_loop(0, rounds, run_round, (jnp.int32(0), first))[1]


def _first(stage: Stage, carried: Any) -> tuple[Any, Any]:
    """What a stage carries, and zeros in place of what else it gives."""
    shapes = jax.eval_shape(_result, stage, carried)[1]
    return carried, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)


def _result(stage: Stage, carried: Any) -> tuple[Any, Any]:
    """What a turn of a stage carries on, None if nothing, and what else it gives."""
    arguments = list(stage.arguments)
    if stage.carry is None:
        return None, stage.function(*arguments)
    arguments[stage.carry] = carried
    result = stage.function(*arguments)
    return (result, None) if jax.tree.structure(result) == jax.tree.structure(carried) else result


def _of_turn(x: jax.Array, index: jax.Array) -> jax.Array:
    """A key of its own for each turn; everything else as it is."""
    if not _is_key(x):
        return x
    return jax.random.wrap_key_data(jax.random.key_data(x) ^ index.astype(jnp.uint32), impl=jax.random.key_impl(x))


def _is_key(x: jax.Array) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def apart(stage: Stage) -> tuple[Stage, Any]:
    """A stage without what it carries, and that.

    Args:
      stage: with its arguments.
    """
    if stage.carry is None:
        return stage, None
    arguments = list(stage.arguments)
    carried, arguments[stage.carry] = arguments[stage.carry], None
    return dataclasses.replace(stage, arguments=tuple(arguments)), carried


def loops_of(stages: dict[str, Stage]) -> list[tuple[str, ...]]:
    """Parts that are repeated together.

    Args:
      stages: from `stages_of`.

    Returns:
      Their names, one tuple a loop: parts of as many turns of one stage, or of stages that have as many themselves.
    """
    divided = {stage.within for stage in stages.values()}
    loops: dict[Any, list[str]] = {}
    for name, stage in stages.items():
        if stage.within is not None and stage.times > 1 and name not in divided:
            alternate = stages[stage.within].times == stage.times
            loops.setdefault((stage.times, alternate or stage.within), []).append(name)
    return [tuple(names) for names in loops.values() if len(names) > 1]


def together(stages: Iterable[Stage]) -> Stage:
    """One stage whose turns run given ones, one after the other, each with arguments of its own.

    In an update a part reads what the one before it gave; here none does, and a CPU would run two at the same time. So
    the number of turns of each, one, is known only when the one before it has ended. An accelerator runs one kernel
    after the other.

    Args:
      stages: of equally many turns each.

    Returns:
      A stage that carries what they carry, and what they gave in the last turn.
    """
    fixed, carried = zip(*map(apart, stages), strict=True)
    on_cpu = jax.default_backend() == "cpu"

    def run(carry: Any, fixed: Any) -> Any:
        new, turns = [], _one_behind(jnp.int32(0), fixed)  # not of what is carried, which would be copied
        for stage, last in zip(fixed, carry, strict=True):
            (stage, last), new = jax.lax.optimization_barrier(((stage, last), new))
            new.append(_repeated(stage, last, turns) if on_cpu else _result(stage, last[0]))
            turns = _one_behind(turns, new[-1])
        return tuple(new)

    return Stage(run, (tuple(map(_first, fixed, carried)), fixed), fixed[0].times, carry=0)


def _one_behind(before: jax.Array, result: Any) -> jax.Array:
    """One, int32 `[]`, known once a result is there: no sum is a NaN of this payload, but no compiler knows."""
    numbers = [jax.random.key_data(x) if _is_key(x) else x for x in jax.tree.leaves(result)]
    first = [x[(0,) * x.ndim].astype(jnp.float32) for x in numbers if x.size]
    total = jax.lax.bitcast_convert_type(sum(first, before.astype(jnp.float32)), jnp.int32)
    return (total != 0x7FABCDEF).astype(jnp.int32)


def stages_of(algorithm: Any, state: Any, key: jax.Array) -> dict[str, Stage]:
    """The two halves of an algorithm's update, if it has them, and the stages that it names, most of them within one.

    Args:
      algorithm: any.
      state: of it, consumed.
      key: consumed.

    Raises:
      ValueError: for a part of a stage that there is not.
    """
    halves_key, parts_key = jax.random.split(key)
    state, found = _halves(algorithm, state, halves_key)
    if hasattr(algorithm, "stages"):
        found |= {name: stage for name, stage in algorithm.stages(state, parts_key).items() if stage.times}
    lost = {stage.within for stage in found.values()} - {None, *found}
    if lost:
        raise ValueError(f"within={lost.pop()!r} is no stage; there are: {', '.join(found)}")
    return found


def _halves(algorithm: Any, state: Any, key: jax.Array) -> tuple[Any, dict[str, Stage]]:
    """Its `rollout` and `learn`, run as often as their transitions go into the environment steps of an update.

    The state after a rollout comes first: a second one, as large as a replay, is not kept.

    Raises:
      ValueError: if they do not go into them.
    """
    if not (hasattr(algorithm, "rollout") and hasattr(algorithm, "learn")):
        return state, {}
    first_key, rollout_key, learn_key = jax.random.split(key, 3)
    state, batch = jax.jit(type(algorithm).rollout, donate_argnums=1)(algorithm, state, first_key)
    found = [x for x in jax.tree.leaves(batch, is_leaf=_is_transition) if _is_transition(x)]
    steps, each = steps_per_update(algorithm), found[0].reward.size if found else 1
    if found and steps > each and steps % each:
        raise ValueError(f"steps_per_update={steps} must be a multiple of the {each} transitions of a rollout")
    times = max(1, steps // each) if found else 1
    return state, {
        "rollout": Stage(type(algorithm).rollout, (algorithm, state, rollout_key), times, carry=1),
        "learn": Stage(type(algorithm).learn, (algorithm, state, batch, learn_key), times, carry=1),
    }


def _is_transition(x: Any) -> bool:
    return isinstance(x, Transition)
