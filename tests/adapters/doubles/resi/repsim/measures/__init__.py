# SPDX-License-Identifier: Apache-2.0
import numpy as np

from .utils import RepresentationalSimilarityMeasure


def linear_cka(one, other, shape):
    """CKA of features; for maps, all channels at all positions."""
    a, b = (np.asarray(x).reshape(len(x), -1) for x in (one, other))
    a, b = (x - x.mean(0) for x in (a, b))
    return float(np.sum((a.T @ b) ** 2) / np.linalg.norm(a.T @ a) / np.linalg.norm(b.T @ b))


class CKA(RepresentationalSimilarityMeasure):
    def __init__(self):
        super().__init__(
            sim_func=linear_cka,
            larger_is_more_similar=True,
            is_symmetric=True,
            is_metric=False,
            invariant_to_affine=False,
            invariant_to_invertible_linear=False,
            invariant_to_ortho=True,
            invariant_to_permutation=True,
            invariant_to_isotropic_scaling=True,
            invariant_to_translation=True,
        )


CLASSES = [CKA]
ALL_MEASURES = {measure.name: measure for measure in (made() for made in CLASSES)}
