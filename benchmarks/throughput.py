"""How fast is everything on this device, and how far from the device's limits?

Each cell is a `jaxrl.profile`: steady-state speed with every repetition, seconds of compilation, counts of operations
and bytes, and limits measured in the same process.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from benchmarks import learning, machine, results
from benchmarks.results import Result, Side
from benchmarks.turns import measure_each, say


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is profiled."""

    what: str
    """In words, for tables."""
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
    "ppo-64": Cell("PPO, CartPole-v1, 64 environments", lambda: _learner("PPO", "CartPole-v1", num_envs=64)),
    "ppo-2048": Cell("PPO, CartPole-v1, 2048 environments", lambda: _learner("PPO", "CartPole-v1", num_envs=2048)),
    "ppo-65536": Cell(
        "PPO, CartPole-v1, 65,536 environments",
        lambda: _learner("PPO", "CartPole-v1", num_envs=65536, num_steps=32),
        accelerator=True,
    ),
    "ppo-seeds": Cell(
        "PPO, CartPole-v1, 2048 seeds of 4 environments",
        lambda: _learner("PPO", "CartPole-v1", **PUREJAXRL),
        num_seeds=2048,
    ),
    "ppo-breakout": Cell(
        "PPO, Breakout-MinAtar, 64 environments", lambda: _learner("PPO", "Breakout-MinAtar", num_envs=64)
    ),
    "ppo-breakout-2048": Cell(
        "PPO, Breakout-MinAtar, 2048 environments",
        lambda: _learner("PPO", "Breakout-MinAtar", num_envs=2048, num_minibatches=32),
        accelerator=True,
    ),
    "dqn": Cell(
        "DQN, CartPole-v1, 10 environments, replay of 10⁶",
        lambda: _learner("DQN", "CartPole-v1", capacity=1_000_000),
    ),
    "dqn-seeds": Cell(
        "DQN, CartPole-v1, 256 seeds",
        lambda: _learner("DQN", "CartPole-v1"),
        num_seeds=256,
        accelerator=True,
    ),
    "dqn-breakout": Cell(
        "DQN, Breakout-MinAtar, 128 environments",
        lambda: _learner("DQN", "Breakout-MinAtar", num_envs=128, capacity=100_000),
    ),
    "sac": Cell("SAC, Pendulum-v1", lambda: _learner("SAC", "Pendulum-v1")),
    "dense": Cell("value iteration, dense, 4000 states, 8 actions", lambda: _dense(4000)),
    "dense-8192": Cell("value iteration, dense, 8192 states, 8 actions", lambda: _dense(8192), accelerator=True),
    "fanout": Cell("value iteration, 10⁶ states, 4 actions, 3 successors", lambda: _fanout(1_000_000)),
    "pretraining": Cell("pretraining, parity of 16 bits, 64 texts", lambda: _parity("Pretraining", num_texts=64)),
    "grpo": Cell(
        "GRPO, parity of 16 bits, 512 completions",
        lambda: _parity("GRPO", num_prompts=64, group_size=8, learning_rate=1e-9),
    ),
    "grpo-0.5b": Cell("GRPO, 0.5 billion parameters, 8 completions of 64 tokens", _half_billion, accelerator=True),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Profile every cell that fits the device; writes benchmarks/results/[PLATFORM/]throughput_CELL.json."""

    cells: tuple[str, ...] = ()
    """Empty: all, on a CPU those that two cores can."""
    repetitions: int = 15
    results: pathlib.Path = results.RESULTS


def measure(name: str, options: Options) -> Result:
    """Profile one cell."""
    import jax

    import jaxrl

    cell = CELLS[name]
    algorithm = cell.build()
    profile = jaxrl.profile(algorithm, num_seeds=cell.num_seeds, repetitions=options.repetitions)
    low, median, high = profile.per_second
    say(f"{name}: {median:,.0f} {profile.unit}/s [{low:,.0f}, {high:,.0f}]")
    jax.clear_caches()
    command = dataclasses.replace(options, cells=(name,))
    return Result(
        name=f"throughput_{name}",
        command=results.command_line("benchmarks.throughput", command, omit=("results",)),
        configuration=configuration(name, algorithm) | {"unit": profile.unit},
        sides={"jaxrl": Side(machine.versions(), machine.variables(), {}, measurements(profile))},
        **machine.provenance(),
    )


def configuration(name: str, algorithm: Any) -> dict[str, Any]:
    """What a cell's result says of its work: words, and every number of the algorithm that is a field of its own."""
    fields = {field.name: getattr(algorithm, field.name) for field in dataclasses.fields(algorithm)}
    plain = {name: learning.plain(name, x) for name, x in fields.items() if isinstance(x, bool | int | float | str)}
    return {"what": CELLS[name].what, "seeds": CELLS[name].num_seeds, "fields": plain}


def measurements(profile: Any) -> dict[str, list[Any]]:
    """Every repetition of what was timed, and what was counted."""
    compilation, counts = profile.compilation, dataclasses.asdict(profile.counts)
    numbers: dict[str, list[Any]] = {
        "units_per_second": [profile.units / seconds for seconds in profile.seconds],
        "update_seconds": list(profile.seconds),
        "compile_seconds": [compilation.trace_seconds + compilation.lower_seconds + compilation.compile_seconds],
        "flops": [counts["flops"]],
        "bytes": [counts["bytes"]],
        "kernels": [counts["kernels"]],
        "transfers": [counts["transfers"]],
        "temporary_bytes": [compilation.temporary_bytes],
        "compilations": [profile.compilations],
    }
    if profile.tokens:
        numbers["tokens_per_second"] = list(profile.tokens_per_second)
    if profile.one_thread_seconds:
        numbers["one_thread_update_seconds"] = list(profile.one_thread_seconds)
    if profile.stages:
        numbers["in no stage"] = list(profile.open_shares())
        numbers["in no stage alone"] = list(profile.open_shares(together=False))
    for name, stage in profile.stages.items():
        numbers[f"stage {name}" if stage.within is None else f"part {name} of {stage.within}"] = list(stage.seconds)
    numbers |= {f"loop of {name}": list(loop.seconds) for name, loop in profile.loops.items()}
    numbers |= {f"peak {limit}": [value] for limit, value in dataclasses.asdict(profile.peaks).items()}
    return {name: results.finite_or_null(values) for name, values in numbers.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    import jax

    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.throughput")
    on_cpu = jax.default_backend() == "cpu"
    names = options.cells or [name for name, cell in CELLS.items() if not (on_cpu and cell.accelerator)]
    measure_each("cells", names, CELLS, lambda name: measure(name, options), options.results)


if __name__ == "__main__":
    main()
