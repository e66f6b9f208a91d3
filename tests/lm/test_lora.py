"""Adapters: what they change, what they leave alone, and PEFT's layout."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from jaxrl import lm, networks
from jaxrl.lm import safetensors
from tests.helpers import assert_trees_equal
from tests.lm.make_golden import CONFIGS, GOLDEN, build, logits_of, tokens_and_padding


def adapted(name, rank=2, targets=lm.ATTENTION):
    """A golden model with adapters that do something."""
    model, params = lm.load(GOLDEN / name)
    with_adapters = lm.LoRA(model, rank, alpha=3.0, targets=targets)
    params = with_adapters.adapted(params, jax.random.key(0))
    keys = iter(jax.random.split(jax.random.key(1), 1000))
    params["lora"] = jax.tree.map(lambda x: 0.3 * jax.random.normal(next(keys), x.shape), params["lora"])
    return with_adapters, params


def logits(model, params):
    tokens, padding = tokens_and_padding(model.config.vocab_size)
    return np.asarray(jax.jit(model.apply)(params, jnp.asarray(tokens), jnp.asarray(padding)))


def test_fresh_adapters_change_nothing():
    model, params = lm.load(GOLDEN / "llama")
    with_adapters = lm.LoRA(model)
    fresh = with_adapters.adapted(params, jax.random.key(0))
    np.testing.assert_array_equal(logits(with_adapters, fresh), logits(model, params))


def test_kernels_are_moved_by_the_scaled_product():
    model, params = adapted("llama")
    moved = model.merged(params)
    old, new = (tree["params"]["blocks_0"]["attention"]["query"]["kernel"] for tree in (params, moved))
    one = params["lora"]["blocks_0/attention/query"]
    np.testing.assert_allclose(new - old, 3.0 / 2 * np.asarray(one["A"]) @ np.asarray(one["B"]), atol=1e-6)
    np.testing.assert_array_equal(moved["params"]["embedding"], params["params"]["embedding"])
    np.testing.assert_array_equal(
        moved["params"]["blocks_0"]["mlp_in"]["kernel"], params["params"]["blocks_0"]["mlp_in"]["kernel"]
    )
    np.testing.assert_allclose(logits(model, params), logits(model.model, moved), atol=1e-5)


def products(jaxpr, inside=False):
    """Whether each product of two factors of an adapter of rank 2 stands within a loop."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general" and equation.invars[0].aval.shape[-1:] == (2,):
            yield inside
        for part in jax.tree.leaves(list(equation.params.values())):
            inner = getattr(part, "jaxpr", part)
            if hasattr(inner, "eqns"):
                yield from products(inner, inside or equation.primitive.name in ("while", "scan"))


@pytest.mark.parametrize("early_exit", [True, False])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_completions_add_the_products_once(dtype, early_exit):
    model, params = adapted("llama")
    config = dataclasses.replace(model.config, dtype=dtype)
    model = dataclasses.replace(model, model=networks.Transformer(config))
    sampling = lm.Sampling(6, (), early_exit=early_exit)

    def drawn(params):
        prompts = jnp.array([[1, 2, 3], [4, 5, 6]])
        return lm.generate(model, params, prompts, jnp.zeros(2, jnp.int32), jax.random.key(0), sampling)

    assert list(products(jax.make_jaxpr(drawn)(params).jaxpr)) == [False] * len(params["lora"])
    ours = jax.jit(drawn)(params)
    scores = lm.score(model, params, jnp.array([[1, 2, 3], [4, 5, 6]]), jnp.zeros(2, jnp.int32), ours.tokens, sampling)
    np.testing.assert_allclose(ours.log_prob, scores.log_prob, atol=1e-5 if dtype == jnp.float32 else 0.05)


def test_a_stream_adds_the_products_once(monkeypatch):
    model, params = adapted("llama")
    calls, merged = [], lm.LoRA.merged
    monkeypatch.setattr(lm.LoRA, "merged", lambda *given: calls.append(1) or merged(*given))
    key, sampling = jax.random.key(0), lm.Sampling(4)
    tokens = list(jaxrl.engine.stream(model, params, [1, 2, 3], key, sampling))
    assert len(calls) == 1
    drawn = lm.generate(model, params, jnp.array([[1, 2, 3]]), jnp.zeros(1, jnp.int32), key, sampling)
    assert tokens == drawn.tokens[0].tolist()


def test_targets_that_name_no_layer_are_refused():
    model, params = lm.load(GOLDEN / "llama")
    with pytest.raises(ValueError, match=r"targets=\('attn/q',\) are the ends of no layer's path"):
        lm.LoRA(model, targets=("attn/q",)).adapted(params, jax.random.key(0))


def test_learning_moves_adapters_only_and_keeps_no_optimizer_state_of_the_model():
    model, params = adapted("llama")
    tokens = jnp.arange(200) % model.config.vocab_size
    task = lm.tasks.Corpus(tokens.astype(jnp.int32), length=8)
    learner = jaxrl.Pretraining(task, model, num_texts=4, params=params, optimizer=lm.adapters_adam)
    state, metrics = jax.jit(jaxrl.train, static_argnums=2)(learner, jax.random.key(0), 20)
    assert_trees_equal(state.params["params"], params["params"])
    changed = jax.tree.map(lambda a, b: not np.array_equal(a, b), state.params["lora"], params["lora"])
    assert all(jax.tree.leaves(changed))
    assert metrics["loss"][-1] < metrics["loss"][0]
    sizes = [sum(x.size for x in jax.tree.leaves(tree)) for tree in (state.opt_state, params["lora"])]
    assert sizes[0] < 2 * sizes[1] + 10


@pytest.mark.parametrize("name", CONFIGS)
def test_adapters_that_are_written_are_read_again(name, tmp_path):
    model, params = adapted(name)
    lm.save_adapters(tmp_path / "new", model, params, base="somewhere")
    base, base_params = lm.load(GOLDEN / name)
    again, same = lm.load_adapters(tmp_path / "new", base, base_params)
    np.testing.assert_allclose(logits(again, same), logits(model, params), atol=1e-5)
    with pytest.raises(FileExistsError, match="it exists"):
        lm.save_adapters(tmp_path / "new", model, params)


@pytest.mark.parametrize("targets", [("attention/query", "attention/value"), ("attention/value",), ("mlp_out",)])
def test_some_layers_of_gpt2_keep_their_places(targets, tmp_path):
    model, params = adapted("gpt2", targets=targets)
    lm.save_adapters(tmp_path / "new", model, params)
    again, same = lm.load_adapters(tmp_path / "new", *lm.load(GOLDEN / "gpt2"))
    np.testing.assert_allclose(logits(again, same), logits(model, params), atol=1e-5)
    lm.save_adapters(tmp_path / "second", again, same)  # ranks are those of the adapters
    third, last = lm.load_adapters(tmp_path / "second", *lm.load(GOLDEN / "gpt2"))
    np.testing.assert_allclose(logits(third, last), logits(model, params), atol=1e-5)


def test_a_model_with_adapters_is_written_with_what_they_learned(tmp_path):
    model, params = adapted("llama")
    lm.save(tmp_path / "new", model, params, like=GOLDEN / "llama")
    np.testing.assert_allclose(logits(*lm.load(tmp_path / "new")), logits(model, params), atol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_peft_agrees(name, tmp_path):
    peft = pytest.importorskip("peft", reason="pip install 'jaxrl[parity]'")
    targets = lm.ATTENTION if name == "gpt2" else (*lm.ATTENTION, "mlp_in", "mlp_out")
    model, params = adapted(name, targets=targets)
    lm.save_adapters(tmp_path / "ours", model, params)
    theirs = peft.PeftModel.from_pretrained(build(name), str(tmp_path / "ours"))
    tokens, padding = tokens_and_padding(model.config.vocab_size)
    expected = logits_of(theirs, tokens, padding)
    found = logits(model, params)
    for row, first in enumerate(padding):
        np.testing.assert_allclose(found[row, first:], expected[row, first:], atol=1e-4)
    theirs.save_pretrained(str(tmp_path / "theirs"))
    base, base_params = lm.load(GOLDEN / name)
    again, same = lm.load_adapters(tmp_path / "theirs", base, base_params)
    np.testing.assert_allclose(logits(again, same), found, atol=1e-5)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"use_rslora": True}, "use_rslora=True is not supported"),
        ({"bias": "all"}, "bias='all' is not supported"),
        ({"alpha_pattern": {"q_proj": 9.0}}, "q_proj is scaled by 4.5, unlike the others"),
        ({"peft_type": ["LORA"]}, "peft_type=.'LORA'. is not supported"),
        ({"r": None}, "adapter_config.json: the rank r=None must be a positive integer"),
        ({"r": "2"}, "adapter_config.json: the rank r='2' must be a positive integer"),
        ({"r": 0}, "adapter_config.json: the rank r=0 must be a positive integer"),
        ({"rank_pattern": {"q_proj": 0}}, "adapter_config.json: the rank q_proj=0 must be a positive integer"),
        ({"rank_pattern": [1]}, "adapter_config.json: rank_pattern=.1. must be a table"),
        ({"lora_alpha": None}, "adapter_config.json: the scale lora_alpha=None must be a number"),
        ({"alpha_pattern": {"q_proj": "9"}}, "adapter_config.json: the scale q_proj='9' must be a number"),
    ],
)
def test_adapters_of_another_kind_are_refused(setting, message, tmp_path):
    model, params = adapted("llama")
    lm.save_adapters(tmp_path / "new", model, params)
    config = tmp_path / "new" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | setting))
    with pytest.raises(ValueError, match=message):
        lm.load_adapters(tmp_path / "new", *lm.load(GOLDEN / "llama"))


def test_adapters_of_another_model_are_refused(tmp_path):
    model, params = adapted("llama")
    lm.save_adapters(tmp_path / "new", model, params)
    with pytest.raises(ValueError, match="has no place in the model"):
        lm.load_adapters(tmp_path / "new", *lm.load(GOLDEN / "gpt2"))
    tensors = dict(safetensors.read(tmp_path / "new" / "adapter_model.safetensors"))
    first = next(iter(tensors))
    tensors[first] = np.zeros((2, 3), np.float32)
    safetensors.write(tmp_path / "new" / "adapter_model.safetensors", tensors)
    with pytest.raises(ValueError, match="do not fit blocks_0/attention/"):
        lm.load_adapters(tmp_path / "new", *lm.load(GOLDEN / "llama"))
    (tmp_path / "new" / "adapter_config.json").unlink()
    with pytest.raises(FileNotFoundError, match="adapters have one"):
        lm.load_adapters(tmp_path / "new", *lm.load(GOLDEN / "llama"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda name, x: {}, "lora_A.weight is missing, the other half of an adapter"),
        (lambda name, x: {name: x[0]}, "do not fit blocks_0/attention/"),
        (lambda name, x: {name: x[0, 0]}, "do not fit blocks_0/attention/"),
        (lambda name, x: {name: x[None]}, "do not fit blocks_0/attention/"),
    ],
)
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_adapters_that_are_damaged_are_refused(name, change, message, tmp_path):
    lm.save_adapters(tmp_path / "new", *adapted(name))
    file = tmp_path / "new" / "adapter_model.safetensors"
    tensors = {key: np.array(x) for key, x in safetensors.read(file).items()}
    first = next(iter(tensors))
    safetensors.write(file, tensors | change(first, tensors.pop(first)))
    with pytest.raises(ValueError, match=f"adapter_model.safetensors: .*{message}"):
        lm.load_adapters(tmp_path / "new", *lm.load(GOLDEN / name))


def test_adapters_that_are_missing_are_named(tmp_path):
    lm.save_adapters(tmp_path / "new", *adapted("llama"))
    file = tmp_path / "new" / "adapter_model.safetensors"
    tensors = {key: np.array(x) for key, x in safetensors.read(file).items() if "q_proj" not in key}
    base = lm.load(GOLDEN / "llama")
    safetensors.write(file, tensors)
    with pytest.raises(ValueError, match=r"no tensor is of self_attn.q_proj, which target_modules"):
        lm.load_adapters(tmp_path / "new", *base)
    safetensors.write(file, {})
    with pytest.raises(ValueError, match=r"adapter_model.safetensors: it has no adapters"):
        lm.load_adapters(tmp_path / "new", *base)


def test_adapters_of_one_layer_are_read_again(tmp_path):
    model, params = adapted("llama", targets=("blocks_0/attention/query",))
    lm.save_adapters(tmp_path / "new", model, params)
    _, same = lm.load_adapters(tmp_path / "new", *lm.load(GOLDEN / "llama"))
    assert_trees_equal(same["lora"], params["lora"])
