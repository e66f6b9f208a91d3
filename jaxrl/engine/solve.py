"""Solve a Markov decision process until the values are proved."""

import functools
import math
import warnings
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from jaxrl.engine.check import check
from jaxrl.engine.train import split_run_key, update_key
from jaxrl.envs.refusals import check_process
from jaxrl.types import Rule, Solution, whole_number


def solve(
    algorithm: Any, tolerance: float | jax.Array = 1e-4, max_updates: int | jax.Array = 1_000_000, check_every: int = 1
) -> Solution:
    """Update until every value is proved to be within `tolerance`, or cannot get there.

    Pure: use it inside your own `jit` and `vmap`, where a failure is the `rule` of the solution. Called with concrete
    arguments it raises instead.

    Args:
      algorithm: with `solution(state, tolerance)`, such as `jaxrl.ValueIteration`.
      tolerance: bound of |v - v*| for every state, in units of the value, positive.
      max_updates: give up then, with `rule` RUNNING and, outside of `jit`, a warning.
      check_every: updates between looks at the bounds, static. On a GPU a look costs as much as a small sweep.

    Returns:
      The solution.

    Raises:
      TypeError: for an algorithm without `solution`.
      ValueError: for a field that cannot work; for rows of the process that are no distributions; for a
        tolerance that the dtype cannot certify, with the smallest that it can; without a discount, for a state that
        cannot come to an end or prefers never to.
      FloatingPointError: if a value or its bound becomes infinite or NaN.

    Example:
      >>> import jaxrl
      >>> mdp = jaxrl.envs.textbook.gridworld_5x5()
      >>> solution = jaxrl.solve(jaxrl.ValueIteration(mdp, discount=0.9), tolerance=1e-2)
      >>> print(solution.values[:3].round(1), bool(solution.converged))
      [22.  24.4 22. ] True
    """
    if not hasattr(algorithm, "solution"):
        raise TypeError(f"algorithm: {type(algorithm).__name__} has no method solution to stop by")
    check(algorithm)
    if not isinstance(tolerance, jax.core.Tracer) and not np.all(np.asarray(tolerance) > 0):
        raise ValueError(f"tolerance={tolerance} must be positive")
    check_every = whole_number("check_every", check_every, 1)
    solution = _solve(algorithm, tolerance, max_updates, check_every)
    if not isinstance(solution.rule, jax.core.Tracer) and not solution.rule.ndim:
        _raise(algorithm, solution, tolerance, max_updates)
    return solution


@functools.partial(jax.jit, static_argnames="check_every")
def _solve(algorithm: Any, tolerance: Any, max_updates: Any, check_every: int) -> Solution:
    init_key, run_key = split_run_key(jax.random.key(0))  # solvers have no randomness; the protocol asks for keys

    def unfinished(carry: tuple[Any, jax.Array]) -> jax.Array:
        state, count = carry
        return (algorithm.solution(state, tolerance).rule == Rule.RUNNING) & (count < max_updates)

    def step(carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
        def one(index: jax.Array, state: Any) -> Any:
            return algorithm.update(state, update_key(run_key, carry[1] + index))[0]

        return jax.lax.fori_loop(0, check_every, one, carry[0]), carry[1] + check_every

    state, _ = jax.lax.while_loop(unfinished, step, (algorithm.init(init_key), jnp.zeros((), jnp.int32)))
    solution = algorithm.solution(state, tolerance)
    if not hasattr(algorithm, "mdp"):
        return solution
    # Bounds of what is no process prove nothing; looked at once, not in every sweep.
    right = algorithm.mdp.are_distributions().all()
    return solution.replace(
        lower=jnp.where(right, solution.lower, -jnp.inf),
        upper=jnp.where(right, solution.upper, jnp.inf),
        rule=jnp.where(right, solution.rule, Rule.NOT_FINITE),
    )


def _round_up(number: float) -> float:
    """To two digits, not below: what is asked for must suffice."""
    step = 10.0 ** (math.floor(math.log10(number)) - 1)
    return math.ceil(number / step * (1 - 1e-12)) * step


def _raise(algorithm: Any, solution: Solution, tolerance: Any, max_updates: Any) -> None:
    """Failure as an exception, which names a row that is no distribution, or a warning."""
    rule, dtype = int(solution.rule), solution.values.dtype
    if rule == Rule.ROUNDING:
        smallest = _round_up(float(solution.smallest_tolerance))
        raise ValueError(
            f"tolerance={tolerance}: {dtype} rounds too coarsely on this problem to prove it; ask for {smallest:.2g}, "
            "or solve the problem in float64 under jax.enable_x64()"
        )
    if rule == Rule.IMPROPER:
        state = int(jnp.argmin(jnp.isfinite(solution.values)))
        why = "prefers never to come" if solution.values[state] > 0 else "cannot come"
        raise ValueError(f"mdp: state {state} {why} to an end, so that without a discount it has no value")
    if rule == Rule.NOT_FINITE:
        if hasattr(algorithm, "mdp"):
            check_process(algorithm.mdp)
        raise FloatingPointError(
            "a value or its bound is not finite; look at the rewards and, without a discount, at cycles, at policies "
            "that take for ever, and at an `evaluate` that does not solve the equations"
        )
    if rule == Rule.RUNNING:
        half = float((solution.upper - solution.lower).max()) / 2
        warnings.warn(
            f"not converged: after {solution.num_updates} updates the values are proved to {half:.1e}, not to "
            f"{tolerance}",
            stacklevel=3,
        )
