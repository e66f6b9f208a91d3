"""Does reinforcement make a language model better than what it was pretrained on, and how fast, from nothing?

Each seed of a cell trains a small transformer on a task's texts and then by verified rewards; the same held-out prompts
are answered before and after. The controls are the same with rewards of a coin, and without pretraining.
"""

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.struct
import jax
import tyro

import jaxrl
from benchmarks import machine, results
from benchmarks.results import Result, Side
from benchmarks.turns import measure_each, say
from jaxrl import lm
from jaxrl.presets import annealed, language_preset, new_model, updates_of

NUM_SAMPLES = 16
SHOWN = ("pass@1", "pass@16", "greedy", "length")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One row of the table."""

    task: str
    """Of `jaxrl.lm.tasks.make`, as the presets know it."""
    options: dict[str, Any]
    """Of the task."""
    threshold: float | None = None
    """What the median seed's pass@1 should reach; None: there is no bar."""
    seconds: float | None = None
    """What all seeds together should take at most, from nothing; None: there is no bar."""
    chance: float | None = None
    """pass@1 of a guess; None: next to nothing."""
    controls: bool = False
    """Whether the controls belong to the cell."""


CELLS = {
    "parity-16": Cell("parity", {"num_bits": 16}, 0.99, 180, chance=0.5, controls=True),
    "parity-32": Cell("parity", {"num_bits": 32}, chance=0.5),
    "parity-64": Cell("parity", {"num_bits": 64}, chance=0.5),
    "addition": Cell("addition", {}, 0.97, 600),
    "countdown": Cell("countdown", {}, 0.8, 600),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Pretrain, reinforce and judge language models; writes benchmarks/results/lm_learning_CELL.json."""

    cells: tuple[str, ...] = tuple(CELLS)
    seeds: int = 3
    num_prompts: int = 512
    """Held-out prompts, each answered sixteen times."""
    results: pathlib.Path = results.RESULTS


class Stages(NamedTuple):
    """The two learners of a cell, and their updates."""

    pretraining: Any
    pretraining_updates: int
    reinforcement: Any
    """GRPO, without parameters to begin with."""
    updates: int


@flax.struct.dataclass
class PaidByCoin:
    """A learner whose completions earn what a coin says."""

    learner: Any

    def init(self, key: jax.Array) -> Any:
        """The learner's."""
        return self.learner.init(key)

    def update(self, state: Any, key: jax.Array) -> Any:
        """The learner's, with other rewards."""
        rollout_key, coin_key, learn_key = jax.random.split(key, 3)
        state, batch = self.learner.rollout(state, rollout_key)
        coins = jax.random.bernoulli(coin_key, shape=batch.reward.shape).astype(batch.reward.dtype)
        return self.learner.learn(state, batch.replace(reward=coins), learn_key)


train = jax.jit(jaxrl.train, static_argnums=2)


class Keys(NamedTuple):
    """Of a seed: of its two stages, and of every judgement, so that all are of the same prompts."""

    pretraining: jax.Array
    reinforcement: jax.Array
    judge: jax.Array


def keys_of(seed: int) -> Keys:
    """A seed's."""
    return Keys(*jax.random.split(jax.random.key(seed), 4)[:3])


def stages_of(cell: Cell) -> Stages:
    """The learners of `jaxrl train grpo TASK`, with its presets."""
    tuned = language_preset("grpo", cell.task)
    task = lm.tasks.make(cell.task, **cell.options)
    model = new_model(task, **tuned.model)
    pretraining = annealed(jaxrl.Pretraining(task, model, **tuned.pretraining), tuned.pretraining_texts)
    reinforcement = annealed(jaxrl.GRPO(task, model, **tuned.fields), tuned.total_steps, tuned.anneal)
    counts = (updates_of(pretraining, tuned.pretraining_texts), updates_of(reinforcement, tuned.total_steps))
    return Stages(pretraining, counts[0], reinforcement, counts[1])


def measure(name: str, options: Options) -> Result:
    """Train and judge all seeds of a cell."""
    cell = CELLS[name]
    stages = stages_of(cell)
    numbers: dict[str, list[Any]] = {}

    def note(**values: Any) -> None:
        for key, value in values.items():
            numbers.setdefault(key, []).append(value)

    began = time.perf_counter()
    for seed in range(options.seeds):
        keys = keys_of(seed)
        pretrained, _, seconds = timed(stages.pretraining, keys.pretraining, stages.pretraining_updates)
        note(pretraining_seconds=seconds)
        note(**judge(stages.reinforcement, pretrained, keys.judge, options.num_prompts, "before"))
        learner = stages.reinforcement.replace(params=pretrained.params)
        state, metrics, seconds = timed(learner, keys.reinforcement, stages.updates)
        note(reinforcement_seconds=seconds)
        note(**judge(stages.reinforcement, state, keys.judge, options.num_prompts, "after"))  # by the same program
        note(rewards=metrics["reward"].tolist(), lengths=metrics["length"].tolist())
        say(f"{name}, seed {seed}: {words(numbers)}")
    note(seconds=time.perf_counter() - began)
    if cell.controls:
        control(stages, options, note)
    num_params = sum(x.size for x in jax.tree.leaves(pretrained.params))
    return Result(
        name=f"lm_learning_{name}",
        command=results.command_line(
            "benchmarks.lm_learning", dataclasses.replace(options, cells=(name,)), omit=("results",)
        ),
        configuration=configuration(name) | {"parameters": num_params},
        sides={"jaxrl": Side(machine.versions(), machine.variables(), {}, numbers)},
        **machine.provenance(),
    )


def configuration(name: str) -> dict[str, Any]:
    """What a cell's result says of its run."""
    cell = CELLS[name]
    tuned = language_preset("grpo", cell.task)
    stages = {"pretraining": tuned.pretraining, "reinforcement": tuned.fields}
    preset = {"model": tuned.model} | jax.tree.map(lambda value: getattr(value, "__name__", value), stages)
    sizes = {"texts": tuned.pretraining_texts, "completions": tuned.total_steps, "anneal": tuned.anneal}
    return dataclasses.asdict(cell) | preset | sizes


def timed(learner: Any, key: jax.Array, updates: int) -> tuple[Any, dict[str, Any], float]:
    """State, metrics and seconds of a training run; those of the first seed have the compilation in them."""
    began = time.perf_counter()
    state, metrics = jax.block_until_ready(train(learner, key, updates))
    return state, jax.device_get(metrics), time.perf_counter() - began


def judge(learner: Any, state: Any, key: jax.Array, num_prompts: int, when: str) -> dict[str, float]:
    """pass@1, pass@16, majority@16 and length of sampled completions, and pass@1 of the likeliest ones."""
    sampled = jaxrl.evaluate_task(learner, state, key, num_prompts, NUM_SAMPLES)
    greedy = jaxrl.evaluate_task(learner, state, key, num_prompts, 1, learner.task.sampling.replace(top_k=1))
    means = {name: found.mean for name, found in sampled.summary().items()}
    means |= {"greedy": float(greedy.pass_at(1).mean())}
    return {f"{when} {name}": mean for name, mean in means.items()}


def control(stages: Stages, options: Options, note: Any) -> None:
    """The same with a coin as judge, and without pretraining."""
    for seed in range(options.seeds):
        keys = keys_of(seed)
        pretrained, _, _ = timed(stages.pretraining, keys.pretraining, stages.pretraining_updates)
        learners = {"coin": PaidByCoin(stages.reinforcement.replace(params=pretrained.params))}
        learners |= {"from nothing": stages.reinforcement}
        for name, learner in learners.items():
            state, _, _ = timed(learner, keys.reinforcement, stages.updates)
            note(**judge(stages.reinforcement, state, keys.judge, options.num_prompts, name))


def words(numbers: dict[str, list[Any]]) -> str:
    """The last seed's figures."""
    shown = {name: f"{numbers[f'before {name}'][-1]:.3f} to {numbers[f'after {name}'][-1]:.3f}" for name in SHOWN}
    seconds = [f"{numbers[f'{stage}_seconds'][-1]:.0f} s" for stage in ("pretraining", "reinforcement")]
    return ", ".join([*(f"{name} {value}" for name, value in shown.items()), " and ".join(seconds)])


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.lm_learning")
    measure_each("cells", options.cells, CELLS, lambda name: measure(name, options), options.results)


if __name__ == "__main__":
    main()
