"""Learning, as the median over seeds, ten of control and three of language models; minutes each: `pytest -m slow`."""

from typing import Any

import jax
import numpy as np
import pytest

import jaxrl
from jaxrl import lm, networks
from jaxrl.engine.names import ALGORITHMS
from jaxrl.presets import annealed, preset, updates_of

pytestmark = pytest.mark.slow


def scores(name: str, env: str, evaluations: int = 20) -> np.ndarray:
    """Mean of the last ten evaluations of each of ten seeds."""
    total_steps, fields, _ = preset(name, env)
    algorithm: Any = annealed(ALGORITHMS[name](*jaxrl.envs.make(env), **fields), total_steps)
    num_updates = updates_of(algorithm, total_steps)
    keys = jax.random.split(jax.random.key(0), 10)
    result = jaxrl.fit(algorithm, keys, num_updates, evaluate_every=num_updates // evaluations, loggers=[])
    return result.evaluations["return"][-10:].mean(axis=0)


@pytest.mark.parametrize(
    ("name", "env", "threshold"),
    [
        ("ppo", "CartPole-v1", 475),
        ("ppo", "Acrobot-v1", -100),
        ("ppo", "Pendulum-v1", -200),
        ("dqn", "CartPole-v1", 475),
        ("sac", "Pendulum-v1", -200),
    ],
)
def test_it_learns(name: str, env: str, threshold: float) -> None:
    assert np.median(scores(name, env)) >= threshold


def test_a_language_model_learns_more_than_its_teacher_knows() -> None:
    """Pretrained on a teacher who tosses a coin in four of five texts, it is right in three of five of its own."""
    task = lm.tasks.Parity(8)
    shape: dict[str, int] = {"width": 32, "num_layers": 2, "num_heads": 4, "mlp_size": 64, "max_length": 24}
    model = networks.Transformer(networks.TransformerConfig(task.tokenizer.vocab_size, **shape))
    pretraining = jaxrl.Pretraining(task, model, answers_only=True, learning_rate=3e-3, anneal_updates=600.0)
    grpo = jaxrl.GRPO(task, model, num_prompts=16, learning_rate=5e-4, anneal_updates=300.0)
    train = jax.jit(jaxrl.train, static_argnums=2)
    right = []
    for seed in range(3):
        keys = jax.random.split(jax.random.key(seed), 4)
        taught, _ = train(pretraining, keys[0], 600)
        reinforced, _ = train(grpo.replace(params=taught.params), keys[1], 250)
        judged = zip((taught, reinforced), keys[2:], strict=True)
        right.append([jaxrl.evaluate_task(grpo, state, key, 128, 8).reward.mean() for state, key in judged])
    before, after = np.median(right, axis=0)  # of held-out prompts, answers drawn at temperature one
    assert before < 0.8 and after >= 0.95, right


def test_a_sorted_shuffle_learns_no_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keyed bijection costs no return: a uniform permutation does not beat it by more than the spread."""
    ours = scores("ppo", "Pendulum-v1")
    monkeypatch.setattr("jaxrl.ops.shuffling.permutation", jax.random.permutation)
    jax.clear_caches()  # the function is not part of any compilation key
    plain = scores("ppo", "Pendulum-v1")
    jax.clear_caches()
    low, high = np.quantile(ours, [0.25, 0.75])
    assert np.median(plain) - np.median(ours) <= high - low
