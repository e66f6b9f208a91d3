"""Deep learners of jaxrl."""

from collections.abc import Callable
from typing import Any

import jax
import optax

import jaxrl
from benchmarks.workers.deep_tasks import Task, read_task
from benchmarks.workers.jax_trainer import serve_jax
from benchmarks.workers.protocol import Layers
from jaxrl import networks, ops
from jaxrl.presets import updates_of


def make(task: Task) -> Any:
    """The learner of a task."""
    problem = jaxrl.envs.make(task.env)
    common: dict[str, Any] = dict(num_envs=task.num_envs, learning_rate=task.learning_rate, discount=task.discount)
    replay: dict[str, Any] = common | dict(
        hidden_sizes=task.hidden_sizes,
        batch_size=task.batch_size,
        capacity=task.capacity,
        warmup=task.warmup // task.num_envs,
        target_rate=task.target_rate,
    )
    batch: dict[str, Any] = common | dict(
        num_steps=task.num_steps, num_epochs=task.num_epochs, num_minibatches=task.num_minibatches
    )
    if task.algorithm == "dqn":
        squared = ops.MeanReturns(optax.l2_loss)
        return jaxrl.DQN(*problem, **replay, returns=squared, max_grad_norm=float("inf"))
    if task.algorithm == "sac":
        return jaxrl.SAC(*problem, **replay, num_steps=32)  # which divides the steps after the warm-up
    if task.algorithm == "pqn":
        return jaxrl.PQN(*problem, **batch, hidden_sizes=task.hidden_sizes, q_lambda=0.9)
    num_actions = problem[0].action_space(problem[1]).n  # a flat image, as there, not our convolution
    actor, critic = (networks.MLP(task.hidden_sizes) for _ in range(2))
    return jaxrl.PPO(*problem, **batch, network=networks.ActorCritic(num_actions, True, actor, critic), value_clip=0.2)


def actor_layers(task: Task) -> Callable[[Any], Layers]:
    """From a trained state to the layers of what acts."""

    def convert(result: Any) -> Layers:
        params = result[0].params
        if task.algorithm == "sac":
            params = params["actor"]["params"]
            hidden, head = params["torso"]["layers_1"], params["policy"]
        elif task.algorithm == "ppo":
            params = params["params"]
            hidden, head = params["actor"], params["heads"]["policy"]
        else:
            params = params["params"]
            hidden, head = params["torso"]["layers_1"], params["q"]
        found = []
        for index in range(len(task.hidden_sizes)):
            layer = dict(hidden[f"Dense_{index}"])
            if f"LayerNorm_{index}" in hidden:
                norm = hidden[f"LayerNorm_{index}"]
                layer |= {"scale": norm["scale"], "offset": norm["bias"]}
            found.append(layer)
        found.append({"kernel": head["kernel"].T, "bias": head["bias"]})  # heads are stored transposed
        return [{name: jax.device_get(value).tolist() for name, value in layer.items()} for layer in found]

    return convert


if __name__ == "__main__":
    work = read_task()
    learner = make(work)

    def make_train(steps: int) -> Callable[[jax.Array], Any]:
        updates = updates_of(learner, steps)
        # ε falls over a tenth of the run, as with the others.
        falling = hasattr(learner, "explore_updates")
        run = learner.replace(explore_updates=0.1 * updates) if falling else learner
        return lambda key: jaxrl.train(run, key, updates)

    serve_jax(make_train, actor_layers(work))
