# SPDX-License-Identifier: Apache-2.0
"""repsim (wrongu's): RSMs as Gram matrices for its CKA, and similarities of networks as its metric spaces."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from simplugins import RSM, Adapter
from simplugins_adapters.dissimilarities import gram
from simplugins_adapters.repsim_packages import check_repsim
from simplugins_adapters.similarities import Similarity, check_rsm_based

if TYPE_CHECKING:
    from torch import Tensor

    from simplugins_adapters.subclasses.repsim_metric_space import NetworkMetric

TOOL = "repsim"

_COSINES = ("cka", "cka-debiased")
"""Comparisons that are cosines of vectors in one space, so that their angles are metrics."""


def to_gram(rsm: RSM) -> Tensor:
    """Return an RSM as a Gram matrix for ``repsim.kernels``, which is also a point of the spaces of `to_space`.

    Returns
    -------
    (N, N) float64 tensor
        Exactly symmetric. ``repsim.kernels.cka(x, y, unbiased=False)`` is biased CKA, as simplugins's "cka"; with
        ``unbiased=True``, the default, it is debiased (Song et al.), as "cka-debiased". Both hold for RSMs that are not
        positive semi-definite, too.
    """
    import torch

    return torch.from_numpy(gram(rsm, TOOL))


def to_space(similarity: Similarity, *, m: int, layout: str = "auto") -> NetworkMetric:
    """Return a similarity of networks as a metric space for ``repsim.compare(x, y, method=space)``.

    Parameters
    ----------
    similarity : NetworkSimilarity
        With a comparison that is a metric, such as "angular-cka"; or with "cka" (biased) or "cka-debiased" (Song et
        al.), whose angle is then the length.
    m : int
        Number of inputs.
    layout : str, default "auto"
        Layout of activations.

    Returns
    -------
    repsim.metrics.RepresentationMetricSpace
        Its points are RSMs, none of which is projected. Lengths cannot be differentiated, so there are no geodesics.

    Raises
    ------
    TypeError
        If the similarity is not made of a measure and a comparison.
    ValueError
        If the similarity does not yield a metric.
    """
    from simplugins_adapters.subclasses.repsim_metric_space import NetworkMetric

    similarity = check_rsm_based(similarity, TOOL)
    if not (similarity.is_metric or similarity.method in _COSINES):
        raise ValueError(
            f"{TOOL} takes metrics; {similarity.method!r} is not a metric, nor is its angle known to be one: use "
            f"'angular-cka', or {' or '.join(map(repr, _COSINES))}, whose angles are metrics"
        )
    return NetworkMetric(similarity, m, layout)


adapter = Adapter(
    tool=TOOL,
    modules=("repsim", "torch"),
    install="pip install 'simplugins[torch]' git+https://github.com/wrongu/repsim",
    rsm=to_gram,
    similarity=to_space,
    check=partial(check_repsim, "wrongu"),
)
