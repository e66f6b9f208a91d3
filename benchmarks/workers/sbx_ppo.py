"""PPO of SBX. It has no value clipping: `clip_range_vf` is accepted and ignored, so it is not passed."""

from typing import Any

from sbx import PPO  # pyright: ignore[reportMissingImports]

from benchmarks.workers.configuration import read_configuration
from benchmarks.workers.protocol import Layers, layers
from benchmarks.workers.stable_baselines import make_model, serve_stable_baselines


def actor_layers(model: Any) -> Layers:
    params = model.policy.actor_state.params["params"]
    dense = [params[f"Dense_{i}"] for i in range(len(params) - 1 if "log_std" in params else len(params))]
    return layers((layer["kernel"], layer["bias"]) for layer in dense)


if __name__ == "__main__":
    work = read_configuration()
    serve_stable_baselines(
        lambda seed: make_model(PPO, work, seed),
        actor_layers,
        work.steps_per_update,
        ("sbx-rl", "stable-baselines3", "torch", "gymnasium"),
        compiles=True,
    )
