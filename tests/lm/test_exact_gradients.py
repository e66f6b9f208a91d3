"""Gradients of a language model of 27 completions, all of them enumerated: what is unbiased, and what is not.

The model is a table of logits for each of the 13 prefixes of three tokens out of three. The expectation of an
estimator is its sum over all completions, or over all pairs of them, weighted by their probabilities.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxrl
from jaxrl import lm, networks, ops
from jaxrl.algorithms.lm import GRPO, CompletionBatch
from tests.helpers import TableConfig

COMPLETIONS = np.array(list(itertools.product(range(3), repeat=3)))
PAIRS = np.array(list(itertools.product(range(27), repeat=2)))
REWARD = jax.random.choice(jax.random.key(0), jnp.array([0.0, 0.1, 0.3, 1.0]), (27,))
PLAIN, STOPPING = lm.Sampling(3), lm.Sampling(3, (2,))


@dataclasses.dataclass(frozen=True)
class Table:
    """A model whose features are a one-hot of the prefix; the prompt is one token, and is not read."""

    config: TableConfig = TableConfig()  # noqa: RUF009  # frozen

    def empty_cache(self, batch_size, length):
        return ()

    def apply(self, params, x, start=None, cache=None, column=0, method=None):
        if method == "logits":
            return x @ params
        digits, lengths = x[:, 1 - column :], range(column, column + x.shape[1])  # either the prompt, or all behind it
        offsets = jnp.array([0, 1, 4])[column : column + x.shape[1]]
        powers = jnp.stack([(digits[:, :n] * 3 ** jnp.arange(n)[None, ::-1]).sum(1) for n in lengths], axis=1)
        return jax.nn.one_hot(offsets[None] + powers, 13), cache


MODEL = Table()
PARAMS = jax.random.normal(jax.random.key(1), (13, 3))
REFERENCE = jax.random.normal(jax.random.key(2), (13, 3))


def masks(sampling):
    stops = np.isin(COMPLETIONS, sampling.stop_tokens)
    return jnp.asarray(np.cumsum(stops, axis=1) - stops == 0)


def log_probs(params, rows=slice(None)):
    tokens = jnp.asarray(COMPLETIONS)[rows]
    zeros = jnp.zeros((len(tokens), 1), jnp.int32)
    return lm.score(MODEL, params, zeros, zeros[:, 0], tokens, PLAIN).log_prob


def probs(params):
    return jnp.exp(log_probs(params).sum(1))


def batch_of(rows, sampling):
    tokens, zeros = jnp.asarray(COMPLETIONS)[rows], jnp.zeros((len(rows), 1), jnp.int32)
    mask = masks(sampling)[rows]
    completions = lm.Completions(tokens, jnp.where(mask, log_probs(PARAMS)[rows], 0.0), mask)
    return CompletionBatch(lm.Prompts(zeros, zeros[:, 0]), completions, REWARD_OF[sampling.stop_tokens][rows])


def first_with(sampling):
    """A completion and all that differ behind its end only earn the same."""
    mask = np.asarray(masks(sampling))
    same = (np.where(mask, COMPLETIONS, -1)[:, None] == np.where(mask, COMPLETIONS, -1)[None]).all(-1)
    return REWARD[same.argmax(axis=1)]


REWARD_OF = {sampling.stop_tokens: first_with(sampling) for sampling in (PLAIN, STOPPING)}


def learner(**fields):
    sampling = fields.pop("sampling", PLAIN)
    defaults = {"group_size": 2, "num_prompts": 1, "aggregate": ops.constant}
    return GRPO(None, MODEL, sampling=sampling, **defaults | fields)


def gradient(algorithm, rows):
    """Of the return to be made larger, with the factor 1 / T of `constant` taken out."""
    data, _ = algorithm.targets(batch_of(rows, algorithm.sampling))
    return -3 * jax.grad(lambda params: algorithm.loss(params, data)[0])(PARAMS)


def expected(algorithm, groups=PAIRS):
    weight = probs(PARAMS)[groups].prod(axis=1)
    gradients = jax.lax.map(lambda rows: gradient(algorithm, rows), groups)
    return jnp.einsum("g,gsv->sv", weight, gradients)


def exact(sampling=PLAIN, value=lambda params, sampling: REWARD_OF[sampling.stop_tokens]):
    return jax.grad(lambda params: (probs(params) * value(params, sampling)).sum())(PARAMS)


def close(x, y):
    return np.allclose(x, y, rtol=1e-3, atol=2e-6)


def direction(x, y):
    """Cosine of the angle between two gradients."""
    return float((x * y).sum() / jnp.sqrt((x * x).sum() * (y * y).sum()))


@pytest.mark.parametrize("sampling", [PLAIN, STOPPING], ids=["fixed", "stopping"])
@pytest.mark.parametrize("policy_loss", [ops.token_clip, ops.weight_clip])
def test_leave_one_out_is_the_policy_gradient(sampling, policy_loss):
    ours = expected(learner(sampling=sampling, advantage=ops.leave_one_out, policy_loss=policy_loss))
    assert close(ours, exact(sampling))


def test_the_mean_of_the_group_is_half_of_it():
    assert close(expected(learner(advantage=ops.centered)), exact() / 2)  # (G - 1) / G


def test_the_mean_of_the_batch_serves_groups_of_one():
    ours = expected(learner(advantage=ops.batch_leave_one_out, num_prompts=2, group_size=1))
    assert close(ours, exact())


def test_no_baseline_is_right_too():
    assert close(expected(learner(advantage=lambda reward: reward, group_size=1), np.arange(27)[:, None]), exact())


def test_deviations_of_groups_change_the_direction():
    assert direction(expected(learner(advantage=ops.group_standardized)), exact()) < 0.99
    assert direction(expected(learner(advantage=ops.leave_one_out)), exact()) > 0.9999


def test_means_over_completions_are_biased_by_length_and_a_constant_is_not():
    for aggregate, right in ((ops.constant, True), (ops.sequence_mean, False), (ops.token_mean, False)):
        ours = expected(learner(sampling=STOPPING, advantage=ops.leave_one_out, aggregate=aggregate))
        assert (direction(ours, exact(STOPPING)) > 0.9999) == right, aggregate.__name__


def test_whole_sequences_of_one_length_have_the_same_gradient():
    ours = expected(learner(advantage=ops.leave_one_out, policy_loss=ops.sequence_clip, aggregate=ops.sequence_mean))
    assert close(ours, exact())


def divergence(params, sampling):
    """log π(y) - log π_ref(y) of every completion."""
    return jnp.where(masks(sampling), log_probs(params) - log_probs(REFERENCE), 0.0).sum(1)


@pytest.mark.parametrize("sampling", [PLAIN, STOPPING], ids=["fixed", "stopping"])
def test_a_divergence_in_the_reward_has_the_gradient_of_whole_completions(sampling):
    def value(params, sampling):
        return REWARD_OF[sampling.stop_tokens] - 0.7 * divergence(params, sampling)

    fields = {"advantage": ops.leave_one_out, "kl_coef": 0.7, "reference_params": REFERENCE}
    assert close(expected(learner(sampling=sampling, **fields)), exact(sampling, value))


def token_divergence(params, reverse=False):
    """Of all prefixes, as often as the policy meets them, without the policy's influence on how often that is."""
    ours, theirs = jax.nn.log_softmax(params), jax.nn.log_softmax(REFERENCE)
    first, second = (theirs, ours) if reverse else (ours, theirs)
    each = (jnp.exp(first) * (first - second)).sum(1)
    features, _ = MODEL.apply(None, jnp.asarray(np.pad(COMPLETIONS[:, :2], ((0, 0), (1, 0)))), method="features")
    met = jnp.einsum("b,bts->s", probs(PARAMS), features)
    return (met * each).sum()


def only_divergence(kl_loss):
    zero = {"advantage": jnp.zeros_like, "kl_coef": 1.0, "reference_params": REFERENCE, "group_size": 1}
    return -expected(learner(kl_loss=kl_loss, **zero), np.arange(27)[:, None])


@pytest.mark.parametrize("kl_loss", [ops.squared_kl, ops.corrected_kl])
def test_a_divergence_as_a_loss_has_the_gradient_of_tokens(kl_loss):
    assert close(only_divergence(kl_loss), jax.grad(token_divergence)(PARAMS))


def test_the_two_that_are_not_offered_are_wrong():
    def plain(log_prob, old_log_prob, reference_log_prob):
        return log_prob - reference_log_prob

    def uncorrected(log_prob, old_log_prob, reference_log_prob):
        delta = reference_log_prob - log_prob
        return jnp.expm1(delta) - delta

    assert close(only_divergence(plain), 0.0)
    assert close(only_divergence(uncorrected), jax.grad(lambda p: token_divergence(p, reverse=True))(PARAMS))
    assert direction(only_divergence(uncorrected), jax.grad(token_divergence)(PARAMS)) < 0.99


def test_the_value_of_the_corrected_divergence_is_the_divergence():
    tokens = ops.corrected_kl(log_probs(PARAMS), log_probs(PARAMS), log_probs(REFERENCE)).sum(1)
    assert float((probs(PARAMS) * tokens).sum()) == pytest.approx(float(token_divergence(PARAMS)), rel=1e-4)
    tiny = ops.corrected_kl(*(jnp.array([[x]]) for x in (-1.0, -1.0, -1.000001)))
    assert 0 <= float(tiny[0, 0]) < 1e-10  # exp(δ) - δ - 1 would be -6e-8


def test_the_regularized_optimum_does_not_move(monkeypatch):
    # π*(y) ∝ π_ref(y) exp(r(y) / β): the logits of a prefix are the logarithms of what can still follow it.
    beta = 0.5
    joint = (probs(REFERENCE) * jnp.exp(REWARD / beta)).reshape(3, 3, 3)
    best = jnp.concatenate([joint.sum((1, 2))[None], joint.sum(2), joint.reshape(9, 3)])
    monkeypatch.setitem(globals(), "PARAMS", jnp.log(best))
    fields = {"advantage": ops.leave_one_out, "reference_params": REFERENCE}
    assert close(expected(learner(kl_coef=beta, **fields)), 0.0)
    assert not close(expected(learner(kl_coef=2 * beta, **fields)), 0.0)


def optimum(beta):
    """π*(y) ∝ π_ref(y) exp(r(y) / β), for all completions."""
    joint = probs(REFERENCE) * jnp.exp(REWARD / beta)
    return joint / joint.sum()


def descended(slope_of, params, num_steps=600):
    """Parameters after so many steps along a slope."""
    adam = optax.adam(optax.linear_schedule(0.1, 0.0, num_steps))

    def step(carry, _):
        params, opt_state = carry
        updates, opt_state = adam.update(slope_of(params), opt_state)
        return (optax.apply_updates(params, updates), opt_state), None

    carry, _ = jax.jit(lambda carry: jax.lax.scan(step, carry, None, num_steps))((params, adam.init(params)))
    return carry[0]


@pytest.mark.parametrize("wrong", [False, True])
def test_preferences_lead_to_the_regularized_optimum(wrong):
    # Of all ordered pairs, the first preferred with probability σ(r_1 - r_2), as Bradley and Terry have it.
    beta, (one, other) = 0.5, PAIRS.T
    preferred = jax.nn.sigmoid(REWARD[one] - REWARD[other])

    def loss(params):
        ratio = (log_probs(params) - (0.0 if wrong else log_probs(REFERENCE))).sum(1)
        return (preferred * ops.preference_loss(ratio[one] - ratio[other], beta)).mean()

    found = probs(descended(jax.grad(loss), PARAMS))
    assert np.allclose(found, optimum(beta), atol=1e-3) != wrong


@pytest.mark.parametrize("weight", [1.0, 2.0])
def test_a_divergence_in_the_reward_leads_to_the_regularized_optimum(weight):
    beta, fields = 0.5, {"advantage": ops.leave_one_out, "reference_params": REFERENCE}

    def slope(params):
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(globals(), "PARAMS", params)  # who acts is who learns
            return -expected(learner(kl_coef=weight * beta, **fields))

    found = probs(descended(slope, PARAMS))
    assert np.allclose(found, optimum(beta), atol=1e-3) == (weight == 1.0)


def test_the_first_loss_is_zero_and_its_gradient_is_not():
    algorithm = learner(advantage=ops.centered)
    data, _ = algorithm.targets(batch_of(np.array([0, 26]), PLAIN))
    assert float(algorithm.loss(PARAMS, data)[0]) == pytest.approx(0.0, abs=1e-6)
    assert jnp.abs(gradient(algorithm, np.array([0, 26]))).max() > 1e-3


def test_the_gradient_of_a_pair_of_preferences_at_the_reference():
    def loss(params, chosen, rejected):
        margin = (log_probs(params) - log_probs(PARAMS)).sum(1)
        return ops.preference_loss(margin[chosen] - margin[rejected], 0.3)

    ours = jax.grad(loss)(PARAMS, 4, 20)
    expected_ = -0.5 * 0.3 * jax.grad(lambda p: log_probs(p)[4].sum() - log_probs(p)[20].sum())(PARAMS)
    assert close(ours, expected_)


def test_minibatches_add_up_to_the_batch():
    rows, fields = np.array([3, 9, 18, 22]), {"advantage": ops.batch_leave_one_out, "sampling": STOPPING}
    for aggregate in (ops.token_mean, ops.sequence_mean, ops.constant):
        whole = learner(aggregate=aggregate, num_prompts=2, **fields)
        data, _ = whole.targets(batch_of(rows, STOPPING))
        parts = whole.replace(num_minibatches=2)
        losses = [parts.loss(PARAMS, jax.tree.map(lambda x, i=i: x[i : i + 1], data))[0] for i in (0, 1)]
        assert float(sum(losses) / 2) == pytest.approx(float(whole.loss(PARAMS, data)[0]), rel=1e-5)


def test_dynamic_sampling_leaves_out_what_says_nothing():
    # Rewards of three prompts: equal, different, different. Two are kept; of a batch with one, the rest weighs nothing.
    algorithm = learner(num_prompts=3, num_kept=2, advantage=ops.group_standardized, aggregate=ops.token_mean)
    batch = batch_of(np.array([0, 0, 1, 2, 3, 4]), PLAIN)
    rewards = jnp.array([1.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    data, metrics = algorithm.targets(batch.replace(reward=rewards))
    assert data.completions.tokens.tolist() == COMPLETIONS[1:5].reshape(2, 2, 3).tolist()
    assert float(metrics["informative"]) == pytest.approx(2 / 3)
    assert float(data.weight.sum()) == pytest.approx(1.0)
    data, _ = algorithm.targets(batch.replace(reward=rewards.at[4].set(0.0)))
    assert data.completions.tokens[0].tolist() == COMPLETIONS[1:3].tolist()
    assert float(data.weight[1].sum()) == 0 and float(data.weight.sum()) == pytest.approx(1.0)


def test_equal_rewards_have_advantages_of_exactly_zero():
    reward = jnp.full((2, 3), 0.1).at[1, 0].set(0.7)
    for advantage in (ops.centered, ops.leave_one_out, ops.group_standardized):
        assert (advantage(reward)[0] == 0).all() and (advantage(reward)[1] != 0).all()


def test_a_reward_of_divergence_keeps_its_weight_beside_standardized_rewards():
    """Divided by the deviation of a group of equal rewards, a penalty would have unit size whatever β is."""
    task = lm.tasks.Parity(3)
    config = networks.TransformerConfig(task.tokenizer.vocab_size, width=8, num_layers=1, num_heads=2, max_length=16)
    model = networks.Transformer(config)
    one, other = (jax.jit(model.init)(jax.random.key(seed), jnp.ones((1, 1), jnp.int32)) for seed in (0, 1))
    grpo = jaxrl.GRPO(task, model, params=one, reference_params=other, num_prompts=2, group_size=4, kl_coef=1e-3)
    _, batch = jax.jit(jaxrl.GRPO.rollout)(grpo, grpo.init(jax.random.key(2)), jax.random.key(3))
    data, _ = grpo.targets(batch.replace(reward=jnp.ones(8)))
    assert 0 < jnp.abs(data.advantage).max() < 0.01  # standardized ones are about 1
    twice, _ = grpo.replace(kl_coef=2e-3).targets(batch.replace(reward=jnp.ones(8)))
    np.testing.assert_allclose(twice.advantage, 2 * data.advantage, rtol=1e-5)
    with pytest.raises(ValueError, match="leave top_k and top_p away"):
        grpo.replace(sampling=task.sampling.replace(top_k=3)).targets(batch)
