"""Counts that no machine's mood changes: operations, bytes, kernels, and the size of compiled programs.

Stored in benchmarks/counts.json by version of jaxlib, backend and instruction set; a test compares what this code
compiles to with them. `python -m benchmarks.counts` stores those of this machine.
"""

import dataclasses
import importlib.metadata
import json
import pathlib
import platform
from collections.abc import Sequence
from typing import Any

import tyro

from benchmarks import results

PATH = results.ROOT / "benchmarks" / "counts.json"
TOLERANCE = 0.05
"""Relative."""


def learners() -> dict[str, Any]:
    """Small ones, that compile in seconds."""
    import jaxrl
    from jaxrl import lm, networks

    task = lm.tasks.Parity(8)
    config = networks.TransformerConfig(task.tokenizer.vocab_size, width=32, num_layers=2, num_heads=2)
    cartpole = jaxrl.envs.make("CartPole-v1")
    return {
        "PPO": jaxrl.PPO(*cartpole, num_envs=16, num_steps=32),
        "DQN": jaxrl.DQN(*cartpole, num_steps=16, capacity=2000),
        "SAC": jaxrl.SAC(*jaxrl.envs.make("Pendulum-v1"), num_steps=4, capacity=2000),
        "ValueIteration": jaxrl.ValueIteration(jaxrl.envs.textbook.garnet(1000, 4, 3)),
        "GRPO": jaxrl.GRPO(task, networks.Transformer(config), num_prompts=8, group_size=4),
    }


def key() -> str:
    """What counts depend on besides the code: jaxlib's version, the backend, the instruction set."""
    import jax

    return f"jaxlib {importlib.metadata.version('jaxlib')}, {jax.default_backend()}, {_instructions()}"


def _instructions() -> str:
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    wide = next((name for name in ("avx512f", "avx2", "avx", "asimd") if name in flags), "plain")
    return f"{platform.machine()} {wide}"


def counted(algorithm: Any) -> dict[str, float]:
    """Of one update, per environment step or other unit."""
    import jax

    from jaxrl.engine.profiling.programs import compiled_updates, described, state_shapes
    from jaxrl.types import steps_per_update

    init_key, run_key = jax.random.split(jax.random.key(0))
    program, seconds, programs = compiled_updates(algorithm, state_shapes(algorithm, init_key), run_key, longest=16)
    found, units = described(program, seconds | {"first_run_seconds": 0.0}, programs), steps_per_update(algorithm)
    return {
        "flops": found.counts.flops / units,
        "bytes": found.counts.bytes / units,
        "kernels": found.counts.kernels / units,
        "temporary_bytes": found.temporary_bytes,
        "instructions": found.instructions,
        "compilations": found.programs,
    }


def stored() -> dict[str, Any]:
    """By key, then by learner."""
    return json.loads(PATH.read_text()) if PATH.exists() else {}


@dataclasses.dataclass(frozen=True)
class Options:
    """Store the counts of this machine's programs in benchmarks/counts.json."""


def main(arguments: Sequence[str] | None = None) -> None:
    tyro.cli(Options, args=arguments, prog="python -m benchmarks.counts")
    every = stored() | {key(): {name: counted(learner) for name, learner in learners().items()}}
    PATH.write_text(json.dumps(dict(sorted(every.items())), indent=1) + "\n")
    print(f"wrote {PATH.name}: {key()}")


if __name__ == "__main__":
    main()
