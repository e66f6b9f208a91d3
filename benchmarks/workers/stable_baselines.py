"""A worker for libraries with the interface of Stable-Baselines3, whose environments Python steps."""

import functools
import time
from collections.abc import Callable
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from stable_baselines3.common.env_util import make_vec_env  # pyright: ignore[reportMissingImports]

from benchmarks.workers.configuration import Configuration
from benchmarks.workers.protocol import Layers, describe, serve


def make_model(algorithm: Any, configuration: Configuration, seed: int, **options: Any) -> Any:
    sizes = list(configuration.hidden_sizes)
    return algorithm(
        "MlpPolicy",
        make_vec_env(configuration.env, configuration.num_envs, seed=seed),
        learning_rate=configuration.learning_rate,
        n_steps=configuration.num_steps,
        batch_size=configuration.steps_per_update // configuration.num_minibatches,
        n_epochs=configuration.num_epochs,
        gamma=configuration.discount,
        gae_lambda=configuration.gae_lambda,
        clip_range=configuration.clip,
        ent_coef=configuration.entropy_coef,
        vf_coef=configuration.value_coef / 2,  # the whole squared error here, half of it in the others
        max_grad_norm=configuration.max_grad_norm,
        policy_kwargs={"net_arch": {"pi": sizes, "vf": sizes}},
        device="cpu",
        seed=seed,
        **options,
    )


def serve_stable_baselines(
    make: Callable[[int], Any],
    actor_layers: Callable[[Any], Layers],
    first_steps: int,
    packages: tuple[str, ...],
    compiles: bool,
) -> None:
    """Answer commands.

    Args:
      make: from a seed to a model.
      actor_layers: from a trained model to the actor's layers.
      first_steps: environment steps after which all has been compiled: an update, a replay's random steps included.
      packages: more packages whose versions matter.
      compiles: whether these compile anything, and one can tell: as many steps more do without it.
    """
    first = functools.cache(lambda: make(0))  # not before it is asked for: it compiles a little

    def learn(model: Any, steps: int) -> float:
        start = time.perf_counter()
        model.learn(steps, reset_num_timesteps=False)  # else a replay's random steps would begin anew
        return time.perf_counter() - start

    def compile_first_update(steps: int) -> dict[str, Any]:
        del steps  # nothing here depends on the length of the run
        seconds, again = (learn(first(), first_steps) for _ in range(2))
        return {"seconds": max(seconds - again, 0.0) if compiles else None}

    def run(steps: int, seed: int) -> dict[str, Any]:
        first().set_random_seed(seed)
        return {"seconds": learn(first(), steps)}

    def train_policy(steps: int, seeds: list[int]) -> dict[str, Any]:
        start = time.perf_counter()
        trained = [make(seed) for seed in seeds]
        for each in trained:
            learn(each, steps)
        seconds = time.perf_counter() - start
        return {"policies": [actor_layers(each) for each in trained], "seconds": seconds}

    serve(
        {
            "describe": lambda: describe(packages, {"torch": torch.get_num_threads()}),
            "compile": compile_first_update,
            "run": run,
            "train_policy": train_policy,
        }
    )
