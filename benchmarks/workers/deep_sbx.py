"""Deep learners of SBX, whose environments Python steps.

What remains different there: DQN is not double and has Huber's loss, and one coin decides for all environments of a
step whether they explore.
"""

from typing import Any

import jax
import sbx  # pyright: ignore[reportMissingImports]
from flax import linen as nn
from stable_baselines3.common.env_util import make_vec_env  # pyright: ignore[reportMissingImports]

from benchmarks.workers.deep_tasks import Task, read_task
from benchmarks.workers.protocol import Layers
from benchmarks.workers.stable_baselines import serve_stable_baselines


def make(task: Task, seed: int) -> Any:
    """The learner of a task."""
    common: dict[str, Any] = dict(
        learning_rate=task.learning_rate,
        gamma=task.discount,
        batch_size=task.batch_size,
        buffer_size=task.capacity,
        learning_starts=task.warmup,
        train_freq=1,
        gradient_steps=1,
        tau=task.target_rate,
        seed=seed,
    )
    sizes = list(task.hidden_sizes)
    world = make_vec_env(task.env, task.num_envs, seed=seed)
    if task.algorithm == "dqn":
        kwargs = {"net_arch": sizes, "activation_fn": nn.relu}
        fraction = {"exploration_fraction": 0.1, "target_update_interval": 1}
        return sbx.DQN("MlpPolicy", world, **common, **fraction, policy_kwargs=kwargs)
    return sbx.SAC("MlpPolicy", world, **common, policy_kwargs={"net_arch": sizes})


def actor_layers(task: Task, model: Any) -> Layers:
    """The layers of what acts."""
    state = model.policy.qf_state if task.algorithm == "dqn" else model.policy.actor_state
    params = state.params["params"]
    layers = [params[f"Dense_{index}"] for index in range(len(task.hidden_sizes) + 1)]
    return [{name: jax.device_get(value).tolist() for name, value in layer.items()} for layer in layers]


if __name__ == "__main__":
    work = read_task()
    serve_stable_baselines(
        lambda seed: make(work, seed),
        lambda model: actor_layers(work, model),
        work.warmup + 10 * work.num_envs,
        ("sbx-rl", "stable-baselines3", "torch", "gymnasium"),
        compiles=False,
    )
