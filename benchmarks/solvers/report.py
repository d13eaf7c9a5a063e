# SPDX-License-Identifier: Apache-2.0
"""Compare the exact solver with SciPy, lapx and POT on many kinds of affinities, on one thread.

The whole table, in about a quarter of an hour::

    python benchmarks/solvers/report.py [-o benchmarks/results]

writes ``<machine>-solvers.md`` and ``.json``, and a picture to ``docs/images/solvers.png`` (with ``-o``, everything to
one folder). Some of its cells, in seconds, printed only::

    python benchmarks/solvers/report.py --families integers,lognormal --sizes 49,196x392 [--dtype float64]

``--families`` takes beginnings of names, ``--sizes`` numbers of positions or rows x columns.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from threadpoolctl import threadpool_limits

from solvers.competing import LAPX, OURS, SCIPY
from solvers.families import FAMILIES, select
from solvers.timing import QUICK, Budget, measure
from solvers.tokens import UnavailableError

HEAD = (
    f"{'':13s} {'size':>9s} {'ms':>9s} {'SciPy':>6s} {'lapx':>6s} | exchanged: {'ms':>9s} {'SciPy':>6s} {'lapx':>6s}"
    f" {'times':>6s}"
)


def line(cell: dict[str, Any]) -> str:
    """Return a cell as a line of text."""
    there, back = cell["ways"]
    text = f"{cell['family']:13s} {cell['rows']:4d}x{cell['cols']:<4d} {_way(there)} |            {_way(back)}"
    text += f" {_number(cell['exchanged'])}"
    if not (there["exact"] and back["exact"]):
        text += f"  NOT EXACT: {there['shortfall']} {back['shortfall']}"
    if cell["skipped"]:
        text += "  skipped: " + ", ".join(f"{name} ({seconds:.0f} s)" for name, seconds in cell["skipped"].items())
    for counts in cell["counts"] or []:
        text += "  " + " ".join(f"{name} {value:.3g}" for name, value in counts.items()) if counts else ""
    return text


def _way(way: dict[str, Any]) -> str:
    ms = way["ms"].get(OURS)
    return " ".join(
        [f"{ms:9.4f}" if ms is not None else " " * 9, *(_number(way["ratios"].get(name)) for name in (SCIPY, LAPX))]
    )


def _number(value: float | None) -> str:
    return " " * 6 if value is None else f"{value:6.2f}"


def parse_sizes(text: str) -> list[tuple[int, int]]:
    """Read sizes such as ``49,196x392``."""
    pairs = [size.split("x") for size in text.split(",")]
    return [(int(pair[0]), int(pair[-1])) for pair in pairs]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--families", default=",".join(FAMILIES), help="beginnings of names, with commas")
    parser.add_argument("--sizes", default="49,196", help="such as 49,196x392")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument("--turns", type=int, default=QUICK.turns)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    budget = Budget(QUICK.elements, options.turns, QUICK.seconds, QUICK.limit)
    print(HEAD)
    with threadpool_limits(1):
        for rows, cols in parse_sizes(options.sizes):
            for key in select(options.families):
                try:
                    print(line(measure(key, rows, cols, options.dtype, budget, options.seed)), flush=True)
                except UnavailableError as reason:
                    print(f"{key:13s} {rows:4d}x{cols:<4d} left out: {reason}")


if __name__ == "__main__":
    main()
