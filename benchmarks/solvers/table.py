# SPDX-License-Identifier: Apache-2.0
"""From measured cells to the report: what holds in all of them, and a table per size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from runs import format_origin

from solvers.competing import LAPX, OURS, POT, SCIPY
from solvers.families import CONCEPTS, FAMILIES
from solvers.plan import Shape

Cell = Mapping[str, Any]

LARGE = 196
"""Number of positions from which concept vectors have an aim of their own."""


def shape_of(cell: Cell) -> Shape:
    """Return the shape of a cell."""
    return Shape(cell["rows"], cell["cols"], cell["dtype"])


def least_ratio(cell: Cell) -> float | None:
    """Return the smaller one of the ratios to the faster peer in both orientations; None if not measured."""
    ratios = [way["faster"] for way in cell["ways"]]
    return None if None in ratios else min(ratios)


def facts(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return the extremes over all cells."""
    ratios = {_name(cell): ratio for cell in cells if (ratio := least_ratio(cell)) is not None}
    concepts = {
        _name(cell): ratio
        for cell in cells
        if FAMILIES[cell["family"]].group == CONCEPTS
        and min(cell["rows"], cell["cols"]) >= LARGE
        and (ratio := least_ratio(cell)) is not None
    }
    exchanged = {_name(cell): cell["exchanged"] for cell in cells if cell["exchanged"] is not None}
    return {
        "cells": len(cells),
        "compared": len(ratios),
        "faster": sum(ratio >= 1 for ratio in ratios.values()),
        "median": float(np.median(list(ratios.values()))),
        "least": _extreme(ratios, min),
        "least_of_concepts": _extreme(concepts, min),
        "exchanged_least": _extreme(exchanged, min),
        "exchanged_most": _extreme(exchanged, max),
        "inexact": [_name(cell) for cell in cells if not all(way["exact"] for way in cell["ways"])],
    }


def write(summary: Mapping[str, Any], picture: str) -> str:
    """Return the report as Markdown."""
    cells = summary["cells"]
    lines = [
        f"# The exact solver on many kinds of affinities, on {summary['cpu']}, one thread",
        "",
        "Batches of problems of one kind and size, solved by our `Optimal` matching, SciPy's `linear_sum_assignment`, "
        f"the fastest one of lapx's routines on these problems, and up to 200 positions POT's `emd`. *{OURS}*: "
        "milliseconds per problem. The other columns are times relative to ours, so numbers below 1 mean that we are "
        "slower. *exchanged*: the same with rows and columns exchanged; *times*: our time then, relative to our time "
        "otherwise. All solvers run on one thread, in turns in one process; times are processor times, the shortest of "
        "several turns. Values of all solvers were compared in the same run.",
        "",
        f"![Ratio to the faster one of SciPy and lapx, by kind of affinities and size]({picture})",
        "",
        *_fact_lines(summary["facts"]),
        "",
    ]
    for shape in dict.fromkeys(map(shape_of, cells)):
        lines += _section(shape, [cell for cell in cells if shape_of(cell) == shape])
    lines += _notes(summary)
    return "\n".join([*lines, format_origin(summary), ""])


def _fact_lines(facts: Mapping[str, Any]) -> list[str]:
    lines = [
        f"- {facts['compared']} of {facts['cells']} cells could be compared, each in both orientations. Ours is at "
        f"least as fast as the faster peer in both in {facts['faster']}. The median ratio is {facts['median']:.3g}.",
        f"- Lowest ratio: {_quote(facts['least'])}; of concept vectors with at least {LARGE} positions: "
        f"{_quote(facts['least_of_concepts'])}.",
        f"- Exchanging rows and columns changes our time by factors from {_quote(facts['exchanged_least'])} to "
        f"{_quote(facts['exchanged_most'])}.",
    ]
    lines.append(
        f"- **Values below those of another solver**: {', '.join(facts['inexact'])}."
        if facts["inexact"]
        else "- All of our values equal the best ones: to 2⁻²⁰ of the matched magnitudes in float32, 2⁻⁴⁴ in float64."
    )
    return lines


def _section(shape: Shape, cells: Sequence[Cell]) -> list[str]:
    with_pot = any(POT in way["ratios"] for cell in cells for way in cell["ways"])
    pot, rule = (" POT |", "---:|") if with_pot else ("", "")
    lines = [
        f"## {shape.name}",
        "",
        f"| affinities | {OURS} (ms) | SciPy | lapx | routine |{pot} exchanged: (ms) | SciPy | lapx | times |",
        f"|---|---:|---:|---:|---|{rule}---:|---:|---:|---:|",
    ]
    group = None
    for cell in cells:
        family = FAMILIES[cell["family"]]
        if family.group != group:
            group = family.group
            lines.append(f"| *{group}* |" + " |" * (9 if with_pot else 8))
        there, back = cell["ways"]
        row = [family.title, *_numbers(there), there["lapx"] or ""]
        row += [_number(there["ratios"].get(POT))] if with_pot else []
        row += [*_numbers(back), _number(cell["exchanged"])]
        lines.append("| " + " | ".join(row) + " |")
    return [*lines, ""]


def _numbers(way: Mapping[str, Any]) -> list[str]:
    return [_number(way["ms"].get(OURS)), _number(way["ratios"].get(SCIPY)), _number(way["ratios"].get(LAPX))]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _notes(summary: Mapping[str, Any]) -> list[str]:
    skipped = [
        f"{_name(cell)}: " + ", ".join(f"{name} ({seconds:.0f} s)" for name, seconds in cell["skipped"].items())
        for cell in summary["cells"]
        if cell["skipped"]
    ]
    lines = []
    if skipped:
        lines += [
            f"Skipped because a problem would take more than {summary['limit']:.0f} seconds, as predicted from one "
            f"with a quarter of the positions: {'; '.join(skipped)}.",
            "",
        ]
    if summary["left_out"]:
        lines += [
            "Left out: " + "; ".join(f"{name}: {reason}" for name, reason in summary["left_out"].items()) + ".",
            "",
        ]
    return lines


def _name(cell: Cell) -> str:
    return f"{FAMILIES[cell['family']].title}, {shape_of(cell).name}"


def _extreme(ratios: Mapping[str, float], choose: Callable[..., str]) -> dict[str, Any] | None:
    if not ratios:
        return None
    name = choose(ratios, key=ratios.__getitem__)
    return {"name": name, "ratio": ratios[name]}


def _quote(extreme: Mapping[str, Any] | None) -> str:
    return "none" if extreme is None else f"{extreme['ratio']:.3g} ({extreme['name']})"
