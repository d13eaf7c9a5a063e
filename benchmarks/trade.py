# SPDX-License-Identifier: Apache-2.0
"""Measure the trade-off of approximate matchings: ``python benchmarks/trade.py [--threads 2] [-o benchmarks/results]``.

Writes ``<machine>-trade.md`` and ``<machine>-trade.json`` to the folder, and plots them in
``docs/images/trade.png``.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from inputs import ROOT
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
from test_trade import LAYERS, OPTIMAL, PEERS, TOP, TOP_GREEDY, TURNS, cases, matchings
from trade_picture import draw_trade

from simplugins.plotting.heatmaps import save_figure

PICTURE = ROOT / "docs" / "images" / "trade.png"


def summarise(saved: Mapping[str, Any], threads: int) -> dict[str, Any]:
    """Summarise a saved run for the table and the figure."""
    rows = parse_run(saved, {(positions, name, turn) for positions, turn, name in cases()})
    return {
        **describe_run(saved, rows, f"python benchmarks/trade.py --threads {threads}"),
        "turns": TURNS,
        "sizes": [summarise_size(rows, positions) for positions in LAYERS],
    }


def summarise_size(rows: Rows, positions: int) -> dict[str, Any]:
    """Return the times and similarities of all matchings for one size."""
    info = rows[positions, OPTIMAL, 0].info
    return {
        "layer": LAYERS[positions],
        **{name: info[name] for name in ("positions", "channels", "pairs", "worst_among")},
        "matchings": {name: summarise_matching(rows, positions, name) for name in matchings(positions)},
    }


def summarise_matching(rows: Rows, positions: int, name: str) -> dict[str, Any]:
    """Return milliseconds per pair, the speed relative to optimal matching, and the shares of the optimum reached."""
    turns = range(matchings(positions)[name].turns)
    results = [rows[positions, name, turn] for turn in turns]
    seconds = [row.seconds for row in results]
    return {
        "ms_per_pair": 1e3 * median(seconds) / results[0].info["pairs"],
        "times_as_fast": ratio([rows[positions, OPTIMAL, turn].seconds for turn in turns], seconds),
        "reached": results[0].info["reached"],
        "worst": results[0].info["worst"],
    }


def make_table(summary: Mapping[str, Any]) -> str:
    """Return a summary as Markdown."""
    lines = [
        f"# The trade-off of approximate matchings, on {summary['cpu']}, {summary['cores']} cores, "
        f"{summary['threads']} threads",
        "",
        f"Milliseconds per pair of inputs; the speed relative to optimal matching, as the median of {summary['turns']} "
        "turns [lowest–highest]; and the similarity reached: the sum of the aligned inner products of all pairs, as a "
        f"share of the sum of the optimal ones, and the share of the worst pair. {' and '.join(PEERS)} had one turn. "
        "`../README.md` describes the method.",
        "",
        *(line for size in summary["sizes"] for line in size_lines(size)),
        format_origin(summary),
        "",
    ]
    return "\n".join(lines)


def size_lines(size: Mapping[str, Any]) -> list[str]:
    """Return the table of one size under its heading."""
    among = "" if size["worst_among"] == size["pairs"] else f" of {size['worst_among']} pairs"
    return [
        f"## S = {size['positions']}, C = {size['channels']}: {size['pairs']} pairs, `{size['layer']}`",
        "",
        f"| | ms per pair | times as fast as {OPTIMAL} | reached | worst{among} |",
        "|---|---:|---:|---:|---:|",
        *(matching_line(size["positions"], name, result) for name, result in size["matchings"].items()),
        "",
    ]


def matching_line(positions: int, name: str, result: Mapping[str, Any]) -> str:
    """Return a row of a table."""
    label = f"{name}, k = {min(TOP, positions // 4)}" if name == TOP_GREEDY else name
    speed = "" if name == OPTIMAL else format_ratio(result["times_as_fast"])
    return f"| {label} | {result['ms_per_pair']:.3g} | {speed} | {result['reached']:.2%} | {result['worst']:.2%} |"


def main() -> None:
    """Run the benchmarks, write their table and draw the figure."""
    arguments = read_arguments(__doc__ or "")
    summary = summarise(run_suite("test_trade.py", arguments.threads), arguments.threads)
    path = write_report(make_table(summary), summary, arguments.output, " trade")
    save_figure(draw_trade(summary), PICTURE, overwrite=True)
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
