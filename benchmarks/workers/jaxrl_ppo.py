"""PPO of jaxrl."""

from collections.abc import Callable
from typing import Any

import jax

import jaxrl
from benchmarks.workers.configuration import Configuration, read_configuration
from benchmarks.workers.jax_trainer import serve_jax
from benchmarks.workers.protocol import Layers, layers


def make_ppo(configuration: Configuration) -> jaxrl.PPO:
    return jaxrl.PPO(
        *jaxrl.envs.make(configuration.env),
        num_envs=configuration.num_envs,
        num_steps=configuration.num_steps,
        num_epochs=configuration.num_epochs,
        num_minibatches=configuration.num_minibatches,
        hidden_sizes=configuration.hidden_sizes,
        learning_rate=configuration.learning_rate,
        discount=configuration.discount,
        gae_lambda=configuration.gae_lambda,
        clip=configuration.clip,
        value_clip=configuration.value_clip,
        entropy_coef=configuration.entropy_coef,
        value_coef=configuration.value_coef,
        max_grad_norm=configuration.max_grad_norm,
    )


def actor_layers(result: Any) -> Layers:
    params = result[0].params["params"]
    torso = params["actor"]["layers_1"]
    hidden = [torso[f"Dense_{i}"] for i in range(len(torso))]
    policy = params["heads"]["policy"]  # its kernel is stored transposed
    pairs = [(dense["kernel"], dense["bias"]) for dense in hidden]
    return layers([*pairs, (policy["kernel"].T, policy["bias"])])


if __name__ == "__main__":
    work = read_configuration()
    ppo = make_ppo(work)

    def make_train(steps: int) -> Callable[[jax.Array], Any]:
        return lambda key: jaxrl.train(ppo, key, work.updates(steps))

    serve_jax(make_train, actor_layers)
