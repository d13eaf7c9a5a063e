# SPDX-License-Identifier: Apache-2.0
"""The design of the evaluations: kinds of RSM, kernels, inputs and resamples, which the report states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

KERNELS = ("linear", "cosine", "rbf")
KERNEL_COLORS = dict(zip(KERNELS, ("#009E73", "#CC79A7", "#000000"), strict=True))
SEMANTIC, SPATIAL = "semantic", "spatio-semantic"
KINDS = (SPATIAL, SEMANTIC)

SHIFT, MAX_SIM = "shift", "max-sim"
MEAN, MAX, SECOND_ORDER = "mean-pooled", "max-pooled", "second-order"
CENTRED, SECOND_ORDER_CENTRED = f"{SEMANTIC}, centred", f"{SECOND_ORDER}, centred"
BY_INPUT, SECOND_ORDER_BY_INPUT = f"{CENTRED} by input", f"{SECOND_ORDER_CENTRED} by input"


class Case(NamedTuple):
    """How RSMs are computed: the family of measures, the kernels, and the preparation of the activations."""

    family: str
    kernels: Sequence[str]
    center: Literal["channel", "input"] | None = None


SHOWN_KERNEL = "cosine"
"""The kernel of controls, and of figures that show a single one."""

CASES = {
    SPATIAL: Case(SPATIAL, KERNELS),
    SHIFT: Case(SHIFT, [SHOWN_KERNEL]),
    SEMANTIC: Case(SEMANTIC, KERNELS),
    CENTRED: Case(SEMANTIC, [SHOWN_KERNEL], "channel"),
    BY_INPUT: Case(SEMANTIC, [SHOWN_KERNEL], "input"),
    MEAN: Case(MEAN, [SHOWN_KERNEL]),
    MAX: Case(MAX, [SHOWN_KERNEL]),
    SECOND_ORDER: Case(SECOND_ORDER, [SHOWN_KERNEL]),
    SECOND_ORDER_CENTRED: Case(SECOND_ORDER, [SHOWN_KERNEL], "channel"),
    SECOND_ORDER_BY_INPUT: Case(SECOND_ORDER, [SHOWN_KERNEL], "input"),
    MAX_SIM: Case(MAX_SIM, [SHOWN_KERNEL]),
}
"""All kinds of RSM, by name; those with a single kernel are controls."""

UNMATCHED = (MEAN, MAX, SECOND_ORDER, SECOND_ORDER_CENTRED, SECOND_ORDER_BY_INPUT, MAX_SIM)
"""Controls that ignore locations, as semantic RSMs do, without matching."""

BOTH_BY_INPUT = f"{SECOND_ORDER}, both centred by input"
DIFFERENCES = {
    **{kind: (SEMANTIC, kind) for kind in CASES if kind != SEMANTIC},
    BOTH_BY_INPUT: (BY_INPUT, SECOND_ORDER_BY_INPUT),
}
"""Pairs of kinds whose difference is reported: semantic minus each other, and with equal preparation."""

SHIFTED, OVERLAPPING, DISJOINT, SCENES = "shifted crops", "overlapping crops", "disjoint crops", "composed scenes"
CROPS = (OVERLAPPING, DISJOINT)

OVERLAPPING_CROPS, OVERLAPPING_SHARE = 5, 0.6
"""Number of overlapping crops per photograph, and their side relative to its shorter side."""

DISJOINT_CROPS = 4
"""Number of disjoint crops per photograph: the quadrants of the largest square in its middle."""

FEWEST_OBJECTS, MOST_OBJECTS = 2, 4
"""Objects in a scene."""

CONFIDENCE = 0.95
RESAMPLES = 2000
OUTPUT_RESAMPLES = RESAMPLES // 10
"""Resamples of correlations with outputs: fewer than elsewhere, because each ranks all pairs."""

AP = "mAP"
"""The mean over queries of the average precision of their rankings."""

PAIR_RESAMPLES = RESAMPLES // 2
PERMUTATIONS = 999
"""Resamples of comparisons of networks, and permutations of calibrated ones."""

CORRELATIONS = {"Pearson": "rsa-pearson", "Spearman": "rsa-spearman"}

ALIKE = 0.5
"""F1 of the objects of two scenes above which figures mark them as alike."""

RIGHTS_NOT_STATED = ("motorcycle", "colorwheel", "moon", "page")
"""Photographs for which `skimage.data` states no rights: they are evaluated, but not shown in figures."""

CREDITS = "china: danielbuechele, flower: vultilion (Flickr, both CC BY 2.0, cropped and scaled)"
"""Photographers whom the licences require to be named."""
