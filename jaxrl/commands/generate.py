"""`jaxrl generate --model DIR "PROMPT"`."""

import math
from pathlib import Path
from typing import Any

from jaxrl.commands.usage import USAGE, key_of, refuse
from jaxrl.flags import GenerateOptions, parse_plain


def generate(arguments: list[str]) -> None:
    """Complete a prompt, and print the completion as it is drawn."""
    if not arguments:
        refuse(f"generate needs a model and a prompt\n{USAGE}")
    # A prompt may begin with what looks like a flag: it stands last, or behind `--`.
    given = [argument for argument in arguments if argument != "--"]
    help_ = arguments[-1] in ("-h", "--help")
    prompt, flags = ("", given) if help_ else (given[-1], given[:-1])
    options = parse_plain(GenerateOptions, flags, 'jaxrl generate [--FLAG VALUE ...] "PROMPT"')
    try:
        pieces = _pieces(prompt, options)
        for piece in pieces:
            print(piece, end="", flush=True)
    except (ValueError, TypeError, ImportError, FileNotFoundError) as error:
        refuse(error)
    print()


def _pieces(prompt: str, options: Any) -> Any:
    """Parts of the completion's text."""
    from jaxrl import engine, lm

    if options.model is None:
        raise ValueError("model: name the directory of a model in the Hugging Face layout, or of a run")
    if not 0 <= options.temperature < math.inf:
        raise ValueError(f"temperature={options.temperature} must be at least 0 and finite; 0 is greedy")
    if options.max_new_tokens < 1 or options.top_k < 0 or not 0 < options.top_p <= 1:
        raise ValueError("max_new_tokens must be at least 1, top_k at least 0, and top_p in (0, 1]")
    key = key_of(options.seed)
    model, params, tokenizer = model_from(options.model)
    chat: Any = getattr(tokenizer, "chat", None)
    if options.chat and chat is None:
        raise ValueError("chat: this model has no chat template; leave chat away")
    asked = [{"role": "user", "content": prompt}]
    tokens = tokenizer.encode(chat(asked)) if options.chat else tokenizer.encode_prompt(prompt)
    lm.check_vocabulary(tokenizer, model.config.vocab_size)
    room = model.config.max_length - len(tokens)
    lm.check_context(model, len(tokens), min(options.max_new_tokens, max(room, 1)))
    greedy = options.temperature == 0
    sampling = lm.Sampling(
        min(options.max_new_tokens, room),
        tuple(tokenizer.stop_tokens),
        temperature=1.0 if greedy else options.temperature,
        top_k=1 if greedy else options.top_k,
        top_p=None if options.top_p == 1 else options.top_p,
        vocab_size=tokenizer.vocab_size,
    )
    drawn: list[int] = []
    shown = ""
    for token in engine.stream(model, params, tokens, key, sampling):
        if token in sampling.stop_tokens:
            break
        drawn.append(token)
        text = tokenizer.decode(drawn)
        if not text.endswith("\ufffd"):  # a character of several tokens is not complete yet
            yield text[len(shown) :]
            shown = text
    yield tokenizer.decode(drawn)[len(shown) :]


def model_from(directory: Path, param_dtype: Any = None, **changes: Any) -> tuple[Any, Any, Any]:
    """Model, parameters and tokenizer of a directory in the Hugging Face layout, or of a run of a language model.

    Args:
      directory: of either.
      param_dtype: of the parameters of a Hugging Face directory; None: as stored.
      **changes: fields of the config to replace; of a run there are none.

    Raises:
      ValueError: if it holds neither.
    """
    from jaxrl import lm
    from jaxrl.engine import describe
    from jaxrl.engine.load import load_content

    if not directory.is_dir():
        raise ValueError(f"model: {directory} is no directory; check the path")
    if (directory / "checkpoints").is_dir():
        if "task" not in describe.read(directory)["fields"]:
            raise ValueError(f"model: {directory} is no run of a language model")
        if changes:
            raise ValueError(f"model.{next(iter(changes))}: {directory} is a run, whose model has its shape")
        algorithm, _ = load_content(directory)
        return algorithm.model, algorithm.params, algorithm.task.tokenizer
    model, params = lm.load(directory, param_dtype, **changes)
    return model, params, lm.HuggingFace(directory)
