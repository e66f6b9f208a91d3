"""The values of concrete fields, before anything is traced."""

import dataclasses
import functools
from collections.abc import Collection
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from jaxrl import lm, networks
from jaxrl.envs.refusals import check_policy
from jaxrl.ranges import check_fields

MASK_READERS = "jaxrl.PPO, RecurrentPPO, ActorCritic, VTraceActorCritic or Reinforce"


def check(algorithm: Any) -> None:
    """Refuse an algorithm whose fields cannot work, in one sentence.

    Traced fields pass: only their values at run time could be wrong. Arrays (a vmapped hyperparameter) are checked
    whole. Every host function calls this; call it yourself before your own `jit`.

    Args:
      algorithm: the algorithm.

    Raises:
      ValueError: for a number that is not finite or out of its range, of the task and of the sampling too, for a table
        that is no policy of the problem, for forbidden actions that the algorithm would take, and for a language model
        that cannot read its task.
      TypeError: for a value of the wrong kind, what is no gymnax environment, or an action space that the algorithm
        does not fit.

    Example:
      >>> import gymnax, jaxrl
      >>> jaxrl.check(jaxrl.PPO(*gymnax.make("CartPole-v1"), discount=1.5))
      Traceback (most recent call last):
      ...
      ValueError: discount=1.5 must be in [0, 1]
    """
    names = {field.name for field in dataclasses.fields(algorithm)}
    if {"env", "env_params"} <= names:
        _check_env(algorithm.env, algorithm.env_params)
    check_fields(algorithm)
    _check_parts(algorithm)
    for kind in ("observation", "action"):
        _check_space(algorithm, kind)
    if {"env", "env_params"} <= names:
        _check_masks(algorithm, names)
    _check_tables(algorithm)
    if {"task", "model"} <= names:
        _check_language(algorithm)
    if "reference_params" in names:
        _check_reference(algorithm)


def check_traceable(algorithm: Any) -> None:
    """Refuse an environment that Python steps and a task that Python judges, whose rewards no program has.

    Args:
      algorithm: the algorithm; one without an environment or a task passes.

    Raises:
      TypeError: with what gives the rewards, and what to use instead.

    Source: our own.
    """
    env: Any = getattr(algorithm, "env", None)
    if getattr(env, "on_host", False):
        raise TypeError(
            f"env: {env.name} is stepped by Python; use jaxrl.train_on_host, and jaxrl.evaluate_on_host to evaluate"
        )
    if is_judged(algorithm):
        raise TypeError("task: a function of Python gives its rewards, which no program can call; use jaxrl.fit")


def is_judged(algorithm: Any) -> bool:
    """Whether Python gives the rewards: `jaxrl.lm.tasks.Judged`.

    Args:
      algorithm: any.

    Source: our own.
    """
    return asks_for_rewards(algorithm) and hasattr(algorithm.task, "judge")


def asks_for_rewards(algorithm: Any) -> bool:
    """Whether a learner of a language model draws completions, which are judged; the others learn from texts.

    Args:
      algorithm: any.

    Source: our own.
    """
    return hasattr(type(algorithm), "drawn_by")  # asking the instance would hide errors of its task


def _check_env(env: Any, env_params: Any) -> None:
    """Refuse what gymnax 1.x would not call an environment."""
    methods = ("reset", "step", "observation_space", "action_space")
    if isinstance(env, type) or not all(callable(getattr(env, name, None)) for name in methods):
        raise TypeError(f"env: {env!r} is no gymnax environment; make one by jaxrl.envs.make")
    values: Any = _one_step.eval_shape(env, env_params)
    if len(values) != 6:
        raise TypeError(
            f"env: a step of {type(env).__name__} gives {len(values)} values, not the 6 of gymnax 1.x; wrap it: "
            "jaxrl.envs.LegacyEnvironment(env, env_params)"
        )


@functools.partial(jax.jit, static_argnames="env")
def _one_step(env: Any, env_params: Any) -> Any:
    """What a step gives. It is never run: a second check finds its trace."""
    reset_key, step_key = jax.random.split(jax.random.key(0))
    space = env.action_space(env_params)
    action = jnp.zeros((), jnp.int32) if hasattr(space, "n") else jnp.zeros(space.shape)
    _, state = env.reset(reset_key, env_params)
    return env.step(step_key, state, action, env_params)


def _check_parts(algorithm: Any) -> None:
    """Networks, cells and returns that are what fields of ours ask for; fields of one's own may have their names."""
    for field in dataclasses.fields(algorithm):
        name, value = field.name, getattr(algorithm, field.name)
        if "low" not in field.metadata or isinstance(value, jax.core.Tracer):
            continue
        if name in ("network", "actor", "critics") and value is not None:
            _check_network(name, value, hasattr(algorithm, "initial_memory"))
        if name == "cell":
            _check_cell(value)
        if name == "returns" and not all(hasattr(value, part) for part in ("mean", "atoms", "loss")):
            raise TypeError(f"returns={value!r} must have mean, atoms and loss, as jaxrl.ops.MeanReturns()")


def _check_language(algorithm: Any) -> None:
    """A tokenizer, prompts and texts that the model can read, and a verifier that can tell right from wrong."""
    task, model = algorithm.task, algorithm.model
    lm.check_vocabulary(task.tokenizer, model.config.vocab_size)
    if not asks_for_rewards(algorithm):
        text = jax.eval_shape(lambda: task.corpus(jax.random.key(0), 2))
        lm.check_context(model, text.prompt_length, text.mask.shape[1])
        if getattr(algorithm, "texts_per_row", 1) > 1 and not hasattr(task, "prompts"):
            raise ValueError(f"texts_per_row={algorithm.texts_per_row}: these texts fill their rows; leave it at 1")
        return
    if not hasattr(task, "prompts"):
        raise TypeError(f"task: a {type(task).__name__} asks nothing, so that nothing can be judged; pretrain on it")
    check_answers(algorithm)
    longest = algorithm.drawn_by.max_new_tokens
    if getattr(algorithm, "overlong", 0) > longest:
        raise ValueError(f"overlong={algorithm.overlong} must be at most the {longest} tokens of a completion")


def check_answers(algorithm: Any) -> None:
    """Prompts and completions that the model has room for, and a verifier that takes them, of a task that asks.

    Raises:
      ValueError: for what does not fit, before anything runs.
    """
    task, longest = algorithm.task, sampling_of(algorithm).max_new_tokens
    prompts = jax.eval_shape(lambda: task.prompts(jax.random.key(0), 2))
    lm.check_context(algorithm.model, prompts.tokens.shape[1], longest)
    drawn: Any = (jax.ShapeDtypeStruct((2, longest), dtype) for dtype in (jnp.int32, jnp.float32, jnp.bool_))
    jax.eval_shape(task.verify, prompts, lm.Completions(*drawn))


def sampling_of(algorithm: Any) -> lm.Sampling:
    """How an algorithm's completions are drawn: its own way, or the task's where it draws none to learn from."""
    return algorithm.drawn_by if asks_for_rewards(algorithm) else algorithm.task.sampling


def _check_reference(algorithm: Any) -> None:
    """A reference, where the divergence from it counts."""
    kl_coef = getattr(algorithm, "kl_coef", 0.0)
    if algorithm.reference_params is None and not isinstance(kl_coef, jax.core.Tracer) and np.any(kl_coef):
        raise ValueError(
            f"kl_coef={kl_coef}: there is no reference to be near to; give reference_params, which the command line "
            "takes from --model or a pretraining"
        )


def _check_masks(algorithm: Any, names: Collection[str]) -> None:
    """Whoever acts where actions are forbidden knows which: by a table of values or policies, or by a mask."""
    env, env_params, name = algorithm.env, algorithm.env_params, type(algorithm).__name__
    masked = networks.has_mask(env.observation_space(env_params))
    forbids = getattr(env_params, "allowed", None) is not None and not {"q", "policy"} & set(names)
    if (masked or forbids) and not getattr(algorithm, "reads_masks", True):
        raise ValueError(f"env: it forbids actions, and {name} would take them; choose {MASK_READERS}")
    if forbids and not masked:
        raise ValueError(
            f"env: the process forbids actions, and {name} does not know them; wrap it: "
            "envs.wrappers.MaskActions(env, envs.allowed_actions)"
        )


def _check_tables(algorithm: Any) -> None:
    """A process that is one, and policies that the problem allows, the acting one not less than the other."""
    names = {field.name for field in dataclasses.fields(algorithm)}
    if "mdp" in names and not hasattr(algorithm.mdp, "q_values"):
        raise TypeError(f"mdp: a {type(algorithm.mdp).__name__} is no Markov decision process; unpack or convert it")
    given = {name: getattr(algorithm, name) for name in ("policy", "behavior") if name in names}
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        return
    env, params = algorithm.env, algorithm.env_params
    shape = (env.observation_space(params).n, env.action_space(params).n)
    terminal = getattr(params, "terminal", None)
    for name, value in given.items():
        if jnp.shape(value)[-2:] != shape:
            raise ValueError(f"{name}: must be probabilities {list(shape)}, not {jnp.shape(value)}")
        for one in [value] if jnp.ndim(value) == 2 else value.reshape(-1, *shape):  # a batch to vmap over
            check_policy(name, one, shape, getattr(params, "allowed", None), terminal)
    if len(given) == 2 and not any(isinstance(x, jax.core.Tracer) for x in (*given.values(), terminal)):
        alive = True if terminal is None else ~np.asarray(terminal)[:, None]
        never = np.argwhere((np.asarray(given["policy"]) > 0) & (np.asarray(given["behavior"]) == 0) & alive)
        if len(never):
            state, action = never[0][-2:]
            raise ValueError(f"behavior: in state {state} it never takes action {action}, which policy does")


def _check_space(algorithm: Any, kind: str) -> None:
    supported = getattr(algorithm, f"{kind}_spaces", None)
    if supported is None:
        return
    space = type(getattr(algorithm.env, f"{kind}_space")(algorithm.env_params)).__name__
    if space not in supported:
        raise TypeError(
            f"env: {type(algorithm).__name__} needs {' or '.join(supported)} {kind} spaces, but "
            f"{algorithm.env.name} has a {space} one; choose another algorithm or environment"
        )


def _check_network(name: str, value: Any, with_memory: bool) -> None:
    if isinstance(value, type):
        raise TypeError(f"{name}: {value.__name__} is a class; pass an instance of it")
    if not hasattr(value, "init") or not hasattr(value, "apply"):
        raise TypeError(f"{name}={value!r} is no network, which is a linen module with init and apply")
    if with_memory and not hasattr(value, "initial_carry"):
        raise TypeError(f"{name}: {type(value).__name__} has no memory; pass a jaxrl.networks.Recurrent")


def _check_cell(value: Any) -> None:
    if not isinstance(value, type):
        raise TypeError(f"cell={value!r} must be the class of a cell, as nn.GRUCell")
    if not hasattr(value, "recurrent_kernel_init"):
        raise TypeError(f"cell: {value.__name__} has no recurrent_kernel_init; pass it in a network of your own")
