# SPDX-License-Identifier: Apache-2.0
"""The design of the evaluations: kinds of RSM, kernels, inputs and resamples, which the report states."""

from __future__ import annotations

KERNELS = ("linear", "cosine", "rbf")
SEMANTIC, SPATIAL = "semantic", "spatio-semantic"
KINDS = (SPATIAL, SEMANTIC)

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

AP = "AP"
"""Average precision of a query, as `simplugins.evaluation.retrieval` calls it; its mean is mAP."""

CKA = {"debiased CKA": "cka-debiased", "biased CKA": "cka"}
CORRELATIONS = {"Pearson": "rsa-pearson", "Spearman": "rsa-spearman"}

SHOWN_KERNEL = "cosine"
"""The kernel of figures that show a single one."""

ALIKE = 0.5
"""F1 of the objects of two scenes above which figures mark them as alike."""

RIGHTS_NOT_STATED = ("motorcycle", "colorwheel", "moon", "page")
"""Photographs for which `skimage.data` states no rights: they are evaluated, but not shown in figures."""

CREDITS = "china: danielbuechele, flower: vultilion (Flickr, both CC BY 2.0, cropped and scaled)"
"""Photographers whom the licences require to be named."""
