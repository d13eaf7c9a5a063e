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
    f'| {BY_INPUT}, {SECOND_ORDER_BY_INPUT} | `{SEMANTIC}-*`, `{SECOND_ORDER}-*`, `center="input"` | the same, after '
    "subtracting from each input its own mean concept vector; second moments become covariances |",
    f"| {MAX_SIM} | `{MAX_SIM}-*` | each position with the most similar one of the other input, by cosine; both "
    "directions |",
]
"""A table of all kinds."""


def conclusion(summary: Summary) -> Iterator[Part]:
    """State when matching pays, in one paragraph, from the numbers."""
    scenes, crops = summary["retrieval"][SCENES], summary["retrieval"][DISJOINT]
    first, ranking = Metric("", scenes, "F1@1").of(SHOWN_KERNEL), Metric("", scenes, AP).of(SHOWN_KERNEL)
    nearest = Metric("", crops, "precision@1").of(SHOWN_KERNEL)
    outputs = Metric("", summary["outputs"][SCENES], "Spearman", larger_is_better=False).of(SHOWN_KERNEL)
    clear = [clearly(nearest, kind) for kind in UNMATCHED]
    middle = summary["costs"][len(summary["costs"]) // 4]  # of the first network
    microseconds = ", ".join(f"{number(middle['microseconds'][kind])} ({kind})" for kind in (*UNMATCHED, SHIFT))
    kinds = [SPATIAL, SHIFT, *UNMATCHED, BOTH_BY_INPUT]
    yield "## What matching adds"
    yield (
        "Most of what semantic RSMs gain over spatio-semantic ones comes from ignoring locations, which pooling also "
        "does, at a fraction of the cost. Matching finds better nearest neighbours than means, maxima and MaxSim where "
        "inputs hold several objects at arbitrary places; whether it adds anything to covariances of the channels "
        f'(`{SECOND_ORDER}-*` with `center="input"`) depends on the layer and the metric. For crops of one '
        f"photograph, pooling is as good. In numbers, for the {SHOWN_KERNEL} kernel: semantic minus another kind, as "
        f"the mean over {len(first.rows)} layers, and in brackets the numbers of layers at which semantic is clearly "
        "better : worse, i.e. with an interval that excludes 0."
    )
    yield [
        f"- **The nearest neighbour of a scene** (F1@1): {_mean(first, kinds)}.",
        f"- **The whole ranking of scenes** (mAP): {_mean(ranking, kinds)}.",
        "- **Crops of one photograph** (precision@1, disjoint crops): of "
        f"{len(clear) * len(nearest.rows)} comparisons with pooled kinds and {MAX_SIM}, semantic is clearly better in "
        f"{sum(better for better, _ in clear)} and clearly worse in {sum(worse for _, worse in clear)}.",
        f"- **Agreement with outputs** (Spearman, scenes; negative differences are better): {_mean(outputs, kinds)}.",
        f"- **Cost**, for maps of {middle['side']} × {middle['side']} with {middle['channels']} channels, in "
        f"microseconds of CPU time per pair: {number(middle['microseconds'][SEMANTIC])} ({SEMANTIC}), {microseconds}.",
        *_of_sentences(summary.get("sentences")),
    ]
    yield "Compute pooled kinds first, report them beside semantic RSMs, and match where the difference matters."


def _of_sentences(result: Mapping[str, Any] | None) -> Iterator[str]:
    """State the numbers of the last layer of the language model."""
    for name, rows in ({} if result is None else result["retrieval"]).items():
        last = [row for row in rows if row["layer"] == rows[-1]["layer"]]
        values = ", ".join(f"{row['mAP']['estimate']:.3f} ({row['measure']})" for row in last)
        yield f"- **Sentences, {name}** (mAP, last layer of a sentence encoder trained with mean pooling): {values}."


def _mean(metric: Metric, kinds: Sequence[str]) -> str:
    """Return the mean differences to some kinds, and how often they are clear."""
    parts = []
    for kind in kinds:
        better, worse = clearly(metric, kind)
        parts.append(f"{np.mean(metric.differences(kind)):+.3f} ({kind}; {better} : {worse})")
    return ", ".join(parts)


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
