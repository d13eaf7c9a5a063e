# SPDX-License-Identifier: Apache-2.0
"""The sections of the report: fixed text, and tables of the results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from paper.design import (
    ALIKE,
    AP,
    CONFIDENCE,
    CORRELATIONS,
    CREDITS,
    CROPS,
    DISJOINT,
    DISJOINT_CROPS,
    FEWEST_OBJECTS,
    MOST_OBJECTS,
    OUTPUT_RESAMPLES,
    OVERLAPPING,
    OVERLAPPING_CROPS,
    OVERLAPPING_SHARE,
    PERMUTATIONS,
    RESAMPLES,
    RIGHTS_NOT_STATED,
    SCENES,
    SHIFTED,
    SHOWN_KERNEL,
)
from paper.more_sections import KINDS_OF_RSM, Part, Summary, conclusion, cost, networks, sentences
from paper.tables import (
    KEY,
    Metric,
    Row,
    control_summary,
    control_tables,
    join,
    layer_table,
    number_table,
    summary_table,
)

INPUTS = {
    SHIFTED: "squares with half a photograph's shorter side, shifted along its longer side",
    OVERLAPPING: (
        f"{OVERLAPPING_CROPS} random squares of each photograph, with {100 * OVERLAPPING_SHARE:.0f} % of its shorter "
        "side"
    ),
    DISJOINT: f"{DISJOINT_CROPS} quadrants of the middle of each photograph",
    SCENES: (
        f"{FEWEST_OBJECTS} to {MOST_OBJECTS} parts of photographs at random places, on a grey or textured background"
    ),
}


def write(summary: Summary, figures: str) -> str:
    """Return the report as Markdown; `figures` is the path of their folder, relative to the report."""
    sections = (
        introduction,
        overview,
        translation,
        crops,
        scenes,
        outputs,
        cost,
        agreement,
        networks,
        sentences,
        search,
        origin,
    )
    return join(part for section in sections for part in section(summary, figures))


def introduction(summary: Summary, figures: str) -> Iterator[Part]:
    """State the purpose, the networks, the inputs and the intervals."""
    yield f"# The paper's evaluations, on {summary['cpu']}, {summary['cores']} cores"
    networks = ", ".join(dict.fromkeys(layer["network"] for layer in summary["layers"]))
    left_out = " and ".join(f"{side} × {side}" for side in summary["left_out"])
    yield (
        'This report repeats the evaluations of "Decoupling Semantic Similarity from Spatial Alignment for Neural '
        "Networks\" (arXiv:2410.23107) on other networks and images than the paper's, namely pretrained networks and "
        "photographs that are available from PyPI. The directions of effects can be compared with the paper, their "
        "sizes cannot. In addition, it asks what matching adds to measures that ignore locations without it. All "
        "matchings are exact; for approximate matchings see `python benchmarks/trade.py`."
    )
    yield from conclusion(summary)
    yield KINDS_OF_RSM
    yield (
        f"Networks, with ImageNet weights: {networks}. Layers: the last block of each map size. Maps of {left_out} are "
        f"left out, because the affinities of one pair take {4 * min(summary['left_out']) ** 4 / 1e9:.1f} GB or more. "
        "Layers with the largest remaining maps are evaluated on fewer inputs. Their intervals are therefore wider, "
        "and metrics that depend on the number of inputs cannot be compared with those of other layers."
    )
    yield [
        "| inputs | number | for the largest maps | description |",
        "|---|---:|---:|---|",
        *(f"| {name} | {data['inputs']} | {data['few']} | {INPUTS[name]} |" for name, data in summary["data"].items()),
    ]
    yield (
        f"All intervals are {100 * CONFIDENCE:.0f} % bootstrap intervals over scenes, or over photographs with all "
        f"their crops ({RESAMPLES:,} resamples; {OUTPUT_RESAMPLES} for correlations with outputs). Intervals are not "
        "corrected for multiple comparisons. Differences are paired: all kinds of RSM are evaluated on the same inputs."
    )


def overview(summary: Summary, figures: str) -> Iterator[Part]:
    """Summarise all differences in one table."""
    rows, k = summary["retrieval"], summary["scenes_k"]
    metrics = [
        Metric("separation of shifted crops", summary["translation"], "separation"),
        *(Metric(f"{label}, {name}", rows[name], key) for name in CROPS for label, key in _RETRIEVAL.items()),
        *(Metric(f"{label}, {SCENES}", rows[SCENES], key) for label, key in _scene_metrics(k).items()),
        *(
            Metric(f"{name}'s correlation with outputs, {inputs}", correlations, name, larger_is_better=False)
            for inputs, correlations in summary["outputs"].items()
            for name in CORRELATIONS
        ),
    ]
    yield "## Overview"
    yield (
        "Number of layers and kernels for which semantic RSMs are better, equal and worse than spatio-semantic "
        "ones; in brackets, those whose interval excludes 0. Then semantic minus spatio-semantic, as the mean over "
        "layers, for each network and kernel. For correlations with outputs, negative differences are better. The "
        "paper reports that semantic RSMs are better at retrieval for every network and kernel, and that their "
        "correlations with outputs are more negative for the cosine and RBF kernels."
    )
    yield summary_table(metrics)
    yield (
        f"Semantic minus each other kind, for the {SHOWN_KERNEL} kernel (last column: semantic minus second-order, "
        "both centred by input): the mean over layers, then the numbers of layers at which semantic RSMs are better "
        "and worse; in brackets, those whose interval excludes 0."
    )
    yield control_summary([metric for metric in metrics if metric.key != "Pearson"])
    yield f"![Semantic minus each other kind of RSM, by layer.]({figures}/controls.png)"
    yield (
        f"*{SHOWN_KERNEL.capitalize()} kernel. Each mark is a layer, from the largest maps (left) to the smallest; "
        "above 0, semantic RSMs are better (for outputs: below 0). Last column: semantic minus second-order, both "
        "centred by input.*"
    )


_RETRIEVAL = {"precision@1": "precision@1", "mAP": AP}


def _scene_metrics(k: int) -> dict[str, str]:
    return {"F1@1": "F1@1", f"precision@{k}": f"precision@{k}", "mAP": AP}


def _controls(rows: Sequence[Row], key: str, label: str) -> Iterator[Part]:
    """Report all kinds of RSM for the shown kernel, and semantic minus each other kind."""
    values, differences = control_tables(rows, key)
    yield f"{label} of all kinds, {SHOWN_KERNEL} kernel:"
    yield values
    yield (
        "Semantic minus each other kind, and in the last column, semantic minus second-order, both centred by input; "
        "bold if the interval excludes 0:"
    )
    yield differences


def translation(summary: Summary, figures: str) -> Iterator[Part]:
    """Report similarity by shift."""
    rows = summary["translation"]
    yield "## Translation"
    yield (
        "Similarities under two measures cannot be compared directly: a semantic similarity is never below the "
        "spatio-semantic one, also for crops of different photographs. The table therefore reports the *separation*: "
        "the share of crops of other photographs that are less similar to a crop than its shifted version is (chance: "
        f"0.5), as the mean over all shifts at which the crops overlap. {KEY}"
    )
    yield layer_table(rows, "separation")
    yield from _controls(rows, "separation", "Separation")
    yield f"![Similarity and separation by shift and layer.]({figures}/translation.png)"
    yield (
        f"*{SHOWN_KERNEL.capitalize()} kernel, {rows[0]['network']}. Top: mean similarity with its standard error; "
        "dotted: crops of different photographs. Bottom: separation; dotted: chance.*"
    )


def crops(summary: Summary, figures: str) -> Iterator[Part]:
    """Report whether the nearest neighbours of a crop are crops of the same photograph."""
    yield "## Retrieval of crops"
    yield f"![RSMs of overlapping crops by layer, of both kinds.]({figures}/rsms.png)"
    yield (
        f"*{SHOWN_KERNEL.capitalize()} RSMs of overlapping crops. Crops of one photograph are adjacent and form "
        "squares on the diagonal. Each RSM has its own colour scale.*"
    )
    for name in CROPS:
        rows, chance = summary["retrieval"][name], summary["data"][name]["chance"]["precision"]
        yield f"### {name.capitalize()}"
        yield (
            "Precision@1, the share of crops whose nearest neighbour is a crop of the same photograph (chance, with "
            f"all inputs: {chance:.3f}). {KEY}"
        )
        yield layer_table(rows, "precision@1")
        yield from _controls(rows, "precision@1", "Precision@1")
        yield "mAP, the mean average precision of the whole ranking:"
        yield layer_table(rows, AP)
        yield from _controls(rows, AP, "mAP")
    yield f"![Precision@1 and mAP by layer.]({figures}/retrieval-crops.png)"


def scenes(summary: Summary, figures: str) -> Iterator[Part]:
    """Report whether the nearest neighbours of a scene contain the same objects."""
    rows, chance = summary["retrieval"][SCENES], summary["data"][SCENES]["chance"]
    k = summary["scenes_k"]
    yield "## Retrieval of scenes"
    yield (
        "F1 of the sets of objects in a scene and in its nearest neighbour, as in the paper. The objects are parts of "
        f"{summary['classes']} photographs, a different part each time. Every other scene has one of two textures as "
        f"its background, which does not count as an object. Chance: {chance['F1']:.3f}. {KEY}"
    )
    yield layer_table(rows, "F1@1")
    yield from _controls(rows, "F1@1", "F1")
    yield f"Share of the {k} nearest neighbours that have an object in common (chance: {chance['precision']:.3f}):"
    yield layer_table(rows, f"precision@{k}")
    yield from _controls(rows, f"precision@{k}", f"Precision@{k}")
    yield "mAP, where a scene is relevant if it has an object in common:"
    yield layer_table(rows, AP)
    yield from _controls(rows, AP, "mAP")
    yield f"![F1, precision and mAP by layer.]({figures}/retrieval-scenes.png)"
    yield [
        "| semantic | spatio-semantic |",
        "|---|---|",
        f"| ![Neighbours under the semantic RSM.]({figures}/neighbours-semantic.png) "
        f"| ![Neighbours under the spatio-semantic RSM.]({figures}/neighbours-spatio-semantic.png) |",
    ]
    yield (
        "*Query scenes, evenly spaced in the data set rather than hand-picked, and their nearest neighbours. Ticked: "
        f"F1 of at least {ALIKE:.2f}. {CREDITS}.*"
    )


def outputs(summary: Summary, figures: str) -> Iterator[Part]:
    """Report the correlation between RSMs and predictions."""
    yield "## Output similarity"
    yield (
        "Correlation between an RSM and the Jensen-Shannon divergences of the predicted class probabilities, over all "
        f"pairs of inputs. The more negative, the more similar are the predictions for similar responses. {KEY}"
    )
    for name, rows in summary["outputs"].items():
        for correlation in CORRELATIONS:
            yield f"{name.capitalize()}, {correlation}:"
            yield layer_table(rows, correlation)
        yield from _controls(rows, "Spearman", "Spearman")
    yield f"![Correlations by layer.]({figures}/outputs.png)"


def agreement(summary: Summary, figures: str) -> Iterator[Part]:
    """Report CKA between both kinds of RSM."""
    yield "## Agreement of both kinds of RSM"
    yield (
        "CKA between the semantic and the spatio-semantic RSM of each layer. All layers use the inputs of those with "
        "the largest maps. Cells: debiased CKA; its calibrated score, on which chance is 0, with the p-value of "
        f"{PERMUTATIONS} permutations of scenes or photographs; and *biased* CKA, as in the paper. The bandwidth of "
        "the RBF kernel is that of all inputs of a layer. The paper reports, by biased CKA, that the two kinds differ "
        "most in early layers and converge as maps become smaller. Here biased CKA increases in the same way. "
        "Debiased CKA does not: for scenes, it is lower in later layers than in early ones."
    )
    for name, rows in summary["agreement"].items():
        yield f"{name.capitalize()}; debiased (calibrated, p) / biased:"
        yield number_table(
            rows, lambda row: f"{row['debiased']:.3f} ({row['calibrated']:.3f}, {row['p']:.3f}) / {row['biased']:.3f}"
        )
    yield f"![Debiased and calibrated CKA by layer.]({figures}/agreement.png)"
    yield "*Both rows have the same scale, which does not start at 0.*"


def search(summary: Summary, figures: str) -> Iterator[Part]:
    """Report the cost of exact search relative to all pairs."""
    result = summary["search"]
    seconds, pairs = result["seconds"], result["pairs"]
    yield "## Exact search"
    yield (
        f"The {result['k']} nearest neighbours of each of {result['inputs']:,} crops with 40 to 90 % of a photograph's "
        f"shorter side, under `{result['measure']}`; {result['network']}, block {result['block']} "
        f"(S = {result['side'] ** 2}, C = {result['channels']}). This is not in the paper: it shows that retrieval "
        "does not need all matchings. Each call ran once, after a warm-up. Two inputs that are examined at the same "
        "time count twice."
    )
    yield [
        "| | search | all pairs |",
        "|---|---:|---:|",
        f"| affinities computed | {result['formed']:,} ({100 * result['formed'] / pairs:.1f} %) | {pairs:,} |",
        f"| matchings solved | {result['solved']:,} ({100 * result['solved'] / pairs:.1f} %) | {pairs:,} |",
        f"| seconds | {seconds['search']:.1f} | {seconds['all pairs']:.1f} |",
        f"| similarities more than 1e-6 below those of the RSM | {result['differing']} | |",
    ]
    yield f"![The cost of search as a share of that of all pairs.]({figures}/search.png)"


def origin(summary: Summary, figures: str) -> Iterator[Part]:
    """State sources, date, versions and run time."""
    versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    steps = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in summary["seconds"].items())
    yield "## Sources"
    yield (
        "The photographs are those in the wheels of scikit-image and scikit-learn. Figures do not show "
        f"{', '.join(RIGHTS_NOT_STATED)}, for which no rights are stated; the others are in the public domain, CC0, or "
        f"without known restrictions, except {CREDITS}."
    )
    yield (
        f"{summary['date']}; {versions}. Measured by `{summary['command']}`. RSMs took "
        f"{summary['rsm_seconds'] / 60:.1f} minutes when they were computed; the steps of the last run: {steps}."
    )
