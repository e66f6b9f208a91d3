"""`jaxrl evaluate DIR`."""

import math
from pathlib import Path
from typing import Any

from jaxrl.commands.usage import USAGE, key_of, refuse
from jaxrl.flags import EvaluateLanguageOptions, EvaluateOptions, parse_plain


def evaluate(arguments: list[str]) -> None:
    """Play episodes with what a run learned."""
    if arguments and arguments[0] in ("-h", "--help"):
        parse_plain(EvaluateOptions, ["--help"], "jaxrl evaluate DIR")
    if not arguments or arguments[0].startswith("-"):
        refuse(f"evaluate needs the directory of a run\n{USAGE}")
    directory = Path(arguments[0])
    if _is_language(directory):
        _evaluate_language(directory, arguments[1:])
        return
    options = parse_plain(EvaluateOptions, arguments[1:], "jaxrl evaluate DIR")
    import jax
    import numpy as np

    from jaxrl import engine
    from jaxrl.engine.load import load_content

    try:
        if options.episodes < 1:
            raise ValueError(f"episodes={options.episodes} must be at least 1")
        key, gif_key = jax.random.split(key_of(options.seed))
        algorithm, content = load_content(directory)
    except (ValueError, TypeError, ImportError) as error:
        refuse(error)
    if not hasattr(algorithm, "act"):
        refuse(f"algorithm: {type(algorithm).__name__} has no method act to evaluate with")
    states = _seeds(content["state"], np.asarray(content["alive"]))
    means = []
    for index, one in states.items():
        episodes = engine.evaluate(algorithm, one, jax.random.fold_in(key, index), options.episodes)
        finished = np.asarray(episodes.finished)
        returns = np.asarray(episodes.returns)[finished]
        means.append(returns.mean() if len(returns) else math.nan)
        cut = f", {int((~finished).sum())} cut and left out" if not finished.all() else ""
        print(f"seed {index}: return {means[-1]:.1f} ± {returns.std():.1f} over {len(returns)} episodes{cut}")
    print(f"median over seeds: {np.nanmedian(means):.1f}")
    if options.gif:
        from jaxrl.engine.plots import save_episode

        frames, done = save_episode(algorithm, next(iter(states.values())), gif_key, directory / "episode.gif")
        print(f"written: {directory}/episode.gif ({frames} frames{'' if done else ', the episode went on'})")


def _is_language(directory: Path) -> bool:
    from jaxrl.engine import describe

    try:
        return "task" in describe.read(directory)["fields"]
    except ValueError as error:
        return refuse(error)


def _evaluate_language(directory: Path, arguments: list[str]) -> None:
    """Answer held-out prompts with what a run learned."""
    options = parse_plain(EvaluateLanguageOptions, arguments, "jaxrl evaluate DIR")
    import jax
    import numpy as np

    from jaxrl import engine
    from jaxrl.engine.answers import has_questions
    from jaxrl.engine.check import check_answers
    from jaxrl.engine.load import load_content
    from jaxrl.lm.tasks import RewardError

    try:
        for field in ("prompts", "samples"):
            if getattr(options, field) < 1:
                raise ValueError(f"{field}={getattr(options, field)} must be at least 1")
        key = key_of(options.seed)
        algorithm, content = load_content(directory)
        if not has_questions(algorithm):
            raise ValueError("task: a text asks nothing to evaluate with; see what the model says by jaxrl generate")
        check_answers(algorithm)
    except (ValueError, TypeError, ImportError, FileNotFoundError) as error:
        refuse(error)
    asked = getattr(algorithm.task, "task", algorithm.task)  # of one that Python judges, what it asks
    num_prompts = min(options.prompts, getattr(asked, "num_held_out", options.prompts))
    for index, one in _seeds(content["state"], np.asarray(content["alive"])).items():
        seed_key = jax.random.fold_in(key, index)
        try:
            answers = engine.evaluate_task(algorithm, one, seed_key, num_prompts, options.samples)
        except RewardError as error:
            refuse(error, code=1)
        words = (f"{name} {_estimated(*estimate)}" for name, estimate in answers.summary().items())
        print(f"seed {index}: {', '.join(words)} ({num_prompts} prompts; in brackets 95 % intervals)")


def _estimated(mean: float, low: float, high: float) -> str:
    return f"{mean:.3f}" if math.isnan(low) else f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def _seeds(state: Any, alive: Any) -> dict[int, Any]:
    """The states of the seeds that are alive, by number."""
    import jax

    if not alive.ndim:
        return {0: state}
    return {i: jax.tree.map(lambda x: x[i], state) for i in range(len(alive)) if alive[i]}
