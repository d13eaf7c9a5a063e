# SPDX-License-Identifier: Apache-2.0
"""Measure the cost of rounding affinities down before matching: ``python benchmarks/truncation.py [-o FOLDER]``.

One of the solvers in the code of the paper's authors takes integers, so affinities are multiplied by 1000 and truncated
for it. We match truncated affinities with our exact solver, and compare the values of these matchings, taken on the
affinities as they are, with the optimum. Writes ``<machine>-truncation.md`` and ``.json`` to ``benchmarks/results``.
Takes less than a minute.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from inputs import load_layer
from machine import environment
from numpy.typing import NDArray
from runs import FOLDER, format_origin, write_report

import simplugins
from simplugins._common.threads import usable_cores

STEPS = 1000
"""Steps per unit of affinity in the authors' code."""

LAYERS = {"block4": 12, "block10": 24, "block15": 24}
"""Layers, and the number of inputs of each."""

SCALES = (1.0, 0.1, 0.01, 0.001)
UNIT = "unit"
"""Each concept vector divided by its norm."""


@dataclass(frozen=True)
class Truncated(simplugins.Matcher):
    """The optimal matching of affinities that are multiplied by `steps` and truncated to whole numbers."""

    steps: int = STEPS
    name: ClassVar[str] = "truncated"

    def match(self, affinity: NDArray[np.floating]) -> NDArray[np.integer]:
        """Match one pair of inputs."""
        return simplugins.Optimal().match(np.trunc(self.steps * affinity.astype(np.float64)))


def cost_of_truncation(activations: NDArray[np.floating], *, unit: bool = False) -> dict[str, float]:
    """Compare matchings of truncated affinities with optimal ones.

    Parameters
    ----------
    activations : (N, S, C) array
    unit : bool
        Whether to divide concept vectors by their norms.

    Returns
    -------
    dict of str to float
        The shortfall of the aligned inner products of pairs of different inputs, relative to the product of the two
        norms: its ``median`` and ``worst`` value, and the ``lost`` share of the sum of all optimal values; the largest
        ``difference`` of the cosine RSMs, and the Spearman correlation (``spearman``) of their pairs; the median
        affinity (``affinity``), to compare with a step of 0.001.
    """
    normalize: Literal["position"] | None = "position" if unit else None
    linear, cosine = (
        [
            simplugins.compute_rsm(
                activations, f"semantic-{kernel}", matching=matching, normalize=normalize, dtype="float64"
            )
            for matching in (simplugins.Optimal(), Truncated())
        ]
        for kernel in ("linear", "cosine")
    )
    pairs = np.triu_indices(len(activations), 1)
    shortfall = (cosine[0].values - cosine[1].values)[pairs]
    optimum = linear[0].values[pairs]
    return {
        "median": float(np.median(shortfall)),
        "worst": float(shortfall.max()),
        "lost": float((optimum - linear[1].values[pairs]).sum() / np.abs(optimum).sum()),
        "difference": float(np.abs(cosine[0].values - cosine[1].values).max()),
        "spearman": simplugins.compare(cosine[0], cosine[1], "rsa-spearman"),
        "affinity": float(np.median(_affinities(activations, unit))),
    }


def _affinities(activations: NDArray[np.floating], unit: bool) -> NDArray[np.floating]:
    """Return the magnitudes of the affinities of a few pairs of inputs."""
    vectors = activations[:8].astype(np.float64)
    if unit:
        norms = np.linalg.norm(vectors, axis=2, keepdims=True)
        vectors = vectors / np.where(norms == 0, 1, norms)
    return np.concatenate([np.abs(first @ second.T).ravel() for first, second in pairwise(vectors)])


def rows() -> Iterator[dict[str, Any]]:
    """Yield the results of each layer and scale."""
    for layer, count in LAYERS.items():
        activations = load_layer(layer)[:count]
        size = {"layer": layer, "inputs": len(activations), "positions": activations.shape[1]}
        for scale in SCALES:
            yield {**size, "scale": scale, **cost_of_truncation(np.float32(scale) * activations)}
        yield {**size, "scale": UNIT, **cost_of_truncation(activations, unit=True)}


def make_table(summary: Mapping[str, Any]) -> str:
    """Return a summary as Markdown."""
    lines = [
        f"# The cost of truncating affinities to thousandths, on {summary['cpu']}",
        "",
        "The authors' code offers three solvers; the one for integers (OR-Tools) receives affinities multiplied by "
        "1000 and truncated. Here our exact solver matches truncated affinities, and the value of each matching is "
        "taken on the affinities as they are. *Shortfall*: optimum minus value, divided by ‖X‖ ‖Y‖, which is the "
        "difference of the cosine similarities. *Lost*: the sum of all shortfalls of the linear RSM, as a share of "
        "the sum of its magnitudes. *Affinity*: the median magnitude, for comparison with the step of 0.001. "
        "Scales multiply the activations, so affinities change by their square; *unit* divides each concept vector "
        "by its norm. The optimum does not depend on the scale.",
        "",
        "| layer | scale | affinity | shortfall, median | worst pair | lost | RSM, largest difference | Spearman |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        *(table_line(row) for row in summary["rows"]),
        "",
        format_origin(summary),
        "",
    ]
    return "\n".join(lines)


def table_line(row: Mapping[str, Any]) -> str:
    """Return a row of the table."""
    numbers = " | ".join(f"{row[name]:.2g}" for name in ("affinity", "median", "worst"))
    return (
        f"| `{row['layer']}`, S = {row['positions']}, {row['inputs']} inputs | {row['scale']} | {numbers} | "
        f"{row['lost']:.2%} | {row['difference']:.2g} | {row['spearman']:.4f} |"
    )


def main() -> None:
    """Measure all layers and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=FOLDER / "results", help="folder for the two files")
    arguments = parser.parse_args()
    origin = {"command": "python benchmarks/truncation.py", "date": date.today().isoformat()}
    summary = {**origin, **environment(usable_cores()), "rows": list(rows())}
    print(write_report(make_table(summary), summary, arguments.output, " truncation").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
