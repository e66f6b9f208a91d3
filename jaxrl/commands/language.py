"""What `jaxrl train` trains when it is a language model: on a task from nothing, or a model of your own."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from jaxrl.commands.generate import model_from
from jaxrl.commands.stages import pretraining_directory
from jaxrl.flags import LanguageOptions, given, is_given, parse, prefixed_options


class Setup(NamedTuple):
    """What a command comes to."""

    algorithm: Any
    options: LanguageOptions
    title: str
    pretraining: Any
    """Learner whose result the algorithm begins with; None: it begins with what it has."""


def is_language(name: str) -> bool:
    """Whether a name is of a learner of language models.

    Raises:
      ValueError: for an unknown name.
    """
    from jaxrl.engine.names import ALGORITHMS, resolve
    from jaxrl.types import field_types

    found = resolve("algorithm", name, ALGORITHMS)
    return isinstance(found, type) and dataclasses.is_dataclass(found) and "task" in field_types(found)


def build(name: str, arguments: list[str]) -> Setup:
    """The learner that the arguments behind its name describe.

    Raises:
      ValueError: for anything that does not fit.
    """
    from jaxrl import Pretraining
    from jaxrl.engine import check, describe
    from jaxrl.engine.names import ALGORITHMS, resolve
    from jaxrl.presets import annealed, checkpoint_fields, language_preset

    algorithm_class: Any = resolve("algorithm", name, ALGORITHMS)
    named = bool(arguments) and not arguments[0].startswith("-")
    task_name = arguments[0] if named else ""
    flags, task_options = prefixed_options(arguments[named:], "task")
    flags, shape = prefixed_options(flags, "model")
    tuned = language_preset(name, task_name)
    defaults = tuned.fields | {"total_steps": tuned.total_steps, "pretraining_texts": tuned.pretraining_texts}
    prog = f"jaxrl train {name} {task_name}".strip()
    source = given("model", flags)
    if source is not None and not _is_run(Path(source)):
        defaults |= checkpoint_fields(name, is_given("lora_rank", flags))
    options, fields = parse(algorithm_class, defaults, flags, prog, LanguageOptions)
    if options.resume is not None:
        begun_with = {field: given(field, flags) for field in ("lora_rank", "pretraining_texts")}
        saved = _read_resumed(task_name, task_options | shape | begun_with, options)
        defaults = describe.flag_defaults(algorithm_class, saved)
        del defaults["model"]  # an option of the same name
        options, fields = parse(algorithm_class, defaults, flags, prog, LanguageOptions)
        algorithm = _resumed(algorithm_class, saved, options, fields)
        check(algorithm)
        return Setup(algorithm, options, f"{name}, resumed", None)
    _check_begun(options, algorithm_class, is_given("pretraining_texts", flags) and options.pretraining_texts > 0)
    model, params, tokenizer = _model(options, shape, algorithm_class)
    task, title = _task(task_name, options, task_options, tokenizer)
    if options.reward and algorithm_class is Pretraining:
        raise ValueError("reward: pretraining learns from texts, and nothing is judged; leave the flag away")
    if not hasattr(task, "prompts") and algorithm_class is not Pretraining:
        raise ValueError("text: it asks nothing, so that nothing can be judged; only pretraining learns from it")
    if tokenizer is not None and task.tokenizer != tokenizer and task.tokenizer.name != tokenizer.name:
        raise ValueError(f"task: {title} has a tokenizer of its own, which the model of {options.model} does not know")
    pretraining = None
    if params is None:
        model, params, pretraining = _from_nothing(algorithm_class, task, tuned.model | shape, tuned, options)
    algorithm = _algorithm(algorithm_class, task, model, params, options, fields)
    check(algorithm)
    if pretraining is not None:
        check(pretraining)
    if tuned.anneal and not is_given("anneal_updates", flags):
        algorithm = annealed(algorithm, options.total_steps, tuned.anneal)
    return Setup(algorithm, options, f"{name} on {title}", pretraining)


def _algorithm(
    algorithm_class: Any, task: Any, model: Any, params: Any, options: LanguageOptions, fields: dict[str, Any]
) -> Any:
    """The learner, with adapters and a reference where they are asked for."""
    import jax

    from jaxrl import lm, ops

    if options.lora_rank:
        if params is None or options.model is None:
            raise ValueError("lora_rank: adapters are of a model that is there; name one by --model DIR")
        model = lm.LoRA(model, options.lora_rank)
        params = model.adapted(params, jax.random.key(0))  # the same ones when the run is resumed
        if fields["optimizer"] not in (ops.adam, lm.adapters_adam):
            raise ValueError("optimizer: adapters are trained by adam; leave optimizer away")
        fields = fields | {"optimizer": lm.adapters_adam}
    if fields.get("kl_coef"):
        fields = fields | {"reference_params": params}
    return algorithm_class(task, model, params=params, **fields)


def _is_run(directory: Path) -> bool:
    """Whether a model's directory is a run of ours, and not in the Hugging Face layout."""
    return (directory / "checkpoints").is_dir()


def _model(options: LanguageOptions, changes: dict[str, Any], algorithm_class: Any) -> tuple[Any, Any, Any]:
    """Model, parameters in float32 and tokenizer of `--model`; three times None without it."""
    import jax.numpy as jnp

    from jaxrl import TokenPPO

    if options.model is None:
        return None, None, None
    changes = _config_fields(changes)
    fixed = sorted(set(changes) - {"dtype", "remat", "value_head"})
    if fixed:
        raise ValueError(f"model.{fixed[0]}: the model of {options.model} has its shape; leave it away")
    if algorithm_class is TokenPPO and not _is_run(options.model):
        changes = {"value_head": True} | changes
    return _merged(*model_from(options.model, jnp.float32, **changes))


def _merged(model: Any, params: Any, tokenizer: Any) -> tuple[Any, Any, Any]:
    """Of a run with adapters the whole model, which knows what they learned."""
    if hasattr(model, "merged"):
        return model.model, model.merged(params), tokenizer
    return model, params, tokenizer


def _task(name: str, options: LanguageOptions, task_options: dict[str, Any], tokenizer: Any) -> tuple[Any, str]:
    """The task and its name: of the table, of a file of questions, or of a text."""
    from jaxrl import lm
    from jaxrl.engine.names import resolve

    files = {"questions": options.data, "text": options.text}
    given = {kind: path for kind, path in files.items() if path is not None}
    if len(given) + bool(name) != 1:
        raise ValueError(f"task: name one of {', '.join(lm.tasks.TASKS)}, or give --data FILE or --text FILE")
    title = name
    for kind, path in given.items():
        name, title = kind, path.name
        task_options = {"path": str(path), "tokenizer": tokenizer.name if tokenizer else "bytes"} | task_options
    task = lm.tasks.make(name, **task_options)
    return (lm.tasks.Judged(task, resolve("reward", options.reward, {})) if options.reward else task), title


def _from_nothing(
    algorithm_class: Any, task: Any, shape: dict[str, Any], tuned: Any, options: LanguageOptions
) -> tuple[Any, Any, Any]:
    """A new model, its random parameters, and the pretraining that comes before; both None for pretraining itself."""
    import jax
    import jax.numpy as jnp

    from jaxrl import Pretraining, TokenPPO
    from jaxrl.presets import annealed, new_model

    model = new_model(task, **{"value_head": algorithm_class is TokenPPO} | _config_fields(shape))
    if algorithm_class is Pretraining or not options.pretraining_texts:
        return model, None, None
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))
    task = getattr(task, "task", task)  # of one that Python judges, what it asks
    return model, params, annealed(Pretraining(task, model, **tuned.pretraining), options.pretraining_texts)


def _config_fields(given: dict[str, Any]) -> dict[str, Any]:
    """Fields of the config from `--model.KEY VALUE`.

    Raises:
      ValueError: for a key that is none of them.
    """
    import jax.numpy as jnp

    from jaxrl.networks import TransformerConfig

    known = [field.name for field in dataclasses.fields(TransformerConfig)]
    for key in given:
        if key not in known:
            raise ValueError(f"model.{key}: a model has no such option; there are: {', '.join(known)}")
    return given | ({"dtype": jnp.dtype(given["dtype"])} if "dtype" in given else {})


def _check_begun(options: LanguageOptions, algorithm_class: Any, pretraining_given: bool) -> None:
    """Refuse numbers that mean nothing, and a pretraining that nothing would come behind."""
    from jaxrl import Pretraining

    for field, least in {"seeds": 1, "total_steps": 1, "pretraining_texts": 0, "lora_rank": 0}.items():
        if getattr(options, field) < least:
            raise ValueError(f"{field}={getattr(options, field)} must be at least {least}")
    if pretraining_given and (options.model is not None or algorithm_class is Pretraining):
        raise ValueError("pretraining_texts: only a new model is pretrained before other learning; leave it away")


def _read_resumed(task: str, changes: dict[str, Any], options: LanguageOptions) -> dict[str, Any]:
    """The description of the run to resume; refuse one of another kind, and what it cannot change."""
    from jaxrl.engine import describe

    assert options.resume is not None
    saved = describe.read(options.resume)
    fields = saved["fields"]
    if "task" not in fields or "model" not in fields:
        raise ValueError(f"resume: {options.resume} is no run of a language model")
    given = {"data": options.data, "text": options.text, "reward": options.reward} | changes
    name = fields["task"].get("name")
    if task and task != name:
        raise ValueError(f"task: {options.resume} was trained on {name}, not on {task}")
    for field, value in given.items():
        if value is not None:
            raise ValueError(f"{field}: a resumed run goes on with what it has; leave {field} away")
    return saved


def _resumed(algorithm_class: Any, saved: dict[str, Any], options: LanguageOptions, fields: dict[str, Any]) -> Any:
    """The learner of a saved run, which begins with what it began with."""
    import jax.numpy as jnp

    from jaxrl.engine.load import language_of
    from jaxrl.engine.recipes import sampling_fields

    task, model = language_of(saved["fields"])
    params = None
    if saved["fields"]["params"] is not None:
        before = Path(options.resume or ".")
        source = options.model or pretraining_directory(before)
        if not source.is_dir():
            raise ValueError(f"model: the run began with a model; name its directory by --model ({source} is none)")
        head = {} if _is_run(source) else {"value_head": model.config.value_head}
        _, params, _ = _merged(*model_from(source, jnp.float32, **head))
    if hasattr(model, "adapted"):
        options = dataclasses.replace(options, lora_rank=model.rank)
        model = model.model
    return _algorithm(algorithm_class, task, model, params, options, fields | sampling_fields(saved["fields"]))
