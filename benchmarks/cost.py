# SPDX-License-Identifier: Apache-2.0
"""Measure how the cost of an RSM grows: ``python benchmarks/cost.py [--threads 2] [-o benchmarks/results]``.

Writes ``<machine>-cost.md`` and ``<machine>-cost.json`` to the folder, and plots them in ``docs/images/cost.png``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from competitors import RTOL, Activations, scipy_threads
from cost_picture import draw_cost
from inputs import ROOT
from machine import environment
from on_gpu.inputs import Case, count_pairs, load
from runs import format_origin, read_arguments, write_report

import simplugins
from simplugins.plotting.heatmaps import save_figure

PICTURE = ROOT / "docs" / "images" / "cost.png"

ROUNDS, SECONDS = 5, 3.0
"""A run is repeated up to this number of times, until this time has passed."""


class Point(NamedTuple):
    """Activations whose RSM is timed; SciPy is timed on the first `peer_inputs` of them."""

    case: Case
    peer_inputs: int = 0


CURVES = {
    "inputs": [Point(Case("block15", 49, 320, count)) for count in (100, 200, 500, 1000, 2000, 4000)],
    "positions": [
        Point(Case("block15", 49, 320, 24), 24),
        Point(Case("block10", 100, 112, 24), 24),
        Point(Case("block10", 196, 112, 24), 24),
        Point(Case("block4", 400, 40, 8), 8),
        Point(Case("block4", 784, 40, 8), 8),
        Point(Case("block2", 1600, 24, 4), 4),
        Point(Case("block2", 3136, 24, 4), 4),
    ],
    "channels": [Point(Case("block10", 196, count, 72)) for count in (16, 32, 64, 112, 256, 512, 1024)],
}
"""The points of each curve. The curve of positions uses layers without added copies, which are easy to match."""


def measure(point: Point, threads: int) -> dict[str, Any]:
    """Estimate a run, then time it, and SciPy on some of its pairs."""
    case, activations = point.case, load(point.case)
    estimate = simplugins.estimate(case.inputs, case.positions, case.channels, threads=threads)
    seconds = seconds_of(lambda: simplugins.compute_rsm(activations, threads=threads, engine="cpu"))
    result: dict[str, Any] = {
        "layer": case.layer,
        "inputs": case.inputs,
        "positions": case.positions,
        "channels": case.channels,
        "pairs": estimate.pairs,
        "seconds": seconds,
        "ms_per_pair": 1e3 * seconds / estimate.pairs,
        "estimated_seconds": estimate.seconds,
        "estimated_ms_per_pair": 1e3 * estimate.seconds / estimate.pairs,
        "estimated_to_measured": estimate.seconds / seconds,
    }
    if point.peer_inputs:
        result["scipy_ms_per_pair"] = 1e3 * scipy_seconds_per_pair(activations[: point.peer_inputs], threads)
        result["scipy_to_own"] = result["scipy_ms_per_pair"] / result["ms_per_pair"]
    print(", ".join(f"{name} {value:.4g}" for name, value in result.items() if name != "layer"), flush=True)
    return result


def seconds_of(run: Callable[[], object]) -> float:
    """Return the median time of the rounds."""
    rounds: list[float] = []
    while not rounds or (len(rounds) < ROUNDS and sum(rounds) < SECONDS):
        start = perf_counter()
        run()
        rounds.append(perf_counter() - start)
    return median(rounds)


def scipy_seconds_per_pair(activations: Activations, threads: int) -> float:
    """Time SciPy's solver in a thread pool once, and check that both find the same optima."""
    start = perf_counter()
    products = scipy_threads(activations, threads)
    seconds = perf_counter() - start
    above = np.triu_indices(len(activations), 1)
    values = simplugins.compute_rsm(activations, "semantic-linear", threads=threads, engine="cpu").values
    scale = RTOL * np.abs(values).max()
    np.testing.assert_allclose(values[above], products[above], rtol=RTOL, atol=scale)
    return seconds / count_pairs(len(activations))


def make_table(summary: Mapping[str, Any]) -> str:
    """Return a summary as Markdown."""
    lines = [
        f"# How the cost of an RSM grows, on {summary['cpu']}, {summary['cores']} cores, {summary['threads']} threads",
        "",
        "Seconds for `compute_rsm` (semantic-cosine, optimal matching), from activations in memory to the RSM, and "
        "the estimate made just before. SciPy is `linear_sum_assignment` in a thread pool, on some of the same pairs. "
        "`../../docs/cost.md` describes the method.",
        "",
    ]
    for name, points in summary["curves"].items():
        lines += curve_lines(name, points)
    return "\n".join([*lines, format_origin(summary), ""])


def curve_lines(name: str, points: list[dict[str, Any]]) -> list[str]:
    """Return the table of a curve under its heading."""
    has_scipy = "scipy_ms_per_pair" in points[0]
    header = "| N | S | C | layer | pairs | s | ms per pair | estimated s | estimated / measured |"
    rule = "|---:|---:|---:|---|---:|---:|---:|---:|---:|"
    if has_scipy:
        header, rule = f"{header} SciPy, ms per pair | SciPy / simplugins |", f"{rule}---:|---:|"
    return [f"## More {name}", "", header, rule, *(point_line(point) for point in points), ""]


def point_line(point: Mapping[str, Any]) -> str:
    """Return a row of a table."""
    size = f"{point['inputs']:,} | {point['positions']:,} | {point['channels']:,} | `{point['layer']}`"
    times = f"{point['pairs']:,} | {point['seconds']:.3g} | {point['ms_per_pair']:.3g}"
    estimate = f"{point['estimated_seconds']:.3g} | {point['estimated_to_measured']:.2f}"
    row = f"| {size} | {times} | {estimate} |"
    if "scipy_ms_per_pair" in point:
        row += f" {point['scipy_ms_per_pair']:.3g} | {point['scipy_to_own']:.3g}× |"
    return row


def main() -> None:
    """Measure the curves, write the tables and draw the figure."""
    arguments = read_arguments(__doc__ or "")
    simplugins.compute_rsm(np.ones((2, 1, 1), np.float32), threads=1, engine="cpu")  # compiles before timing
    curves = {name: [measure(point, arguments.threads) for point in points] for name, points in CURVES.items()}
    summary = {
        "command": f"python benchmarks/cost.py --threads {arguments.threads}",
        "date": date.today().isoformat(),
        **environment(arguments.threads),
        "curves": curves,
    }
    path = write_report(make_table(summary), summary, arguments.output, " cost")
    save_figure(draw_cost(summary), PICTURE, overwrite=True)
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
