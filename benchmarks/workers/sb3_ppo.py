"""PPO of Stable-Baselines3, on the CPU, which its documentation advises for networks without convolutions."""

from typing import Any

from stable_baselines3 import PPO  # pyright: ignore[reportMissingImports]

from benchmarks.workers.configuration import read_configuration
from benchmarks.workers.protocol import Layers, layers
from benchmarks.workers.stable_baselines import make_model, serve_stable_baselines


def actor_layers(model: Any) -> Layers:
    hidden = [module for module in model.policy.mlp_extractor.policy_net if hasattr(module, "weight")]
    linear = [*hidden, model.policy.action_net]
    return layers((layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in linear)


if __name__ == "__main__":
    work = read_configuration()
    serve_stable_baselines(
        lambda seed: make_model(PPO, work, seed, clip_range_vf=work.value_clip),
        actor_layers,
        work.steps_per_update,
        ("stable-baselines3", "torch", "gymnasium"),
        compiles=False,
    )
