# SPDX-License-Identifier: Apache-2.0
"""Runs: from a suite of benchmarks to rows, ratios, and files with a table and its numbers.

Unreadable, unknown or missing rows raise an error.
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
ENVIRONMENT = ("cpu", "cores", "threads", "versions")


@dataclass(frozen=True)
class Row:
    """The result of one benchmark.

    Attributes
    ----------
    key : tuple
        Its identity, such as (size, competitor, turn).
    seconds : float
        Median of its rounds.
    info : dict
        Further information recorded by the benchmark.
    environment : dict
        Machine, threads and versions.
    """

    key: tuple[Any, ...]
    seconds: float
    info: dict[str, Any]
    environment: dict[str, Any]


Rows = Mapping[tuple[Any, ...], Row]


def read_arguments(description: str) -> argparse.Namespace:
    """Parse the command-line options shared by all reports."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument(
        "--threads", type=int, default=usable_cores(), help="threads a competitor may use (default: all cores)"
    )
    parser.add_argument("-o", "--output", type=Path, default=FOLDER / "results", help="folder for the two files")
    return parser.parse_args()


def run_suite(name: str, threads: int) -> dict[str, Any]:
    """Run a file of benchmarks in a separate process, and return the results saved by pytest-benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "benchmarks.json"
        options = [f"--threads={threads}", f"--benchmark-json={saved}", "--benchmark-columns=median,iqr,rounds", "-q"]
        command = [sys.executable, "-m", "pytest", str(FOLDER / name), *options]
        subprocess.run(command, cwd=FOLDER.parent, check=True)
        results: dict[str, Any] = json.loads(saved.read_text(encoding="utf-8"))
    return results


def parse_row(entry: Mapping[str, Any]) -> Row:
    """Read one benchmark of a saved run.

    Raises
    ------
    ValueError
        If a value is missing or invalid.
    """
    try:
        info = dict(entry["extra_info"])
        return Row(
            key=tuple(info.pop("key")),
            seconds=float(entry["stats"]["median"]),
            environment={name: info.pop(name) for name in ENVIRONMENT},
            info=info,
        )
    except (KeyError, TypeError, ValueError) as error:
        name = entry.get("fullname", entry) if isinstance(entry, Mapping) else entry
        raise ValueError(f"benchmark {name} could not be read: {error!r}") from error


def parse_run(saved: Mapping[str, Any], expected: Set[tuple[Any, ...]]) -> dict[tuple[Any, ...], Row]:
    """Read all benchmarks of a saved run by key.

    Raises
    ------
    ValueError
        If one is unreadable, unknown, missing or duplicated, or ran in another environment than the rest.
    """
    rows = [parse_row(entry) for entry in saved["benchmarks"]]
    by_key = {row.key: row for row in rows}
    if len(by_key) != len(rows):
        raise ValueError(f"{len(rows) - len(by_key)} benchmarks are duplicated")
    if by_key.keys() != expected:
        unknown, missing = by_key.keys() - expected, expected - by_key.keys()
        raise ValueError(f"benchmarks unknown: {sorted(unknown, key=str)}; missing: {sorted(missing, key=str)}")
    for row in rows:
        if row.environment != rows[0].environment:
            raise ValueError(f"benchmark {row.key} ran with {row.environment}, others with {rows[0].environment}")
    return by_key


def describe_run(saved: Mapping[str, Any], rows: Rows, command: str) -> dict[str, Any]:
    """Describe the run as a whole."""
    return {"command": command, "date": saved["datetime"][:10], **next(iter(rows.values())).environment}


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> dict[str, float]:
    """Return the median, lowest and highest ratio of times of the same turn."""
    ratios = [above / below for above, below in zip(numerators, denominators, strict=True)]
    return {"median": median(ratios), "lowest": min(ratios), "highest": max(ratios)}


def format_ratio(ratios: Mapping[str, float] | None) -> str:
    """Format a ratio and its range; an empty string for None."""
    if ratios is None:
        return ""
    spread = f" [{ratios['lowest']:.3g}–{ratios['highest']:.3g}]" if ratios["lowest"] < ratios["highest"] else ""
    return f"{ratios['median']:.3g}×{spread}"


def format_origin(summary: Mapping[str, Any]) -> str:
    """Return a line with the date, versions and command of a summary."""
    versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    return f"{summary['date']}; {versions}. Measured by `{summary['command']}`."


def write_report(table: str, summary: Mapping[str, Any], folder: Path, suffix: str = "") -> Path:
    """Write a table and its summary atomically to files named after the machine, and return the table's path."""
    path = report_path(summary, folder, suffix)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path.with_suffix(".json"), json.dumps(summary, indent=1) + "\n")
    write_text(path, table)
    return path


def report_path(summary: Mapping[str, Any], folder: Path, suffix: str = "") -> Path:
    """Return the path of a report, which is named after the machine."""
    name = f"{summary['cpu']} {summary['cores']} cores {summary['threads']} threads{suffix}"
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return folder / f"{slug}.md"


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, replacing an existing one."""

    def write(file: IO[bytes]) -> None:
        file.write(text.encode("utf-8"))

    write_whole(path, write, overwrite=True)
