"""Texts and questions of your own, tokenizers, and rewards by Python."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from jaxrl import lm, networks
from jaxrl.cli import main
from jaxrl.engine.evaluate_task import judged, mean_interval, share_interval


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def sums(tmp_path):
    rows = [{"prompt": f"{a}+{b}=", "answer": str(a + b), "kind": a} for a in range(12) for b in range(12)]
    return write_lines(tmp_path / "sums.jsonl", rows)


@pytest.mark.parametrize("tokenizer", [lm.Bytes(), lm.Characters(".abc é;")])
def test_tokenizers_give_back_what_they_got(tokenizer):
    text = "cab é"
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens) == text and max(tokens) < tokenizer.vocab_size
    assert all(stop < tokenizer.vocab_size for stop in tokenizer.stop_tokens)


@pytest.fixture
def llama_like(tmp_path):
    """A directory whose tokenizer begins texts with a token, and ends them too, as some do."""
    tokenizers = pytest.importorskip("tokenizers", reason="pip install 'jaxrl[hf]'")
    vocabulary = {chr(i): i - 32 for i in range(32, 127)}
    library = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    library.add_special_tokens(["<begin>", "<end>"])
    library.post_processor = tokenizers.processors.TemplateProcessing(
        single="<begin> $A <end>", special_tokens=[("<begin>", 95), ("<end>", 96)]
    )
    library.enable_padding(length=12)
    library.enable_truncation(8)
    library.save(str(tmp_path / "tokenizer.json"))
    template = "{{ bos_token }}{% for message in messages %}{{ message.content + '|' }}{% endfor %}"
    settings = {"bos_token": {"content": "<begin>"}, "eos_token": "<end>", "chat_template": template}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    return tmp_path


def test_prompts_begin_once_as_the_model_was_trained_to_read_them(llama_like, tmp_path):
    tokenizer = lm.HuggingFace(llama_like)
    plain = [ord(c) - 32 for c in "long enough to be cut"]
    assert tokenizer.encode("long enough to be cut") == plain  # answers and texts to pretrain on
    assert tokenizer.encode_prompt("long enough to be cut") == [95, *plain]
    chat = tokenizer.chat([{"role": "user", "content": "long enough to be cut"}])
    assert chat.startswith("<begin>") and tokenizer.encode(chat) == [95, *plain, ord("|") - 32]
    assert tokenizer.encode_prompt("") == [95] and tokenizer.encode_prompt("<begin>") == [95]
    assert tokenizer.stop_tokens == (96,)
    rows = [{"prompt": "ab", "answer": "c"}, {"prompt": [{"role": "user", "content": "a"}], "answer": "c"}]
    task = lm.tasks.read_questions(write_lines(tmp_path / "two.jsonl", rows), tokenizer, 4, 8)
    assert task.questions.tolist() == [[95, 65, 66], [95, 65, 92]] and task.answers.tolist() == [[67, 96]] * 2


def test_a_chat_template_alone_says_how_a_conversation_begins(llama_like, tmp_path):
    (llama_like / "chat_template.jinja").write_text("{% for message in messages %}{{ message.content }}{% endfor %}")
    rows = [{"prompt": "ab", "answer": "c"}, {"prompt": [{"role": "user", "content": "ab"}], "answer": "c"}]
    path, tokenizer = write_lines(tmp_path / "two.jsonl", rows), lm.HuggingFace(llama_like)
    task = lm.tasks.read_questions(path, tokenizer, 4, 8)
    asked = zip(task.questions.tolist(), task.start.tolist(), strict=True)
    assert [row[start:] for row, start in asked] == [[95, 65, 66], [65, 66]]


@pytest.mark.parametrize("tokenizer", [lm.Bytes(), lm.Characters(".abc;")])
def test_nothing_stands_before_prompts_without_a_beginning(tokenizer):
    assert tokenizer.encode_prompt("cab") == tokenizer.encode("cab")


def test_prompts_without_a_beginning_of_a_directory_are_their_text(llama_like):
    path = llama_like / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"post_processor": None}))
    assert lm.HuggingFace(llama_like).encode_prompt("a") == [65]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("tokenizer.json", "[" * 100_000, "tokenizer.json: it is damaged"),
        ("tokenizer_config.json", "[]", "tokenizer_config.json: it is no table"),
        ("tokenizer_config.json", "[" * 100_000, "tokenizer_config.json: it is no JSON"),
        (
            "tokenizer_config.json",
            '{"eos_token": {"lstrip": 1}}',
            "_config.json: eos_token={'lstrip': 1} must be",
        ),
        ("tokenizer_config.json", '{"eos_token": 5}', "tokenizer_config.json: eos_token=5 must be a token's text"),
        ("tokenizer_config.json", '{"bos_token": ["a"]}', "tokenizer_config.json: bos_token=.'a'. must be a token's"),
        (
            "generation_config.json",
            '{"eos_token_id": "7"}',
            "generation_config.json: eos_token_id='7' must be",
        ),
        ("generation_config.json", '{"eos_token_id": [1, {}]}', "generation_config.json: eos_token_id=.1, {}. must be"),
        ("config.json", '{"eos_token_id": [[1]]}', "config.json: eos_token_id=..1.. must be an integer"),
        ("chat_template.jinja", "\xff", "chat_template.jinja: it is no UTF-8 text"),
    ],
)
def test_damaged_settings_of_a_tokenizer_are_named(llama_like, file, text, message):
    (llama_like / file).write_bytes(text.encode("latin1"))
    with pytest.raises(ValueError, match=message):
        lm.HuggingFace(llama_like)


@pytest.mark.parametrize("messages", [[{"role": "user", "content": None}], [{"role": "user", "content": ["a"]}]])
def test_messages_that_a_template_cannot_write_are_refused(llama_like, messages):
    with pytest.raises(ValueError, match="the chat template cannot be applied"):
        lm.HuggingFace(llama_like).chat(messages)


def test_a_character_without_a_token_is_named():
    with pytest.raises(ValueError, match="'x' is not in the alphabet"):
        lm.Characters(".ab;").encode("axb")


def test_tokens_that_a_model_has_to_spare_say_nothing():
    assert lm.Characters(".ab;").decode([1, 9, 2, 3]) == "ab;"


def test_windows_of_a_text_are_pieces_of_it(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("the quick brown fox jumps over the lazy dog")
    task = lm.tasks.read_text(path, lm.Bytes(), length=8)
    text = task.corpus(jax.random.key(0), 500)
    pieces = {lm.Bytes().decode(row) for row in text.tokens.tolist()}
    whole = path.read_text()
    assert pieces == {whole[i : i + 8] for i in range(len(whole) - 7)}  # all of them, the last one too
    assert text.mask.all() and text.prompt_length == 0
    with pytest.raises(ValueError, match="43 tokens, fewer than a window of 44"):
        lm.tasks.read_text(path, lm.Bytes(), length=44)
    name, options = lm.tasks.origin(task)
    assert lm.tasks.make(name, **options).tokens.tolist() == task.tokens.tolist()


def test_questions_are_split_and_padded_on_the_left(sums):
    task = lm.tasks.read_questions(sums, lm.Bytes(), 4, 8)
    learned, kept = ({int(row) for row in rows} for rows in (task.learned, task.kept))
    assert not learned & kept and learned | kept == set(range(144))
    asked = task.prompts(jax.random.key(0), 1000)
    held_out = task.prompts(jax.random.key(1), 1000, held_out=True)
    assert set(np.asarray(asked.answer[0]).tolist()) <= learned
    assert set(np.asarray(held_out.answer[0]).tolist()) == kept
    for tokens, start, row in zip(asked.tokens[:50], asked.start, asked.answer[0], strict=False):
        a, b = divmod(int(row), 12)
        assert lm.Bytes().decode(tokens[start:].tolist()) == f"{a}+{b}="
        assert (tokens[:start] == 0).all()


def answered(texts, width, ended=True):
    rows = [list(text.encode()) + [256] * ended for text in texts]
    mask = np.array([[i < len(row) for i in range(width)] for row in rows])
    tokens = np.array([(row + [0] * width)[:width] for row in rows])
    return lm.Completions(jnp.asarray(tokens), jnp.zeros(tokens.shape), jnp.asarray(mask))


def test_the_verifier_wants_the_whole_answer_and_its_end(sums):
    task = lm.tasks.read_questions(sums, lm.Bytes(), 4, 8)
    asked = task.prompts(jax.random.key(0), 64)
    right = [str(sum(divmod(int(row), 12))) for row in asked.answer[0]]
    assert (task.verify(asked, answered(right, 4)) == 1).all()
    assert (task.verify(asked, answered(right, 4, ended=False)) == 0).all()
    assert (task.verify(asked, answered([text + "0" for text in right], 4)) == 0).all()
    assert (task.verify(asked, answered([text[:-1] for text in right], 4)) == 0).all()


def test_any_stop_token_ends_an_answer(sums):
    task = lm.tasks.read_questions(sums, lm.Bytes(), 4, 8)
    task = task.replace(sampling=task.sampling.replace(stop_tokens=(256, 255)))
    asked = task.prompts(jax.random.key(0), 8)
    right = answered([str(sum(divmod(int(row), 12))) for row in asked.answer[0]], 4)
    other = right.replace(tokens=jnp.where(right.tokens == 256, 255, right.tokens))
    assert (task.verify(asked, other) == 1).all()


def test_every_question_of_a_split_comes_before_one_comes_again(sums):
    task = lm.tasks.read_questions(sums, lm.Bytes(), 4, 8)
    size = task.num_held_out
    rows = np.asarray(task.prompts(jax.random.key(3), 2 * size + 1, held_out=True).answer[0])
    for part in (rows[:size], rows[size : 2 * size]):
        assert sorted(part) == sorted(np.asarray(task.kept).tolist())
    assert (rows[:size] != rows[size : 2 * size]).any()


def test_a_longer_line_moves_no_question_to_the_other_split(sums, tmp_path):
    task = lm.tasks.read_questions(sums, lm.Bytes(), 4, 8)
    longer = tmp_path / "longer.jsonl"
    longer.write_text(sums.read_text() + json.dumps({"prompt": "1000000+1000=", "answer": "0"}) + "\n")
    again = lm.tasks.read_questions(longer, lm.Bytes(), 4, 16)
    assert set(np.asarray(task.kept).tolist()) == set(np.asarray(again.kept).tolist()) - {144}


def test_line_breaks_of_unicode_may_stand_in_texts(tmp_path):
    path = tmp_path / "breaks.jsonl"
    rows = [{"prompt": f"{a}\u2028\x85", "answer": ""} for a in range(3)]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    assert len(lm.tasks.read_questions(path, lm.Bytes(), 4, 16).questions) == 3


def test_texts_of_questions_end_and_are_not_padded_by_what_counts(sums):
    task = lm.tasks.read_questions(sums, lm.Bytes(), 4, 8)
    text = task.corpus(jax.random.key(0), 200)
    for tokens, start, mask in zip(text.tokens, text.start, text.mask, strict=True):
        prompt, answer = tokens[start : text.prompt_length].tolist(), tokens[text.prompt_length :][mask].tolist()
        a, b = map(int, lm.Bytes().decode(prompt)[:-1].split("+"))
        assert lm.Bytes().decode(answer) == str(a + b) and answer[-1] == 256


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"line 2: it is no question; write \{"),
        ('"prompt"', "line 2: it is no question"),
        ('{"answer": "1"}', "line 2: it is no question"),
        ('{"prompt": ""}', "line 2: prompt and answer must be texts"),
        ('{"prompt": "a", "answer": 1}', "line 2: prompt and answer must be texts"),
        ('{"prompt": [{"role": "user", "content": "a"}]}', "line 2: messages need the chat template"),
        ('{"prompt": "0123456789"}', "has 10 tokens, more than max_prompt_tokens=8"),
    ],
)
def test_lines_that_are_no_questions_are_named(line, message, tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"prompt": "1+1=", "answer": "2"}\n' + line)
    with pytest.raises(ValueError, match=message):
        lm.tasks.read_questions(path, lm.Bytes(), 4, 8)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        lm.tasks.read_questions(tmp_path / "none", lm.Bytes(), 4, 8)
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ValueError, match="fewer than two different prompts"):
        lm.tasks.read_questions(tmp_path / "empty", lm.Bytes(), 4, 8)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="no UTF-8"):
        lm.tasks.read_text(tmp_path / "bytes", lm.Bytes())


def test_a_tokenizer_and_a_model_that_disagree_are_named():
    with pytest.raises(ValueError, match="257 tokens and the model 256; they are not of one checkpoint"):
        lm.check_vocabulary(lm.Bytes(), 256)
    lm.check_vocabulary(lm.Bytes(), 257)


def digits(questions, completions):
    counts = [sum(character.isdigit() for character in text) for text in completions]
    return [count / 4 + row["kind"] for row, count in zip(questions, counts, strict=True)]


def test_python_judges_what_the_line_says_and_what_was_answered(sums):
    task = lm.tasks.Judged(lm.tasks.read_questions(sums, lm.Bytes(), 4, 8), digits)
    asked = task.prompts(jax.random.key(0), 8)
    given = task.judge(asked, answered(["1", "12", "a1", "", "4444", "x", "7y", "0"], 5))
    expected = np.array([1, 2, 1, 0, 4, 0, 1, 1]) / 4 + np.asarray(asked.answer[0]) // 12
    np.testing.assert_allclose(given, expected)
    assert np.isnan(task.verify(asked, answered(["1"] * 8, 5))).all()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda questions, completions: 1.0, r"8 completions need as many numbers, a flat list; .* shape \(\)"),
        (lambda questions, completions: [1.0], "the function gave 1"),
        (lambda questions, completions: [[1.0]] * 8, r"an array of shape \(8, 1\)"),
        (lambda questions, completions: None, "the function gave"),
        (lambda questions, completions: ["good"] * 8, "the function gave a list"),
        (lambda questions, completions: [float("nan")] * 8, "the function gave nan for '1'; rewards must be finite"),
    ],
)
def test_rewards_that_are_none_are_named(function, message):
    task = lm.tasks.Judged(lm.tasks.Parity(4), function)
    completions = lm.Completions(jnp.full((8, 2), 2).at[:, 1].set(6), jnp.zeros((8, 2)), jnp.ones((8, 2), bool))
    with pytest.raises(ValueError, match=message):
        task.judge(task.prompts(jax.random.key(0), 8), completions)


def by_parity(questions, completions):
    """What `Parity.verify` says, of texts; a text that was cut is longer than any that ended."""
    rewards = []
    for row, text in zip(questions, completions, strict=True):
        bits, answer = row["prompt"][:-1], text[-1:]
        right = answer == "EO"[bits.count("1") % 2] and len(text) - 1 in (0, len(bits))
        rewards.append(float(right and set(text[:-1]) <= {"0", "1"}))
    return rewards


def test_fit_with_python_as_judge_is_fit_with_the_verifier(tmp_path):
    task = lm.tasks.Parity(3)
    config = networks.TransformerConfig(task.tokenizer.vocab_size, width=8, num_layers=1, num_heads=2, max_length=16)
    learner = jaxrl.GRPO(task, networks.Transformer(config), num_prompts=16, group_size=4)
    judged = learner.replace(task=lm.tasks.Judged(task, by_parity))
    for key in (lambda: jax.random.key(0), lambda: jax.random.split(jax.random.key(1), 2)):
        compiled = jaxrl.fit(learner, key(), 4, loggers=[])
        python = jaxrl.fit(judged, key(), 4, evaluate_every=2, loggers=[], out=tmp_path / str(key().ndim))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), compiled.state, python.state)
        for name, values in compiled.metrics.items():
            np.testing.assert_allclose(values, python.metrics[name], atol=1e-5, err_msg=name)
        assert python.evaluations["return"].shape == (2, *key().shape)
    assert python.metrics["reward"].max() > 0


def small_learner(kind, task, **fields):
    config = networks.TransformerConfig(task.tokenizer.vocab_size, width=8, num_layers=1, num_heads=2, max_length=16)
    return kind(task, networks.Transformer(config), **fields)


def test_an_evaluation_draws_as_its_learner_does(tmp_path):
    task = lm.tasks.Parity(2)
    short = task.sampling.replace(max_new_tokens=2)
    learner = small_learner(jaxrl.GRPO, task, num_prompts=2, group_size=2, sampling=short)
    answers = jaxrl.evaluate_task(learner, learner.init(jax.random.key(0)), jax.random.key(1), 16, 4)
    assert answers.lengths.max() == 2
    fitted = jaxrl.fit(learner, jax.random.key(0), 1, evaluate_every=1, loggers=[], out=tmp_path / "run")
    assert fitted.evaluations["length"][0] <= 2
    loaded, _ = jaxrl.load(tmp_path / "run")
    assert loaded.sampling == short
    assert jaxrl.fit(learner, num_updates=2, loggers=[], resume=tmp_path / "run").num_updates == 2
    main(["train", "grpo", "parity", "--resume", str(tmp_path / "run"), "--total-steps", "12"])
    assert jaxrl.load(tmp_path / "run")[1].num_updates == 3


def test_an_evaluation_in_parts_answers_the_same_prompts(monkeypatch):
    task = lm.tasks.Parity(4)
    learner = small_learner(jaxrl.Pretraining, task, num_texts=8)
    state, greedy = learner.init(jax.random.key(0)), task.sampling.replace(top_k=1)

    def answers(at_once):
        monkeypatch.setattr(sys.modules[judged.__module__], "AT_ONCE", at_once)
        return jaxrl.evaluate_task(learner, state, jax.random.key(1), 10, 2, greedy)

    whole, parts = answers(2**28), answers(4000)  # 8 · 2 · 13 numbers in a cache, 4 · 9 of logits: 16 at once
    jax.tree.map(np.testing.assert_array_equal, whole, parts)
    assert whole.reward.shape == (10, 2)
    jax.tree.map(np.testing.assert_array_equal, whole, answers(1))  # one prompt at a time, whatever it needs


def test_an_evaluation_that_cannot_be_is_refused_before_the_run(sums):
    task = lm.tasks.read_questions(sums, lm.Bytes(), max_new_tokens=64, max_prompt_tokens=8)
    learner = small_learner(jaxrl.Pretraining, task, num_texts=2)
    with pytest.raises(ValueError, match="completions of 64 exceed the model's context of 16"):
        jaxrl.fit(learner, jax.random.key(0), 2, evaluate_every=1, loggers=[])
    assert jaxrl.fit(learner, jax.random.key(0), 1, loggers=[]).num_updates == 1
    short = lm.tasks.read_questions(sums, lm.Bytes(), max_new_tokens=2, max_prompt_tokens=8)
    with pytest.raises(ValueError, match="exceed max_new_tokens=2"):
        jaxrl.fit(learner.replace(task=short), jax.random.key(0), 2, evaluate_every=1, loggers=[])


def test_an_evaluation_counts_what_the_verifier_says():
    task = lm.tasks.Parity(2)
    config = networks.TransformerConfig(task.tokenizer.vocab_size, width=8, num_layers=1, num_heads=2, max_length=16)
    learner = jaxrl.Pretraining(task, networks.Transformer(config), num_texts=8)
    state = learner.init(jax.random.key(0))
    answers = jaxrl.evaluate_task(learner, state, jax.random.key(1), num_prompts=16, num_samples=4)
    right = np.asarray(answers.reward)
    assert answers.reward.shape == (16, 4) and set(right.ravel()) <= {0.0, 1.0}
    np.testing.assert_allclose(answers.pass_at(1), right.mean(1), atol=1e-6)
    np.testing.assert_allclose(answers.pass_at(4), right.max(1), atol=1e-6)
    summary = answers.summary()
    assert summary["pass@1"][0] == pytest.approx(right.mean())
    lengths = np.asarray(answers.lengths).mean(1)
    half = 1.96 * lengths.std(ddof=1) / 4
    assert summary["length"] == pytest.approx((lengths.mean(), lengths.mean() - half, lengths.mean() + half))
    assert {"pass@4", "majority@4", "reward"} <= summary.keys()


def test_an_interval_of_zeros_and_ones_is_wilsons():
    # 4 of 8, z² = 3.8416: 0.5 ± 1.96 √(8/4 + 0.9604) / 11.8416 = 0.5 ± 0.28479.
    found = share_interval(np.repeat([0.0, 1.0], 4))
    assert found == pytest.approx((0.5, 0.21521, 0.78479), abs=1e-5)
    # 256 of 256: (256 + 1.9208 - 1.9208) / 259.8416 = 0.98522 to 1; and the other way round.
    assert share_interval(np.ones(256)) == pytest.approx((1.0, 0.98522, 1.0), abs=1e-5)
    assert share_interval(np.zeros(256)) == pytest.approx((0.0, 0.0, 0.01478), abs=1e-5)
    assert share_interval(np.ones(1)) == pytest.approx((1.0, 1 / 4.8416, 1.0), abs=1e-5)


def test_an_interval_of_shares_counts_prompts_and_not_completions():
    # Sixteen equal shares of 1/2: P v = 0, so they are worth 16 (16/4 + 1) / 1 = 80: 0.5 ± 1.96 √(20.9604) / 83.8416.
    assert share_interval(np.full(16, 0.5)) == pytest.approx((0.5, 0.39297, 0.60703), abs=1e-5)
    assert mean_interval(np.array([1.0, 3.0])) == pytest.approx((2.0, 0.04, 3.96))  # 1.96 √2 / √2
    assert np.isnan(mean_interval(np.ones(4)).low) and mean_interval(np.ones(4)).mean == 1.0


@pytest.mark.parametrize(("num_samples", "right", "lost"), [(1, 0.99, 0.0), (16, 0.99, 0.01), (16, 0.6, 0.0)])
def test_an_interval_holds_what_it_should(num_samples, right, lost):
    # Of 64 prompts a share is never answered; Wald's interval of the first case holds the mean in 47 % of all trials.
    generator = np.random.default_rng(0)
    chances = right * (generator.random((1000, 64)) >= lost)
    shares = generator.binomial(num_samples, chances) / num_samples
    found = np.array([share_interval(row) for row in shares])
    mean = right * (1 - lost)
    assert ((found[:, 1] <= mean) & (mean <= found[:, 2])).mean() >= 0.93
    assert np.all((found[:, 1] <= found[:, 0]) & (found[:, 0] <= found[:, 2]))


def test_the_majority_is_of_what_completions_conclude():
    task = lm.tasks.Parity(2)
    prompts = lm.Prompts(jnp.array([[1, 1, 3]] * 3), jnp.zeros(3, jnp.int32), jnp.zeros(3, jnp.int32))
    rows = [[4, 6, 0, 0], [1, 2, 4, 6], [5, 6, 0, 0]]  # E; and 01E; agree, O; does not
    mask = jnp.array([[True, True, False, False], [True] * 4, [True, True, False, False]])
    completions = lm.Completions(jnp.array(rows), jnp.zeros((3, 4)), mask)
    result = judged(task, prompts, completions, 3)
    assert result.reward.tolist() == [[1.0, 1.0, 0.0]] and result.agreed.tolist() == [1.0]
    swapped = judged(task, prompts, jax.tree.map(lambda x: x[jnp.array([2, 2, 0])], completions), 3)
    assert swapped.agreed.tolist() == [0.0]


def test_a_majority_is_right_whatever_its_first_completion_says_before():
    task = lm.tasks.Parity(2)
    prompts = lm.Prompts(jnp.array([[1, 1, 3]] * 3), jnp.zeros(3, jnp.int32), jnp.zeros(3, jnp.int32))
    rows = [[1, 4, 6, 0], [4, 6, 0, 0], [5, 6, 0, 0]]  # 0E; has one bit of two and earns nothing, E; is right
    mask = jnp.array([[True, True, True, False], [True, True, False, False], [True, True, False, False]])
    result = judged(task, prompts, lm.Completions(jnp.array(rows), jnp.zeros((3, 4)), mask), 3)
    assert result.reward.tolist() == [[0.0, 1.0, 0.0]] and result.agreed.tolist() == [1.0]
