"""Where the numbers of a run go: a live line, a JSONL file, TensorBoard."""

import json
import math
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Record = dict[str, Any]


class Logger(Protocol):
    """Takes the records of a run: flat dicts of numbers, or of lists with one number a seed.

    Every record has `update`, `env_steps` (of each seed) and `seconds`; one of training has the metrics and
    `steps_per_second`, one of an evaluation has `evaluation_return` and its kin, and of a language model `sample`, a
    prompt and its completion.
    """

    def begin(self, start: int, num_updates: int) -> None:
        """Get ready for a run that goes on from update `start` up to `num_updates`."""
        ...

    def log(self, record: Record) -> None:
        """Take one record."""
        ...

    def close(self) -> None:
        """Finish, also after an error."""
        ...


class JsonlLogger:
    """One JSON object a line in `directory/metrics.jsonl`; what is not finite becomes null.

    Args:
      directory: of the run.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "metrics.jsonl"

    def begin(self, start: int, num_updates: int) -> None:
        """Drop the lines after update `start`: the run makes them again."""
        del num_updates
        kept = [record for record in read_jsonl(self.path) if record["update"] <= start]
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(record) + "\n" for record in kept))
        temporary.replace(self.path)
        self._file = self.path.open("a")

    def log(self, record: Record) -> None:
        """Append one line and flush it."""
        self._file.write(json.dumps(_finite(record), allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoardLogger:
    """Event files for TensorBoard, one scalar a metric; the median where there are several seeds.

    Args:
      directory: for the event files.

    Raises:
      ModuleNotFoundError: without the extra `jaxrl[tensorboard]`.
    """

    def __init__(self, directory: Path) -> None:
        try:
            import tensorboardX
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "tensorboard: event files need the package tensorboardX; install jaxrl[tensorboard]"
            ) from None
        self._open = lambda step: tensorboardX.SummaryWriter(str(directory), purge_step=step)
        self._writer: Any = None

    def begin(self, start: int, num_updates: int) -> None:
        """Open nothing yet: the first record says from which step on an earlier file is void."""
        del start, num_updates

    def log(self, record: Record) -> None:
        """Write every number of the record."""
        if self._writer is None:
            self._writer = self._open(record["env_steps"])
        for name, value in record.items():
            if isinstance(value, str):
                self._writer.add_text(name, value, record["env_steps"])
                continue
            numbers = np.asarray(_finite(value), dtype=np.float64)
            if name not in ("update", "env_steps") and not np.all(np.isnan(numbers)):
                self._writer.add_scalar(name, float(np.nanmedian(numbers)), record["env_steps"])

    def close(self) -> None:
        """Flush and close the file."""
        if self._writer is not None:
            self._writer.close()


class ProgressLogger:
    """A live line on standard error: updates, steps, steps/s, return of finished episodes, time left.

    Args:
      quiet_seconds: where standard error is no terminal, a plain line is printed this often.
    """

    def __init__(self, quiet_seconds: float = 10.0) -> None:
        self._quiet_seconds, self._printed, self._evaluation = quiet_seconds, time.monotonic(), ""
        self.begun = False

    def begin(self, start: int, num_updates: int) -> None:
        """Show the line."""
        self.begun = True
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        count, text = TextColumn("{task.completed}/{task.total} updates"), TextColumn("{task.description}")
        columns = (count, BarColumn(), text, TextColumn("left"), TimeRemainingColumn())
        self._progress = Progress(*columns, console=self._console)
        self._task = self._progress.add_task("compiling", total=num_updates, completed=start)
        if self._console.is_terminal:
            self._progress.start()

    def log(self, record: Record) -> None:
        """Move the line on."""
        if "evaluation_return" in record:
            self._evaluation = f" · evaluation {_median(record['evaluation_return'])}"
            if "sample" in record:
                text = f"{record['update']} updates{self._evaluation} · {record['sample']}"
                self._console.print(text, highlight=False, soft_wrap=True, markup=False)
            return
        text = f"{record['env_steps']:,} steps · {record['steps_per_second']:,.0f} steps/s"
        for word, name in progress_of(record).items():
            text += f" · {word} {_median(record[name])}"
        text += self._evaluation
        self._progress.update(self._task, completed=record["update"], description=text)
        if not self._console.is_terminal and time.monotonic() - self._printed > self._quiet_seconds:
            self._printed = time.monotonic()
            self._console.print(f"{record['update']} updates · {text}", highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the last line standing."""
        if self.begun:
            self._progress.stop()


def progress_of(record: Record) -> dict[str, str]:
    """What a record of training says about how well it goes: names of its entries, by words for people."""
    if "episode_return" in record:
        return {"return": "episode_return"}
    if "reward" in record:
        return {"reward": "reward"}
    if "preferred" in record:
        return {"better one preferred": "preferred"}
    packed = {"left out": "left_out"} if "left_out" in record else {}
    return {"loss per token": "loss"} | packed if "tokens" in record else {}


def read_jsonl(path: Path) -> list[Record]:
    """Records of a JSONL file; none if it is missing. A last line cut short by a kill is left out."""
    records: list[Record] = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return records


def summarize(metrics: dict[str, np.ndarray]) -> Record:
    """One record of a window of updates: sums of episodes become means, everything else is averaged.

    Args:
      metrics: `[n]` or `[n, K]` each.

    Returns:
      Floats, or lists of K floats; NaN where no episode finished.
    """
    record: Record = {}
    episodes = metrics["episodes"].sum(axis=0, dtype=np.float64) if "episodes" in metrics else None
    for name, values in metrics.items():
        if episodes is not None and name == "episodes":
            record[name] = episodes.tolist()
        elif episodes is not None and name.startswith("episode_") and name.endswith("_sum"):
            total = values.sum(axis=0, dtype=np.float64)
            mean = np.divide(total, episodes, out=np.full_like(total, np.nan), where=episodes > 0)
            record[name.removesuffix("_sum")] = mean.tolist()
        else:
            record[name] = values.mean(axis=0, dtype=np.float64).tolist()
    return record


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value if not isinstance(value, float) or math.isfinite(value) else None


def _median(value: Any) -> str:
    numbers = np.asarray(_finite(value), dtype=np.float64)
    if np.all(np.isnan(numbers)):
        return "-"
    middle = np.nanmedian(numbers)
    return f"{middle:.1f}" if abs(middle) >= 10 else f"{middle:.3g}"
