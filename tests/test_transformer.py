"""The decoder: attention that is right, positions, caches, and what it may not see."""

import dataclasses
import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import networks
from jaxrl.networks import LinearScaling, Llama3Scaling, Rotary, TransformerConfig, attend, rotate

SMALL = TransformerConfig(
    vocab_size=11, width=16, num_layers=2, num_heads=4, num_kv_heads=2, mlp_size=24, max_length=32
)
LLAMA3 = Llama3Scaling(8.0, original_length=16)
CONFIGS = {
    "llama": SMALL,
    "gpt2": dataclasses.replace(
        SMALL,
        num_kv_heads=None,
        rotary=None,
        position_embedding=networks.LearnedPositions,
        norm=nn.LayerNorm,
        activation=nn.gelu,
        gated=False,
        qkv_bias=True,
        out_bias=True,
        mlp_bias=True,
    ),
    "qwen2": dataclasses.replace(SMALL, qkv_bias=True, tied=False),
    "qwen3": dataclasses.replace(SMALL, qk_norm=True, head_dim=8),
    "llama3": dataclasses.replace(SMALL, rotary=Rotary(500_000.0, LLAMA3)),
    "linear": dataclasses.replace(SMALL, rotary=Rotary(scaling=LinearScaling(2.0))),
    "sinusoidal": dataclasses.replace(SMALL, rotary=None, position_embedding=networks.SinusoidalPositions),
    "none": dataclasses.replace(SMALL, rotary=None),
    "remat": dataclasses.replace(SMALL, remat=True, value_head=True),
}


def tokens_of(seed, *shape):
    return jax.random.randint(jax.random.key(seed), shape, 0, SMALL.vocab_size)


@functools.partial(jax.jit, static_argnums=0)
def logits_of(model, params, tokens, start=None):
    return model.apply(params, tokens, start)


@functools.partial(jax.jit, static_argnums=0)
def cached_logits(model, params, tokens, start, cache, column):
    features, cache = model.apply(params, tokens, start, cache, column, method="features")
    return model.apply(params, features, method="logits"), cache


def made(config, seed=0):
    """A model and random parameters, biases and scales too: zeros and ones would hide what they do."""
    model = networks.Transformer(config)
    params = jax.jit(model.init)(jax.random.key(seed), tokens_of(0, 1, 3))
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
    moved = [x + 0.3 * jax.random.normal(key, x.shape) for x, key in zip(leaves, keys, strict=True)]
    return model, jax.tree.unflatten(tree, moved)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_nothing_sees_the_future(config):
    model, params = made(config)
    tokens = tokens_of(1, 2, 9)
    changed = tokens.at[:, 6:].set((tokens[:, 6:] + 1) % config.vocab_size)
    before, after = (logits_of(model, params, x)[:, :6] for x in (tokens, changed))
    np.testing.assert_array_equal(before, after)
    assert not np.allclose(logits_of(model, params, tokens)[:, 6:], logits_of(model, params, changed)[:, 6:])


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_padding_on_the_left_changes_nothing(config):
    model, params = made(config)
    tokens = tokens_of(2, 3, 7)
    padded = jnp.concatenate([tokens_of(3, 3, 4), tokens], axis=1)
    logits = logits_of(model, params, padded, jnp.full(3, 4))
    np.testing.assert_allclose(logits[:, 4:], logits_of(model, params, tokens), atol=1e-5)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_batch_equals_its_rows(config):
    model, params = made(config)
    tokens, start = tokens_of(4, 3, 8), jnp.array([0, 2, 5])
    together = logits_of(model, params, tokens, start)
    for row, first in enumerate(start.tolist()):
        alone = logits_of(model, params, tokens[row : row + 1, first:])
        np.testing.assert_allclose(together[row, first:], alone[0], atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("pieces", [(8,), (5, 1, 1, 1), (1,) * 8, (3, 5)])
def test_cached_and_full_logits_agree(config, pieces):
    model, params = made(config)
    tokens, start = tokens_of(5, 3, 8), jnp.array([0, 2, 4])
    cache, parts = model.empty_cache(3, 11), []  # longer than the text: what is not written yet is not seen
    for first, last in itertools.pairwise(itertools.accumulate((0, *pieces))):
        logits, cache = cached_logits(model, params, tokens[:, first:last], start, cache, first)
        parts.append(logits)
    full = logits_of(model, params, tokens, start)
    for row, first in enumerate(start.tolist()):
        np.testing.assert_allclose(jnp.concatenate(parts, axis=1)[row, first:], full[row, first:], atol=1e-5)


def test_without_positions_order_means_nothing():
    tokens = jnp.array([[3, 1, 4, 1, 5, 9]])
    order = jnp.array([4, 2, 0, 3, 1, 5])  # the last one stays last: it sees all of them
    for name, blind in (("none", True), ("llama", False), ("gpt2", False), ("sinusoidal", False)):
        # One layer: in a second one, what earlier tokens saw tells their order.
        model, params = made(dataclasses.replace(CONFIGS[name], num_layers=1))
        last, permuted = (logits_of(model, params, x)[0, -1] for x in (tokens, tokens[:, order]))
        assert np.allclose(last, permuted, atol=1e-5) == blind, name


def test_rows_of_attention_sum_to_one():
    model, params = made(SMALL)
    tokens = tokens_of(6, 2, 7)
    _, seen = model.apply(params, tokens, mutable="intermediates")
    weights = seen["intermediates"]["blocks_1"]["attention"]["attention"][0]
    assert weights.shape == (2, 4, 7, 7)
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, atol=1e-6)
    assert (jnp.triu(weights, 1) == 0).all()


def test_attention_equals_a_loop():
    rng = np.random.default_rng(0)
    query, key, value = (rng.normal(size=(2, 5, heads, 4)).astype(np.float32) for heads in (6, 3, 3))
    mask = np.tril(np.ones((2, 5, 5), bool))
    mask[1, 2:, 0] = False
    output, _ = attend(*map(jnp.asarray, (query, key.transpose(0, 2, 3, 1), value.transpose(0, 2, 1, 3), mask)))
    for b, t, h in itertools.product(range(2), range(5), range(6)):
        group = h // 2  # two query heads share a key
        scores = np.array([query[b, t, h] @ key[b, s, group] / 2.0 if mask[b, t, s] else -np.inf for s in range(5)])
        weights = np.exp(scores - scores.max())
        expected = weights / weights.sum() @ value[b, :, group]
        np.testing.assert_allclose(output[b, t, h], expected, rtol=1e-5, atol=1e-6)


def test_rotations_know_the_distance_only():
    query, key = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 8))
    for scaling in (None, LinearScaling(3.0), LLAMA3):
        rotary = Rotary(100.0, scaling)

        def score(i, j, rotary=rotary):
            at = [rotary.angles(jnp.array([[position]]), 8) for position in (i, j)]
            return float((rotate(query, *at[0]) * rotate(key, *at[1])).sum())

        assert score(3, 1) == pytest.approx(score(13, 11), rel=1e-4)
        assert score(3, 1) != pytest.approx(score(3, 2), rel=1e-3)


def test_frequencies_of_llama_3():
    # Waves shorter than 8192 / 4 tokens are kept, longer than 8192 divided by 8; one of 4096 tokens lies between:
    # 8192 / 4096 = 2, (2 - 1) / (4 - 1) = 1/3 of it is kept, so 1/3 + 2/3 / 8 = 5/12.
    waves = np.array([100.0, 2048.0, 4096.0, 8192.0, 100_000.0])
    scaled = Llama3Scaling(8.0)(2 * np.pi / waves) * waves / (2 * np.pi)
    np.testing.assert_allclose(scaled, [1.0, 1.0, 5 / 12, 1 / 8, 1 / 8])


def test_a_value_head_has_parameters_of_its_own():
    model, params = made(CONFIGS["remat"])
    features, _ = model.apply(params, tokens_of(7, 2, 5), method="features")
    assert model.apply(params, features, method="values").shape == (2, 5)
    assert "value" in params["params"] and "value" not in made(SMALL)[1]["params"]


def test_computing_again_gives_the_same_gradient():
    config = CONFIGS["remat"]
    model, params = made(config)
    plain = networks.Transformer(dataclasses.replace(config, remat=False))
    tokens = tokens_of(8, 2, 6)
    first, second = (jax.grad(lambda p, m=m: (m.apply(p, tokens) ** 2).mean())(params) for m in (model, plain))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), first, second)


def test_bfloat16_computes_in_bfloat16_and_gives_float32():
    model, params = made(dataclasses.replace(SMALL, dtype=jnp.bfloat16))
    features, cache = model.apply(params, tokens_of(9, 2, 5), method="features")
    assert features.dtype == cache[0][0].dtype == jnp.bfloat16
    logits = model.apply(params, tokens_of(9, 2, 5))
    assert logits.dtype == jnp.float32
    exact = networks.Transformer(SMALL).apply(params, tokens_of(9, 2, 5))
    np.testing.assert_allclose(logits, exact, atol=0.03 * float(jnp.abs(exact).max()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": 3}, "num_heads=3 must divide width=16"),
        ({"num_kv_heads": 3}, "num_kv_heads=3 must divide num_heads=4"),
        ({"head_dim": 5}, "head_dim=5 must be even"),
        ({"head_dim": -4}, "head_dim=-4 must be an integer, at least 1"),
        ({"head_dim": 0}, "head_dim=0 must be an integer, at least 1"),
        ({"mlp_size": -8}, "mlp_size=-8 must be an integer, at least 1"),
        ({"mlp_size": 0}, "mlp_size=0 must be an integer, at least 1"),
        ({"num_kv_heads": 0}, "num_kv_heads=0 must be an integer, at least 1"),
        ({"num_layers": 0}, "num_layers=0 must be an integer, at least 1"),
        ({"width": "16"}, "width='16' must be an integer, at least 1"),
        ({"max_length": 4.5}, "max_length=4.5 must be an integer, at least 1"),
        ({"norm_epsilon": -1e-6}, "norm_epsilon=-1e-06 must be at least 0, and finite"),
        ({"norm_epsilon": float("nan")}, "norm_epsilon=nan must be at least 0, and finite"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **change)
