# SPDX-License-Identifier: Apache-2.0
"""Compare the exact solver with SciPy, lapx and POT on many kinds of affinities, on one thread.

The whole table, in about a quarter of an hour::

    python benchmarks/solvers/report.py [-o FOLDER] [--keep FILE]

writes ``<machine>-solvers.md`` and ``.json`` to ``benchmarks/results``, and a picture to ``docs/images/solvers.png``;
with ``-o``, everything to one folder. With ``--keep``, an interrupted run continues. ``--quick`` tests all steps on
small problems; it requires ``-o``, because its numbers are meaningless. ``--rewrite FILE`` makes table and picture anew
from the JSON file of a run. The exit status is 1 if one of our values falls short.

Single cells, in seconds, printed only::

    python benchmarks/solvers/report.py --families integers,lognormal --sizes 49,196x392 [--dtype float64]

``--families`` takes beginnings of names, ``--sizes`` numbers of positions or rows x columns.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from machine import environment
from runs import FOLDER, write_report
from threadpoolctl import threadpool_limits

from simplugins.plotting.heatmaps import save_figure
from solvers.competing import LAPX, OURS, SCIPY
from solvers.families import FAMILIES, select
from solvers.picture import draw
from solvers.plan import FAST, QUICK_SHAPES, SHAPES, WHOLE, Shape, cells
from solvers.table import facts, write
from solvers.timing import SINGLE, Budget, measure
from solvers.tokens import UnavailableError

COMMAND = "python benchmarks/solvers/report.py"
RESULTS = FOLDER / "results"
FIGURES = FOLDER.parent / "docs" / "images"
PICTURE = "solvers.png"
HEAD = (
    f"{'':13s} {'size':>9s} {'ms':>9s} {'SciPy':>6s} {'lapx':>6s}  exchanged: {'SciPy':>6s} {'lapx':>6s} {'times':>6s}"
)


def line(cell: dict[str, Any]) -> str:
    """Return a cell as a line of text."""
    there, back = cell["ways"]
    ratios = [way["ratios"].get(name) for way in (there, back) for name in (SCIPY, LAPX)]
    ratios.append(cell["exchanged"])
    numbers = [" " * 6 if ratio is None else f"{ratio:6.2f}" for ratio in ratios]
    ms = there["ms"].get(OURS)
    text = f"{cell['family']:13s} {cell['rows']:4d}x{cell['cols']:<4d} " + (" " * 9 if ms is None else f"{ms:9.4f}")
    text += f" {' '.join(numbers[:2])}             {' '.join(numbers[2:])}"
    text += "" if there["exact"] and back["exact"] else f"  FALLS SHORT: {there['shortfall']} {back['shortfall']}"
    if cell["skipped"]:
        text += "  skipped: " + ", ".join(f"{name} ({seconds:.0f} s)" for name, seconds in cell["skipped"].items())
    for counts in cell["counts"] or []:
        text += "  " + " ".join(f"{name} {value:.3g}" for name, value in counts.items()) if counts else ""
    return text


def print_cells(options: argparse.Namespace) -> bool:
    """Measure and print single cells; return whether all values are exact."""
    exact = True
    budget = Budget(SINGLE.elements, options.turns or SINGLE.turns, SINGLE.seconds, options.limit or SINGLE.limit)
    print(HEAD)
    for size in (options.sizes or "49,196").split(","):
        rows, _, cols = size.partition("x")
        for key in select(options.families) if options.families else FAMILIES:
            try:
                cell = measure(key, int(rows), int(cols or rows), options.dtype, budget, options.seed)
            except UnavailableError as reason:
                print(f"{key:13s} {size:>9s} left out: {reason}")
                continue
            exact &= all(way["exact"] for way in cell["ways"])
            print(line(cell), flush=True)
    return exact


def measure_all(shapes: tuple[Shape, ...], budget: Budget, keep: Path | None) -> dict[str, Any]:
    """Measure all cells of the table, and return the summary."""
    done = _read(keep)
    start = perf_counter()
    left_out: dict[str, str] = {}
    print(HEAD)
    for key, shape in cells(shapes):
        place = f"{key} {shape.name}"
        if place in done:
            continue
        try:
            done[place] = measure(key, shape.rows, shape.cols, shape.dtype, budget)
        except UnavailableError as reason:
            left_out[f"{FAMILIES[key].title}, {shape.name}"] = str(reason)
            continue
        print(line(done[place]), flush=True)
        if keep is not None:
            with keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"place": place, "cell": done[place]}) + "\n")
    results = [done[place] for key, shape in cells(shapes) if (place := f"{key} {shape.name}") in done]
    return {
        "command": COMMAND,
        "date": date.today().isoformat(),
        **environment(1),
        "seconds": perf_counter() - start,
        "limit": budget.limit,
        "facts": facts(results),
        "left_out": left_out,
        "cells": results,
    }


def _read(keep: Path | None) -> dict[str, dict[str, Any]]:
    if keep is None or not keep.exists():
        return {}
    rows = map(json.loads, keep.read_text(encoding="utf-8").splitlines())
    return {row["place"]: row["cell"] for row in rows}


def publish(summary: dict[str, Any], folder: Path, figures: Path) -> Path:
    """Write the report, its numbers and its picture, and return the path of the report."""
    folder.mkdir(parents=True, exist_ok=True)
    figures.mkdir(parents=True, exist_ok=True)
    save_figure(draw(summary), figures / PICTURE, overwrite=True)
    picture = Path(os.path.relpath((figures / PICTURE).resolve(), folder.resolve())).as_posix()
    return write_report(write(summary, picture), summary, folder, " solvers")


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, help="folder of table, numbers and picture")
    parser.add_argument("--keep", type=Path, help="file of finished cells, to continue an interrupted run")
    parser.add_argument("--quick", action="store_true", help="test all steps; needs -o")
    parser.add_argument("--rewrite", type=Path, help="JSON file of a run to make table and picture from")
    parser.add_argument("--families", help="print some: beginnings of names, with commas")
    parser.add_argument("--sizes", help="print some: such as 49,196x392")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"), help="of printed cells")
    parser.add_argument("--turns", type=int, help="of printed cells")
    parser.add_argument("--limit", type=float, help="seconds per problem from which printed cells skip a solver")
    parser.add_argument("--seed", type=int, default=0, help="of printed cells")
    options = parser.parse_args(arguments)
    if options.quick and options.output is None:
        parser.error("--quick needs -o, because its numbers are meaningless")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as the options say, and return the exit status."""
    options = read_options(arguments)
    with threadpool_limits(1):
        if options.families or options.sizes:
            return 0 if print_cells(options) else 1
        if options.rewrite:
            summary = json.loads(options.rewrite.read_text(encoding="utf-8"))
            summary["facts"] = facts(summary["cells"])
        else:
            shapes, budget = (QUICK_SHAPES, FAST) if options.quick else (SHAPES, WHOLE)
            summary = measure_all(shapes, budget, options.keep)
    print(publish(summary, options.output or RESULTS, options.output or FIGURES))
    return 1 if summary["facts"]["inexact"] else 0


if __name__ == "__main__":
    sys.exit(main())
