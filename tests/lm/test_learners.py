"""What learners of language models compute, against arithmetic by hand and by NumPy."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from jaxrl import lm, networks, ops
from jaxrl.algorithms.lm import CompletionBatch, PreferenceBatch, grpo, learner
from tests.helpers import TableConfig

THREE = lm.Sampling(3, (2,))
MASK = np.array([[True, True, True], [True, True, False]])
"""Of two completions of the tokens 0, 1 and 2, which ends them."""
TOKENS = np.array([[0, 1, 1], [1, 2, 0]])


@dataclasses.dataclass(frozen=True)
class Bigrams:
    """A model of tables: logits and values by the last token."""

    config: TableConfig = TableConfig(value_head=True)  # noqa: RUF009  # frozen

    def empty_cache(self, batch_size, length):
        return ()

    def apply(self, params, x, *rest, method):
        if method == "features":
            return jax.nn.one_hot(x, 3), None
        return x @ params[method]


MODEL = Bigrams()


def tables(probs, values=(0.0, 0.0, 0.0)):
    """Parameters of `probs[last][next]` and of a value of each last token."""
    return {"logits": jnp.log(jnp.array(probs)), "values": jnp.array(values)}


EVEN = tables([[1 / 3] * 3] * 3)
ONE = tables([[1 / 2, 1 / 4, 1 / 4], [1 / 8, 5 / 8, 1 / 4], [1 / 3, 1 / 3, 1 / 3]], (0.5, -1.0, 7.0))


def prompts_of(size):
    """Of one token, 0."""
    return lm.Prompts(jnp.zeros((size, 1), jnp.int32), jnp.zeros(size, jnp.int32))


def completions_of(tokens, mask, log_prob=0.0):
    return lm.Completions(jnp.array(tokens), jnp.where(mask, log_prob, 0.0), jnp.array(mask))


def pair_of(weight):
    """01 2 before 1 2 for the first prompt, and the other way round for the second."""
    tokens, mask = np.array([[0, 1, 2], [1, 2, 0]]), np.array([[1, 1, 1], [1, 1, 0]], bool)
    chosen, rejected = completions_of(tokens, mask), completions_of(tokens[::-1], mask[::-1])
    return PreferenceBatch(prompts_of(2), chosen, rejected, jnp.array(weight))


@pytest.mark.parametrize("weight", [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0)])
def test_the_loss_of_preferences_by_hand(weight):
    # After the prompt 0, ONE draws 0 1 2 with 1/2 1/4 1/4 = 1/32, and 1 2 with 1/4 1/4 = 1/16: margin log 1/2.
    # The reference, a third each: 1/27 and 1/9, log 1/3. Of β = 2: σ(2 log 3/2) = 9/4 / (1 + 9/4) = 9/13, else 4/13.
    dpo = jaxrl.DPO(None, MODEL, sampling=THREE, reference_params=EVEN, beta=2.0)
    batch = pair_of(weight)
    loss, metrics = dpo.loss(ONE, batch, dpo.margin(EVEN, batch))
    share, prefers, margin = np.array(weight) / sum(weight), np.array([9 / 13, 4 / 13]), np.log([3 / 2, 2 / 3])
    assert float(loss) == pytest.approx(-share @ np.log(prefers), rel=1e-5)
    assert float(metrics["margin"]) == pytest.approx(share @ margin, abs=1e-6)
    assert float(metrics["preferred"]) == pytest.approx(share @ prefers, rel=1e-5)
    assert float(metrics["informative"]) == pytest.approx(sum(weight) / 2)


def test_what_is_said_of_preferences_does_not_jump_at_the_reference():
    dpo, batch = jaxrl.DPO(None, MODEL, sampling=THREE, reference_params=ONE), pair_of((1.0, 1.0))
    reference = dpo.margin(ONE, batch)
    below, above = (dpo.loss(ONE, batch, reference + jnp.array([x, x]))[1] for x in (1e-6, -1e-6))
    for name in below:
        assert float(below[name]) == pytest.approx(float(above[name]), abs=1e-5), name


def test_pairs_of_equal_reward_say_nothing():
    dpo, batch = jaxrl.DPO(None, MODEL, sampling=THREE, reference_params=EVEN), pair_of((0.0, 0.0))
    gradient, metrics = jax.grad(dpo.loss, has_aux=True)(ONE, batch, dpo.margin(EVEN, batch))
    assert all(float(value) == 0 for value in metrics.values())
    assert all((x == 0).all() for x in jax.tree.leaves(gradient))


def test_of_a_pair_the_better_one_comes_first():
    task = lm.tasks.Parity(4)
    half = task.sampling.replace(banned=(0, 1, 2, 3), max_new_tokens=2)  # E, O or the end, and so again: 1/9 is right
    config = networks.TransformerConfig(task.tokenizer.vocab_size, width=8, num_layers=1, num_heads=2, max_length=16)
    model = networks.Transformer(config)
    one, other = (jax.jit(model.init)(jax.random.key(seed), jnp.ones((1, 1), jnp.int32)) for seed in (0, 1))
    dpo = jaxrl.DPO(task, model, sampling=half, num_prompts=64, params=one, reference_params=other)
    state = dpo.init(jax.random.key(2))
    _, pairs = jax.jit(jaxrl.DPO.rollout)(dpo, state, jax.random.key(3))
    drawn = jax.jit(learner.completed, static_argnums=2)(dpo, other, 2, jax.random.key(3))  # by the reference

    reward = np.asarray(drawn.reward).reshape(64, 2)
    assert set(np.sign(reward[:, 0] - reward[:, 1])) == {-1, 0, 1}
    np.testing.assert_array_equal(pairs.weight, reward[:, 0] != reward[:, 1])
    np.testing.assert_array_equal(pairs.prompts.tokens, drawn.prompts.tokens[::2])
    for given, column in ((pairs.chosen, reward.argmax(axis=1)), (pairs.rejected, 1 - reward.argmax(axis=1))):
        for name in ("tokens", "log_prob", "mask"):
            rows = np.asarray(getattr(drawn.completions, name)).reshape(64, 2, -1)[np.arange(64), column]
            np.testing.assert_array_equal(getattr(given, name), rows)
        np.testing.assert_array_equal(task.verify(pairs.prompts, given), reward[np.arange(64), column])


def test_pairs_are_of_one_length():
    dpo, batch = jaxrl.DPO(None, MODEL, sampling=THREE, reference_params=EVEN), pair_of((1.0, 1.0))
    shorter = jax.tree.map(lambda x: x[:, :2], batch.rejected)
    with pytest.raises(ValueError, match=r"rejected: its tokens are \(2, 2\), those of chosen \(2, 3\)"):
        dpo.margin(ONE, batch.replace(rejected=shorter))


@pytest.mark.parametrize("num_kept", [None, 2])
def test_completions_stay_with_their_prompts(num_kept):
    """By the parameters that drew them they are as probable as they were, each after its own prompt."""
    task = lm.tasks.Parity(4)
    config = networks.TransformerConfig(task.tokenizer.vocab_size, width=8, num_layers=1, num_heads=2, max_length=16)
    model = networks.Transformer(config)
    params = jax.tree.map(lambda x: 4 * x, jax.jit(model.init)(jax.random.key(0), jnp.ones((1, 1), jnp.int32)))
    fields = {"num_prompts": 4, "group_size": 3, "num_kept": num_kept, "num_minibatches": 2}
    algorithm = jaxrl.GRPO(task, model, params=params, reference_params=params, kl_coef=1.0, **fields)
    _, batch = jax.jit(jaxrl.GRPO.rollout)(algorithm, algorithm.init(jax.random.key(1)), jax.random.key(2))
    batch = batch.replace(reward=jnp.arange(12.0) // 2)  # of which no group has equal ones
    data, metrics = jax.jit(jaxrl.GRPO.targets)(algorithm, batch)
    assert abs(float(metrics["divergence"])) < 1e-4
    narrow = algorithm.replace(clip_low=1e-4, clip_high=1e-4)
    for minibatch in range(2):
        size = len(data.weight) // 2
        rows = jax.tree.map(lambda x, i=minibatch * size, n=size: x[i : i + n], data)
        assert float(jax.jit(jaxrl.GRPO.loss)(narrow, params, rows)[1]["clip_fraction"]) == 0
    swapped = data.replace(prompts=jax.tree.map(lambda x: x[::-1], data.prompts))
    assert float(jax.jit(jaxrl.GRPO.loss)(narrow, params, swapped)[1]["clip_fraction"]) > 0.1


def test_minibatches_are_of_whole_groups():
    with pytest.raises(ValueError, match="num_minibatches=4 does not divide the batch of num_prompts=2; choose a div"):
        grpo_of(num_prompts=2, group_size=8, num_minibatches=4)
    with pytest.raises(ValueError, match="num_minibatches=4 does not divide the batch of num_kept=2"):
        grpo_of(num_prompts=8, group_size=8, num_kept=2, num_minibatches=4)


def grpo_of(**fields):
    fields = {"sampling": THREE, "num_prompts": 2, "group_size": 1, "advantage": lambda reward: reward} | fields
    return jaxrl.GRPO(None, MODEL, **fields)


def targets_of(algorithm, log_prob, tokens=TOKENS, mask=MASK, reward=(2.0, 2.0)):
    completions = completions_of(tokens, mask, log_prob)
    return algorithm.targets(CompletionBatch(prompts_of(2), completions, jnp.array(reward)))[0]


@pytest.mark.parametrize(("presets", "fraction"), [(grpo.GSPO, 2 / 5), (grpo.CISPO, 4 / 5), ({}, 4 / 5)])
def test_the_clip_fraction_is_of_the_ratio_that_is_clipped(presets, fraction):
    # Ratios of tokens: 4, 1/4 and 1, of which the geometric mean is 1; 1.21 and 1.3, of which it is some 1.25.
    algorithm = grpo_of(**(presets | {"clip_low": 0.05, "clip_high": 0.05}))
    ratio = jnp.array([[4.0, 1 / 4, 1.0], [1.21, 1.3, 1.0]])

    @jax.jit
    def learned():
        now = learner.score(algorithm, ONE, prompts_of(2), completions_of(TOKENS, MASK)).log_prob
        return algorithm.loss(ONE, targets_of(algorithm, now - jnp.log(ratio)))[1]

    assert float(learned()["clip_fraction"]) == pytest.approx(fraction)


NARROW = tables([[0.5, 0.4, 0.1], [0.1, 0.4, 0.5], [0.5, 0.1, 0.4]])
MOVED = tables([[0.5, 0.1, 0.4], [0.1, 0.4, 0.5], [0.5, 0.1, 0.4]])  # after 0, token 2 has taken the place of 1


@pytest.mark.parametrize("presets", [grpo.GSPO, grpo.CISPO, {}], ids=["gspo", "cispo", "grpo"])
def test_tokens_that_leave_the_most_probable_ones_do_no_harm(presets):
    algorithm = grpo_of(**(presets | {"sampling": THREE.replace(top_k=2)}))
    tokens, mask = np.array([[0, 1, 2], [0, 0, 0]]), np.ones((2, 3), bool)

    @jax.jit
    def learned(reward):
        old, now = (
            learner.score(algorithm, params, prompts_of(2), completions_of(tokens, mask)).log_prob
            for params in (NARROW, MOVED)
        )
        data = targets_of(algorithm, old, tokens, mask, reward)
        return old, now, jax.grad(algorithm.loss, has_aux=True)(MOVED, data)

    for reward in ([2.0, 2.0], [-2.0, 2.0]):
        old, now, (gradient, metrics) = learned(jnp.array(reward))
        assert np.isfinite(old).all() and np.argwhere(np.isneginf(now)).tolist() == [[0, 1]]
        assert all(np.isfinite(x).all() for x in jax.tree.leaves((gradient, metrics)))
        assert (gradient["logits"] != 0).any()  # what is still drawn is learned from


def test_numbers_that_cannot_be_are_refused():
    for num_kept in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match=r"num_kept=.* must be an integer, at least 1"):
            grpo_of(num_kept=num_kept)
    with pytest.raises(ValueError, match="num_kept=3 must be at most num_prompts=2"):
        grpo_of(num_kept=3)
    with pytest.raises(ValueError, match="overlong=-1"):
        jaxrl.check(grpo_of(overlong=-1))
    assert grpo_of(overlong=3, num_kept=2).num_kept == 2


def test_equal_rewards_teach_nothing_but_to_be_short():
    fields = {"num_prompts": 1, "group_size": 2, "advantage": ops.group_standardized}

    @jax.jit
    def learned(lengthy):
        weights = []
        for overlong in (0, 2):
            data = targets_of(grpo_of(**fields, overlong=overlong), 0.0, mask=MASK | lengthy, reward=(1.0, 1.0))
            weights.append((data.advantage, jax.grad(grpo_of(**fields).loss, has_aux=True)(ONE, data)[0]["logits"]))
        return weights

    (advantage, gradient), (overlong, pushed) = learned(np.zeros((2, 3), bool))  # of lengths 3 and 2
    assert (advantage == 0).all() and (gradient == 0).all()
    np.testing.assert_allclose(overlong[0], [[-1.0] * 3, [1.0] * 3], atol=1e-4)  # penalties of 1 and 1/2
    assert (pushed != 0).any()
    for advantage, gradient in learned(np.ones((2, 3), bool)):  # of equal lengths
        assert (advantage == 0).all() and (gradient == 0).all()


@pytest.mark.parametrize("kl_coef", [0.0, 0.3])
def test_targets_of_tokens_by_numpy(kl_coef):
    discount, gae_lambda, reward, log_prob = 0.9, 0.8, np.array([1.0, 0.5]), np.log([[0.5, 0.2, 0.6], [0.3, 0.4, 1.0]])
    fields = {"discount": discount, "gae_lambda": gae_lambda, "kl_coef": kl_coef, "reference_params": ONE}
    ppo = jaxrl.TokenPPO(None, MODEL, sampling=THREE, num_prompts=2, **fields)

    @jax.jit
    def targets():
        batch = CompletionBatch(prompts_of(2), completions_of(TOKENS, MASK, log_prob), jnp.array(reward))
        return ppo.targets(ppo.replace(params=ONE).init(jax.random.key(0)), batch)

    data, metrics = targets()
    values, probs = np.array([0.5, -1.0, 7.0]), np.exp(ONE["logits"])  # by the last token; the prompt is 0
    advantages, divergences = [], []
    for row, length in enumerate((3, 2)):
        before, drawn = [0, *TOKENS[row, : length - 1]], TOKENS[row, :length]
        value = np.append(values[before], 0.0)  # nothing follows the end, cut or stopped
        divergence = log_prob[row, :length] - np.log(probs[before, drawn])
        rewards = -kl_coef * divergence + reward[row] * (np.arange(length) == length - 1)
        errors = rewards + discount * value[1:] - value[:-1]
        decay = discount * gae_lambda
        advantage = np.array([sum(decay**k * errors[t + k] for k in range(length - t)) for t in range(length)])
        np.testing.assert_allclose(data.value[row, :length], value[:-1], rtol=1e-5)
        np.testing.assert_allclose(data.target[row, :length], advantage + value[:-1], rtol=1e-4)
        advantages.append(advantage)
        divergences.append(divergence.sum())
    flat = np.concatenate(advantages)
    standard = (flat - flat.mean()) / flat.std()
    np.testing.assert_allclose(data.advantage[MASK], standard, rtol=1e-4)
    np.testing.assert_allclose(data.weight, MASK / 5)
    assert float(data.value[1, 2]) == 0
    assert float(metrics["divergence"]) == pytest.approx(np.mean(divergences), rel=1e-4)


@pytest.fixture(scope="module")
def transformer():
    config = networks.TransformerConfig(10, width=8, num_layers=1, num_heads=2, max_length=16)
    model = networks.Transformer(config)
    return model, jax.jit(model.init)(jax.random.key(0), jnp.ones((1, 1), jnp.int32))


@pytest.mark.parametrize("answers_only", [False, True])
def test_the_loss_of_texts_is_the_cross_entropy_of_what_counts(transformer, answers_only):
    # Prompts of 3 and 1 tokens in 4 columns, answers of 2 and 3 in 3.
    model, params = transformer
    tokens = np.array([[0, 3, 4, 5, 6, 7, 0], [0, 0, 0, 8, 1, 2, 3]])
    start, mask = np.array([1, 3]), np.array([[True, True, False], [True, True, True]])
    pretraining = jaxrl.Pretraining(None, model, answers_only=answers_only)
    loss = jax.jit(lambda tokens: pretraining.loss(params, lm.Text(tokens, 4, jnp.array(mask), jnp.array(start))))
    value, metrics = loss(jnp.array(tokens))

    counted = []
    for row, length in enumerate((2, 3)):
        text = tokens[row, start[row] : 4 + length]  # alone, without padding
        logits = np.asarray(jax.jit(model.apply)(params, jnp.array(text[None]))[0], np.float64)
        log_prob = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        first = 4 - start[row] if answers_only else 1  # nothing stands before a first token
        counted += [log_prob[t - 1, text[t]] for t in range(first, len(text))]
    assert len(counted) == (5 if answers_only else 7) == int(metrics["tokens"])
    assert float(value) == pytest.approx(-np.mean(counted), rel=1e-4)
    padding = np.where((tokens == 0), 9, tokens)
    assert float(loss(jnp.array(padding))[0]) == pytest.approx(float(value), rel=1e-6)


@pytest.mark.parametrize("answers_only", [False, True])
@pytest.mark.parametrize("position_embedding", [networks.LearnedPositions, None])
@pytest.mark.parametrize("name", ["countdown", "reversal"])  # the prompts of the second are padded on the left
def test_packed_texts_see_nothing_of_their_neighbours(name, position_embedding, answers_only):
    task = lm.tasks.make(name)
    text = task.corpus(jax.random.key(1), 16)
    shape = dict(width=16, num_layers=2, num_heads=2, position_embedding=position_embedding)
    shape |= dict(max_length=text.tokens.shape[1], rotary=None if position_embedding else networks.Rotary())
    model = networks.Transformer(networks.TransformerConfig(task.tokenizer.vocab_size, **shape))
    params = jax.jit(model.init)(jax.random.key(0), jnp.ones((1, 1), jnp.int32))

    def loss(texts_per_row, text=text):
        pretraining = jaxrl.Pretraining(task, model, texts_per_row=texts_per_row, answers_only=answers_only)
        return jax.jit(jax.value_and_grad(lambda params: pretraining.loss(params, text), has_aux=True))(params)

    def same(few, many):
        (loss, counts), gradient = few
        (packed, packed_counts), packed_gradient = many
        left_out = packed_counts.pop("left_out")
        chex.assert_trees_all_close((packed, packed_counts, packed_gradient), (loss, counts, gradient), atol=1e-6)
        return float(left_out)

    assert same(loss(1), loss(1.25)) == 0
    tokens, start = text.tokens, jnp.zeros(16, jnp.int32) if text.start is None else text.start
    whole = jnp.concatenate([jnp.full((16, text.prompt_length), not answers_only), text.mask], axis=1)
    placed = np.asarray(lm.pack(tokens, start, whole, 4)[3])
    kept = lm.Text(tokens[placed], text.prompt_length, text.mask[placed], start[placed])
    assert same(loss(1, kept), loss(4)) == 1 - placed.mean() > 0  # those that fit into four rows, alone
