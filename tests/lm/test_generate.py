"""Completions: drawn from the distribution that scores them, ended where they end, the same by every way."""

import dataclasses
import functools
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import networks
from jaxrl.lm import Sampling, generate, next_logits, score
from jaxrl.networks import TransformerConfig

CONFIG = TransformerConfig(vocab_size=7, width=16, num_layers=2, num_heads=2, max_length=16, value_head=True)
MODEL = networks.Transformer(CONFIG)
PROMPTS = jnp.array([[0, 0, 3, 1], [2, 5, 1, 4], [0, 6, 6, 2]])
START = jnp.array([2, 0, 1])
PLAIN = Sampling(6, (5,))


@functools.cache
def params():
    """Far from uniform, so that what is drawn and what is left out matters."""
    start = MODEL.init(jax.random.key(0), PROMPTS)
    return jax.tree.map(lambda x: 2 * x, start)


@functools.partial(jax.jit, static_argnames=("model", "group_size"))
def completions(model, params, sampling, key, group_size):
    return generate(model, params, PROMPTS, START, key, sampling, group_size)


def drawn(sampling, key, group_size=1):
    return completions(MODEL, params(), sampling, key, group_size)


def looped(sampling, key, group_size):
    """The same by the whole text again for every token, and one row after another."""
    rows = []
    prompts, starts = (np.repeat(np.asarray(x), group_size, axis=0) for x in (PROMPTS, START))
    texts = [list(map(int, prompt[first:])) for prompt, first in zip(prompts, starts, strict=True)]
    alive = [True] * len(texts)
    for index in range(sampling.max_new_tokens):
        logits = jnp.stack([MODEL.apply(params(), jnp.array([text]))[0, -1] for text in texts])
        token, log_prob = sampling.draw(jax.random.fold_in(key, index), logits)
        rows.append([(int(t), float(p)) if live else None for t, p, live in zip(token, log_prob, alive, strict=True)])
        for text, one in zip(texts, token, strict=True):
            text.append(int(one))
        alive = [live and int(one) not in sampling.stop_tokens for live, one in zip(alive, token, strict=True)]
    return list(zip(*rows, strict=True))


SAMPLINGS = {
    "plain": PLAIN,
    "fixed": PLAIN.replace(early_exit=False),
    "greedy": PLAIN.replace(top_k=1),
    "cold": PLAIN.replace(temperature=0.5),
    "top-k": PLAIN.replace(top_k=3),
    "top-p": PLAIN.replace(top_p=0.7),
    "banned": PLAIN.replace(banned=(1, 3)),
    "endless": PLAIN.replace(stop_tokens=()),
}


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_the_fused_program_equals_a_loop_over_whole_texts(sampling):
    key = jax.random.key(3)
    ours = drawn(sampling, key, 2)
    for row, expected in enumerate(looped(sampling, key, 2)):
        mask = [pair is not None for pair in expected]
        assert ours.mask[row].tolist() == mask
        tokens, log_probs = zip(*[pair for pair in expected if pair is not None], strict=True)
        assert ours.tokens[row][jnp.array(mask)].tolist() == list(tokens)
        np.testing.assert_allclose(ours.log_prob[row][jnp.array(mask)], log_probs, atol=1e-5)


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_sampler_and_scorer_agree(sampling):
    ours = drawn(sampling, jax.random.key(4), 3)
    prompts, start = jnp.repeat(PROMPTS, 3, axis=0), jnp.repeat(START, 3)
    scores = score(MODEL, params(), prompts, start, ours.tokens, sampling)
    np.testing.assert_allclose(jnp.where(ours.mask, scores.log_prob, 0.0), ours.log_prob, atol=1e-5)


def test_the_stop_token_counts_and_nothing_after_it():
    ours = drawn(PLAIN, jax.random.key(5), 20)
    for tokens, mask in zip(ours.tokens.tolist(), ours.mask.tolist(), strict=True):
        length = tokens.index(5) + 1 if 5 in tokens else len(tokens)
        assert mask == [True] * length + [False] * (len(tokens) - length)
        assert all(token == 0 for token in tokens[length:])
    assert 1 < float(ours.lengths.mean()) < 6
    assert (ours.log_prob[~ours.mask] == 0).all()


def test_a_pad_token_that_was_drawn_counts():
    ours = drawn(PLAIN, jax.random.key(5), 20)
    assert ((ours.tokens == PLAIN.pad_token) & ours.mask).any()


def test_what_ends_early_equals_what_does_not():
    first, second = (drawn(SAMPLINGS[name], jax.random.key(6), 4) for name in ("plain", "fixed"))
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize("name", ["plain", "fixed"])
def test_seeds_under_vmap_equal_seeds_alone(name):
    keys = jax.random.split(jax.random.key(7), 3)
    together = jax.vmap(lambda key: drawn(SAMPLINGS[name], key, 2))(keys)
    for row, key in enumerate(keys):
        alone = drawn(SAMPLINGS[name], key, 2)
        np.testing.assert_array_equal(together.tokens[row], alone.tokens)
        np.testing.assert_allclose(together.log_prob[row], alone.log_prob, atol=1e-5)


def test_frequencies_are_the_probabilities():
    one = PLAIN.replace(max_new_tokens=1, temperature=0.7, top_k=4)
    tokens = drawn(one, jax.random.key(8), 4000).tokens.reshape(3, -1)
    logits = [MODEL.apply(params(), prompt[None, first:])[0, -1] for prompt, first in zip(PROMPTS, START, strict=True)]
    for row, probs in zip(tokens, jnp.exp(one.log_probs(jnp.stack(logits))), strict=True):
        frequencies = jnp.bincount(row, length=7) / 4000
        np.testing.assert_allclose(frequencies, probs, atol=4 * 0.5 / np.sqrt(4000))


def test_kept_tokens_of_top_k_and_top_p():
    # Probabilities 0.4, 0.3, 0.2, 0.1 in another order: 0.7 are reached by two of them, 0.71 by three.
    logits = jnp.log(jnp.array([[0.1, 0.4, 0.2, 0.3]]))

    def kept(**fields):
        return jnp.isfinite(Sampling(1, **fields).logits(logits))[0].tolist()

    assert kept(top_k=2) == kept(top_p=0.69) == [False, True, False, True]
    assert kept(top_p=0.71) == [False, True, True, True]
    assert kept(top_p=1e-6) == kept(top_k=1) == [False, True, False, False]
    assert kept(top_p=1.0) == [True] * 4
    assert kept(top_k=2, banned=(1,)) == [False, False, True, True]


def test_a_prompt_that_is_read_once_for_its_group_has_the_scores_and_the_gradient_of_many_readings():
    tokens = jax.random.randint(jax.random.key(5), (6, 4), 0, CONFIG.vocab_size)
    weight = jnp.arange(24.0).reshape(6, 4)

    def total(params, prompts, start):
        scores = score(MODEL, params, prompts, start, tokens, PLAIN)
        return ((scores.log_prob + scores.value) * weight).sum(), scores

    both = jax.jit(jax.value_and_grad(total, has_aux=True))
    together, apart = both(params(), PROMPTS, START), both(params(), PROMPTS.repeat(2, 0), START.repeat(2, 0))
    chex.assert_trees_all_close(together, apart, rtol=1e-4, atol=1e-4)
    text = jnp.concatenate([PROMPTS.repeat(2, 0), tokens[:, :-1]], axis=1)  # and of no cache at all
    features, _ = MODEL.apply(params(), text, START.repeat(2, 0), method="features")
    logits = MODEL.apply(params(), features[:, PROMPTS.shape[1] - 1 :], method="logits")
    expected = jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(together[0][1].log_prob, expected, atol=1e-5)
    one = dataclasses.replace(PLAIN, max_new_tokens=1)  # of one token, before which stands only the prompt
    alone = score(MODEL, params(), PROMPTS, START, tokens[:, :1], one).log_prob
    np.testing.assert_allclose(alone, together[0][1].log_prob[:, :1], atol=1e-5)
    saving = networks.Transformer(dataclasses.replace(CONFIG, remat=True))
    again = jax.jit(jax.grad(lambda x: (score(saving, x, PROMPTS, START, tokens, PLAIN).log_prob * weight).sum()))
    once = jax.jit(jax.grad(lambda x: (score(MODEL, x, PROMPTS, START, tokens, PLAIN).log_prob * weight).sum()))
    chex.assert_trees_all_close(again(params()), once(params()), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="6 completions are no whole groups of 4 prompts"):
        score(MODEL, params(), jnp.ones((4, 2), jnp.int32), jnp.zeros(4, jnp.int32), tokens, PLAIN)


def test_scores_in_pieces_equal_scores_at_once(monkeypatch):
    tokens = drawn(PLAIN, jax.random.key(9), 1).tokens

    def loss(params):
        scores = score(MODEL, params, PROMPTS, START, tokens, PLAIN)
        return (scores.log_prob * jnp.arange(18.0).reshape(3, 6)).sum(), scores

    whole = jax.value_and_grad(loss, has_aux=True)(params())
    monkeypatch.setattr(sys.modules["jaxrl.lm.score"], "LARGEST", 5 * CONFIG.vocab_size)  # 18 tokens in 4 pieces
    pieces = jax.value_and_grad(loss, has_aux=True)(params())
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), whole, pieces)
    text = str(jax.make_jaxpr(lambda p: jax.grad(loss, has_aux=True)(p)[0])(params()))
    assert "f32[18,7]" not in text and "f32[5,7]" in text


def test_entropy_and_value_are_those_of_the_text_before():
    tokens = drawn(PLAIN, jax.random.key(10), 1).tokens
    scores = score(MODEL, params(), PROMPTS, START, tokens, PLAIN.replace(temperature=3.0))
    text = jnp.concatenate([PROMPTS, tokens], axis=1)
    probs = jax.nn.softmax(MODEL.apply(params(), text, START))[:, 3:9]
    np.testing.assert_allclose(scores.entropy, -(probs * jnp.log(probs)).sum(-1), rtol=1e-4)
    features, _ = MODEL.apply(params(), text, START, method="features")
    np.testing.assert_allclose(scores.value, MODEL.apply(params(), features, method="values")[:, 3:9], atol=1e-5)


def test_texts_longer_than_the_context_are_refused():
    message = "prompts of 4 tokens and completions of 13 exceed the model's context of 16"
    with pytest.raises(ValueError, match=message):
        drawn(PLAIN.replace(max_new_tokens=13), jax.random.key(0))
    small = networks.Transformer(dataclasses.replace(CONFIG, max_length=10))
    generate(small, params(), PROMPTS, START, jax.random.key(0), PLAIN)


@pytest.mark.parametrize("jitted", [False, True])
def test_tokens_that_a_cache_has_no_columns_for_are_refused(jitted):
    def logits(length, column):
        call = functools.partial(next_logits, MODEL, column=column)
        call = jax.jit(call) if jitted else call
        return call(params(), PROMPTS, START, MODEL.empty_cache(3, length))[0]

    assert logits(6, 2).shape == (3, 7)
    with pytest.raises(ValueError, match="cache: 4 tokens from column 0 on do not fit into 3 columns; make a longer"):
        logits(3, 0)
    for column in (3, jnp.int32(3)):
        with pytest.raises(ValueError, match="cache: 4 tokens from column 3 on do not fit into 6 columns"):
            logits(6, column)
    with pytest.raises(ValueError, match="cache: 4 tokens"):  # wherever they would stand
        jax.jit(lambda column: logits(3, column))(0)
