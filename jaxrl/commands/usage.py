"""What all commands share: the usage, and how they refuse."""

import sys
from typing import Any

USAGE = """usage: jaxrl COMMAND ...

  jaxrl train ALGORITHM ENV [--FIELD VALUE ...] [--env.KEY VALUE ...]   train, evaluate, save, draw
  jaxrl train LEARNER TASK [--task.KEY VALUE ...] [--model.KEY VALUE ...]   a language model, from nothing
  jaxrl train LEARNER --model DIR --data FILE [--reward MODULE:FUNCTION]    a model of yours, on questions of yours
  jaxrl train pretraining --text FILE                                       a language model of a text
  jaxrl train ALGORITHM ENV --help                                      all fields
  jaxrl solve SOLVER ENV [--FIELD VALUE ...] [--env.KEY VALUE ...]      values and policy of a small world, proved
  jaxrl evaluate DIR [--episodes 100] [--seed 0] [--gif]                replay what a run learned
  jaxrl evaluate DIR [--prompts 256] [--samples 16]                     the same of a language model: pass@1, pass@k
  jaxrl profile ALGORITHM ENV [--sweep num-envs=16..65536] [--trace DIR]  where its time goes, and what limits it
  jaxrl generate --model DIR "PROMPT"                                   complete a text
  jaxrl envs                                                            environments and their spaces

ALGORITHM is a name or MODULE:CLASS of your own, SOLVER too. ENV is a name of `jaxrl envs`, or of another suite:
brax:NAME, craftax:NAME, jumanji:NAME, xland:NAME. TASK is parity, addition, countdown, reversal or sorting."""


def names_of(command: str) -> str:
    """The usage, and the names that a command knows."""
    from jaxrl.engine.names import ALGORITHMS, SOLVERS

    what, table = ("algorithms", ALGORITHMS) if command == "train" else ("solvers", SOLVERS)
    return f"{USAGE}\n\n{what}: {', '.join(table)}"


def two_names(arguments: list[str], command: str, what: str) -> list[str]:
    """The arguments if they begin with two names; else the usage, or a refusal, and exit."""
    if len(arguments) < 2 or arguments[0].startswith("-") or arguments[1].startswith("-"):
        if "--help" in arguments or "-h" in arguments:
            print(names_of(command))
            raise SystemExit(0)
        refuse(f"{command} needs {what} and an environment\n{names_of(command)}")
    return arguments


def key_of(seed: int) -> Any:
    """A key of the random numbers.

    Raises:
      ValueError: for a seed of more than 32 bits, of which JAX would drop some.
    """
    import jax

    if not 0 <= seed < 2**32:
        raise ValueError(f"seed={seed} must be in [0, {2**32 - 1}]")
    return jax.random.key(seed)


def refuse(error: Exception | str, code: int = 2) -> Any:
    """One sentence on standard error, then exit."""
    print(f"jaxrl: {error}", file=sys.stderr)
    raise SystemExit(code)
