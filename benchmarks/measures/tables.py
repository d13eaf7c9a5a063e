# SPDX-License-Identifier: Apache-2.0
"""The report in Markdown: a table per relation, differences, and the conclusion that follows from the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from measures.design import (
    BIASED,
    COMPARISONS,
    CONDITIONS,
    DEBIASED,
    HOSTED,
    INPUTS,
    LAYER,
    MEASURES,
    OURS,
    SEMANTIC,
    pairings,
)
from measures.networks import COLOURS, KINDS, MOVED, PERMUTED_AT_HOME, RANDOM, SEEDS, UNTRAINED

CHANCE = {LAYER: 0.25}
TITLES = {
    "training": "Training: seeds against other training",
    LAYER: "Layers: corresponding layers of two seeds",
    "moved": "Moved objects: networks",
    INPUTS: "Moved objects: inputs",
    "patches": "Shuffled patches",
    "shortcuts": "Shortcuts",
}
NOTES = {
    "training": "Similar: two ordinary networks. Not: an ordinary one and one with other labels (colours), with random "
    "labels, or without training.",
    LAYER: "How often the most similar of the four layers of another seed is the corresponding one. Chance is 0.25.",
    "moved": "The second network sees the images with objects at new places and the texture "
    "shifted. Similar: two seeds. Not: an ordinary network and one with other labels.",
    INPUTS: "Within one network: whether an image is more similar to its version with moved objects than to those of "
    "other images. Measures only; no networks are compared.",
    "patches": "Networks trained on images with shuffled patches, and compared on ordinary images. *Seen through*: "
    "networks trained with one permutation for all images see the test images permuted in this way, and count as "
    "similar to ordinary ones; networks with other labels do not. One permutation of positions, the same in all "
    "images, hardly changes a spatio-semantic RSM, so this column does not tell semantic measures from spatio-semantic "
    "ones, only shifts and within-image structure from the rest.",
    "shortcuts": "Networks whose training images betrayed the labels, by the colours of shapes or by marks in a "
    "corner; the test images do not.",
}

Cells = Mapping[str, Mapping[str, Any]]


def key(row: tuple[str, str]) -> str:
    """Return the name of a measure with its comparison."""
    return " × ".join(filter(None, row))


def columns_of(relation: str) -> list[tuple[str, str]]:
    """Return the keys of a relation's columns in the estimates, and their titles."""
    if relation in CONDITIONS:
        return [(f"{relation}: {condition.title}", condition.title) for condition in CONDITIONS[relation]]
    return [(relation, "accuracy" if relation == LAYER else "AUROC")]


def between_networks() -> list[tuple[str, str]]:
    """Return all columns on which pairs of measure and comparison are ranked, with their titles."""
    return [column for relation in TITLES if relation != INPUTS for column in columns_of(relation)]


def cell(value: Mapping[str, float]) -> str:
    """Return a number with its interval."""
    return f"{value['estimate']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"


def relation_table(summary: Mapping[str, Any], relation: str) -> list[str]:
    """Return the section of one relation."""
    columns = columns_of(relation)
    rows = [(name, "") for name in MEASURES] if relation == INPUTS else pairings()
    return [
        f"## {TITLES[relation]}",
        "",
        NOTES[relation],
        "",
        f"| | {' | '.join(title for _, title in columns)} |",
        "|---|" + "---:|" * len(columns),
        *(
            f"| {key(row)} | {' | '.join(cell(summary['estimates'][column][key(row)]) for column, _ in columns)} |"
            for row in rows
        ),
        "",
    ]


def levels_table(summary: Mapping[str, Any]) -> list[str]:
    """Return the table of values as they are."""
    views = {"seeds": SEEDS, COLOURS: COLOURS, RANDOM: RANDOM, UNTRAINED: UNTRAINED, "seeds, objects moved": MOVED,
             "permuted, seen through": PERMUTED_AT_HOME, "by chance": "chance"}  # fmt: skip
    return [
        "## Values, and what they are by chance",
        "",
        "Median over pairs of an ordinary network with another one, and over layers. *By chance*: the mean after "
        "permuting the inputs of one of two seeds; for structure, of different images. Untrained networks and chance "
        "can have high values, so a value says little without them. Biased CKA is not calibrated.",
        "",
        f"| | {' | '.join(views)} |",
        "|---|" + "---:|" * len(views),
        *(
            f"| {name} | {' | '.join(f'{values[view]:.2f}' for view in views.values())} |"
            for name, values in ((key(row), summary["levels"][key(row)]) for row in pairings())
        ),
        "",
    ]


def ranks(estimates: Cells, rows: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Return the mean rank of each row over all relations between networks; 1 is best, ties share their ranks."""
    from scipy.stats import rankdata

    table = np.array([[estimates[column][key(row)]["estimate"] for column, _ in between_networks()] for row in rows])
    return dict(zip(map(key, rows), rankdata(-table.round(9), axis=0).mean(1).tolist(), strict=True))


def rank_table(summary: Mapping[str, Any]) -> list[str]:
    """Return all rows by their mean rank."""
    estimates: Cells = summary["estimates"]
    columns = between_networks()
    by_rank = sorted(ranks(estimates, pairings()).items(), key=lambda item: item[1])
    return [
        "## Ranks",
        "",
        f"Mean rank of {len(by_rank)} rows over the {len(columns)} columns between networks, and their mean value. "
        "Two columns (moved objects; seen through) ask for similarity elsewhere, which not all measures promise.",
        "",
        "| | mean rank | mean |",
        "|---|---:|---:|",
        *(
            f"| {row} | {rank:.1f} | {np.mean([estimates[column][row]['estimate'] for column, _ in columns]):.2f} |"
            for row, rank in by_rank
        ),
        "",
    ]


def difference_table(summary: Mapping[str, Any]) -> list[str]:
    """Return what matching adds to each control."""
    controls = [name for name in OURS if name != SEMANTIC]
    return [
        "## What matching adds",
        "",
        f"Semantic minus each control, all compared by {DEBIASED} (inputs: without comparison), with the interval of "
        "the difference in the same resamples; bold if it excludes 0. Intervals are not corrected for their number.",
        "",
        f"| | {' | '.join(controls)} |",
        "|---|" + "---:|" * len(controls),
        *(
            f"| {title} | {' | '.join(_difference(differences[name]) for name in controls)} |"
            for title, differences in summary["differences"].items()
        ),
        "",
    ]


def _difference(value: Mapping[str, float]) -> str:
    text = f"{value['estimate']:+.2f} [{value['low']:+.2f}, {value['high']:+.2f}]"
    return f"**{text}**" if clear(value) else text


def clear(value: Mapping[str, float]) -> int:
    """Return 1 or -1 if a difference is clearly above or below 0, else 0."""
    return int(value["low"] > 0) - int(value["high"] < 0)


def conclusion(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield the sentences that follow from the numbers."""
    for name in OURS:
        if name == SEMANTIC:
            continue
        signs = {title: clear(differences[name]) for title, differences in summary["differences"].items()}
        better, worse = ([title for title, sign in signs.items() if sign == wanted] for wanted in (1, -1))
        yield (
            f"- Semantic against {name}: clearly better at {_listed(better)}; clearly worse at {_listed(worse)}; no "
            f"clear difference at the other {len(signs) - len(better) - len(worse)} of {len(signs)}."
        )
    for column, title in between_networks():
        cells = {name: summary["estimates"][column][key((name, DEBIASED))]["estimate"] for name in OURS}
        best = max(cells.values())
        names = [name for name, value in cells.items() if value > best - 0.005]
        worst = min(cells, key=lambda name: cells[name])
        yield (
            f"- {_long(column, title)}: best {', '.join(names)} ({best:.2f}); worst {worst} ({cells[worst]:.2f}); "
            f"chance {CHANCE.get(column, 0.5):g} ({DEBIASED})."
        )
    means = {name: _mean(summary["estimates"], name) for name in COMPARISONS}
    yield f"- Comparisons, mean of all columns and measures: {', '.join(f'{n} {v:.2f}' for n, v in means.items())}."


def _mean(estimates: Cells, comparison: str) -> float:
    values = [
        estimates[column][key((name, comparison))]["estimate"] for column, _ in between_networks() for name in OURS
    ]
    return float(np.mean(values))


def _listed(titles: Sequence[str]) -> str:
    return "; ".join(titles) if titles else "none"


def _long(column: str, title: str) -> str:
    relation = column.partition(":")[0]
    return TITLES[relation].partition(":")[0] + (f", {title}" if relation in CONDITIONS else "")


def titles_of_differences() -> dict[str, str]:
    """Return the columns of the estimates by their titles in the table of differences."""
    titles = {_long(column, title): column for column, title in between_networks()}
    return {**titles, TITLES[INPUTS]: INPUTS}


def accuracy_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return the table of the networks."""
    return [
        "| networks | number | right answers on new images | |",
        "|---|---:|---:|---|",
        *(
            f"| {kind} | {len(values)} | {np.mean(values):.3f} [{min(values):.3f}–{max(values):.3f}] | "
            f"{'colours' if kind == COLOURS else 'shapes'} |"
            for kind, values in ((kind, summary["accuracies"][kind]) for kind in KINDS)
        ),
        "",
    ]


def write(summary: Mapping[str, Any], picture: str) -> str:
    """Return the report."""
    size = summary["size"]
    versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    lines = [
        f"# Which measure tells what apart, on {summary['cpu']}, {summary['cores']} cores",
        "",
        f"{size['ordinary']} ordinary networks and {size['others']} of each other kind: four convolutions (maps of "
        f"side 16, 8, 8, 4), trained for {size['epochs']} passes on {size['training']} generated images of three "
        "coloured shapes on textures, to say which of four shapes occur, and compared on "
        f"{size['tested']} new ones ({size['structured']} for structure). Cells are the probability that a pair of "
        "networks that should be similar has a larger value than one that should not (AUROC; 0.5 is chance, and 1 "
        "means that all pairs are told apart), the mean of the four layers, with the "
        f"95 % interval over networks ({size['resamples']} resamples of both kinds). Below 0.5, the measure finds the "
        "pairs more similar that should be less. All measures are cosine similarities; mutual-knn has k = 10. "
        "These are few networks of one architecture on one kind of image. Intervals of separations near 1 are too "
        "narrow, because resamples cannot show pairs that did not occur.",
        "",
        f"![AUROC by measure and relation]({picture})",
        "",
        *accuracy_lines(summary),
        "## Conclusion",
        "",
        *conclusion(summary),
        "",
        *difference_table(summary),
        *(line for relation in TITLES for line in relation_table(summary, relation)),
        *rank_table(summary),
        *levels_table(summary),
        "## Checks",
        "",
        f"Linear CKA of mean-pooled responses in NumPy against `mean-pooled-linear` and `{BIASED.partition(' ')[0]}`: "
        f"largest difference {summary['checks']['linear CKA']:.1g}. scikit-learn's cosine similarities against "
        f"`mean-pooled-cosine`: {summary['checks']['cosine']:.1g}. {' and '.join(HOSTED)} and the measure by "
        "scikit-learn run as plugins.",
        "",
        f"{sum(summary['seconds'].values()):.0f} s in total, {summary['processor_seconds']:.0f} s of processor time: "
        + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in summary["seconds"].items())
        + f". Seeds: {summary['seeds']}. {summary['date']}; {versions}. Measured by `{summary['command']}`.",
        "",
    ]
    return "\n".join(lines)
