"""Values and policies of grids, as text and as pictures."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxrl.envs import Grid

ARROWS = {
    (-1, 0): "↑",
    (0, 1): "→",
    (1, 0): "↓",
    (0, -1): "←",
    (-1, 1): "↗",
    (1, 1): "↘",
    (1, -1): "↙",
    (-1, -1): "↖",
    (0, 0): "·",
}


def grid_text(values: np.ndarray, best: np.ndarray, grid: Grid, terminal: Any = None) -> str:
    """Values, and below them the best actions as arrows.

    Args:
      values: `[S]`.
      best: bool `[S, A]`, all best actions of each state.
      grid: where the states lie.
      terminal: bool `[S]` or None; the end of an episode is shown as ■ and a place without a state as blank.

    Returns:
      Lines of text.

    Example:
      >>> from jaxrl.envs import grid_of
      >>> lines = grid_text(np.zeros(48), np.eye(4, dtype=bool)[np.zeros(48, int)], grid_of("CliffWalking", None, None))
      >>> len(lines.splitlines())
      9
    """
    ended = np.zeros(len(values), bool) if terminal is None else np.asarray(terminal)
    numbers, arrows = np.full(grid.shape, "", object), np.full(grid.shape, "", object)
    for state, (row, column) in enumerate(grid.place):
        numbers[row, column] = f"{values[state]:.4g}"
        signs = [ARROWS[int(r), int(c)] for r, c in grid.moves[best[state]]]
        arrows[row, column] = "■" if ended[state] else "".join(signs)
    return "\n".join([*_lines(numbers), "", *_lines(arrows)])


def show_grid(path: Path, title: str, values: np.ndarray, best: np.ndarray, grid: Grid, terminal: Any = None) -> None:
    """Print the grid and draw it; arguments as `save_grid`."""
    print(grid_text(values, best, grid, terminal))
    save_grid(path, title, values, best, grid, terminal)


def save_grid(path: Path, title: str, values: np.ndarray, best: np.ndarray, grid: Grid, terminal: Any = None) -> None:
    """Draw a heat map of the values with arrows for the best actions.

    Args:
      path: of the PNG file.
      title: of the picture.
      values: `[S]`.
      best: bool `[S, A]`.
      grid: where the states lie.
      terminal: bool `[S]` or None.
    """
    from matplotlib.figure import Figure

    ended = np.zeros(len(values), bool) if terminal is None else np.asarray(terminal)
    picture = np.full(grid.shape, np.nan)
    picture[tuple(grid.place.T)] = np.where(ended, np.nan, values)
    figure = Figure(figsize=(1.2 + 0.62 * grid.shape[1], 1.2 + 0.62 * grid.shape[0]), layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("0.85")
    image = axes.imshow(picture, cmap="viridis")
    figure.colorbar(image, ax=axes, label="value", shrink=0.8)
    for state, (row, column) in enumerate(grid.place):
        if ended[state]:
            axes.text(column, row, "■", ha="center", va="center", color="0.4")
            continue
        for rows, columns in grid.moves[best[state]]:
            if rows or columns:
                arrow = dict(arrowstyle="-|>", color="white", shrinkA=0, shrinkB=0)
                axes.annotate("", (column + 0.38 * columns, row + 0.38 * rows), (column, row), arrowprops=arrow)
            else:
                axes.plot(column, row, "o", color="white", markersize=4)
    axes.set(title=title, xticks=range(grid.shape[1]), yticks=range(grid.shape[0]))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def _lines(cells: np.ndarray) -> list[str]:
    width = max(len(cell) for cell in cells.flat) + 2
    return ["".join(cell.rjust(width) for cell in row).rstrip() for row in cells]
