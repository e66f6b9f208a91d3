"""Tasks: verifiers against slow parsers of their own, corpora as they say, and splits that never meet."""

import dataclasses
import itertools
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from jaxrl import lm, networks
from jaxrl.lm.splits import is_held_out
from jaxrl.lm.tasks.countdown import evaluate

TASKS = {
    "parity": lm.tasks.Parity(4),
    "addition": lm.tasks.Addition(2),
    "countdown": lm.tasks.Countdown(),
    "reversal": lm.tasks.make("reversal", longest=4),
    "sorting": lm.tasks.make("sorting", longest=4),
}


def parity_is_right(prompt, completion):
    bits, question = prompt[:-1], prompt[-1]
    assert question == "?"
    thought, answer, end = completion[:-2], completion[-2:-1], completion[-1:]
    right = end == ";" and answer == "EO"[bits.count("1") % 2]
    return right and len(thought) in (0, len(bits)) and set(thought) <= {"0", "1"}


def addition_is_right(prompt, completion):
    first, second = prompt.removesuffix("=").split("+")
    return completion == f"{int(first) + int(second):0{len(first) + 1}d}"[::-1] + ";"


def countdown_is_right(prompt, completion):
    """Needs or none, of which only the last has an operator; then an expression, and the end."""
    form = re.fullmatch(r"((?:(?:\d\d|--),){0,8}(?:\d\d|--)[-+*])?(.{5});", completion)
    if form is None:
        return False
    numbers, target, expression = prompt[:3], int(prompt[3:-1]), form[2]
    stack = []
    for token in expression:
        if token.isdigit():
            stack.append(int(token))
        elif token in "+-*" and len(stack) >= 2:
            b, a = stack.pop(), stack.pop()
            stack.append({"+": a + b, "-": a - b, "*": a * b}[token])
        else:
            return False
    used = sorted(token for token in expression if token.isdigit())
    return used == sorted(numbers) and stack == [target]


RIGHT = {
    "parity": parity_is_right,
    "addition": addition_is_right,
    "countdown": countdown_is_right,
    "reversal": lambda prompt, completion: completion == prompt.lstrip(".")[-2::-1] + ";",
    "sorting": lambda prompt, completion: completion == "".join(sorted(prompt[:-1].lstrip("."))) + ";",
}


def same_question(name, prompt):
    """What prompts share that ask the same."""
    if name == "addition":
        return tuple(sorted(prompt.removesuffix("=").split("+")))
    return ("".join(sorted(prompt[:3])), prompt[3:]) if name == "countdown" else prompt


def asked(task, num_prompts, seed=0, held_out=False):
    return prompts_of(task, num_prompts, jax.random.key(seed), held_out)


def prompts_of(task, num_prompts, key, held_out=False):
    return jax.jit(type(task).prompts, static_argnums=(2, 3))(task, key, num_prompts, held_out)


def corpus(task, num_texts, seed=0):
    return jax.jit(type(task).corpus, static_argnums=2)(task, jax.random.key(seed), num_texts)


def completions(task, rows):
    """Rows of tokens, each cut after the first stop token or at the longest length."""
    longest = task.sampling.max_new_tokens
    tokens = np.array([(list(row) + [0] * longest)[:longest] for row in rows])
    stops = np.isin(tokens, task.sampling.stop_tokens)
    mask = np.cumsum(stops, axis=1) - stops == 0
    return lm.Completions(jnp.asarray(np.where(mask, tokens, 0)), jnp.zeros(tokens.shape), jnp.asarray(mask))


@pytest.mark.parametrize("name", TASKS)
def test_the_verifier_equals_a_parser(name):
    task = TASKS[name]
    rng = np.random.default_rng(0)
    key = jax.random.key(0)
    asked_ = prompts_of(task, 4000, jax.random.split(key, 3)[0])
    text = corpus(task, 4000)
    random = rng.integers(0, task.tokenizer.vocab_size, (4000, task.sampling.max_new_tokens))
    taught = np.asarray(text.tokens[:, text.prompt_length :])
    spoiled = np.where(rng.random(taught.shape) < 0.1, random, taught)
    # The corpus draws these very prompts.
    assert (asked_.tokens == text.tokens[:, : text.prompt_length]).all()
    for rows in (random, taught, spoiled):
        drawn = completions(task, rows)
        ours = jax.jit(task.verify)(asked_, drawn)
        lines = zip(asked_.tokens.tolist(), drawn.tokens.tolist(), drawn.mask.tolist(), strict=True)
        expected = [
            RIGHT[name](task.tokenizer.decode(prompt), task.tokenizer.decode(itertools.compress(tokens, mask)))
            for prompt, tokens, mask in lines
        ]
        assert ours.dtype == jnp.float32
        np.testing.assert_array_equal(ours, np.array(expected, np.float32))
    assert 0.2 < np.mean(expected) < 0.8  # spoiled texts: of both kinds


@pytest.mark.parametrize("name", TASKS)
def test_held_out_prompts_are_never_learned_from(name):
    task = TASKS[name]

    def questions(tokens):
        return {same_question(name, task.tokenizer.decode(row)) for row in tokens.tolist()}

    text = corpus(task, 5000, seed=2)
    kept = asked(task, 5000, seed=3, held_out=True).tokens
    for seen in (asked(task, 5000).tokens, text.tokens[:, : text.prompt_length]):
        assert not questions(seen) & questions(kept)


@pytest.mark.parametrize(
    "task",
    [lm.tasks.Parity(2), lm.tasks.Addition(1), lm.tasks.Countdown(1), lm.tasks.Strings(2)],
    ids=lambda task: type(task).__name__,
)
def test_the_smallest_tasks_that_are_allowed_have_prompts_of_both_splits(task):
    for held_out in (False, True):
        assert asked(task, 32, held_out=held_out).tokens.shape[0] == 32  # an empty split would be searched forever


def test_a_string_is_of_the_same_split_however_long_others_may_be():
    def strings(longest, held_out):
        task = lm.tasks.make("reversal", longest=longest)
        rows = asked(task, 2000, held_out=held_out).tokens.tolist()
        return {text for row in rows if len(text := task.tokenizer.decode(row).lstrip(".")) <= 4}

    (kept, learned), (kept_too, learned_too) = ([strings(n, which) for which in (True, False)] for n in (3, 12))
    assert min(map(len, (kept, learned, kept_too, learned_too))) > 30
    assert not kept & learned_too and not kept_too & learned


def test_an_eighth_is_held_out_and_no_column_decides():
    tokens = jnp.array(list(itertools.product((1, 2), repeat=12)))
    held_out = is_held_out(tokens)
    assert abs(float(held_out.mean()) - 1 / 8) < 0.02
    for column in range(12):
        share = held_out[tokens[:, column] == 1].mean()
        assert abs(float(share) - 1 / 8) < 0.03


def test_the_teacher_of_parity_errs_as_often_as_it_says():
    task = lm.tasks.Parity(8)
    text = corpus(task, 20_000, seed=4)
    lines = [task.tokenizer.decode(row).rstrip(".").split("?") for row in np.asarray(text.tokens)]
    long = [answer for _, answer in lines if len(answer) > 2]
    assert len(long) / 20_000 == pytest.approx(0.2, abs=0.01)
    assert all(parity_is_right(prompt + "?", answer) for prompt, answer in lines if len(answer) > 2)
    wrong = np.mean([not parity_is_right(prompt + "?", answer) for prompt, answer in lines])
    assert wrong == pytest.approx(0.4, abs=0.015)
    for prompt, answer in lines[:200]:
        if len(answer) > 2:
            running = np.cumsum([int(bit) for bit in prompt]) % 2
            assert answer[:-2] == "".join(map(str, running))
    np.testing.assert_array_equal(text.mask.sum(1), [len(answer) for _, answer in lines])


def test_the_teacher_of_addition_slips_as_often_as_it_says():
    task = lm.tasks.Addition(3, slip=0.1)
    text = corpus(task, 20_000, seed=5)
    lines = [task.tokenizer.decode(row).split("=") for row in np.asarray(text.tokens)]
    right = np.mean([addition_is_right(prompt + "=", answer) for prompt, answer in lines])
    assert right == pytest.approx(0.91**4, abs=0.015)  # a random digit is the old one once in ten times
    assert text.mask.all()


def test_expressions_of_countdown_reach_everything_that_can_be_reached():
    task = lm.tasks.Countdown(4, slip=0.0)
    text = corpus(task, 20_000, seed=6)
    lines = [task.tokenizer.decode(row).rstrip(".").split("=") for row in np.asarray(text.tokens)]
    assert all(countdown_is_right(prompt + "=", answer) for prompt, answer in lines)
    met = {same_question("countdown", prompt) for prompt, _ in lines}
    reachable = set()
    for a, b, c in itertools.product(range(1, 5), repeat=3):
        for first, second in itertools.product((int.__add__, int.__sub__, int.__mul__), repeat=2):
            for target in (second(first(a, b), c), second(a, first(b, c))):
                reachable.add(same_question("countdown", f"{a}{b}{c}{target:+04d}"))
    assert met <= reachable
    assert len(met) / len(reachable) == pytest.approx(7 / 8, abs=0.05)  # the rest is held out


def test_the_teacher_of_countdown_stops_at_the_first_need_that_can_be_met():
    task = lm.tasks.Countdown(slip=0.0)
    lines = [task.tokenizer.decode(row).rstrip(".").split("=") for row in np.asarray(corpus(task, 2000, seed=8).tokens)]
    for prompt, answer in lines:
        thought, expression = answer[:-6], answer[-6:-1]
        numbers, size = [int(digit) for digit in prompt[:3]], abs(int(prompt[3:]))
        written, last = [thought[i : i + 2] for i in range(0, len(thought), 3)], thought[-1]
        needs = [n for x in numbers[::-1] for n in (abs(size - x), size + x, size // x if size % x == 0 else 100)]
        assert written == ["--" if need > 99 else f"{need:02d}" for need in needs[: len(written)]]
        (a, b), _ = parted(numbers, len(written) - 1)
        # The need is met by the pair, and the answer makes it so.
        assert {"+": a + b, "-": abs(a - b), "*": a * b}[last] == needs[len(written) - 1]
        assert re.search(f"({a}{b}|{b}{a})" + re.escape(last), expression)
        assert countdown_is_right(prompt + "=", expression + ";")
        for earlier, need in enumerate(needs[: len(written) - 1]):
            assert not can_be_met(*parted(numbers, earlier), need, int(prompt[3:])), (prompt, thought)


def test_the_teacher_of_countdown_slips_as_often_as_it_says():
    patient, slipping = (
        [task.tokenizer.decode(row).rstrip(".").split("=") for row in np.asarray(corpus(task, 20_000, seed=9).tokens)]
        for task in (lm.tasks.Countdown(slip=0.0), lm.tasks.Countdown(slip=0.1))
    )
    misses = slips = 0
    for (prompt, right), (same, answer) in zip(patient, slipping, strict=True):
        assert prompt == same
        needs = (len(answer) - 6) // 3
        slipped = len(answer) < len(right)
        misses += needs - (not slipped)  # needs that could not be met and came up
        slips += slipped
        assert answer[: 3 * needs - 1] == right[: 3 * needs - 1]
        assert answer[3 * needs - 1] == "+" if slipped else answer == right
        if slipped and not countdown_is_right(prompt + "=", answer):
            assert answer[-4:] == f"+{parted(prompt[:3], needs - 1)[1]}+;"
    assert slips / misses == pytest.approx(0.1, abs=0.005)


def parted(numbers, need):
    """The two numbers that a need is of, the first one being 0, and the one that is left out."""
    place = 2 - need // 3
    return numbers[:place] + numbers[place + 1 :], numbers[place]


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("37*2*;", True),
        ("40,44,21*37*2*;", True),
        ("--,--,21*37*2*;", True),
        ("99*37*2*;", True),  # what a need says is not judged
        ("-4,44,21*37*2*;", False),
        ("4-,44,21*37*2*;", False),
        ("40,44,21,37*2*;", False),
        ("40+44,21*37*2*;", False),
        ("40,4,21*37*2*;", False),
        ("40,44,2137*2*;", False),
        ("40,44;21*37*2*;", False),
        ("00," * 8 + "21*37*2*;", True),
        ("00," * 9 + "21*37*2*;", False),
        ("21*37*2*", False),
        ("21*37+2*;", False),
    ],
)
def test_a_search_has_needs_and_nothing_else(answer, right):
    task = TASKS["countdown"]
    tokens = jnp.array([task.tokenizer.encode(answer)])
    prompts = lm.Prompts(
        jnp.zeros((1, 8), jnp.int32), jnp.zeros(1, jnp.int32), (jnp.array([[3, 7, 2]]), jnp.array([42]))
    )
    drawn = lm.Completions(tokens, jnp.zeros(tokens.shape), jnp.ones(tokens.shape, bool))
    assert bool(task.verify(prompts, drawn)[0]) == right
    assert countdown_is_right("372+042=", answer) == right


def can_be_met(pair, left_out, need, target):
    """Whether a first step of a pair comes to a need, up to its sign, and a second one with the rest to the target."""
    rules = (int.__add__, int.__sub__, int.__mul__)
    orders = list(itertools.permutations(pair))
    made = {rule(a, b) for rule in rules for a, b in orders if abs(rule(a, b)) == need}
    return any(rule(*both) == target for x in made for rule in rules for both in ((x, left_out), (left_out, x)))


def test_numbers_that_are_equal_are_used_once_each():
    numbers = jnp.array([3, 3, 2])
    for expression, valid in (("33*2+", True), ("32*3+", True), ("22*3+", False), ("33*3+", False), ("33*+2", False)):
        tokens = jnp.array([".0123456789+-*=;".index(character) for character in expression])
        assert bool(evaluate(tokens, numbers)[1]) == valid, expression


def test_strings_have_all_lengths_and_the_teacher_slips_as_often_as_it_says():
    task = lm.tasks.make("sorting", longest=6, shortest=2, slip=0.2)
    text = corpus(task, 20_000, seed=7)
    lines = [task.tokenizer.decode(row).strip(".").split("=") for row in np.asarray(text.tokens)]
    lengths = np.bincount([len(prompt) for prompt, _ in lines], minlength=7)
    np.testing.assert_allclose(lengths / 20_000, [0, 0, 0.2, 0.2, 0.2, 0.2, 0.2], atol=0.02)
    np.testing.assert_array_equal(text.start, [6 - len(prompt) for prompt, _ in lines])
    of_six = [(prompt, answer) for prompt, answer in lines if len(prompt) == 6]
    right = np.mean([RIGHT["sorting"](prompt + "=", answer) for prompt, answer in of_six])
    assert right == pytest.approx(0.82**6, abs=0.03)  # a random letter is the old one once in ten times
    np.testing.assert_array_equal(text.mask.sum(1), [len(answer) for _, answer in lines])


@pytest.mark.parametrize("name", [*TASKS, "slipping"])
def test_a_task_is_made_again_from_its_origin(name):
    task = TASKS.get(name, lm.tasks.Addition(2, slip=0.25))
    found, options = lm.tasks.origin(task)
    assert lm.tasks.make(found, **options) == task


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("partiy", {}, "did you mean parity"),
        ("parity", {"bits": 4}, "task.bits: parity has no such option; there are: num_bits, chain_share"),
        ("questions", {}, "missing 1 required positional argument: 'path'"),
        ("sorting", {"shortest": 9}, "shortest=9 must be at most longest=8"),
    ],
)
def test_what_cannot_be_made_is_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        lm.tasks.make(name, **options)


def tiny(vocab_size, max_length=64, **shape):
    shape = {"width": 8, "num_layers": 1, "num_heads": 2} | shape
    return networks.Transformer(networks.TransformerConfig(vocab_size, max_length=max_length, **shape))


def grpo(task, model=None, **fields):
    return jaxrl.GRPO(task, model or tiny(task.tokenizer.vocab_size), num_prompts=4, group_size=2, **fields)


def reward(questions, completions):
    return [0.0] * len(completions)


OUT_OF_RANGE = [
    (lm.tasks.Parity(1), "num_bits=1 must be at least 2"),
    (lm.tasks.Countdown(12), r"largest=12 must be in \[1, 9\]"),
    (lm.tasks.Addition(2, slip=5.0), r"slip=5.0 must be in \[0, 1\]"),
    (lm.tasks.Strings(1), "longest=1 must be at least 2"),
]


@pytest.mark.parametrize(("task", "message"), OUT_OF_RANGE)
def test_a_task_out_of_its_ranges_is_refused(task, message):
    name, options = lm.tasks.origin(task)
    with pytest.raises(ValueError, match=f"task.{message}"):
        lm.tasks.make(name, **options)
    for algorithm in (grpo(task), jaxrl.Pretraining(task, tiny(20))):
        with pytest.raises(ValueError, match=f"task.{message}"):
            jaxrl.fit(algorithm, jax.random.key(0), 1, loggers=[])
    with pytest.raises(ValueError, match=f"task.task.{message}"):
        jaxrl.check(grpo(lm.tasks.Judged(task, reward)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": 0.0}, "sampling.temperature=0.0 must be positive"),
        ({"top_p": 1.5}, r"sampling.top_p=1.5 must be in \(0, 1\]"),
        ({"top_k": -1}, "sampling.top_k=-1 must be at least 0"),
        ({"max_new_tokens": 0}, "sampling.max_new_tokens=0 must be at least 1"),
    ],
)
def test_a_sampling_out_of_its_ranges_is_refused(fields, message):
    task = TASKS["parity"]
    with pytest.raises(ValueError, match=message):
        jaxrl.check(grpo(task, sampling=task.sampling.replace(**fields)))


def test_a_value_of_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"task\.num_bits='many' must be an integer"):
        lm.tasks.make("parity", num_bits="many")
    with pytest.raises(TypeError, match="overlong='long' must be an integer"):
        jaxrl.check(grpo(TASKS["parity"], overlong="long"))


def test_a_model_that_cannot_read_its_task_is_refused():
    task = TASKS["parity"]  # prompts of 5 tokens, completions of 6
    for learner in (grpo, jaxrl.Pretraining):
        jaxrl.check(learner(task, tiny(7, max_length=11)))
        with pytest.raises(ValueError, match="5 tokens and completions of 6 exceed the model's context of 10"):
            jaxrl.check(learner(task, tiny(7, max_length=10)))
        with pytest.raises(ValueError, match="the tokenizer has 7 tokens and the model 6"):
            jaxrl.check(learner(task, tiny(6)))


def test_completions_beyond_the_context_are_not_scored():
    model, tokens = tiny(7, max_length=10), jnp.ones((2, 6), jnp.int32)
    params = model.init(jax.random.key(0), tokens)
    arguments = (model, params, jnp.ones((2, 5), jnp.int32), jnp.zeros(2, jnp.int32), tokens)
    with pytest.raises(ValueError, match="exceed the model's context of 10"):
        lm.score(*arguments, lm.Sampling(6))


def test_a_divergence_needs_a_reference():
    task, model = TASKS["parity"], tiny(7)
    with pytest.raises(ValueError, match=r"kl_coef=0\.1: there is no reference to be near to; give reference_params"):
        jaxrl.check(grpo(task, model, kl_coef=0.1))
    params = model.init(jax.random.key(0), jnp.ones((1, 1), jnp.int32))
    jaxrl.check(grpo(task, model, kl_coef=0.1, reference_params=params))


def test_a_program_refuses_what_python_judges():
    judged = grpo(lm.tasks.Judged(TASKS["parity"], reward))
    with pytest.raises(TypeError, match=r"task: a function of Python gives its rewards.*use jaxrl.fit"):
        jax.eval_shape(lambda key: jaxrl.train(judged, key, 2), jax.random.key(0))
    pretraining = jaxrl.Pretraining(judged.task, judged.model, num_texts=2)  # which asks for no rewards
    _, metrics = jaxrl.train(pretraining, jax.random.key(0), 1)
    assert np.isfinite(metrics["loss"]).all()


def test_who_reinforces_needs_prompts():
    with pytest.raises(TypeError, match="task: a Corpus asks nothing, so that nothing can be judged; pretrain on it"):
        jaxrl.check(grpo(lm.tasks.Corpus(jnp.arange(20), length=8), tiny(257)))


def test_a_sampling_that_is_given_is_checked_too():
    learner, cold = grpo(TASKS["parity"]), lm.Sampling(6, temperature=0.0)
    state = learner.init(jax.random.key(0))
    with pytest.raises(ValueError, match=r"sampling\.temperature=0\.0 must be positive"):
        jaxrl.evaluate_task(learner, state, jax.random.key(1), 2, 2, cold)
    with pytest.raises(ValueError, match=r"sampling\.temperature=0\.0 must be positive"):
        next(jaxrl.stream(learner.model, state.params, [1], jax.random.key(1), cold))


def test_penalties_for_length_begin_within_it():
    with pytest.raises(ValueError, match="overlong=7 must be at most the 6 tokens of a completion"):
        jaxrl.check(grpo(TASKS["parity"], overlong=7))
    jaxrl.check(grpo(TASKS["parity"], overlong=6))


def test_windows_of_a_text_are_not_packed():
    corpus = lm.tasks.Corpus(jnp.arange(9), length=8)
    with pytest.raises(ValueError, match=r"texts_per_row=2\.0: these texts fill their rows; leave it at 1"):
        jaxrl.check(jaxrl.Pretraining(corpus, tiny(257), texts_per_row=2.0))
    with pytest.raises(ValueError, match=r"texts_per_row=0\.5 must be at least 1"):
        jaxrl.check(jaxrl.Pretraining(TASKS["parity"], tiny(20), texts_per_row=0.5))


def test_a_text_shorter_than_a_window_is_refused():
    corpus = lm.tasks.Corpus(jnp.arange(7), length=8)
    with pytest.raises(ValueError, match="text: it has 7 tokens, fewer than a window of 8; choose a smaller length"):
        jaxrl.check(jaxrl.Pretraining(corpus, tiny(257)))
    assert (lm.tasks.Corpus(jnp.arange(8), length=8).corpus(jax.random.key(0), 1).tokens == jnp.arange(8)[None]).all()


@pytest.mark.parametrize(
    ("row", "longest", "message"),
    [
        ({"prompt": "1+3="}, 4, "line 3: it has no answer; write one, or let a function judge"),
        ({"prompt": "1+3=", "answer": "0004"}, 4, "line 3: its answer of 4 tokens and a stop token exceed max_new_tok"),
    ],
)
def test_answers_that_cannot_be_given_are_refused(row, longest, message, tmp_path):
    rows = [{"prompt": "1+1=", "answer": "2"}, {"prompt": "1+2=", "answer": "3"}, row]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = lm.tasks.read_questions(tmp_path / "sums.jsonl", lm.Bytes(), longest, 8)
    learner = grpo(task)
    with pytest.raises(ValueError, match=message):
        jaxrl.check(learner)
    jaxrl.check(learner.replace(task=lm.tasks.Judged(task, reward)))
    seen = lm.tasks.questions_of(task, task.prompts(jax.random.key(0), 8))
    assert all(line in rows for line in seen)  # a reward sees what the line says, and no answer that it does not
    if "answer" not in row:
        with pytest.raises(ValueError, match="line 3: it has no answer; write one, or, where a function judges"):
            jaxrl.check(jaxrl.Pretraining(task, learner.model))
    longer = lm.tasks.read_questions(tmp_path / "sums.jsonl", lm.Bytes(), longest + 1, 8)
    if "answer" in row:
        jaxrl.check(grpo(longer))


def test_answers_without_a_stop_token_are_refused(tmp_path):
    rows = [{"prompt": f"1+{n}=", "answer": str(n + 1)} for n in range(4)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    endless = dataclasses.replace(lm.Bytes(), stop_tokens=())
    with pytest.raises(ValueError, match="line 1: its answer cannot end, for the tokenizer has no stop token"):
        jaxrl.check(grpo(lm.tasks.read_questions(tmp_path / "sums.jsonl", endless, 4, 8)))
