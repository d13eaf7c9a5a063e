# SPDX-License-Identifier: Apache-2.0
"""Measure what matching adds to pooling and other controls in retrieval: the part of the report that takes minutes.

Needs the packages that ``report.py`` lists::

    python benchmarks/paper/controls.py [-o FOLDER] [--keep FOLDER] [--quick]

Evaluates scenes and disjoint crops at the layers of the first network that use all inputs, and writes
``<machine>-paper-controls.md`` and ``.json`` to ``benchmarks/results``. ``--quick`` uses few inputs; it requires
``-o``, because its numbers are meaningless.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from machine import cpu_model
from runs import FOLDER, write_report

from paper import crops, scenes
from paper.design import AP, CONFIDENCE, RESAMPLES, SEMANTIC, SPATIAL
from paper.evaluations import chance, costs, evaluate_retrieval
from paper.keeping import Keeper
from paper.photographs import load_photographs
from paper.representations import load_networks, represent
from paper.tables import Row, control_tables, cost_table, join
from simplugins._common.threads import usable_cores

COMMAND = "python benchmarks/paper/controls.py"
METRICS = {scenes.compose: "F1@1", crops.disjoint: "precision@1"}


def main() -> None:
    """Read the options, run the evaluation and print its tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, help="folder for the results")
    parser.add_argument("--keep", type=Path, help="folder of RSMs to keep, and to use if they are there")
    parser.add_argument("--quick", action="store_true", help="use few inputs; requires -o")
    options = parser.parse_args()
    if options.quick and options.output is None:
        parser.error("--quick requires a folder (-o), because its numbers are meaningless")
    summary = {
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "threads": usable_cores(),
        "date": date.today().isoformat(),
        "command": COMMAND,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("simplugins", "torch")}},
        "data": evaluate(Keeper(options.keep), quick=options.quick),
    }
    folder = options.output or FOLDER / "results"
    print(write_report(text(summary), summary, folder, " paper controls").read_text(encoding="utf-8"))


def evaluate(keeper: Keeper, *, quick: bool = False) -> dict[str, Any]:
    """Return the rows of each data set by its name."""
    photographs = load_photographs()
    network = load_networks()[0]
    layers = [layer for layer in network.layers if not layer.large]
    network = replace(network, layers=layers[-1:] if quick else layers)
    sets = [scenes.compose(photographs, 36 if quick else 200, 8 if quick else 24), crops.disjoint(photographs)]
    results = {}
    for data, metric in zip(sets, METRICS.values(), strict=True):
        represented = represent(data, [network], keeper)
        results[data.name] = {
            "inputs": len(data),
            "metric": metric,
            "chance": chance(data),
            "rows": evaluate_retrieval(represented, (metric, AP), k=1),
            "cost": costs(represented),
        }
    return results


def text(summary: Mapping[str, Any]) -> str:
    """Return the tables as Markdown."""
    parts: list[str | Sequence[str]] = [
        f"# What matching adds in retrieval, on {summary['cpu']}, {summary['cores']} cores",
        (
            f"Kinds of RSM with the cosine kernel; scenes and crops are those of the [report]({_report(summary)}), "
            f"differences are {SEMANTIC} minus the other kind with paired {100 * CONFIDENCE:.0f} % bootstrap intervals "
            f"over scenes or photographs ({RESAMPLES:,} resamples), bold if they exclude 0, not corrected for their "
            "number. *Centred* subtracts the mean concept vector of all inputs, *centred by input* that of each input."
        ),
    ]
    for name, data in summary["data"].items():
        parts += [f"## {name.capitalize()}, {data['inputs']} inputs", *_tables(data)]
    versions = ", ".join(f"{package} {number}" for package, number in summary["versions"].items())
    return join([*parts, f"{summary['date']}; {versions}. Measured by `{summary['command']}`."])


def _tables(data: Mapping[str, Any]) -> list[str | Sequence[str]]:
    rows: Sequence[Row] = data["rows"]
    parts: list[str | Sequence[str]] = []
    for metric in (data["metric"], AP):
        parts += [f"{metric}:", *control_tables(rows, metric)]
    return [
        *parts,
        f"CPU time in microseconds per pair ({SEMANTIC} and {SPATIAL}: three kernels):",
        cost_table(data["cost"]),
    ]


def _report(summary: Mapping[str, Any]) -> str:
    slug = f"{summary['cpu']} {summary['cores']} cores {summary['threads']} threads paper".lower()
    return "-".join(slug.split()) + ".md"


if __name__ == "__main__":
    main()
