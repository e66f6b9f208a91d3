"""`jaxrl solve SOLVER ENV`."""

from collections.abc import Callable
from typing import Any

from jaxrl.commands.usage import refuse, two_names
from jaxrl.flags import SolveOptions, parse, prefixed_options


def solve(arguments: list[str]) -> None:
    """Solve the world exactly, print its values and policy, draw them."""
    name, env_name, *flags = two_names(arguments, "solve", "a solver")
    try:
        flags, env_options = prefixed_options(flags, "env")
        solver_class, options, fields = _parse(name, flags, f"jaxrl solve {name} {env_name}")
        _solve(lambda mdp: solver_class(mdp, **fields), f"{name} on {env_name}", env_name, env_options, options)
    except (ValueError, TypeError, ImportError) as error:
        refuse(error)
    except FloatingPointError as error:
        refuse(error, code=1)


def is_solver(name: str) -> bool:
    """Whether a name, or MODULE:CLASS, is one of a solver."""
    from jaxrl.engine.names import SOLVERS, resolve

    return name in SOLVERS or (":" in name and hasattr(resolve("algorithm", name, SOLVERS), "solution"))


def build(name: str, env_name: str, flags: list[str]) -> Any:
    """The solver that the flags describe, of the process that an environment is; in single precision."""
    flags, env_options = prefixed_options(flags, "env")
    solver_class, _, fields = _parse(name, flags, f"jaxrl profile {name} {env_name}")
    return solver_class(_process(env_name, env_options)[0], **fields)


def _process(env_name: str, env_options: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
    """The process that an environment is, its states, the environment and its parameters."""
    from jaxrl.envs import MDP, enumerate_environment, make

    env, env_params = make(env_name, **env_options)
    if isinstance(env_params, MDP):
        return env_params, None, env, env_params
    mdp, states = enumerate_environment(env, env_params)
    return mdp, states, env, env_params


def _parse(name: str, flags: list[str], prog: str) -> tuple[Any, Any, dict[str, Any]]:
    """The solver's class, the options, and the fields that the flags describe."""
    from jaxrl.engine.names import SOLVERS, resolve

    solver_class: Any = resolve("solver", name, SOLVERS)
    if not isinstance(solver_class, type) or not hasattr(solver_class, "solution"):
        raise ValueError(f"solver: {name!r} is no solver, which is a dataclass with init, update and solution")
    return solver_class, *parse(solver_class, {}, flags, prog, SolveOptions)


def _solve(
    make_solver: Callable[[Any], Any], title: str, env_name: str, env_options: dict[str, Any], options: Any
) -> None:
    import contextlib

    import jax
    import numpy as np

    from jaxrl import engine
    from jaxrl.envs import grid_of

    if options.out.is_dir():
        raise ValueError(f"out={options.out} is a directory; name a PNG file")
    with jax.enable_x64() if options.float64 else contextlib.nullcontext():
        mdp, states, env, env_params = _process(env_name, env_options)
        solution = engine.solve(make_solver(mdp), options.tolerance, options.max_updates)
        start = float((mdp.start_probability * solution.values).sum())
    half = float(np.max(np.asarray(solution.upper - solution.lower))) / 2
    print(f"{mdp.num_states} states, {mdp.num_actions} actions; value of the start: {start:.6g}")
    print(f"{int(solution.num_updates)} updates; every value is proved to be within {half:.1e}")
    grid = grid_of(env_name, env, env_params, states)
    if grid is None:
        _print_table(solution)
        return
    from jaxrl.engine.grids import show_grid

    values, best = np.asarray(solution.values), np.asarray(solution.optimal_actions)
    show_grid(options.out, title, values, best, grid, mdp.terminal)
    print(f"written: {options.out}")


def _print_table(solution: Any, most: int = 20) -> None:
    """The first states in words, for a world that is no grid."""
    import numpy as np

    for state, (value, best) in enumerate(zip(solution.values[:most], solution.optimal_actions, strict=False)):
        print(f"state {state}: value {float(value):.6g}, best actions {np.flatnonzero(best).tolist()}")
    if len(solution.values) > most:
        print(f"… and {len(solution.values) - most} states more")
