"""Make `golden/`: random checkpoints of four architectures, and what transformers computes with them.

Run by hand, with the extra `parity`: `python -m tests.lm.make_golden`. The tests read what it made.
"""

import json
import pathlib

import numpy as np

GOLDEN = pathlib.Path(__file__).parent / "golden"
SMALL = {
    "vocab_size": 29,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
CONFIGS = {
    "gpt2": {"vocab_size": 29, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "llama": SMALL | {"tie_word_embeddings": False},
    "llama-llama3": SMALL | {"tie_word_embeddings": True, "rope_parameters": LLAMA3, "attention_bias": True},
    "llama-linear": SMALL | {"rope_parameters": {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0}},
    "qwen2": SMALL | {"tie_word_embeddings": True, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
    "qwen3": SMALL | {"tie_word_embeddings": False, "head_dim": 8},
}
"""Fields of each model's configuration; a name begins with its architecture."""


def build(name, **changes):
    """A random model of transformers, its biases and scales moved away from zero and one."""
    import torch
    import transformers

    family = name.split("-")[0]
    config = transformers.AutoConfig.for_model(family, **CONFIGS[name] | changes)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def tokens_and_padding(vocab_size):
    """Tokens `[3, 12]`, and how many columns on the left of each row are padding."""
    return np.random.default_rng(0).integers(0, vocab_size, (3, 12)), np.array([0, 3, 7])


def logits_of(model, tokens, padding):
    """Logits `[B, T, V]` of left-padded rows, by transformers."""
    import torch

    mask = torch.tensor(np.arange(tokens.shape[1])[None] >= padding[:, None])
    positions = torch.clamp(mask.cumsum(1) - 1, min=0)
    with torch.no_grad():
        outputs = model(torch.tensor(tokens), attention_mask=mask.long(), position_ids=positions)
    return outputs.logits.numpy()


def main():
    """Write all of them."""
    for name in CONFIGS:
        model, directory = build(name), GOLDEN / name
        directory.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(directory)
        (directory / "generation_config.json").unlink(missing_ok=True)
        tokens, padding = tokens_and_padding(model.config.vocab_size)
        logits = logits_of(model, tokens, padding)
        np.save(directory / "logits.npy", logits.astype(np.float32))
        print(name, json.dumps({"logits": list(logits.shape)}))


if __name__ == "__main__":
    main()
