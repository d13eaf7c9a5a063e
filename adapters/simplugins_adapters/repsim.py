# SPDX-License-Identifier: Apache-2.0
"""repsim (wrongu's): RSMs as the Gram matrices that its CKA takes, similarities of networks as its metric spaces."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from simplugins import RSM, Adapter, NetworkSimilarity
from simplugins_adapters.repsims import check
from simplugins_adapters.shared import gram

if TYPE_CHECKING:
    from torch import Tensor

    from simplugins_adapters.subclasses.repsim import NetworkMetric

TOOL = "repsim"

_ANGLES_ARE_METRICS = ("cka", "cka-debiased")
"""Similarities that are cosines of vectors in one space."""


def to_gram(rsm: RSM) -> Tensor:
    """Return an RSM as a Gram matrix for ``repsim.kernels``, and as a point of the spaces that `to_space` makes.

    Parameters
    ----------
    rsm : RSM

    Returns
    -------
    (N, N) float64 tensor
        Exactly symmetric. ``repsim.kernels.cka(x, y, unbiased=False)`` is biased CKA, simplugins's "cka"; with
        ``unbiased=True``, the default, it is debiased (Song et al.), "cka-debiased". Both are so too where RSMs are not
        positive semi-definite.

    Raises
    ------
    ValueError
        If the RSM compares inputs with others.
    """
    import torch

    return torch.from_numpy(gram(rsm, TOOL))


def to_space(similarity: NetworkSimilarity, *, m: int, layout: str = "auto") -> NetworkMetric:
    """Return a similarity of networks as the metric space that ``repsim.compare(x, y, method=space)`` takes.

    Parameters
    ----------
    similarity : NetworkSimilarity
        By a method that is a metric, such as "angular-cka"; or by "cka" (biased) or "cka-debiased" (Song et al.), whose
        angle is taken.
    m : int
        How many inputs there are.
    layout : {"auto", "nd", "ntd", "nchw", "nhwc"}
        Of activations.

    Returns
    -------
    repsim.metrics.RepresentationMetricSpace
        Its points are RSMs, of which none is projected. It has lengths, but these are not differentiated, so it has no
        geodesics.

    Raises
    ------
    ValueError
        If the similarity makes no metric.
    """
    from simplugins_adapters.subclasses.repsim import NetworkMetric

    if not (similarity.is_metric or similarity.method in _ANGLES_ARE_METRICS):
        raise ValueError(
            f"{TOOL} takes metrics; {similarity.method!r} is none, and its angle is not known to be one: take "
            f"'angular-cka', or {' or '.join(map(repr, _ANGLES_ARE_METRICS))}, whose angles are metrics"
        )
    return NetworkMetric(similarity, m, layout)


adapter = Adapter(
    tool=TOOL,
    modules=("repsim", "torch"),
    install="pip install 'simplugins[torch]' git+https://github.com/wrongu/repsim",
    rsm=to_gram,
    similarity=to_space,
    check=partial(check, "wrongu"),
)
