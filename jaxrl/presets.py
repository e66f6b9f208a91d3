"""Tuned defaults per environment: one table, read by the command line and the benchmarks."""

import math
from typing import Any, NamedTuple

import jax
import optax

from jaxrl import lm, networks, ops
from jaxrl.algorithms.lm import GRPO, Pretraining, TokenPPO
from jaxrl.engine.names import ALGORITHMS, VARIANTS
from jaxrl.types import first_steps, steps_per_update


class Preset(NamedTuple):
    """Steps of a run, the fields of an algorithm that differ from its defaults, and whether the learning rate falls."""

    total_steps: int
    fields: dict[str, Any]
    anneal: bool = True


class LanguagePreset(NamedTuple):
    """Completions of a run and fields of its learner, the shape of a new model, and the texts it is pretrained on.

    `anneal` is after how many times the run's updates the learning rate would be zero; 0 keeps it.
    """

    total_steps: int
    fields: dict[str, Any]
    model: dict[str, Any]
    pretraining: dict[str, Any]
    pretraining_texts: int
    anneal: float = 0.0


SMALL_CONTINUOUS: dict[str, Any] = dict(
    num_envs=4,
    num_steps=50,
    hidden_sizes=(64, 64),
    batch_size=128,
    warmup=250,
    target_rate=0.01,
    discount=0.98,
    learning_rate=2e-3,
)

SMALL_IMAGES: dict[str, Any] = dict(
    num_envs=16,
    hidden_sizes=(128,),
    batch_size=64,
    warmup=500,
    learning_rate=3e-4,
    explore_updates=60.0,
)

PRESETS: dict[tuple[str, str], Preset] = {
    ("reinforce", "CartPole-v1"): Preset(2_000_000, dict(num_envs=8)),
    ("one-step-actor-critic", "CartPole-v1"): Preset(
        2_000_000, dict(num_envs=16, learning_rate=5e-4, normalize_rewards=True)
    ),
    ("actor-critic", "CartPole-v1"): Preset(
        500_000, dict(num_envs=8, num_steps=16, learning_rate=2e-3, gae_lambda=0.95, normalize_rewards=True)
    ),
    ("vtrace-actor-critic", "CartPole-v1"): Preset(
        500_000, dict(num_envs=16, num_steps=32, learning_rate=5e-4, entropy_coef=0.0, normalize_rewards=True)
    ),
    ("recurrent-ppo", "CartPole-v1"): Preset(
        500_000, dict(num_envs=16, num_steps=64, learning_rate=1e-3, normalize_rewards=True)
    ),
    ("pqn", "CartPole-v1"): Preset(500_000, dict(num_envs=32, num_steps=32, num_epochs=4, learning_rate=5e-4)),
    ("recurrent-pqn", "CartPole-v1"): Preset(500_000, dict(num_envs=32, num_epochs=4)),
    ("dqn", "CartPole-v1"): Preset(
        200_000,
        dict(explore_updates=20.0, num_backup_steps=5, target_rate=0.02, returns=ops.MeanReturns(optax.l2_loss)),
    ),
    ("rainbow", "CartPole-v1"): Preset(
        200_000, dict(num_backup_steps=5, target_rate=0.02, returns=ops.CategoricalReturns(0.0, 100.0))
    ),
    ("discrete-sac", "CartPole-v1"): Preset(200_000, dict(num_backup_steps=5, target_rate=0.02)),
    ("sac", "Pendulum-v1"): Preset(40_000, SMALL_CONTINUOUS),
    ("tqc", "Pendulum-v1"): Preset(40_000, SMALL_CONTINUOUS),
    ("td3", "Pendulum-v1"): Preset(40_000, SMALL_CONTINUOUS | dict(num_steps=25, target_rate=0.02)),
    ("ddpg", "Pendulum-v1"): Preset(40_000, SMALL_CONTINUOUS | dict(target_rate=0.02)),
    ("ppo", "CartPole-v1"): Preset(500_000, dict(num_envs=16, num_steps=64, learning_rate=1e-3)),
    ("ppo", "Acrobot-v1"): Preset(1_000_000, dict(num_envs=16, learning_rate=1e-3)),
    ("ppo", "Pendulum-v1"): Preset(
        1_000_000,
        dict(
            num_envs=16,
            num_epochs=10,
            learning_rate=1e-3,
            discount=0.95,
            entropy_coef=0.0,
            normalize_observations=True,
            normalize_rewards=True,
        ),
    ),
    ("ppo", "MountainCar-v0"): Preset(
        1_000_000,
        dict(num_envs=16, num_steps=256, learning_rate=1e-3, normalize_observations=True, normalize_rewards=True),
    ),
    ("ppo", "MemoryChain-bsuite"): Preset(500_000, dict(num_steps=32, learning_rate=1e-3)),
    ("recurrent-ppo", "MemoryChain-bsuite"): Preset(500_000, dict(num_steps=32, learning_rate=1e-3)),
    # The replay holds the whole run: who forgets the first failures falls back into them.
    ("dqn", "Acrobot-v1"): Preset(
        300_000, dict(explore_updates=10.0, num_backup_steps=3, target_rate=0.005, capacity=300_000)
    ),
    ("pqn", "Acrobot-v1"): Preset(
        1_000_000,
        dict(num_envs=32, num_steps=32, num_epochs=4, learning_rate=1e-3, q_lambda=0.9, explore_updates=100.0),
    ),
    ("dqn", "Breakout-MinAtar"): Preset(1_000_000, SMALL_IMAGES),
    # With an ε: noise in the layers alone ends in a loop of the ball that never ends.
    ("rainbow", "Breakout-MinAtar"): Preset(
        500_000, SMALL_IMAGES | dict(epsilon=0.05, returns=ops.CategoricalReturns(0.0, 50.0))
    ),
    ("pqn", "Breakout-MinAtar"): Preset(
        1_000_000, dict(num_envs=64, num_steps=32, hidden_sizes=(128,), learning_rate=5e-4, explore_updates=50.0)
    ),
    ("ppo", "brax:inverted_pendulum"): Preset(
        400_000,
        dict(num_steps=32, learning_rate=1e-3, normalize_observations=True, normalize_rewards=True),
    ),
    ("ppo", "Breakout-MinAtar"): Preset(1_000_000, dict(num_minibatches=8, hidden_sizes=(128,), learning_rate=5e-3)),
}


LANGUAGE_PRESETS: dict[str, LanguagePreset] = {
    "parity": LanguagePreset(
        160 * 128,
        dict(num_prompts=16, group_size=8, learning_rate=7e-4),
        dict(width=64, num_layers=2, num_heads=4, mlp_size=192),
        dict(num_texts=64, learning_rate=2e-3, answers_only=True),
        1000 * 64,
        anneal=1.6,
    ),
    "addition": LanguagePreset(
        400 * 512,
        dict(num_prompts=64, group_size=8, learning_rate=5e-4),
        dict(width=96, num_layers=2, num_heads=4, mlp_size=256),
        dict(num_texts=128, learning_rate=2e-3, answers_only=True),
        2400 * 128,
        anneal=1.125,
    ),
    "countdown": LanguagePreset(
        150 * 256,
        dict(num_prompts=32, group_size=8, learning_rate=2e-4),
        dict(width=128, num_layers=2, num_heads=4, mlp_size=384),
        dict(num_texts=32, texts_per_row=1.55, learning_rate=2e-3, answers_only=True, optimizer=ops.adamw),
        6000 * 32,
        anneal=1.0,
    ),
}
"""By task: fields are of GRPO and its relatives, the rest of every learner by reinforcement."""

LANGUAGE_DEFAULT = LanguagePreset(100_000, {}, dict(width=128, num_layers=4, num_heads=4), dict(num_texts=64), 200_000)


def preset(algorithm: str, env: str) -> Preset:
    """The tuned defaults, or one million steps and no changes for a pair that is not in the table.

    Args:
      algorithm: a name such as `"ppo"`.
      env: a name such as `"CartPole-v1"`.
    """
    tuned = PRESETS.get((algorithm, env), Preset(1_000_000, {}, anneal=False))
    return tuned._replace(fields=VARIANTS.get(algorithm, {}) | tuned.fields)


def language_preset(algorithm: str, task: str) -> LanguagePreset:
    """The tuned defaults of a learner of language models, or those of a small model for a task not in the table.

    Args:
      algorithm: a name such as `"grpo"`.
      task: a name such as `"parity"`, or an empty one.

    Returns:
      The preset; what was tuned for GRPO is left out for a learner that is not of its kind.

    Example:
      >>> language_preset("token-ppo", "parity").fields
      {}

    Source: our own.
    """
    tuned = LANGUAGE_PRESETS.get(task, LANGUAGE_DEFAULT)
    variant, found = VARIANTS.get(algorithm, {}), ALGORITHMS.get(algorithm)
    if found is Pretraining:
        return tuned._replace(total_steps=tuned.pretraining_texts, fields=tuned.pretraining | variant, anneal=1.0)
    return tuned._replace(fields=tuned.fields | variant if found is GRPO else {})


def checkpoint_fields(algorithm: str, adapters: bool) -> dict[str, Any]:
    """Fields for a model that was pretrained elsewhere: learning rates are of large models, not of small new ones.

    Args:
      algorithm: a name such as `"grpo"`.
      adapters: whether adapters are trained instead of the model.

    Example:
      >>> checkpoint_fields("grpo", adapters=False)
      {'learning_rate': 1e-06}

    Source: the defaults of TRL's trainers (SFT, PPO, and DPO and GRPO), github.com/huggingface/trl, which advises ten
    times as much for adapters. We have measured none of them.
    """
    learning_rate = {Pretraining: 2e-5, TokenPPO: 3e-6}.get(ALGORITHMS.get(algorithm), 1e-6)
    return {"learning_rate": 10 * learning_rate if adapters else learning_rate}


def new_model(task: Any, **shape: Any) -> networks.Transformer:
    """A transformer with the tokens of a task, and a context of its texts.

    Args:
      task: of `lm.tasks`.
      **shape: other fields of `networks.TransformerConfig`, or other values of these.

    Raises:
      ValueError: for texts longer than a context that is given.

    Source: our own.
    """
    length = getattr(task, "length", None)
    if length is None:
        asked = jax.eval_shape(lambda: task.prompts(jax.random.key(0), 1))
        length = asked.tokens.shape[1] + task.sampling.max_new_tokens
    own = {"vocab_size": task.tokenizer.vocab_size, "max_length": length}
    model = networks.Transformer(networks.TransformerConfig(**own | shape))
    lm.check_context(model, length, 0)
    return model


def updates_of(algorithm: Any, total_steps: int) -> int:
    """Updates that make at least so many environment steps, with those before the first one."""
    return max(1, math.ceil((total_steps - first_steps(algorithm)) / steps_per_update(algorithm)))


def annealed(algorithm: Any, total_steps: int, anneal: float = 1.0) -> Any:
    """The algorithm with a learning rate that falls to zero over a run of so many steps, or over `anneal` such runs."""
    return algorithm.replace(anneal_updates=anneal * updates_of(algorithm, total_steps))
