"""PPO of rejax, whose evaluation during training is switched off.

What remains different: rejax clips gradients element by element (`optax.clip`), takes two optimizer steps (of
actor and critic) where jaxrl takes one, and takes a time limit for a termination.
"""

from collections.abc import Callable
from typing import Any

import jax
import rejax  # pyright: ignore[reportMissingImports]

from benchmarks.workers.configuration import Configuration, read_configuration
from benchmarks.workers.jax_trainer import serve_jax
from benchmarks.workers.protocol import Layers, layers


def make_ppo(configuration: Configuration, steps: int) -> Any:
    assert configuration.clip == configuration.value_clip, "rejax has one clip for both"
    configuration.updates(steps)
    ppo = rejax.PPO.create(
        env=configuration.env,
        num_envs=configuration.num_envs,
        num_steps=configuration.num_steps,
        num_epochs=configuration.num_epochs,
        num_minibatches=configuration.num_minibatches,
        learning_rate=configuration.learning_rate,
        gamma=configuration.discount,
        gae_lambda=configuration.gae_lambda,
        clip_eps=configuration.clip,
        ent_coef=configuration.entropy_coef,
        vf_coef=configuration.value_coef,
        max_grad_norm=configuration.max_grad_norm,
        total_timesteps=steps,
        eval_freq=steps,
        skip_initial_evaluation=True,
        agent_kwargs={"hidden_layer_sizes": configuration.hidden_sizes, "activation": "tanh"},
    )
    return ppo.replace(eval_callback=lambda algorithm, state, key: ())


def actor_layers(result: Any) -> Layers:
    params = result[0].actor_ts.params["params"]
    features = params["features"]
    dense = [*(features[f"Dense_{i}"] for i in range(len(features))), params["action_logits"]]
    return layers((layer["kernel"], layer["bias"]) for layer in dense)


if __name__ == "__main__":
    work = read_configuration()

    def make_train(steps: int) -> Callable[[jax.Array], Any]:
        return make_ppo(work, steps).train

    serve_jax(make_train, actor_layers, ("rejax", "distrax"))
