"""The command line of language models: from nothing to an evaluation, a model of one's own, and bad input."""

import json
import re
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import jaxrl
from jaxrl import lm, networks
from jaxrl.cli import main
from jaxrl.commands.language import build
from jaxrl.engine.logging import read_jsonl
from jaxrl.presets import updates_of
from tests.helpers import assert_trees_equal
from tests.test_cli import refused

SHAPE = "--model.width 8 --model.num_layers 1 --model.num_heads 2 --model.mlp_size 16".split()
TINY = "--num-prompts 4 --group-size 2 --total-steps 24 --pretraining-texts 256".split()


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("language") / "run"
    main(["train", "grpo", "parity", "--task.num_bits", "3", *SHAPE, *TINY, "--kl-coef", "0.1", "--out", str(out)])
    return out


def test_a_task_from_nothing_is_pretraining_and_reinforcement(run_directory: Path) -> None:
    config = json.loads((run_directory / "config.json").read_text())
    assert config["algorithm"] == "grpo" and config["fields"]["task"]["options"] == {"num_bits": 3, "chain_share": 0.2}
    before = run_directory.with_name("run-pretraining")
    records = {directory: read_jsonl(directory / "metrics.jsonl") for directory in (run_directory, before)}
    assert [r["env_steps"] for r in records[run_directory] if "reward" in r] == [8, 16, 24]
    assert all("?" in r["sample"] for r in records[run_directory] if "evaluation_return" in r)
    assert records[before][-1]["env_steps"] >= 256
    for directory in records:
        assert (directory / "curve.png").read_bytes().startswith(b"\x89PNG")
    learner, _ = jaxrl.load(run_directory)
    assert learner.model.config.width == 8
    main(["train", "grpo", "parity", "--resume", str(run_directory), "--total-steps", "32"])  # digests of params agree
    assert json.loads((run_directory / "config.json").read_text())["num_updates"] == 4


def test_evaluate_says_pass_at_k(run_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["evaluate", str(run_directory), "--prompts", "8", "--samples", "4"])
    output = capsys.readouterr().out
    for word in ("pass@1", "pass@4", "majority@4", "length", "95 % intervals"):
        assert word in output
    found = re.findall(r"@\d [\d.]+ \[([\d.]+), ([\d.]+)\]", output)
    assert len(found) == 3 and all(float(low) < float(high) for low, high in found)  # though all of them be wrong


def test_generate_goes_on_with_a_prompt(run_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["generate", "--model", str(run_directory), "--max-new-tokens", "4", "--temperature", "0", "010?"])
    said = capsys.readouterr().out.strip()
    algorithm, _ = jaxrl.load(run_directory)
    tokenizer = algorithm.task.tokenizer
    prompt = jnp.array([tokenizer.encode("010?")])
    sampling = lm.Sampling(4, tokenizer.stop_tokens, top_k=1)
    drawn = lm.generate(algorithm.model, algorithm.params, prompt, jnp.zeros(1, int), jax.random.key(0), sampling)
    assert said == lm.tasks.texts_of(tokenizer, drawn)[0]


def test_the_stream_is_what_generate_draws() -> None:
    model = networks.Transformer(networks.TransformerConfig(16, width=8, num_layers=2, num_heads=2, max_length=32))
    params = model.init(jax.random.key(0), jnp.ones((1, 1), jnp.int32))
    sampling, prompt = lm.Sampling(12, (5,)), [3, 1, 2]
    for seed in range(8):
        key = jax.random.key(seed)
        whole = lm.generate(model, params, jnp.array([prompt]), jnp.zeros(1, int), key, sampling)
        expected = whole.tokens[0][whole.mask[0]].tolist()
        assert list(jaxrl.stream(model, params, prompt, key, sampling)) == expected
    with pytest.raises(ValueError, match="exceed the model's context of 32"):
        next(jaxrl.stream(model, params, [1] * 25, jax.random.key(0), sampling))


def test_pretraining_on_a_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.txt").write_text("to be or not to be " * 20)
    flags = ["--text", str(tmp_path / "text.txt"), "--task.length", "16", *SHAPE, "--num-texts", "4"]
    main(["train", "pretraining", *flags, "--total-steps", "12", "--out", str(tmp_path / "run")])
    assert "final loss per token" in capsys.readouterr().out
    main(["generate", "--model", str(tmp_path / "run"), "--max-new-tokens", "3", "to be"])
    refused(["evaluate", str(tmp_path / "run")], "a text asks nothing", capsys)


LENGTH_OF_ANSWER = """
def reward(questions, completions):
    return [len(text) / 8 for text in completions]

def broken(questions, completions):
    return [[0.0] for text in completions]
"""


@pytest.fixture
def model_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model and a tokenizer of single bytes in the Hugging Face layout, questions, and a module of rewards."""
    tokenizers = pytest.importorskip("tokenizers", reason="pip install 'jaxrl[hf]'")
    alphabet = [chr(i) for i in range(32, 127)]
    vocabulary = {character: i for i, character in enumerate(alphabet)} | {"<end>": len(alphabet)}
    library = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    library.add_special_tokens(["<end>"])
    model = networks.Transformer(networks.TransformerConfig(96, width=8, num_layers=1, num_heads=2, max_length=24))
    params = model.init(jax.random.key(0), jnp.ones((1, 1), jnp.int32))
    lm.save(tmp_path / "like", model, params)
    library.save(str(tmp_path / "like" / "tokenizer.json"))
    (tmp_path / "like" / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<end>"}))
    rows = [{"prompt": f"{a}+{b}=", "answer": str(a + b)} for a in range(5) for b in range(5)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "my_rewards.py").write_text(LENGTH_OF_ANSWER)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "like"


@pytest.mark.parametrize("lora", ["0", "2"])
def test_a_model_of_yours_on_questions_of_yours(
    lora: str, model_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--model", str(model_directory), "--data", "sums.jsonl", "--reward", "my_rewards:reward"]
    flags += ["--task.max_new_tokens", "6", "--num-prompts", "4", "--group-size", "4", "--learning-rate", "1e-2"]
    main(["train", "grpo", *flags, "--total-steps", "64", "--lora-rank", lora, "--out", str(tmp_path / "run")])
    model, params = lm.load(tmp_path / "run" / "model-4")
    learner, state = jaxrl.load(tmp_path / "run")
    learned = learner.model.merged(state.params) if lora != "0" else state.params
    assert_trees_equal(params, learned)
    main(["generate", "--model", str(tmp_path / "run" / "model-4"), "1+1="])
    if lora != "0":
        lm.load_adapters(tmp_path / "run" / "adapters-4", model, params)
    main(["evaluate", str(tmp_path / "run"), "--prompts", "4", "--samples", "2"])
    assert "pass@2" in capsys.readouterr().out
    resume = [
        "train",
        "grpo",
        "--resume",
        str(tmp_path / "run"),
        "--model",
        str(model_directory),
        "--total-steps",
        "80",
    ]
    main(resume)
    assert (tmp_path / "run" / "model-5").is_dir()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "grpo"], "task: name one of parity, addition"),
        (["train", "grpo", "party"], "did you mean parity"),
        (["train", "grpo", "parity", "--text", "x"], "task: name one of"),
        (["train", "grpo", "parity", "--model.depth", "3"], "model.depth: a model has no such option"),
        (["train", "grpo", "parity", "--model.tied", "false"], "tied='false' must be True or False"),
        (["train", "grpo", "parity", "--model.activation", "gelu"], "activation='gelu' must be a function"),
        (["train", "pretraining", "parity", "--pretraining-texts", "8"], "pretraining_texts: only a new model"),
        (["train", "grpo", "parity", "--model.width", "7"], "num_heads=4 must divide width=7"),
        (["train", "grpo", "parity", "--model.max_length", "5"], "exceed the model's context of 5"),
        (["train", "grpo", "parity", "--task.num_bits"], "--task.num_bits needs a value"),
        (["train", "grpo", "parity", "--reward", "nowhere:f"], "reward: cannot import"),
        (["train", "grpo", "parity", "--model.num_heads", "0"], "num_heads=0 must be an integer, at least 1"),
        (["train", "rloo", "parity", "--group-size", "1"], "group_size=1: there is nothing to compare with"),
        (["train", "grpo", "parity", "--lora-rank", "4"], "lora_rank: adapters are of a model that is there"),
        (["train", "dpo", "parity", "--pretraining-texts", "0"], "params: preferences are of a trained model"),
        (["train", "grpo", "parity", "--task.num_bits", "1"], "task.num_bits=1 must be at least 2"),
        (["train", "grpo", "countdown", "--task.largest", "12"], "task.largest=12 must be in [1, 9]"),
        (["train", "grpo", "addition", "--task.slip", "5"], "task.slip=5 must be in [0, 1]"),
        (["train", "grpo", "parity", "--pretraining-texts", "-1"], "pretraining_texts=-1 must be at least 0"),
        (
            ["train", "grpo", "parity", "--pretraining-texts", "0", "--kl-coef", "1"],
            "kl_coef=1.0: there is no reference",
        ),
        (["train", "grpo", "--data", "nowhere.jsonl"], "cannot be read: No such file"),
        (["train", "grpo", "--model", "nowhere", "--data", "x"], "model: nowhere is no directory"),
        (["generate", "--model", "nowhere", "a"], "model: nowhere is no directory"),
        (["generate", "a"], "model: name the directory of a model"),
        (["generate"], "generate needs a model and a prompt"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(arguments, message, capsys)
    assert not list(tmp_path.iterdir())  # nothing half-written


def test_what_cannot_be_trained_is_refused_before_a_pretraining(
    model_directory: Path, run_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = {path.name for path in Path.cwd().iterdir()}
    Path("text.txt").write_text("to be or not to be " * 20)
    refused(["train", "grpo", "--text", "text.txt"], "text: it asks nothing", capsys)
    refused(["train", "grpo", "parity", "--reward", "my_rewards:broken"], "need as many numbers", capsys)
    refused(["train", "grpo", "parity", "--model", str(model_directory)], "has a tokenizer of its own", capsys)
    refused(["train", "grpo", "parity", "--out", str(run_directory)], "holds another run", capsys)
    resume = ["--resume", str(run_directory)]
    refused(["train", "grpo", "addition", *resume], "was trained on parity, not on addition", capsys)
    refused(["train", "grpo", *resume, "--task.num_bits", "4"], "num_bits: a resumed run goes on", capsys)
    assert {path.name for path in Path.cwd().iterdir()} - {"__pycache__"} == here | {"text.txt"}


def test_a_refused_command_makes_no_directory(
    run_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(run_directory, tmp_path / "gone-pretraining")
    refused(["train", "grpo", "parity", "--out", str(tmp_path / "gone")], "gone-pretraining holds another run", capsys)
    shutil.copytree(run_directory, tmp_path / "there")
    refused(["train", "grpo", "parity", "--out", str(tmp_path / "there")], "there holds another run", capsys)
    assert {path.name for path in tmp_path.iterdir()} >= {"gone-pretraining", "there"}
    assert not (tmp_path / "gone").exists() and not (tmp_path / "there-pretraining").exists()


def test_fine_tuning_on_what_cannot_be_evaluated_says_so_and_goes_on(
    model_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--model", str(model_directory), "--data", "sums.jsonl", "--num-texts", "4", "--total-steps", "8"]
    main(["train", "fine-tuning", *flags, "--out", str(tmp_path / "run")])  # 64 new tokens, by default
    assert "note: nothing is evaluated (prompts of 4 tokens and completions of 64" in capsys.readouterr().out
    assert (tmp_path / "run" / "model-2").is_dir()
    refused(["evaluate", str(tmp_path / "run")], "exceed the model's context of 24", capsys)
    refused(["train", "fine-tuning", *flags, "--evaluate-every", "1"], "exceed the model's context of 24", capsys)


def test_the_shape_of_a_model_that_is_there_stays(model_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--model", str(model_directory), "--data", "sums.jsonl", "--model.max_length", "48"]
    refused(["train", "grpo", *flags], "model.max_length: the model of", capsys)
    flags = ["--model", str(model_directory), "--data", "sums.jsonl", "--pretraining-texts", "8"]
    refused(["train", "grpo", *flags], "pretraining_texts: only a new model", capsys)


@pytest.mark.parametrize("lora", ["0", "2"])
def test_a_run_with_adapters_is_gone_on_with(
    lora: str, model_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--data", "sums.jsonl", "--reward", "my_rewards:reward", "--task.max_new_tokens", "6"]
    flags += ["--num-prompts", "4", "--group-size", "4", "--learning-rate", "1e-2", "--total-steps", "32"]
    first, second = tmp_path / "first", tmp_path / "second"
    main(["train", "grpo", "--model", str(model_directory), *flags, "--lora-rank", "2", "--out", str(first)])
    main(["train", "grpo", "--model", str(first), *flags, "--lora-rank", lora, "--out", str(second)])
    learner, _ = jaxrl.load(second)
    assert isinstance(learner.model, lm.LoRA) == (lora == "2")
    resume = ["train", "grpo", "--resume", str(second), "--model", str(first), "--total-steps", "48"]
    refused([*resume, "--lora-rank", "8"], "lora_rank: a resumed run goes on with what it has", capsys)
    main(resume)
    assert json.loads((second / "config.json").read_text())["num_updates"] == 3
    capsys.readouterr()
    main(["evaluate", str(second), "--samples", "2"])  # of 25 questions few are held out: none counts twice
    said = re.search(r"\((\d+) prompts", capsys.readouterr().out)
    assert said is not None and int(said[1]) == learner.task.task.num_held_out < 25


def test_python_judges_a_task_from_nothing(model_directory: Path, tmp_path: Path) -> None:
    flags = ["--reward", "my_rewards:reward", "--task.num_bits", "3", *SHAPE, *TINY]
    main(["train", "rloo", "parity", *flags, "--out", str(tmp_path / "judged")])
    assert (tmp_path / "judged" / "curve.png").is_file() and (tmp_path / "judged-pretraining").is_dir()


def test_a_prompt_that_leaves_no_room_is_named(model_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(["generate", "--model", str(model_directory), "x" * 24], "exceed the model's context of 24", capsys)
    refused(["generate", "--model", str(model_directory), "x" * 30], "exceed the model's context of 24", capsys)


def test_ppo_of_tokens_begins_with_a_model_and_goes_on(model_directory: Path, tmp_path: Path) -> None:
    flags = ["--model", str(model_directory), "--data", "sums.jsonl", "--task.max_new_tokens", "4"]
    main(["train", "token-ppo", *flags, "--num-prompts", "4", "--total-steps", "8", "--out", str(tmp_path / "run")])
    main(["train", "token-ppo", "--resume", str(tmp_path / "run"), "--model", str(model_directory)])  # nothing to do
    resumed = ["--resume", str(tmp_path / "run"), "--model", str(model_directory), "--total-steps", "12"]
    main(["train", "token-ppo", *resumed])
    assert (tmp_path / "run" / "model-3").is_dir()


def test_a_reward_of_the_wrong_shape_is_named(model_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--model", str(model_directory), "--data", "sums.jsonl", "--reward", "my_rewards:broken"]
    refused(["train", "grpo", *flags, "--task.max_new_tokens", "4"], "reward: 2 completions need as many", capsys)


def test_a_tokenizer_of_another_model_is_named(model_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = networks.Transformer(networks.TransformerConfig(50, width=8, num_layers=1, num_heads=2))
    params = small.init(jax.random.key(0), jnp.ones((1, 1), jnp.int32))
    lm.save(model_directory.with_name("small"), small, params)
    shutil.copy(model_directory / "tokenizer.json", model_directory.with_name("small") / "tokenizer.json")
    refused(["generate", "--model", "small", "a"], "the tokenizer has 96 tokens and the model 50", capsys)
    refused(["train", "grpo", "--model", "small", "--data", "sums.jsonl"], "the tokenizer has 96 tokens", capsys)


def horizon(command: str) -> tuple[float, int]:
    """Updates after which the learning rate of a command would be zero, and updates of its run."""
    name, *arguments = command.split()
    setup = build(name, arguments)
    return setup.algorithm.anneal_updates, updates_of(setup.algorithm, setup.options.total_steps)


@pytest.mark.parametrize(
    ("task", "measured"), [("parity", (256, 160)), ("addition", (450, 400)), ("countdown", (150, 150))]
)
def test_the_horizon_is_what_was_measured_and_the_same_part_of_every_run(task: str, measured: tuple[int, int]) -> None:
    assert horizon(f"grpo {task}") == measured
    part = measured[0] / measured[1]
    for command in (f"token-ppo {task}", f"dpo {task}", f"dapo {task}", f"language-reinforce {task}"):
        after, updates = horizon(command)
        assert updates > 10 and after == pytest.approx(part * updates)
    assert horizon(f"grpo {task} --total-steps {10 * 128 * 512}")[0] > measured[0]
    assert horizon(f"grpo {task} --anneal-updates 7")[0] == 7


def test_a_pretrained_model_learns_slowly_unless_told(model_directory: Path, run_directory: Path) -> None:
    def rate(command: str, model: Path = model_directory) -> float:
        name, *arguments = command.split()
        data = ["--data", "sums.jsonl", "--task.max_new_tokens", "4"] if model is model_directory else []
        return build(name, [*arguments, *data, "--model", str(model)]).algorithm.learning_rate

    assert rate("grpo") == rate("dpo") == 1e-6 and rate("token-ppo") == pytest.approx(3e-6)
    assert rate("grpo --lora-rank 2") == pytest.approx(1e-5)
    assert rate("fine-tuning") == 2e-5
    assert rate("grpo --learning-rate 1e-3") == 1e-3
    assert rate("grpo parity --task.num_bits 3", run_directory) == 7e-4  # a run of ours, as its task was tuned


def test_questions_without_answers_are_for_a_function(
    model_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("open.jsonl").write_text("".join(json.dumps({"prompt": f"{n}="}) + "\n" for n in range(16)))
    flags = ["--data", "open.jsonl", "--task.max_new_tokens", "4", "--num-prompts", "4", "--group-size", "2"]
    model, judge = ["--model", str(model_directory)], ["--reward", "my_rewards:reward"]
    refused(["train", "grpo", *flags, *model], "open.jsonl, line 1: it has no answer; write one, or let", capsys)
    refused(
        ["train", "grpo", *flags, *judge, *SHAPE], "leave the pretraining before it out (--pretraining-texts 0)", capsys
    )
    refused(["train", "pretraining", *flags[:4], *SHAPE], "open.jsonl, line 1: it has no answer", capsys)
    refused(["train", "pretraining", *flags[:4], *judge, *SHAPE], "reward: pretraining learns from texts", capsys)
    assert not Path("runs").exists()
    main(["train", "grpo", *flags, *model, *judge, "--total-steps", "8", "--out", str(tmp_path / "judged")])
