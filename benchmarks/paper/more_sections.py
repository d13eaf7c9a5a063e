# SPDX-License-Identifier: Apache-2.0
"""The sections on what matching adds and costs: the conclusion, the two networks, and a language model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from paper.design import (
    AP,
    BOTH_BY_INPUT,
    BY_INPUT,
    CENTRED,
    CONFIDENCE,
    DISJOINT,
    MAX,
    MAX_SIM,
    MEAN,
    PAIR_RESAMPLES,
    PERMUTATIONS,
    SCENES,
    SECOND_ORDER,
    SECOND_ORDER_BY_INPUT,
    SECOND_ORDER_CENTRED,
    SEMANTIC,
    SHIFT,
    SHOWN_KERNEL,
    SPATIAL,
    UNMATCHED,
)
from paper.tables import Metric, clearly, cost_table, number

Part = str | Sequence[str]
Summary = Mapping[str, Any]

KINDS_OF_RSM = [
    "| kind of RSM | measure | what it compares |",
    "|---|---|---|",
    f"| {SPATIAL} | `{SPATIAL}-*` | position with position |",
    f"| {SHIFT} | `{SHIFT}-*` | under the best circular shift of the whole map |",
    f"| {SEMANTIC} | `{SEMANTIC}-*` | under the best permutation of positions |",
    f'| {CENTRED} | `{SEMANTIC}-*`, `center="channel"` | the same, after subtracting the mean concept vector of all '
    "positions of all inputs |",
    f"| {MEAN}, {MAX} | `{MEAN}-*`, `{MAX}-*` | the mean or maximum over positions of each channel |",
    f"| {SECOND_ORDER} | `{SECOND_ORDER}-*` | the sum of squared affinities of all pairs of positions, i.e. second "
    "moments of the channels |",
    f'| {SECOND_ORDER_CENTRED} | `{SECOND_ORDER}-*`, `center="channel"` | the same, after subtracting the mean concept '
    "vector |",
    f'| {BY_INPUT}; {SECOND_ORDER_BY_INPUT} | `{SEMANTIC}-*`; `{SECOND_ORDER}-*`, `center="input"` | as uncentred, '
    "after subtracting from each input its own mean concept vector; second moments become covariances |",
    f"| {MAX_SIM} | `{MAX_SIM}-*` | each position with the most similar one of the other input, by cosine; both "
    "directions |",
]
"""A table of all kinds."""


def conclusion(summary: Summary) -> Iterator[Part]:
    """State when matching pays, in one paragraph, with the numbers."""
    scenes, crops = summary["retrieval"][SCENES], summary["retrieval"][DISJOINT]
    first, ranking = Metric("F1@1", scenes, "F1@1").of(SHOWN_KERNEL), Metric("mAP", scenes, AP).of(SHOWN_KERNEL)
    nearest = Metric("precision@1", crops, "precision@1").of(SHOWN_KERNEL)
    outputs = Metric("Spearman", summary["outputs"][SCENES], "Spearman", larger_is_better=False).of(SHOWN_KERNEL)
    middle = summary["costs"][len(summary["costs"]) // 4]  # of the first network
    yield "## What matching adds"
    yield (
        "Semantic RSMs gain over spatio-semantic ones mostly by ignoring locations. Pooling does so, too, at a "
        "fraction of the cost: second-order pooling recovers most of the gain by every metric below, mean pooling by "
        "all but the whole ranking of scenes (mAP). In scenes with several objects at arbitrary places, matching finds "
        "a better nearest neighbour (F1@1) at most layers than means, maxima and MaxSim. Covariances of the channels "
        f'(`{SECOND_ORDER}-*` with `center="input"`) rank scenes better than uncentred semantic RSMs at every layer '
        "(mAP), and find the better nearest neighbour at all but the last of each network. If both are centred by "
        "input, which is better depends on the layer and the metric. For crops of one photograph, the nearest "
        "neighbours of mean and second-order pooling are as good. In the last layer of a sentence encoder trained with "
        "mean pooling, pooling is as good or better."
    )
    yield (
        f"Semantic minus each other kind, for the {SHOWN_KERNEL} kernel: the mean over {len(first.rows)} layers, and "
        "in brackets the numbers of layers at which semantic is clearly better : clearly worse, i.e. with an interval "
        f"that excludes 0. For the correlation with outputs, negative differences are better. Last row: {SEMANTIC} "
        f"minus {SECOND_ORDER}, both centred by input. Cost: CPU time per pair "
        f"for maps of {middle['side']} × {middle['side']} with {middle['channels']} channels; {SEMANTIC}: "
        f"{number(middle['microseconds'][SEMANTIC])} µs, for three kernels."
    )
    yield _differences_table((first, ranking, outputs, nearest), middle["microseconds"])
    yield from _of_sentences(summary.get("sentences"))
    yield "Compute pooled kinds first, report them next to semantic RSMs, and match where the difference matters."


def _differences_table(metrics: Sequence[Metric], microseconds: Mapping[str, float]) -> list[str]:
    """Return a table with a row per kind: the mean difference, and at how many layers it is clear."""
    lines = [
        "| semantic minus | scenes, F1@1 | scenes, mAP | scenes, Spearman with outputs | disjoint crops, precision@1 "
        "| µs per pair |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for kind in (SPATIAL, SHIFT, *UNMATCHED, BOTH_BY_INPUT):
        cells = []
        for metric in metrics:
            better, worse = clearly(metric, kind)
            cells.append(f"{np.mean(metric.differences(kind)):+.3f} ({better} : {worse})")
        cost = number(microseconds[kind]) if kind in microseconds else ""
        lines.append(f"| {kind} | {' | '.join(cells)} | {cost} |")
    return lines


def _of_sentences(result: Mapping[str, Any] | None) -> Iterator[Part]:
    """State the numbers of the last layer of the language model."""
    if result is None:
        return
    values: dict[str, dict[str, float]] = {}
    for name, rows in result["retrieval"].items():
        for row in rows:
            if row["layer"] == rows[-1]["layer"]:
                values.setdefault(row["measure"], {})[name] = row[AP]["estimate"]
    names = list(result["retrieval"])
    yield f"Sentences by all kinds, mAP in the last layer of {result['model']}, which was trained with mean pooling:"
    yield [
        "| kind | " + " | ".join(names) + " |",
        "|---|" + "---:|" * len(names),
        *(
            f"| {kind} | " + " | ".join(f"{each[name]:.3f}" if name in each else "" for name in names) + " |"
            for kind, each in values.items()
        ),
    ]


def cost(summary: Summary, figures: str) -> Iterator[Part]:
    """Report the CPU time of each kind per pair."""
    yield "## Cost"
    yield (
        "CPU time of all threads in microseconds per pair of scenes, measured while this report was computed, on "
        f"{summary['cpu']} with {summary['cores']} cores. It includes the features of each input, which pooled "
        f"measures need once. {SPATIAL.capitalize()} and {SEMANTIC} RSMs are those of three kernels, which share their "
        f"inner products or matchings; the others are for the {SHOWN_KERNEL} kernel."
    )
    yield cost_table(summary["costs"])


def networks(summary: Summary, figures: str) -> Iterator[Part]:
    """Compare the two networks layer by layer."""
    first, second = next(iter(summary["networks"].values()))[0]["layers"]
    yield "## Two networks"
    yield (
        f"{first['network']} compared with {second['network']}, layer by layer except for the largest maps, by "
        f"`simplugins.decouple` "
        f"({SHOWN_KERNEL} kernel, debiased CKA): of their semantic RSMs, of those under the best shift, of their "
        "spatio-semantic RSMs, and of the structure within inputs, i.e. the Gram matrices of the positions of each "
        f"input, averaged to a common grid. Cells: the estimate with its {100 * CONFIDENCE:.0f} % interval "
        f"({PAIR_RESAMPLES:,} resamples of scenes, or of photographs with all their crops), then the calibrated score, "
        f"on which chance is 0, and the p-value of {PERMUTATIONS} permutations. For structure, chance is the agreement "
        "of different inputs. Permutations exchange single crops: those of crops do not only test whether the networks "
        "agree, but also whether both group the crops of a photograph."
    )
    for name, pairs in summary["networks"].items():
        yield f"{name.capitalize()}:"
        yield _networks_table(pairs, [SEMANTIC, SHIFT, SPATIAL, "structure"], _similarity)
        yield f"Differences, {name}; bold if the interval excludes 0:"
        both = [f"{SEMANTIC} - {SHIFT}", f"{SEMANTIC} - {SPATIAL}", f"{SHIFT} - {SPATIAL}"]
        yield _networks_table(pairs, both, _difference)
    yield f"![Similarity of both networks by layer.]({figures}/networks.png)"
    yield (
        "*Estimates with their intervals; the axis does not start at 0. Structure has another chance level than the "
        "similarities of RSMs.*"
    )


def _networks_table(pairs: Sequence[Mapping[str, Any]], names: Sequence[str], cell: Any) -> list[str]:
    lines = ["| blocks | maps | inputs | " + " | ".join(names) + " |", "|---|---:|---:|" + "---:|" * len(names)]
    for pair in pairs:
        blocks, sides = (" and ".join(str(layer[key]) for layer in pair["layers"]) for key in ("block", "side"))
        cells = " | ".join(cell(pair["results"][name]) if name in pair["results"] else "" for name in names)
        lines.append(f"| {blocks} | {sides} | {pair['inputs']} | {cells} |")
    return lines


def _similarity(result: Mapping[str, float]) -> str:
    interval = f"({result['low']:.3f} to {result['high']:.3f})"
    return f"{result['value']:.3f} {interval}; {result['calibrated']:.3f}, p = {result['p_value']:.3f}"


def _difference(result: Mapping[str, float]) -> str:
    mark = "**" if result["low"] > 0 or result["high"] < 0 else ""
    return f"{mark}{result['value']:+.3f}{mark} ({result['low']:+.3f} to {result['high']:+.3f})"


def sentences(summary: Summary, figures: str) -> Iterator[Part]:
    """Report the retrieval of sentences with the same content, if it has been measured."""
    yield "## A language model"
    result = summary.get("sentences")
    if result is None:
        yield "Not measured on this machine: run `python benchmarks/paper/sentences.py`, then `rewrite.py`."
        return
    yield (
        f"Token vectors of {result['model']} from PyPI, without special tokens; cosine kernels. It was trained with "
        "mean pooling of the last layer, which favours mean-pooled measures there. Generated texts: each "
        "content in several wordings, among other contents in the same words. Metrics: whether the nearest neighbour "
        "of a text has the same content, and mAP; intervals over contents. No vision transformer is included, since "
        "none was found whose weights come from a package registry."
    )
    for name, rows in result["retrieval"].items():
        yield f"### {name.capitalize()}"
        shortest, longest = result["tokens"][name]
        length = f"{shortest} tokens each" if shortest == longest else f"{shortest} to {longest} tokens"
        texts = "; ".join(f"“{text}”" for text in result["examples"][name])
        yield f"{result['texts'][name]} texts of {result['contents'][name]} contents, {length}. One content: {texts}"
        yield [
            "| layer | kind | precision@1 | mAP | semantic minus it: precision@1 | mAP | correlation with length | "
            "µs per pair |",
            "|---|---|---:|---:|---:|---:|---:|---:|",
            *map(_sentence_row, rows),
        ]
    yield (
        '"Matched" and "mass" are `normalize=`, for texts of unequal length. Correlation with length: that of '
        "similarities with the root of the ratio of the shorter to the longer length. CPU time of all threads, on "
        f"{result['cpu']}."
    )
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    yield f"{result['date']}; {versions}. Measured by `{result['command']}`."


def _sentence_row(row: Mapping[str, Any]) -> str:
    cells = [row["layer"], row["measure"]]
    for metric in ("precision@1", "mAP"):
        estimate = row[metric]
        cells.append(f"{estimate['estimate']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})")
    for metric in ("precision@1", "mAP"):
        difference = row["differences"].get(metric)
        cells.append("" if difference is None else _difference({"value": difference["estimate"], **difference}))
    cells += ["" if row["length"] is None else f"{row['length']:+.2f}", number(row["microseconds"])]
    return f"| {' | '.join(cells)} |"
