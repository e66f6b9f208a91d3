"""The README's tables, generated from results: `python -m benchmarks.tables`, and `--check` in the tests.

A table stands between the lines `<!-- table:NAME -->` and `<!-- /table -->`; NAME is a key of `TABLES`.
"""

import dataclasses
import pathlib
import re
import sys
from collections.abc import Callable, Sequence

import tyro

from benchmarks import deep_tables, language_tables, learning_tables, rendering, results, throughput_tables
from benchmarks.learning import FULL

MARKERS = re.compile(r"(<!-- table:(\w+) -->\n).*?(<!-- /table -->)", re.DOTALL)

TABLES: dict[str, Callable[[pathlib.Path], str]] = {
    "learning": learning_tables.learning_table,
    "learning_full": lambda directory: learning_tables.learning_table(directory, FULL),
    "suites": deep_tables.suites_table,
    "deep_vs_peers": deep_tables.deep_table,
    "time_to_score": deep_tables.score_table,
    "many_seeds": deep_tables.seeds_table,
    "replay": deep_tables.replay_table,
    "throughput": throughput_tables.throughput_table,
    "lm_learning": language_tables.lm_learning_table,
    "lm_vs_peers": language_tables.lm_vs_peers_table,
    "lm_memory": language_tables.lm_memory_table,
    "tabular_learning": lambda directory: rendering.tabular_table(results.load_any("tabular_learning", directory)),
    "dynamic_programming": lambda directory: rendering.solvers_table(
        results.load_any("dynamic_programming", directory)
    ),
    "complexity": lambda directory: rendering.complexity_table(results.load_any("complexity", directory)),
    "independent_runs": lambda directory: rendering.runs_table(results.load_any("independent_runs", directory)),
    "ppo_vs_peers": lambda directory: rendering.peers_table(results.load_any("ppo_vs_peers", directory)),
}


def fill(text: str, directory: pathlib.Path = results.RESULTS) -> str:
    """Replace what stands between the markers of every table.

    Raises:
      ValueError: for a table that nobody generates.
    """

    def table(match: re.Match[str]) -> str:
        if match[2] not in TABLES:
            raise ValueError(f"no table {match[2]!r}; there are: {', '.join(TABLES)}")
        return match[1] + TABLES[match[2]](directory) + match[3]

    return MARKERS.sub(table, text)


@dataclasses.dataclass(frozen=True)
class Options:
    """Write the README's tables from benchmarks/results."""

    check: bool = False
    """Write nothing; exit with 1 if a table differs from its results."""
    readme: pathlib.Path = results.ROOT / "README.md"
    results: pathlib.Path = results.RESULTS


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.tables")
    text = options.readme.read_text()
    filled = fill(text, options.results)
    if filled == text:
        return
    if options.check:
        sys.exit(f"{options.readme.name} differs from its results; run `python -m benchmarks.tables`")
    options.readme.write_text(filled)


if __name__ == "__main__":
    main()
