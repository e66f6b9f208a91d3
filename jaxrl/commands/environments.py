"""`jaxrl envs`."""

from typing import Any

from jaxrl.commands.usage import refuse


def environments(arguments: list[str]) -> None:
    """List the environments with their spaces."""
    if arguments:
        refuse(f"envs takes no arguments, not {' '.join(arguments)}")
    from rich.console import Console
    from rich.table import Table

    from jaxrl.envs import environment_names, make

    table = Table("environment", "observation", "action", "time limit")
    for name in environment_names():
        if name == "MNISTBandit-bsuite":  # its constructor downloads
            table.add_row(name, "image 28x28", "Discrete(10)", "1")
            continue
        env, env_params = make(name)
        spaces = (env.observation_space(env_params), env.action_space(env_params))
        table.add_row(name, *map(_space, spaces), str(env_params.max_steps_in_episode))
    Console().print(table)


def _space(space: Any) -> str:
    kind = type(space).__name__
    return f"Discrete({space.n})" if hasattr(space, "n") else f"{kind}{getattr(space, 'shape', '')}"
