# SPDX-License-Identifier: Apache-2.0
"""Run the benchmarks and write their table: ``python benchmarks/report.py [--threads 2] [-o benchmarks/results]``.

Writes ``<machine>.md`` and ``<machine>.json`` to the folder. A row of the benchmarks that is not understood, or that
is missing, is an error: no number is lost silently.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import IO, Any

from machine import cores
from peers import COMPETITORS, FLOOR, OWN
from test_exact_rsm import CACHES, FIRST_CALL, SIZES, TURNS

from simplugins.files import write_whole

FOLDER = Path(__file__).resolve().parent
SURROUNDINGS = ("cpu", "cores", "threads", "versions")
PROBLEM = ("pairs", "positions", "channels")


@dataclass(frozen=True)
class Row:
    """One benchmark.

    Attributes
    ----------
    key : tuple
        (size, competitor, turn), or ("first call", state of the cache).
    seconds : float
        Median of its rounds.
    problem : dict
        Pairs, positions and channels; empty for a first call.
    surroundings : dict
        What it ran on and with.
    """

    key: tuple[Any, ...]
    seconds: float
    problem: dict[str, int]
    surroundings: dict[str, Any]


def expected_keys() -> set[tuple[Any, ...]]:
    """Return the keys of all rows that a run must have."""
    turns = {(size, name, turn) for size in SIZES for name in COMPETITORS for turn in range(TURNS)}
    return turns | {(FIRST_CALL, cache) for cache in CACHES}


def run_suite(threads: int) -> dict[str, Any]:
    """Run the benchmarks in a process of their own and return what pytest-benchmark saved."""
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "benchmarks.json"
        suite = FOLDER / "test_exact_rsm.py"
        options = [f"--threads={threads}", f"--benchmark-json={saved}", "--benchmark-columns=median,iqr,rounds", "-q"]
        subprocess.run([sys.executable, "-m", "pytest", str(suite), *options], cwd=FOLDER.parent, check=True)
        found: dict[str, Any] = json.loads(saved.read_text(encoding="utf-8"))
    return found


def parse_row(entry: Mapping[str, Any]) -> Row:
    """Read one benchmark of a saved run.

    Raises
    ------
    ValueError
        If it lacks something.
    """
    try:
        info = entry["extra_info"]
        first_call = entry["group"] == FIRST_CALL
        return Row(
            key=(FIRST_CALL, info["cache"]) if first_call else (entry["group"], info["competitor"], info["turn"]),
            seconds=float(entry["stats"]["median"]),
            problem={} if first_call else {name: int(info[name]) for name in PROBLEM},
            surroundings={name: info[name] for name in SURROUNDINGS},
        )
    except (KeyError, TypeError, ValueError) as error:
        named = entry.get("fullname", entry) if isinstance(entry, Mapping) else entry
        raise ValueError(f"benchmark {named} could not be read: {error!r}") from error


def parse_run(saved: Mapping[str, Any]) -> dict[tuple[Any, ...], Row]:
    """Read all benchmarks of a saved run, by key.

    Raises
    ------
    ValueError
        If one is unreadable, unknown, missing, there twice, or ran elsewhere or otherwise than the rest.
    """
    rows = [parse_row(entry) for entry in saved["benchmarks"]]
    by_key = {row.key: row for row in rows}
    if len(by_key) != len(rows):
        raise ValueError(f"{len(rows) - len(by_key)} benchmarks are there twice")
    if by_key.keys() != expected_keys():
        unknown, missing = by_key.keys() - expected_keys(), expected_keys() - by_key.keys()
        raise ValueError(f"benchmarks unknown: {sorted(unknown, key=str)}; missing: {sorted(missing, key=str)}")
    for row in rows:
        if row.surroundings != rows[0].surroundings:
            raise ValueError(f"benchmark {row.key} ran with {row.surroundings}, others with {rows[0].surroundings}")
    return by_key


def summarise(saved: Mapping[str, Any], threads: int) -> dict[str, Any]:
    """Reduce a saved run to what the table says."""
    rows = parse_run(saved)
    return {
        "command": f"python benchmarks/report.py --threads {threads}",
        "date": saved["datetime"][:10],
        **next(iter(rows.values())).surroundings,
        "turns": TURNS,
        "sizes": {size: summarise_size(rows, size) for size in SIZES},
        "first_call_seconds": {cache: rows[FIRST_CALL, cache].seconds for cache in CACHES},
    }


def summarise_size(rows: Mapping[tuple[Any, ...], Row], size: str) -> dict[str, Any]:
    """Return milliseconds a pair and ratios of the competitors of one size."""
    seconds = {name: [rows[size, name, turn].seconds for turn in range(TURNS)] for name in COMPETITORS}
    problem = rows[size, OWN, 0].problem
    ratios = {name: ratio(seconds[name], seconds[OWN]) for name in COMPETITORS if name not in (OWN, FLOOR)}
    return {
        **problem,
        "ms_per_pair": {name: 1e3 * median(turns) / problem["pairs"] for name, turns in seconds.items()},
        f"ratio_to_{OWN}": ratios,
        f"{OWN}_to_{FLOOR}": ratio(seconds[OWN], seconds[FLOOR]),
    }


def ratio(ones: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    """Compare times turn by turn: the median of the ratios, the lowest and the highest."""
    ratios = [one / other for one, other in zip(ones, others, strict=True)]
    return {"median": median(ratios), "lowest": min(ratios), "highest": max(ratios)}


def make_table(summary: Mapping[str, Any]) -> str:
    """Write a summary as Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    calls = summary["first_call_seconds"]
    lines = [
        f"# Exact semantic RSMs on {summary['cpu']}, {summary['cores']} cores, {summary['threads']} threads",
        "",
        f"Milliseconds per pair of inputs, and how many times the time of {OWN} that is: the median of "
        f"{summary['turns']} turns [lowest–highest]. `../README.md` says what is compared.",
        "",
        *table_lines(summary["sizes"]),
        "",
        f"A fresh process that imports {OWN} and calls it once takes {calls['empty']:.2f} s when it compiles the "
        f"kernels (once after installation), {calls['filled']:.2f} s when it finds them on disk.",
        "",
        f"{summary['date']}; {versions}. Made by `{summary['command']}`.",
        "",
    ]
    return "\n".join(lines)


def table_lines(sizes: Mapping[str, Any]) -> list[str]:
    """Return the lines of the table: a row a competitor, a time and a ratio for each size."""
    titles = [f"S = {s['positions']}, C = {s['channels']}, {s['pairs']} pairs (ms)" for s in sizes.values()]
    lines = [
        "| | " + " | | ".join(titles) + " | |",
        "|---|" + "---:|---:|" * len(sizes),
    ]
    for name in COMPETITORS:
        cells = [
            f"{s['ms_per_pair'][name]:.3g} | {format_ratio(s[f'ratio_to_{OWN}'].get(name))}" for s in sizes.values()
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    above = [f"| {format_ratio(s[f'{OWN}_to_{FLOOR}'])}" for s in sizes.values()]
    lines.append(f"| {OWN} / {FLOOR} | " + " | ".join(above) + " |")
    return lines


def format_ratio(found: Mapping[str, float] | None) -> str:
    """Write a ratio with its range, or nothing."""
    return "" if found is None else f"{found['median']:.3g}× [{found['lowest']:.3g}–{found['highest']:.3g}]"


def write_report(summary: Mapping[str, Any], folder: Path) -> Path:
    """Write the table and the summary beside it, each whole or not at all; return the table's path."""
    name = f"{summary['cpu']} {summary['cores']} cores {summary['threads']} threads"
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    texts = {".md": make_table(summary), ".json": json.dumps(summary, indent=1) + "\n"}
    for suffix, text in texts.items():
        write_text(folder / f"{slug}{suffix}", text)
    return folder / f"{slug}.md"


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all, in place of one that exists."""

    def write(file: IO[bytes]) -> None:
        file.write(text.encode("utf-8"))

    write_whole(path, write, overwrite=True)


def main() -> None:
    """Run the benchmarks and write their table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--threads", type=int, default=cores(), help="threads a competitor may use (default: all cores)"
    )
    parser.add_argument("-o", "--output", type=Path, default=FOLDER / "results", help="folder for the two files")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    summary = summarise(run_suite(arguments.threads), arguments.threads)
    path = write_report(summary, arguments.output)
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
