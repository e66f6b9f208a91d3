"""What all commands share: the usage, and how they refuse."""

import sys
from typing import Any

USAGE = """usage: jaxrl COMMAND ...

  jaxrl train ALGORITHM ENV [--FIELD VALUE ...] [--env.KEY VALUE ...]   train, evaluate, save, draw
  jaxrl train ALGORITHM ENV --help                                      all fields
  jaxrl solve SOLVER ENV [--FIELD VALUE ...] [--env.KEY VALUE ...]      values and policy of a small world, proved
  jaxrl evaluate DIR [--episodes 100] [--seed 0] [--gif]                replay what a run learned
  jaxrl envs                                                            environments and their spaces

ALGORITHM is a name (ppo, q-learning) or MODULE:CLASS of your own, SOLVER too (value-iteration)."""


def two_names(arguments: list[str], command: str, what: str) -> list[str]:
    """The arguments if they begin with two names; else the usage, or a refusal, and exit."""
    if len(arguments) < 2 or arguments[0].startswith("-") or arguments[1].startswith("-"):
        if "--help" in arguments or "-h" in arguments:
            print(USAGE)
            raise SystemExit(0)
        refuse(f"{command} needs {what} and an environment\n{USAGE}")
    return arguments


def refuse(error: Exception | str, code: int = 2) -> Any:
    """One sentence on standard error, then exit."""
    print(f"jaxrl: {error}", file=sys.stderr)
    raise SystemExit(code)
