"""The Hugging Face layout: logits as transformers has them, round trips, and files that are not what they say."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import lm, networks
from jaxrl.lm import hf, hf_config, hf_save, safetensors
from tests.lm.make_golden import CONFIGS, GOLDEN, build, logits_of, tokens_and_padding


def ours(directory):
    model, params = hf.load(directory)
    tokens, padding = tokens_and_padding(model.config.vocab_size)
    return np.asarray(jax.jit(model.apply)(params, jnp.asarray(tokens), jnp.asarray(padding)))


def assert_same_logits(ours, theirs):
    _, padding = tokens_and_padding(theirs.shape[-1])
    for row, first in enumerate(padding):
        np.testing.assert_allclose(ours[row, first:], theirs[row, first:], atol=1e-4)
        np.testing.assert_array_equal(ours[row, first:].argmax(-1), theirs[row, first:].argmax(-1))


@pytest.mark.parametrize("name", CONFIGS)
def test_golden_logits(name):
    assert_same_logits(ours(GOLDEN / name), np.load(GOLDEN / name / "logits.npy"))


def test_golden_files_are_small():
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*")) <= 300_000


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_written_is_read_again(name, tmp_path):
    model, params = hf.load(GOLDEN / name)
    hf_save.save(tmp_path / "new", model, params, largest_shard=4000)
    assert len(list((tmp_path / "new").glob("*.safetensors"))) > 1
    again, same = hf.load(tmp_path / "new")
    assert again == model
    jax.tree.map(np.testing.assert_array_equal, params, same)
    names = safetensors.read(GOLDEN / name / "model.safetensors").keys()
    index = json.loads((tmp_path / "new" / hf.INDEX).read_text())
    assert index["weight_map"].keys() == names


@pytest.mark.parametrize("name", CONFIGS)
def test_transformers_agrees(name, tmp_path):
    pytest.importorskip("transformers", reason="pip install 'jaxrl[parity]'")
    for changes in ({}, {"num_hidden_layers": 1}, {"tie_word_embeddings": True}, {"tie_word_embeddings": False}):
        changes = {"n_layer" if name == "gpt2" and key == "num_hidden_layers" else key: x for key, x in changes.items()}
        theirs = build(name, **changes)
        directory = tmp_path / str(changes)
        theirs.save_pretrained(directory)
        tokens, padding = tokens_and_padding(theirs.config.vocab_size)
        expected = logits_of(theirs, tokens, padding)
        assert_same_logits(ours(directory), expected)
        model, params = hf.load(directory)
        hf_save.save(tmp_path / f"{changes} again", model, params)
        import transformers

        back = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / f"{changes} again").eval()
        np.testing.assert_allclose(logits_of(back, tokens, padding), expected, atol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_greedy_completions_are_those_of_transformers(name):
    torch = pytest.importorskip("torch", reason="pip install 'jaxrl[parity]'")
    pytest.importorskip("transformers", reason="pip install 'jaxrl[parity]'")
    theirs = build(name)
    theirs.generation_config.eos_token_id = None
    tokens, padding = tokens_and_padding(theirs.config.vocab_size)
    mask = torch.tensor(np.arange(tokens.shape[1])[None] >= padding[:, None]).long()
    greedy = {"max_new_tokens": 20, "do_sample": False, "pad_token_id": 0}
    expected = theirs.generate(torch.tensor(tokens), attention_mask=mask, **greedy)[:, tokens.shape[1] :]
    model, params = hf.load(GOLDEN / name)
    prompts, start = jnp.asarray(tokens), jnp.asarray(padding)
    drawn = lm.generate(model, params, prompts, start, jax.random.key(0), lm.Sampling(20, top_k=1))
    np.testing.assert_array_equal(drawn.tokens, expected.numpy())


@pytest.fixture
def copied(tmp_path):
    shutil.copytree(GOLDEN / "llama", tmp_path / "model")
    return tmp_path / "model"


def change_config(directory, **changes):
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "mamba"}, "model_type 'mamba' is not supported; supported are gpt2, llama, qwen2, qwen3"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope type 'yarn' is not supported"),
        ({"rope_parameters": None, "rope_scaling": {"type": "dynamic"}}, "rope type 'dynamic' is not supported"),
        ({"hidden_act": "swish2"}, "activation 'swish2' is not supported"),
        ({"use_sliding_window": True}, "use_sliding_window=True is not supported"),
        ({"num_hidden_layers": 3}, "model.layers.2.* is missing"),
        ({"num_hidden_layers": 1}, "model.layers.1.* has no place"),
        ({"intermediate_size": 32}, "the shape .24, 16., and blocks_0/mlp_gated/kernel of config.json needs .32, 16."),
        ({"hidden_size": "16"}, "config.json: hidden_size='16' must be a positive integer"),
        ({"num_attention_heads": True}, "config.json: num_attention_heads=True must be a positive integer"),
        ({"head_dim": -4}, "config.json: head_dim=-4 must be a positive integer"),
        ({"num_attention_heads": 3, "head_dim": None}, "config.json: num_heads=3 must divide width=16"),
        ({"vocab_size": None}, "config.json: it lacks 'vocab_size'"),
        ({"rms_norm_eps": "1e-6"}, "config.json: rms_norm_eps='1e-6' must be a number, at least 0"),
        ({"tie_word_embeddings": "false"}, "config.json: tie_word_embeddings='false' must be true or false"),
        ({"hidden_act": ["silu"]}, "config.json: hidden_act=.'silu'. must be a name"),
        ({"model_type": ["llama"]}, "config.json: model_type .'llama'. is not supported"),
        ({"rope_parameters": [1]}, "config.json: rope_parameters=.1. must be a table"),
        ({"rope_parameters": {"rope_type": "linear"}}, "config.json: it lacks 'factor'"),
        ({"rope_parameters": {"rope_type": "linear", "factor": "2"}}, "config.json: factor='2' must be a positive"),
        ({"rope_parameters": {"rope_theta": float("nan")}}, "config.json: rope_theta=nan must be a positive number"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(copied, changes, message):
    change_config(copied, **changes)
    with pytest.raises(ValueError, match=message):
        hf.load(copied)


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "config.json: it is no table of settings"),
        ("", "config.json: it is no JSON"),
        (DEEP, "config.json: it is no JSON"),
        ("1" * 5000, "config.json: it is no JSON"),
        ("\xff", "config.json: it is no UTF-8 text"),
    ],
)
def test_settings_that_are_no_table_are_refused(copied, tmp_path, text, message):
    model, params = hf.load(copied)
    (copied / "config.json").write_bytes(text.encode("latin1"))
    with pytest.raises(ValueError, match=message):
        hf.load(copied)
    with pytest.raises(ValueError, match=message):
        hf_save.save(tmp_path / "new", model, params, like=copied)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ([], "index.json: it is no table"),
        ({"weight_map": ["model.safetensors"]}, "index.json: it has no weight_map, a table"),
        ({"weight_map": {"a": 5}}, "index.json: 5 is no file of the directory"),
        ({"weight_map": {"a": None}}, "index.json: None is no file of the directory"),
        ({"weight_map": {"a": ["model.safetensors"]}}, "index.json: .'model.safetensors'. is no file"),
        ({"weight_map": {"a": "../model.safetensors"}}, "index.json: '../model.safetensors' is no file"),
        ({"weight_map": {"a": "model.safetensors"}}, "index.json: a is not in model.safetensors"),
        ({"weight_map": {}}, "model.embed_tokens.weight|is missing"),
    ],
)
def test_indices_that_are_damaged_are_refused(copied, index, message):
    (copied / hf.INDEX).write_text(json.dumps(index))
    with pytest.raises(ValueError, match=message):
        hf.load(copied)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: np.float32(1).reshape(()), r"c_attn.weight has the shape \[\], and .* needs \[16, 48\]"),
        (lambda x: np.pad(x, ((0, 0), (0, 1))), r"c_attn.weight has the shape \[16, 49\]"),
        (lambda x: x.astype(np.int8), "c_attn.weight holds int8; only checkpoints of floats are supported"),
        (None, "c_attn.weight is missing"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path, change, message):
    shutil.copytree(GOLDEN / "gpt2", tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    tensors = dict(safetensors.read(path))
    name = next(name for name in tensors if name.endswith("0.attn.c_attn.weight"))
    old = tensors.pop(name)
    safetensors.write(path, tensors if change is None else tensors | {name: change(old)})
    with pytest.raises(ValueError, match=message):
        hf.load(tmp_path / "model")


def test_both_generations_of_configurations_are_read():
    new = {"rope_parameters": {"rope_type": "linear", "rope_theta": 5.0, "factor": 2.0}}
    old = {"rope_theta": 5.0, "rope_scaling": {"type": "linear", "factor": 2.0}}
    base = json.loads((GOLDEN / "llama" / "config.json").read_text())
    base.pop("rope_parameters", None)
    configs = [hf_config.from_hf(base | extra) for extra in (new, old)]
    assert configs[0] == configs[1]
    assert configs[0].rotary == networks.Rotary(5.0, networks.LinearScaling(2.0))


def damaged(copied, change):
    path = copied / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    header.pop("__metadata__", None)
    header, body = change(header, body)
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


def first_of(header):
    return min(header, key=lambda name: header[name]["data_offsets"])


def overlapping(header, body):
    name = first_of({name: entry for name, entry in header.items() if name != first_of(header)})
    header[name]["data_offsets"] = [offset - 4 for offset in header[name]["data_offsets"]]
    return header, body


def lying(header, body):
    header[first_of(header)]["shape"] = [1, 1]
    return header, body


def strange(header, body):
    header[first_of(header)]["dtype"] = "Q4"
    return header, body


def lacking(header, body):
    del header[first_of(header)]["data_offsets"]
    return header, body


def negative(header, body):
    header[first_of(header)]["data_offsets"] = [-4, 4]
    return header, body


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header, body: (header, body[:-4]), "it is cut"),
        (lambda header, body: (header, body + b"0000"), "goes on behind them"),
        (overlapping, "overlap; the file is damaged"),
        (lying, "of shape .1, 1. cannot be what stands at"),
        (strange, "has the dtype Q4; supported are F64"),
        (lacking, "lacks dtype, shape or data_offsets"),
        (negative, "cannot be what stands at -4"),
        (lambda header, body: (b"{", body), "its header is no JSON"),
        (lambda header, body: (DEEP.encode(), body), "its header is no JSON"),
        (lambda header, body: (header | {"a": []}, body), "a lacks dtype, shape or data_offsets"),
        (lambda header, body: (header | {"a": {"dtype": [], "shape": 1, "data_offsets": 2}}, body), "a lacks dtype"),
        (lambda header, body: (b"[1]", body), "its header is no table"),
    ],
)
def test_damaged_files_are_refused(copied, change, message):
    damaged(copied, change)
    with pytest.raises(ValueError, match=message):
        hf.load(copied)


def test_headers_that_are_too_long_are_refused(copied):
    path = copied / "model.safetensors"
    path.write_bytes((10**12).to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match="its header would have 1000000000000 bytes of a file of 10"):
        hf.load(copied)
    path.write_bytes(b"abc")
    with pytest.raises(ValueError, match="cut or damaged"):
        hf.load(copied)


def test_missing_files_are_named(copied):
    model, params = hf.load(copied)
    hf_save.save(copied.with_name("shards"), model, params, largest_shard=4000)
    next(copied.with_name("shards").glob("model-00002*")).unlink()
    with pytest.raises(FileNotFoundError, match=r"model-00002-of-.*no such file; is the download complete"):
        hf.load(copied.with_name("shards"))
    (copied / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"config.json: there is no such file"):
        hf.load(copied)


def test_nothing_is_half_written(tmp_path, monkeypatch):
    model, params = hf.load(GOLDEN / "llama")
    stale = tmp_path / "new.part"
    stale.mkdir()  # of a process that was killed
    monkeypatch.setattr(safetensors, "on_host", full)
    with pytest.raises(OSError, match="no space"):
        hf_save.save(tmp_path / "new", model, params, largest_shard=4000)
    adapted = lm.LoRA(model)
    with pytest.raises(OSError, match="no space"):
        lm.save_adapters(tmp_path / "new", adapted, adapted.adapted(params, jax.random.key(0)))
    with pytest.raises(OSError, match="no space"):
        safetensors.write(tmp_path / "new", {"a": np.ones(3)})
    with pytest.raises(ValueError, match="new: a has the dtype complex64; supported are float64, float32"):
        safetensors.write(tmp_path / "new", {"a": np.ones(3, np.complex64)})
    assert not list(tmp_path.iterdir())
    (tmp_path / "there").mkdir()
    with pytest.raises(FileExistsError, match="choose another directory"):
        hf_save.save(tmp_path / "there", model, params)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def full(tensor):
    raise OSError("no space left")


def test_what_was_there_stays_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "one.safetensors"
    safetensors.write(path, {"a": np.ones(3)})
    monkeypatch.setattr(safetensors, "on_host", full)
    with pytest.raises(OSError, match="no space"):
        safetensors.write(path, {"a": np.zeros(3)})
    assert list(tmp_path.iterdir()) == [path] and safetensors.read(path)["a"].tolist() == [1, 1, 1]


def test_no_copy_of_a_tensor_stays_on_the_host(tmp_path):
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), ("data",))

    def sharding(path, shape):
        return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*["data"][: shape[0] % 2 == 0]))

    model, params = hf.load(GOLDEN / "llama", sharding=sharding)
    others = jax.tree.leaves(hf.load(GOLDEN / "llama", sharding=sharding)[1])
    careless = next(leaf for leaf in others if not leaf.is_fully_replicated)
    assert np.asarray(careless) is not None and careless._npy_value is not None  # what would stay
    hf_save.save(tmp_path / "new", model, params)
    safetensors.write(tmp_path / "plain", {"a": params["params"]["embedding"]})
    for leaf in jax.tree.leaves(params):  # where JAX keeps what `np.asarray` copied
        assert leaf._npy_value is None
        assert all(shard.data._npy_value is None for shard in leaf.addressable_shards)
    jax.tree.map(np.testing.assert_array_equal, hf.load(tmp_path / "new")[1], hf.load(GOLDEN / "llama")[1])


@pytest.mark.parametrize("change", [{"rotary": None}, {"activation": jnp.tanh}])
def test_shapes_without_an_architecture_are_refused(tmp_path, change):
    config = dataclasses.replace(hf.load(GOLDEN / "llama")[0].config, **change)
    with pytest.raises(ValueError, match=r"rotary positions|no supported architecture"):
        hf_save.save(tmp_path / "new", networks.Transformer(config), None)


def test_parameters_go_straight_to_a_sharding():
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), ("data",))

    def halves(path, shape):
        spec = ("data",) if shape[0] % 2 == 0 else ()
        return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec))

    _, params = hf.load(GOLDEN / "llama", sharding=halves)
    kernel = params["params"]["blocks_0"]["mlp_in"]["kernel"]
    assert kernel.sharding.num_devices == 2 and kernel.addressable_shards[0].data.shape == (8, 24)
    _, whole = hf.load(GOLDEN / "llama")
    jax.tree.map(np.testing.assert_array_equal, params, whole)


def test_tensors_are_views_of_the_file():
    tensors = safetensors.read(GOLDEN / "llama" / "model.safetensors")
    bases = {type(tensor.base) for tensor in tensors.values()}
    assert bases <= {np.memmap, np.ndarray} and all(not tensor.flags.owndata for tensor in tensors.values())


def test_bfloat16_survives(tmp_path):
    model, params = hf.load(GOLDEN / "qwen2", param_dtype=jnp.bfloat16)
    hf_save.save(tmp_path / "new", model, params)
    _, again = hf.load(tmp_path / "new")
    assert {x.dtype for x in jax.tree.leaves(again)} == {jnp.dtype(jnp.bfloat16)}
    jax.tree.map(np.testing.assert_array_equal, params, again)
