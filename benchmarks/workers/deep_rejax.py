"""Deep learners of rejax, whose evaluation during training is switched off.

What remains different there: time limits count as terminations; environments are those of gymnax 0.0.9; gradients of
PPO and PQN are clipped element by element; PPO has an optimizer for each of its two networks; Q(λ) is one step off
(rejax#34); SAC has no random actions at the beginning and another bound of the log-deviation; experience is sampled
without replacement.
"""

from collections.abc import Callable
from typing import Any

import jax
import rejax  # pyright: ignore[reportMissingImports]

from benchmarks.workers.deep_tasks import Task, read_task
from benchmarks.workers.jax_trainer import serve_jax
from benchmarks.workers.protocol import Layers


def make(task: Task, steps: int) -> Any:
    """The learner of a task."""
    common: dict[str, Any] = dict(
        env=task.env,
        num_envs=task.num_envs,
        learning_rate=task.learning_rate,
        gamma=task.discount,
        total_timesteps=steps,
        eval_freq=steps,
        skip_initial_evaluation=True,
    )
    replay: dict[str, Any] = common | dict(
        buffer_size=task.capacity,
        fill_buffer=task.warmup,
        batch_size=task.batch_size,
        polyak=1.0 - task.target_rate,
        target_update_freq=1,
        num_epochs=1,
    )
    batch: dict[str, Any] = common | dict(
        num_steps=task.num_steps, num_epochs=task.num_epochs, num_minibatches=task.num_minibatches
    )
    sizes = {"hidden_layer_sizes": task.hidden_sizes}
    if task.algorithm == "dqn":
        algorithm = rejax.DQN.create(**replay, ddqn=True, exploration_fraction=0.1, agent_kwargs={"activation": "relu"})
    elif task.algorithm == "sac":
        algorithm = rejax.SAC.create(**replay, **sizes, agent_kwargs={"activation": "relu"})
    elif task.algorithm == "pqn":
        algorithm = rejax.PQN.create(**batch, td_lambda=0.9, exploration_fraction=0.1, max_grad_norm=10.0)
    else:
        algorithm = rejax.PPO.create(
            **batch,
            clip_eps=0.2,
            ent_coef=0.01,
            vf_coef=0.5,
            gae_lambda=0.95,
            max_grad_norm=0.5,
            agent_kwargs=sizes | {"activation": "tanh"},
        )
    return algorithm.replace(eval_callback=lambda algorithm, state, key: ())


def actor_layers(task: Task) -> Callable[[Any], Layers]:
    """From a trained state to the layers of what acts."""

    def convert(result: Any) -> Layers:
        state = result[0]
        params = (state.actor_ts if hasattr(state, "actor_ts") else state.q_ts).params["params"]
        heads = [name for name in ("action_logits", "action_mean") if name in params]
        if heads:
            hidden, head = params["features"], params[heads[0]]
        else:
            hidden = params.get("MLP_0", params)
            head = params["Dense_0"] if "MLP_0" in params else params[f"Dense_{len(task.hidden_sizes)}"]
        found = []
        for index in range(len(task.hidden_sizes)):
            layer = dict(hidden[f"Dense_{index}"])
            norms = [tree for tree in (hidden, params) if f"LayerNorm_{index}" in tree]
            if norms:
                norm = norms[0][f"LayerNorm_{index}"]
                layer |= {"scale": norm["scale"], "offset": norm["bias"]}
            found.append(layer)
        found.append(dict(head))
        return [{name: jax.device_get(value).tolist() for name, value in layer.items()} for layer in found]

    return convert


if __name__ == "__main__":
    work = read_task()

    def make_train(steps: int) -> Callable[[jax.Array], Any]:
        return make(work, steps).train

    serve_jax(make_train, actor_layers(work), ("rejax", "distrax"))
