"""What `jaxrl train` trains when it is a language model: on a task from nothing, or a model of your own."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from jaxrl.commands.generate import model_from
from jaxrl.flags import LanguageOptions, parse, prefixed_options


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
    from jaxrl import lm
    from jaxrl.engine import check, describe
    from jaxrl.engine.names import ALGORITHMS, resolve
    from jaxrl.presets import annealed, language_preset

    algorithm_class: Any = resolve("algorithm", name, ALGORITHMS)
    named = bool(arguments) and not arguments[0].startswith("-")
    task_name = arguments[0] if named else ""
    flags, task_options = prefixed_options(arguments[named:], "task")
    flags, shape = prefixed_options(flags, "model")
    tuned = language_preset(name, task_name)
    defaults = tuned.fields | {"total_steps": tuned.total_steps, "pretraining_texts": tuned.pretraining_texts}
    prog = f"jaxrl train {name} {task_name}".strip()
    options, fields = parse(algorithm_class, defaults, flags, prog, LanguageOptions)
    if options.resume is not None:
        saved = describe.read(options.resume)
        defaults = describe.flag_defaults(algorithm_class, saved)
        del defaults["model"]  # an option of the same name
        options, fields = parse(algorithm_class, defaults, flags, prog, LanguageOptions)
        algorithm = _resumed(algorithm_class, saved, options, fields)
        check(algorithm)
        return Setup(algorithm, options, f"{name}, resumed", None)
    for field in ("seeds", "total_steps"):
        if getattr(options, field) < 1:
            raise ValueError(f"{field}={getattr(options, field)} must be at least 1")
    model, params, tokenizer = _model(options, shape)
    task, title = _task(task_name, options, task_options, tokenizer)
    pretraining = None
    if params is None:
        model, params, pretraining = _from_nothing(algorithm_class, task, tuned.model | shape, tuned, options)
    lm.check_vocabulary(task.tokenizer, model.config.vocab_size)
    algorithm = _algorithm(algorithm_class, task, model, params, options, fields)
    check(algorithm)
    if tuned.anneal:
        algorithm = annealed(algorithm, options.total_steps)
    return Setup(algorithm, options, f"{name} on {title}", pretraining)


def begin_with(algorithm: Any, params: Any) -> Any:
    """The algorithm with another starting point, which is its reference too if it has one.

    Args:
      algorithm: of a language model.
      params: of its model.
    """
    held = getattr(algorithm, "reference_params", None)
    return algorithm.replace(params=params, **({} if held is None else {"reference_params": params}))


def write_model(algorithm: Any, result: Any, source: Path | None, directory: Path) -> None:
    """Write what a run learned in the Hugging Face layout, if its model came in it; adapters are merged, and beside it.

    Args:
      algorithm: that was trained.
      result: of `fit`; of several seeds the first that is alive is written.
      source: directory of the model that the run began with.
      directory: of the run.
    """
    import jax
    import numpy as np

    from jaxrl import lm

    if source is None or (source / "checkpoints").is_dir():
        return
    params, model = result.state.params, algorithm.model
    if np.ndim(result.alive):
        params = jax.tree.map(lambda x: x[int(np.argmax(result.alive))], params)
    written = directory / f"model-{result.num_updates}"
    if isinstance(model, lm.LoRA):
        lm.save_adapters(directory / f"adapters-{result.num_updates}", model, params)
        params, model = model.merged(params), model.model
    lm.save(written, model, params, like=source)
    print(f"written: {written} (the model in the Hugging Face layout)")


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
        if fields["optimizer"] is ops.adam:
            fields = fields | {"optimizer": lm.adapters_adam}
    if fields.get("kl_coef"):
        fields = fields | {"reference_params": params}
    return algorithm_class(task, model, params=params, **fields)


def _model(options: LanguageOptions, changes: dict[str, Any]) -> tuple[Any, Any, str]:
    """Model, parameters and the name of the tokenizer of `--model`; None, None and `bytes` without it."""
    if options.model is None:
        return None, None, "bytes"
    model, params, tokenizer = model_from(options.model, **_config_fields(changes))
    return model, params, tokenizer.name


def _task(name: str, options: LanguageOptions, task_options: dict[str, Any], tokenizer: str) -> tuple[Any, str]:
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
        task_options = {"path": str(path), "tokenizer": tokenizer} | task_options
    task = lm.tasks.make(name, **task_options)
    return (lm.tasks.Judged(task, resolve("reward", options.reward, {})) if options.reward else task), title


def _from_nothing(
    algorithm_class: Any, task: Any, shape: dict[str, Any], tuned: Any, options: LanguageOptions
) -> tuple[Any, Any, Any]:
    """A new model, its random parameters, and the pretraining that comes before; both None for pretraining itself."""
    import jax
    import jax.numpy as jnp

    from jaxrl import Pretraining, TokenPPO, lm, networks
    from jaxrl.presets import annealed

    length = getattr(task, "length", None)
    if length is None:
        asked = jax.eval_shape(lambda: task.prompts(jax.random.key(0), 1))
        length = asked.tokens.shape[1] + task.sampling.max_new_tokens
    own: dict[str, Any] = {
        "vocab_size": task.tokenizer.vocab_size,
        "max_length": length,
        "value_head": algorithm_class is TokenPPO,
    }
    model = networks.Transformer(networks.TransformerConfig(**own | _config_fields(shape)))
    lm.check_context(model, length, 0)
    if algorithm_class is Pretraining or not options.pretraining_texts:
        return model, None, None
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))
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


def _resumed(algorithm_class: Any, saved: dict[str, Any], options: LanguageOptions, fields: dict[str, Any]) -> Any:
    """The learner of a saved run, which begins with what it began with."""
    from jaxrl.engine.load import language_of

    task, model = language_of(saved["fields"])
    params = None
    if saved["fields"]["params"] is not None:
        before = Path(options.resume or ".")
        source = options.model or before.with_name(f"{before.name}-pretraining")
        if not source.is_dir():
            raise ValueError(f"model: the run began with a model; name its directory by --model ({source} is none)")
        _, params, _ = model_from(source)
    if hasattr(model, "adapted"):
        options = dataclasses.replace(options, lora_rank=model.rank)
        model = model.model
    return _algorithm(algorithm_class, task, model, params, options, fields)
