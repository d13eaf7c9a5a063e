# SPDX-License-Identifier: Apache-2.0
"""Run the benchmarks and write their table: ``python benchmarks/report.py [--threads 2] [-o benchmarks/results]``.

Writes ``<machine>.md`` and ``<machine>.json`` to the folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from competitors import COMPETITORS, FLOOR, OWN
from runs import (
    Rows,
    describe_run,
    format_origin,
    format_ratio,
    parse_run,
    ratio,
    read_arguments,
    run_suite,
    write_report,
)
from test_exact_rsm import CACHES, FIRST_CALL, SIZES
from turns import TURNS


def expected_keys() -> set[tuple[Any, ...]]:
    """Return the keys of all rows of a complete run."""
    turns = {(size, name, turn) for size in SIZES for name in COMPETITORS for turn in range(TURNS)}
    return turns | {(FIRST_CALL, cache) for cache in CACHES}


def summarise(saved: Mapping[str, Any], threads: int) -> dict[str, Any]:
    """Summarise a saved run for the table."""
    rows = parse_run(saved, expected_keys())
    return {
        **describe_run(saved, rows, f"python benchmarks/report.py --threads {threads}"),
        "turns": TURNS,
        "sizes": {size: summarise_size(rows, size) for size in SIZES},
        "first_call_seconds": {cache: rows[FIRST_CALL, cache].seconds for cache in CACHES},
    }


def summarise_size(rows: Rows, size: str) -> dict[str, Any]:
    """Return the milliseconds per pair and the ratios of the competitors for one size."""
    seconds = {name: [rows[size, name, turn].seconds for turn in range(TURNS)] for name in COMPETITORS}
    problem = rows[size, OWN, 0].info
    ratios = {name: ratio(seconds[name], seconds[OWN]) for name in COMPETITORS if name not in (OWN, FLOOR)}
    return {
        **problem,
        "ms_per_pair": {name: 1e3 * median(turns) / problem["pairs"] for name, turns in seconds.items()},
        f"ratio_to_{OWN}": ratios,
        f"{OWN}_to_{FLOOR}": ratio(seconds[OWN], seconds[FLOOR]),
    }


def make_table(summary: Mapping[str, Any]) -> str:
    """Return a summary as Markdown."""
    calls = summary["first_call_seconds"]
    lines = [
        f"# Exact semantic RSMs on {summary['cpu']}, {summary['cores']} cores, {summary['threads']} threads",
        "",
        f"Milliseconds per pair of inputs, and the ratio to the time of {OWN}: median of {summary['turns']} turns "
        "[lowest–highest]. `../README.md` describes the competitors.",
        "",
        *table_lines(summary["sizes"]),
        "",
        f"A fresh process that imports {OWN} and calls it once takes {calls['empty']:.2f} s if it has to "
        f"compile (once after installation), and {calls['filled']:.2f} s if the machine code is cached on disk.",
        "",
        format_origin(summary),
        "",
    ]
    return "\n".join(lines)


def table_lines(sizes: Mapping[str, Any]) -> list[str]:
    """Return the lines of the table: a row per competitor, with a time and a ratio for each size."""
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
    floor = [f"| {format_ratio(s[f'{OWN}_to_{FLOOR}'])}" for s in sizes.values()]
    lines.append(f"| {OWN} / {FLOOR} | " + " | ".join(floor) + " |")
    return lines


def main() -> None:
    """Run the benchmarks and write their table."""
    arguments = read_arguments(__doc__ or "")
    summary = summarise(run_suite("test_exact_rsm.py", arguments.threads), arguments.threads)
    path = write_report(make_table(summary), summary, arguments.output)
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
