"""How fast is everything on this device, and how far from the device's limits?

Each cell is a `jaxrl.profile`: steady-state speed with every repetition, seconds of compilation, counts of operations
and bytes, and limits measured in the same process.
"""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from benchmarks import machine, results
from benchmarks.results import Result, Side
from benchmarks.turns import say


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is profiled."""

    build: Callable[[], Any]
    num_seeds: int = 1
    accelerator: bool = False
    """Whether it is too large for two cores."""


def _learner(kind: str, env: str, **fields: Any) -> Any:
    import jaxrl

    return getattr(jaxrl, kind)(*jaxrl.envs.make(env), **fields)


def _dense(num_states: int) -> Any:
    """Value iteration of random tables of 8 actions."""
    import jax
    import jax.numpy as jnp

    import jaxrl

    shape = (num_states, 8, num_states)
    rows = jax.jit(lambda key: (lambda x: x / x.sum(-1, keepdims=True))(jax.random.uniform(key, shape)))
    rewards = jax.random.uniform(jax.random.key(1), shape[:2], jnp.float32)
    mdp = jaxrl.envs.MDP(jaxrl.envs.DenseTransitions(rows(jax.random.key(0))), rewards)
    return jaxrl.ValueIteration(mdp, discount=0.99)


def _fanout(num_states: int) -> Any:
    """Value iteration of a process of 4 actions with 3 successors each."""
    import jaxrl

    return jaxrl.ValueIteration(jaxrl.envs.textbook.garnet(num_states, 4, 3), discount=0.99)


def _parity(kind: str, **fields: Any) -> Any:
    """A learner of the model that the preset of parity has."""
    import jaxrl
    from jaxrl import lm, presets

    task = lm.tasks.Parity(16)
    model = presets.new_model(task, **presets.language_preset("grpo", "parity").model)
    return getattr(jaxrl, kind)(task, model, **fields)


def _half_billion() -> Any:
    """GRPO of the shape of Qwen2.5-0.5B: 2 prompts, 4 completions of 64 tokens."""
    from benchmarks import lm_memory

    return lm_memory.learner_of(lm_memory.Options())


PUREJAXRL = {"num_envs": 4, "num_steps": 128, "num_epochs": 4, "num_minibatches": 4, "learning_rate": 2.5e-4}
CELLS: dict[str, Cell] = {
    "ppo-64": Cell(functools.partial(_learner, "PPO", "CartPole-v1", num_envs=64)),
    "ppo-2048": Cell(functools.partial(_learner, "PPO", "CartPole-v1", num_envs=2048)),
    "ppo-65536": Cell(
        functools.partial(_learner, "PPO", "CartPole-v1", num_envs=65536, num_steps=32), accelerator=True
    ),
    "ppo-seeds": Cell(functools.partial(_learner, "PPO", "CartPole-v1", **PUREJAXRL), num_seeds=2048),
    "ppo-breakout": Cell(functools.partial(_learner, "PPO", "Breakout-MinAtar", num_envs=64)),
    "ppo-breakout-2048": Cell(
        functools.partial(_learner, "PPO", "Breakout-MinAtar", num_envs=2048, num_minibatches=32), accelerator=True
    ),
    "dqn": Cell(functools.partial(_learner, "DQN", "CartPole-v1", capacity=1_000_000)),
    "dqn-seeds": Cell(functools.partial(_learner, "DQN", "CartPole-v1"), num_seeds=256, accelerator=True),
    "dqn-breakout": Cell(functools.partial(_learner, "DQN", "Breakout-MinAtar", num_envs=128, capacity=100_000)),
    "sac": Cell(functools.partial(_learner, "SAC", "Pendulum-v1")),
    "dense": Cell(functools.partial(_dense, 4000)),
    "dense-8192": Cell(functools.partial(_dense, 8192), accelerator=True),
    "fanout": Cell(functools.partial(_fanout, 1_000_000)),
    "pretraining": Cell(functools.partial(_parity, "Pretraining", num_texts=64)),
    "grpo": Cell(functools.partial(_parity, "GRPO", num_prompts=64, group_size=8, learning_rate=1e-9)),
    "grpo-0.5b": Cell(_half_billion, accelerator=True),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Profile every cell that fits the device; writes benchmarks/results/throughput_PLATFORM.json."""

    cells: tuple[str, ...] = ()
    """Empty: all, on a CPU those that two cores can."""
    repetitions: int = 9
    seconds: float = float("inf")
    """No cell begins after so many."""
    results: pathlib.Path = results.RESULTS


def measure_cell(name: str, repetitions: int) -> Side:
    """Profile one."""
    import jaxrl

    cell = CELLS[name]
    profile = jaxrl.profile(cell.build(), num_seeds=cell.num_seeds, repetitions=repetitions)
    low, median, high = profile.per_second
    say(f"{name}: {median:,.0f} {profile.unit}/s [{low:,.0f}, {high:,.0f}]")
    compilation, peaks = profile.compilation, dataclasses.asdict(profile.peaks)
    numbers: dict[str, list[Any]] = {
        "units_per_second": [profile.units / seconds for seconds in profile.seconds],
        "update_seconds": list(profile.seconds),
        "compile_seconds": [compilation.trace_seconds + compilation.lower_seconds + compilation.compile_seconds],
        "flops": [profile.counts.flops],
        "bytes": [profile.counts.bytes],
        "kernels": [profile.counts.kernels],
        "temporary_bytes": [compilation.temporary_bytes],
        "compilations": [profile.compilations],
        "transfers": [profile.counts.transfers],
    }
    if profile.tokens is not None:
        numbers["tokens_per_second"] = [profile.tokens / seconds for seconds in profile.seconds]
    numbers |= {f"stage {stage}": list(found.seconds) for stage, found in profile.stages.items()}
    numbers |= {f"peak {limit}": [value] for limit, value in peaks.items()}
    return Side(machine.versions(), machine.variables(), {}, {k: results.finite_or_null(v) for k, v in numbers.items()})


def measure(options: Options, sides: dict[str, Side]) -> Result:
    """What was measured so far, as a result."""
    provenance = machine.provenance()
    return Result(
        name=f"throughput_{provenance['device'].platform}",
        command=results.command_line("benchmarks.throughput", options, omit=("results", "seconds")),
        configuration={"repetitions": options.repetitions}
        | {name: {"seeds": CELLS[name].num_seeds, "unit": "per_second"} for name in sides},
        sides=sides,
        **provenance,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    import jax

    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.throughput")
    unknown = [name for name in options.cells if name not in CELLS]
    if unknown:
        raise SystemExit(f"unknown cells: {', '.join(unknown)}; there are: {', '.join(CELLS)}")
    on_cpu = jax.default_backend() == "cpu"
    names = options.cells or [name for name, cell in CELLS.items() if not (on_cpu and cell.accelerator)]
    begin, sides = time.perf_counter(), {}
    for name in names:
        if time.perf_counter() - begin > options.seconds:
            say(f"{name}: not begun, out of time")
            continue
        sides[name] = measure_cell(name, options.repetitions)
        jax.clear_caches()
        results.save(measure(options, sides), options.results)  # a later cell may not fit
    say(f"wrote throughput_{jax.default_backend()}.json")


if __name__ == "__main__":
    main()
