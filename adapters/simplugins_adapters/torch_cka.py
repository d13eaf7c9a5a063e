# SPDX-License-Identifier: Apache-2.0
"""torch_cka: RSMs as layers of a module that its CKA compares, and comparisons of layers as its results and plot."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplugins import RSM, Adapter, Comparison, compare
from simplugins_adapters.descriptions import check_identified, network_names, rsms_of
from simplugins_adapters.dissimilarities import check_square

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.data import DataLoader
    from torch_cka import CKA

TOOL = "torch_cka"

_ESTIMATORS = {"cka": "biased CKA", "cka-debiased": "debiased CKA (Song)"}


class Model(NamedTuple):
    """A substitute for a network and its inputs in ``CKA(...)`` and ``compare(...)``.

    Attributes
    ----------
    model : torch.nn.Module
        With one layer per RSM, under its name.
    loader : torch.utils.data.DataLoader
        All inputs in one batch; other loaders of its ``dataset`` may use batches of 4 or more.
    """

    model: nn.Module
    loader: DataLoader[Any]


def to_model(rsms: Mapping[str, RSM], *, name: str = "RSMs") -> Model:
    """Return RSMs of the same inputs as a module with one layer per RSM, and a loader of the inputs.

    Parameters
    ----------
    rsms : mapping of str to RSM
        By layer, L in total.
    name : str, default "RSMs"
        Name of the network in torch_cka, which warns if two have the same.

    Returns
    -------
    Model
        ``CKA(one.model, other.model).compare(one.loader, one.loader)`` compares all layers of two models by debiased
        CKA (Song et al.), as simplugins's "cka-debiased", up to float32, even for RSMs that are not positive
        semi-definite. Inputs are identified by their labels, so their order may differ.

    Raises
    ------
    ValueError
        If an RSM compares inputs with other inputs, there are fewer than 4, or its debiased CKA is undefined.

    Notes
    -----
    O(L N^3). Layers return float32 features. Their inner products are those of the centred RSM, times a factor, plus a
    constant on the diagonal that makes such features exist. Debiased CKA is invariant to all three changes.
    """
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from simplugins_adapters.subclasses.torch_cka_layers import Layers

    keys = _keys(rsms)
    order = np.argsort(keys)
    inputs = torch.from_numpy(keys[order])
    features = {layer: torch.from_numpy(_features(layer, rsm)[order]) for layer, rsm in rsms.items()}
    loader = DataLoader(TensorDataset(inputs.clone()), batch_size=len(inputs))
    return Model(Layers(name, inputs, features), loader)


def to_results(comparison: Comparison, *, names: Sequence[str] | None = None) -> CKA:
    """Return a comparison of layers as a ``CKA`` with results, for ``export()`` and ``plot_results()``.

    Parameters
    ----------
    comparison : Comparison
        By "cka" or "cka-debiased"; the names of data sets state the estimator.
    names : (str, str), optional
        Names of the networks in rows and columns.

    Returns
    -------
    torch_cka.CKA

    Raises
    ------
    ValueError
        If the comparison is not a CKA, or there are not two names.
    """
    import torch

    from simplugins_adapters.subclasses.torch_cka_layers import Results

    if comparison.method not in _ESTIMATORS:
        raise ValueError(
            f"results of {TOOL} are CKA, so the method must be one of {', '.join(map(repr, _ESTIMATORS))}; this "
            f"comparison is by {comparison.method!r}"
        )
    first, second = network_names(comparison, names)
    dataset = f"{comparison.metadata['inputs']} inputs, {_ESTIMATORS[comparison.method]} of {rsms_of(comparison)}"
    return Results(
        torch.tensor(comparison.values, dtype=torch.float32),
        {"Name": first, "Layers": list(comparison.rows), "Dataset": dataset},
        {"Name": second, "Layers": list(comparison.columns), "Dataset": dataset},
    )


def _keys(rsms: Mapping[str, RSM]) -> NDArray[np.int64]:
    """Return a number per input: a hash of its label, which all modules share, or its position if it has none."""
    rsm = next((rsm for rsm in rsms.values() if rsm.labels is not None), next(iter(rsms.values())))
    if rsm.labels is None:
        return np.arange(len(rsm))
    check_identified(rsm, TOOL)
    seen: Counter[Any] = Counter()
    keys = []
    for label in rsm.labels.tolist():
        text = f"{label} {seen[label]}"
        seen[label] += 1
        keys.append(int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), signed=True))
    return np.array(keys, np.int64)


def _features(layer: str, rsm: RSM) -> NDArray[np.float32]:
    """Return features for debiased CKA, (N, R).

    Centred and scaled, because a large mean, to which CKA is invariant, would cost most of the digits of float32.
    """
    check_square(rsm, TOOL)
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        self_similarity = compare(rsm, rsm, "cka-debiased")
    if np.isnan(self_similarity):
        raise ValueError(f"{layer}: debiased CKA is undefined for an RSM that is constant off the diagonal")
    features = RSM.from_similarities(rsm.centred()).features(shift=True)
    scaled: NDArray[np.float32] = (features / np.abs(features).max()).astype(np.float32)
    return scaled


adapter = Adapter(
    tool=TOOL,
    modules=("torch_cka", "torch"),
    install="pip install 'simplugins[torch-cka]'",
    rsms=to_model,
    comparison=to_results,
)
