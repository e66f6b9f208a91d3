"""Flags of the command line, generated from dataclasses: never listed twice."""

import ast
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_origin

from jaxrl.types import field_types


@dataclasses.dataclass
class TrainOptions:
    """Options of every training run."""

    total_steps: Annotated[int, "environment steps of each seed, rounded up to whole updates"]
    seeds: Annotated[int, "number of seeds, trained in one program"] = 1
    seed: Annotated[int | None, "of the random numbers (default: 0)"] = None
    evaluate_every: Annotated[int | None, "updates between evaluations (default: 20 evaluations; 0: none)"] = None
    save_every: Annotated[int | None, "updates between saves (default: 10 saves; 0: at the end only)"] = None
    out: Annotated[Path | None, "directory of the run (default: runs/ALGORITHM-ENV-TIME)"] = None
    resume: Annotated[Path | None, "directory of a run to go on from its last save"] = None
    tensorboard: Annotated[bool, "write TensorBoard event files too (needs jaxrl[tensorboard])"] = False


@dataclasses.dataclass
class LanguageOptions(TrainOptions):
    """Options of a training run of a language model; its steps are completions, or texts."""

    model: Annotated[Path | None, "directory of a model, or of a run, to begin with (default: a small new one)"] = None
    pretraining_texts: Annotated[int, "texts of the task that a new model is pretrained on before"] = 0
    data: Annotated[Path | None, 'lines of {"prompt": "...", "answer": "..."} instead of a task'] = None
    text: Annotated[Path | None, "a text to pretrain on instead of a task"] = None
    reward: Annotated[str | None, "MODULE:FUNCTION of your own that judges completions"] = None
    lora_rank: Annotated[int, "rank of adapters that are trained instead of the model; 0: none"] = 0


@dataclasses.dataclass
class SolveOptions:
    """Options of `jaxrl solve SOLVER ENV`."""

    tolerance: Annotated[float, "bound of the error of every value"] = 1e-4
    max_updates: Annotated[int, "give up after so many"] = 1_000_000
    float64: Annotated[bool, "solve in double precision"] = True
    out: Annotated[Path, "picture of values and policy"] = Path("solution.png")


@dataclasses.dataclass
class EvaluateOptions:
    """Options of `jaxrl evaluate DIR`."""

    episodes: Annotated[int, "episodes of each seed"] = 100
    seed: Annotated[int, "of the random numbers"] = 0
    gif: Annotated[bool, "write episode.gif with one episode of the first seed"] = False


@dataclasses.dataclass
class EvaluateLanguageOptions:
    """Options of `jaxrl evaluate DIR` of a language model."""

    prompts: Annotated[int, "held-out prompts"] = 256
    samples: Annotated[int, "k, completions of each"] = 16
    seed: Annotated[int, "of the random numbers"] = 0


@dataclasses.dataclass
class GenerateOptions:
    """Options of `jaxrl generate`."""

    model: Annotated[Path | None, "directory of a model in the Hugging Face layout, or of a run"] = None
    max_new_tokens: Annotated[int, "tokens of the completion at most"] = 256
    temperature: Annotated[float, "what logits are divided by; 0: the most probable token"] = 1.0
    top_k: Annotated[int, "most probable tokens that are left; 0: all"] = 0
    top_p: Annotated[float, "probability of the most probable tokens that are left"] = 1.0
    seed: Annotated[int, "of the random numbers"] = 0
    chat: Annotated[bool, "apply the model's chat template to the prompt"] = False


def prefixed_options(arguments: list[str], prefix: str) -> tuple[list[str], dict[str, Any]]:
    """Take `--PREFIX.KEY VALUE` and `--PREFIX.KEY=VALUE` out of the arguments.

    Values are Python literals where they can be (numbers, True, tuples), else strings.

    Raises:
      ValueError: for a key without a value.
    """
    rest: list[str] = []
    options: dict[str, Any] = {}
    position = iter(arguments)
    for argument in position:
        if not argument.startswith(f"--{prefix}."):
            rest.append(argument)
            continue
        key, equals, text = argument.removeprefix(f"--{prefix}.").partition("=")
        value = text if equals else next(position, "--")
        if value.startswith("--"):
            raise ValueError(f"--{prefix}.{key} needs a value")
        try:
            options[key.replace("-", "_")] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[key.replace("-", "_")] = value
    return rest, options


def is_given(field: str, arguments: list[str]) -> bool:
    """Whether a field stands among the flags."""
    return any(flag.replace("_", "-").partition("=")[0] == "--" + field.replace("_", "-") for flag in arguments)


def given(field: str, arguments: list[str]) -> str | None:
    """What a flag says, before flags are parsed; None if it is not among them."""
    for index, flag in enumerate(arguments):
        name, equals, value = flag.partition("=")
        if is_given(field, [name]):
            return value if equals else "".join(arguments[index + 1 : index + 2])
    return None


def parse(
    algorithm_class: Any,
    defaults: dict[str, Any],
    arguments: list[str],
    prog: str,
    options_class: Any = TrainOptions,
) -> tuple[Any, dict[str, Any]]:
    """Options of the run, and the algorithm's fields.

    Every number, bool, string and tuple field of the dataclass is a flag with the text of its docstring; function and
    network fields take names of `jaxrl.engine.names.CHOICES` or `MODULE:NAME`.

    Args:
      algorithm_class: an algorithm.
      defaults: of options and fields, where they differ from the classes' own.
      arguments: flags.
      prog: shown in the usage.
      options_class: options besides the fields.

    Returns:
      An `options_class`, and keyword arguments for `algorithm_class`.

    Raises:
      ValueError: for an unknown name of a function or network.
      SystemExit: with code 2 for an unknown flag or a value of the wrong kind; with code 0 for `--help`.
    """
    import tyro

    help_ = _field_help(algorithm_class)
    flags = [
        (field.name, Annotated[_flag_type(field), tyro.conf.arg(help=help_.get(field.name, ""))], default)
        for field in _flag_fields(algorithm_class)
        for default in [_name(field, defaults.get(field.name, field.default))]
    ]
    specs = [(name, type_, dataclasses.field(default=default)) for name, type_, default in flags]
    summary = (algorithm_class.__doc__ or "").split("\n")[0]
    flags_class = dataclasses.make_dataclass("Flags", _specs(options_class, defaults) + specs, kw_only=True)
    parsed = tyro.cli(flags_class, args=arguments, prog=prog, description=summary)
    names = [field.name for field in dataclasses.fields(options_class)]
    options = options_class(**{name: getattr(parsed, name) for name in names})
    fields = _flag_fields(algorithm_class)
    return options, {field.name: _resolved(field, getattr(parsed, field.name), defaults) for field in fields}


def parse_plain(options_class: Any, arguments: list[str], prog: str) -> Any:
    """An instance of a dataclass whose annotations carry the help texts."""
    import tyro

    flags = dataclasses.make_dataclass("Flags", _specs(options_class, {}), kw_only=True)
    parsed = tyro.cli(flags, args=arguments, prog=prog, description=options_class.__doc__)
    return options_class(**dataclasses.asdict(parsed))


def _specs(options_class: Any, defaults: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Fields for `make_dataclass`, with the annotations' texts as help."""
    import tyro

    specs = []
    for field in dataclasses.fields(options_class):
        annotation: Any = field.type
        type_, text = annotation.__origin__, annotation.__metadata__[0]
        default = dataclasses.field(default=defaults.get(field.name, field.default))
        specs.append((field.name, Annotated[type_, tyro.conf.arg(help=text)], default))
    return specs


class _Field(NamedTuple):
    name: str
    type: Any
    default: Any


def _is_named(field: Any) -> bool:
    """Whether the field holds a function or network, which the command line takes by name."""
    from jaxrl.engine.names import CHOICES

    return field.name in CHOICES or get_origin(field.type) is Callable


def _flag_fields(algorithm_class: Any) -> list[Any]:
    plain = (int, float, bool, str, float | None, int | None)
    types = field_types(algorithm_class)
    fields = [_Field(field.name, types[field.name], field.default) for field in dataclasses.fields(algorithm_class)]
    return [
        field
        for field in fields
        if field.default is not dataclasses.MISSING
        and (field.type in plain or get_origin(field.type) is tuple or _is_named(field))
    ]


def _flag_type(field: Any) -> Any:
    return str if _is_named(field) else field.type


_UNNAMED = "(as it is)"
"""Shown for a default that no name finds; it stays."""


def _name(field: Any, value: Any) -> Any:
    from jaxrl.engine.names import CHOICES, name_of

    if not _is_named(field) or isinstance(value, str):
        return value
    return name_of(value, CHOICES.get(field.name, {})) or _UNNAMED


def _resolved(field: Any, value: Any, defaults: dict[str, Any]) -> Any:
    from jaxrl.engine.names import CHOICES, resolve

    if not _is_named(field):
        return value
    if value == _UNNAMED:
        return defaults.get(field.name, field.default)
    return resolve(field.name, value, CHOICES.get(field.name, {}))


def _field_help(algorithm_class: Any) -> dict[str, str]:
    """Texts of the `Args:` section of the class's docstring."""
    import docstring_parser

    parsed = docstring_parser.parse(algorithm_class.__doc__ or "", docstring_parser.DocstringStyle.GOOGLE)
    return {item.arg_name: " ".join((item.description or "").split()) for item in parsed.params}
