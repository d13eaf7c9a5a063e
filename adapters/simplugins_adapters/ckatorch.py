# SPDX-License-Identifier: Apache-2.0
"""ckatorch: RSMs as the Gram matrices that its HSIC functions take, and comparisons of layers for its plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simplugins import RSM, Adapter, Comparison
from simplugins_adapters.descriptions import network_names, rsms_of
from simplugins_adapters.dissimilarities import gram

if TYPE_CHECKING:
    from torch import Tensor

TOOL = "ckatorch"


def to_gram(rsm: RSM) -> Tensor:
    """Return an RSM as a Gram matrix for ``hsic0`` and ``center_gram_matrix``.

    Returns
    -------
    (N, N) float64 tensor
        Exactly symmetric. CKA by ``hsic0`` is biased, as simplugins's "cka"; CKA by ``hsic1``, which takes (L, N, N),
        is debiased (Song et al.), as "cka-debiased". Both hold for RSMs that are not positive semi-definite, too.
    """
    import torch

    return torch.from_numpy(gram(rsm, TOOL))


def to_grams(rsms: Mapping[str, RSM]) -> Tensor:
    """Return RSMs of the same inputs as a batch of Gram matrices for ``hsic1``, (L, N, N) float64; see `to_gram`."""
    import torch

    return torch.stack([to_gram(rsm) for rsm in rsms.values()])


def to_plot(comparison: Comparison, *, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Return a comparison of layers as the arguments of ``plot_cka``.

    Parameters
    ----------
    comparison : Comparison
        By any method; the title names it.
    names : (str, str), optional
        Names of the networks in rows and columns.

    Returns
    -------
    dict of str to object
        For ``plot_cka(**arguments)``: the matrix as a float64 tensor, and the full names of layers as tick labels.

    Raises
    ------
    ValueError
        If there are not two names.
    """
    import torch

    first, second = network_names(comparison, names)
    layers = [*comparison.rows, *comparison.columns]
    return {
        "cka_matrix": torch.tensor(comparison.values),
        "first_layers": list(comparison.rows),
        "second_layers": list(comparison.columns),
        "first_name": first,
        "second_name": second,
        "title": f"{comparison.method} of {rsms_of(comparison)}",
        "show_ticks_labels": True,
        "short_tick_labels_splits": max(layer.count(".") for layer in layers) + 1,
    }


adapter = Adapter(
    tool=TOOL,
    modules=("ckatorch", "torch"),
    install="pip install 'simplugins[ckatorch]'",
    rsm=to_gram,
    rsms=to_grams,
    comparison=to_plot,
)
