# SPDX-License-Identifier: Apache-2.0
"""Runs: from a suite of benchmarks to rows, ratios, and a table and numbers on disk.

A row that is not understood, or that is missing, is an error: no number is lost silently.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import IO, Any

from simplugins._common.filesystem import write_whole
from simplugins._common.threads import usable_cores

FOLDER = Path(__file__).resolve().parent
SURROUNDINGS = ("cpu", "cores", "threads", "versions")


@dataclass(frozen=True)
class Row:
    """One benchmark.

    Attributes
    ----------
    key : tuple
        What the benchmark calls itself, such as (size, competitor, turn).
    seconds : float
        Median of its rounds.
    info : dict
        All else that it says of itself.
    surroundings : dict
        What it ran on and with.
    """

    key: tuple[Any, ...]
    seconds: float
    info: dict[str, Any]
    surroundings: dict[str, Any]


Rows = Mapping[tuple[Any, ...], Row]


def read_arguments(description: str) -> argparse.Namespace:
    """Read the options that all reports share."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument(
        "--threads", type=int, default=usable_cores(), help="threads a competitor may use (default: all cores)"
    )
    parser.add_argument("-o", "--output", type=Path, default=FOLDER / "results", help="folder for the two files")
    return parser.parse_args()


def run_suite(name: str, threads: int) -> dict[str, Any]:
    """Run a file of benchmarks in a process of its own and return what pytest-benchmark saved."""
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "benchmarks.json"
        options = [f"--threads={threads}", f"--benchmark-json={saved}", "--benchmark-columns=median,iqr,rounds", "-q"]
        command = [sys.executable, "-m", "pytest", str(FOLDER / name), *options]
        subprocess.run(command, cwd=FOLDER.parent, check=True)
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
        info = dict(entry["extra_info"])
        return Row(
            key=tuple(info.pop("key")),
            seconds=float(entry["stats"]["median"]),
            surroundings={name: info.pop(name) for name in SURROUNDINGS},
            info=info,
        )
    except (KeyError, TypeError, ValueError) as error:
        named = entry.get("fullname", entry) if isinstance(entry, Mapping) else entry
        raise ValueError(f"benchmark {named} could not be read: {error!r}") from error


def parse_run(saved: Mapping[str, Any], expected: Set[tuple[Any, ...]]) -> dict[tuple[Any, ...], Row]:
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
    if by_key.keys() != expected:
        unknown, missing = by_key.keys() - expected, expected - by_key.keys()
        raise ValueError(f"benchmarks unknown: {sorted(unknown, key=str)}; missing: {sorted(missing, key=str)}")
    for row in rows:
        if row.surroundings != rows[0].surroundings:
            raise ValueError(f"benchmark {row.key} ran with {row.surroundings}, others with {rows[0].surroundings}")
    return by_key


def describe_run(saved: Mapping[str, Any], rows: Rows, command: str) -> dict[str, Any]:
    """Return what a summary says of the run as a whole."""
    return {"command": command, "date": saved["datetime"][:10], **next(iter(rows.values())).surroundings}


def ratio(ones: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    """Compare times turn by turn: the median of the ratios, the lowest and the highest."""
    ratios = [one / other for one, other in zip(ones, others, strict=True)]
    return {"median": median(ratios), "lowest": min(ratios), "highest": max(ratios)}


def format_ratio(found: Mapping[str, float] | None) -> str:
    """Write a ratio with its range, if it has one, or nothing."""
    if found is None:
        return ""
    spread = f" [{found['lowest']:.3g}–{found['highest']:.3g}]" if found["lowest"] < found["highest"] else ""
    return f"{found['median']:.3g}×{spread}"


def format_origin(summary: Mapping[str, Any]) -> str:
    """Say when, with what and by which command a table was made."""
    versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    return f"{summary['date']}; {versions}. Made by `{summary['command']}`."


def write_report(table: str, summary: Mapping[str, Any], folder: Path, suffix: str = "") -> Path:
    """Write a table and its summary, each whole or not at all, to files named by machine; return the table's path."""
    name = f"{summary['cpu']} {summary['cores']} cores {summary['threads']} threads{suffix}"
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / f"{slug}.json", json.dumps(summary, indent=1) + "\n")
    write_text(folder / f"{slug}.md", table)
    return folder / f"{slug}.md"


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all, in place of one that exists."""

    def write(file: IO[bytes]) -> None:
        file.write(text.encode("utf-8"))

    write_whole(path, write, overwrite=True)
