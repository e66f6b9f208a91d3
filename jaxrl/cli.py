"""The command line: `jaxrl train | solve | evaluate | profile | generate | envs`."""

import sys
from collections.abc import Callable
from pathlib import Path

from jaxrl.commands.environments import environments
from jaxrl.commands.evaluate import evaluate
from jaxrl.commands.generate import generate
from jaxrl.commands.profile import profile
from jaxrl.commands.solve import solve
from jaxrl.commands.train import train
from jaxrl.commands.usage import USAGE, refuse

COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "train": train,
    "solve": solve,
    "evaluate": evaluate,
    "generate": generate,
    "profile": profile,
    "envs": environments,
}


def main(argv: list[str] | None = None) -> None:
    """Run one command; exit code 2 and one sentence for bad input, 1 for a run that failed."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return
    if arguments[0] not in COMMANDS:
        refuse(f"unknown command {arguments[0]!r}\n{USAGE}")
    sys.path.insert(0, str(Path.cwd()))  # MODULE:NAME of the working directory, as `python -m` finds it
    COMMANDS[arguments[0]](arguments[1:])


if __name__ == "__main__":
    main()
