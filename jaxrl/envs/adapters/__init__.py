"""Environments of other suites as gymnax 1.x ones: six values, the true last observation, truncation."""

import importlib
from typing import Any

from jaxrl.envs.adapters.brax import BraxEnvironment
from jaxrl.envs.adapters.legacy import LegacyEnvironment, LegacyParams
from jaxrl.envs.adapters.timesteps import JumanjiEnvironment, TimeStepParams, XLandEnvironment

__all__ = [
    "SUITES",
    "BraxEnvironment",
    "JumanjiEnvironment",
    "LegacyEnvironment",
    "LegacyParams",
    "TimeStepParams",
    "XLandEnvironment",
    "make_from_suite",
]

SUITES = {
    "brax": "brax>=0.14,<0.15",
    "craftax": "craftax>=1.6,<2",
    "jumanji": "jumanji>=1.1,<2",
    "xland": "xminigrid>=0.9,<1",
}
"""Prefixes of names, and the packages that they need: `brax:ant` is Brax's ant. The extras of pyproject.toml."""


def make_from_suite(name: str, **options: Any) -> tuple[Any, Any]:
    """An environment of another suite, and its parameters.

    Args:
      name: `brax:…`, `craftax:…`, `jumanji:…` or `xland:…`, with the suite's own name of it.
      **options: of the suite's own function.

    Returns:
      The environment and its parameters.

    Raises:
      ModuleNotFoundError: without the package, with the command that installs it.
      ImportError: if the package is there and fails.
      ValueError: for an unknown suite, or for what the suite refuses.

    Example:
      >>> make_from_suite("atari:Pong")
      Traceback (most recent call last):
      ValueError: env: unknown suite 'atari' of 'atari:Pong'; there are: brax, craftax, jumanji, xland

    Source: our own.
    """
    suite, _, own_name = name.partition(":")
    if suite not in SUITES:
        raise ValueError(f"env: unknown suite {suite!r} of {name!r}; there are: {', '.join(SUITES)}")
    package = SUITES[suite].partition(">")[0]
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f'env: {name} needs {error.name}; pip install "{SUITES[suite]}"') from error
    except Exception as error:  # made for another JAX, say
        raise ImportError(
            f'env: {package} is installed but fails ({error!r}); pip install "{SUITES[suite]}"'
        ) from error
    makers = {"brax": _brax, "craftax": _craftax, "jumanji": _jumanji, "xland": _xland}
    try:
        env = makers[suite](own_name, **options)
    except Exception as error:  # each suite has errors of its own
        raise ValueError(f"env: {suite} cannot make {own_name!r} ({error!r})") from error
    return env, env.default_params


def _brax(name: str, episode_length: int = 1000, **options: Any) -> Any:
    from brax import envs  # pyright: ignore

    return BraxEnvironment(envs.get_environment(name, **options), episode_length)


def _craftax(name: str, **options: Any) -> Any:
    from craftax.craftax_env import make_craftax_env_from_name  # pyright: ignore[reportMissingImports]

    env = make_craftax_env_from_name(name, auto_reset=False, **options)
    return LegacyEnvironment(env, env.default_params)


def _jumanji(name: str, **options: Any) -> Any:
    import jumanji  # pyright: ignore[reportMissingImports]

    return JumanjiEnvironment(jumanji.make(name, **options))


def _xland(name: str, **options: Any) -> Any:
    import xminigrid  # pyright: ignore[reportMissingImports]

    return XLandEnvironment(*xminigrid.make(name, **options))
