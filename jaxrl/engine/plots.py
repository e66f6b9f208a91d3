"""Pictures of a run: the learning curve, and an episode as an animation."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxrl import envs
from jaxrl.engine.acting import act, initial_memory
from jaxrl.engine.logging import progress_of, read_jsonl


def save_curve(directory: Path, title: str) -> Path | None:
    """Draw `curve.png`: return against environment steps, median and quartiles over seeds.

    Of a language model it is the reward against completions, or the loss per token against texts.

    Args:
      directory: of a run with a `metrics.jsonl`.
      title: of the picture.

    Returns:
      The picture's path; None if no return was recorded.
    """
    records = read_jsonl(directory / "metrics.jsonl")
    word, name = next((pair for record in records for pair in progress_of(record).items()), ("return", ""))
    series = {"training": name} | ({} if name == "loss" else {"evaluation": "evaluation_return"})
    counted = {"return": "environment steps", "loss per token": "texts"}.get(word, "completions")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for label, name in series.items():
        points = [(record["env_steps"], _numbers(record[name])) for record in records if name in record]
        points = [(steps, values) for steps, values in points if values.size]
        if points:
            steps = [steps for steps, _ in points]
            low, middle, high = np.array([np.quantile(values, [0.25, 0.5, 0.75]) for _, values in points]).T
            axes.plot(steps, middle, label=label, marker="o" if "evaluation" in name else "", markersize=3)
            axes.fill_between(steps, low, high, alpha=0.25, linewidth=0)
    if not axes.lines:
        return None
    axes.set(xlabel=f"{counted} of each seed", ylabel=f"{word} (median, quartiles over seeds)", title=title)
    axes.grid(alpha=0.3)
    axes.legend(loc="best")
    path = directory / "curve.png"
    figure.savefig(path, dpi=130)
    return path


def save_episode(algorithm: Any, state: Any, key: jax.Array, path: Path, max_frames: int = 500) -> tuple[int, bool]:
    """Play one episode with `algorithm.act` and save it as an animated GIF.

    Args:
      algorithm: with `env`, `env_params` and `act`.
      state: of the algorithm, one seed.
      key: consumed.
      path: of the file.
      max_frames: the animation ends there, the episode too.

    Returns:
      Number of frames, and whether the episode ended within them.
    """
    env, env_params = algorithm.env, algorithm.env_params
    reset_key, steps_key = jax.random.split(key)
    obs, env_state = envs.reset(env, env_params, reset_key, 1)

    @jax.jit
    def step(obs: Any, env_state: Any, memory: Any, key: jax.Array) -> Any:
        act_key, env_key = jax.random.split(key)
        action, memory = act(algorithm, state, obs, act_key, memory)
        return memory, *envs.step(env, env_params, jax.random.split(env_key, 1), obs, env_state, action)

    frames, total, done, memory = [], 0.0, False, initial_memory(algorithm, 1)
    for time in range(max_frames):
        frames.append((jax.device_get(obs), jax.device_get(env_state), total))
        memory, obs, env_state, transition = step(obs, env_state, memory, jax.random.fold_in(steps_key, time))
        total += float(transition.reward[0])
        done = bool(transition.done[0])
        if done:
            break
    _animate(env, env_params, [(*jax.tree.map(lambda x: x[0], frame[:2]), frame[2]) for frame in frames], path)
    return len(frames), done


def _animate(env: Any, env_params: Any, frames: list[tuple[Any, Any, float]], path: Path) -> None:
    from matplotlib.animation import FuncAnimation, PillowWriter
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6, 3.6), layout="constrained")
    axes = figure.subplots()
    draw = _drawer(env.name)

    def update(index: int) -> list[Any]:
        obs, env_state, total = frames[index]
        axes.clear()
        draw(axes, obs, env_state, env_params)
        axes.set_title(f"{env.name}   step {index + 1}   return {total:.1f}", fontsize=8)
        return []

    FuncAnimation(figure, update, frames=len(frames)).save(path, writer=PillowWriter(fps=25), dpi=72)


def _drawer(name: str) -> Any:
    return {"CartPole-v1": _draw_cartpole, "Pendulum-v1": _draw_pendulum, "Acrobot-v1": _draw_acrobot}.get(
        name, _draw_obs
    )


def _draw_cartpole(axes: Any, _: Any, env_state: Any, env_params: Any) -> None:
    x, angle, length = float(env_state.x), float(env_state.theta), 2 * float(env_params.length)
    axes.plot([x - 0.25, x + 0.25], [0, 0], linewidth=14, color="0.3", solid_capstyle="butt")
    axes.plot([x, x + length * np.sin(angle)], [0, length * np.cos(angle)], linewidth=5, color="tab:orange")
    limit = float(env_params.x_threshold)
    axes.set(xlim=(-limit - 0.3, limit + 0.3), ylim=(-0.5, length + 0.5), aspect="equal", yticks=[])


def _draw_pendulum(axes: Any, _: Any, env_state: Any, env_params: Any) -> None:
    del env_params
    angle = float(env_state.theta)
    axes.plot([0, -np.sin(angle)], [0, np.cos(angle)], linewidth=9, color="tab:red", solid_capstyle="round")
    axes.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal", xticks=[], yticks=[])


def _draw_acrobot(axes: Any, _: Any, env_state: Any, env_params: Any) -> None:
    del env_params
    first = float(env_state.joint_angle1)
    second = first + float(env_state.joint_angle2)
    x, y = np.sin(first), -np.cos(first)
    axes.plot([0, x, x + np.sin(second)], [0, y, y - np.cos(second)], linewidth=5, marker="o", color="tab:blue")
    axes.axhline(1.0, color="0.6", linestyle="--")
    axes.set(xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), aspect="equal", xticks=[], yticks=[])


def _draw_obs(axes: Any, obs: Any, env_state: Any, env_params: Any) -> None:
    """Images as colours by channel, everything else as bars."""
    del env_state, env_params
    obs = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(obs)]) if not hasattr(obs, "ndim") else obs
    if obs.ndim == 3:
        channel = np.where(obs.any(axis=-1), obs.astype(np.float32).argmax(axis=-1) + 1, 0)
        axes.imshow(channel, cmap="nipy_spectral", vmin=0, vmax=obs.shape[-1])
    elif obs.ndim == 2:
        axes.imshow(obs, cmap="viridis")
    else:
        values = np.atleast_1d(obs)
        axes.bar(range(len(values)), values)
    axes.set(xticks=[], yticks=[])


def _numbers(value: Any) -> np.ndarray:
    numbers = np.atleast_1d(np.array(value, dtype=np.float64))
    return numbers[~np.isnan(numbers)]
