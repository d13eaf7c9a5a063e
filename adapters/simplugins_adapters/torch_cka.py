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
from simplugins_adapters.networks import centred_gram, network_names, rsms_of

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.data import DataLoader
    from torch_cka import CKA

TOOL = "torch_cka"

_ESTIMATORS = {"cka": "biased CKA", "cka-debiased": "debiased CKA (Song)"}


class Model(NamedTuple):
    """What stands for a network and its inputs in ``CKA(...)`` and ``compare(...)``.

    Attributes
    ----------
    model : torch.nn.Module
        With one layer for each RSM, by its name.
    loader : torch.utils.data.DataLoader
        All inputs in one batch; other loaders of its ``dataset`` may have batches of 4 or more.
    """

    model: nn.Module
    loader: DataLoader[Any]


def to_model(rsms: Mapping[str, RSM], *, name: str = "RSMs") -> Model:
    """Return RSMs of the same inputs as a module with a layer for each, and a loader of the inputs.

    Parameters
    ----------
    rsms : mapping of str to RSM
        By layer, L of them.
    name : str, default "RSMs"
        What torch_cka calls the network; it warns if two have the same name.

    Returns
    -------
    Model
        ``CKA(one.model, other.model).compare(one.loader, one.loader)`` compares all layers of two by debiased CKA (Song
        et al.), as simplugins does by "cka-debiased", up to float32; also where RSMs are not positive semi-definite.
        Inputs are found by their labels, so their order may differ.

    Raises
    ------
    ValueError
        If an RSM compares inputs with others, there are fewer than 4, or its debiased CKA is not defined.

    Notes
    -----
    O(L N^3). Layers return float32 features. Their inner products are those of the RSM about the mean of all inputs,
    times a number, plus another one on the diagonal that makes features exist. Debiased CKA sees none of this.
    """
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from simplugins_adapters.subclasses.torch_cka import Layers

    keys = _keys(rsms)
    order = np.argsort(keys)
    inputs = torch.from_numpy(keys[order])
    features = {layer: torch.from_numpy(_features(layer, rsm)[order]) for layer, rsm in rsms.items()}
    loader = DataLoader(TensorDataset(inputs.clone()), batch_size=len(inputs))
    return Model(Layers(name, inputs, features), loader)


def to_results(comparison: Comparison, *, names: Sequence[str] | None = None) -> CKA:
    """Return a comparison of layers as a ``CKA`` that has compared: it can ``export()`` and ``plot_results()``.

    Parameters
    ----------
    comparison : Comparison
        By "cka" or "cka-debiased"; the estimator is told in the names of data sets.
    names : (str, str), optional
        What the networks of rows and columns are called.

    Returns
    -------
    torch_cka.CKA

    Raises
    ------
    ValueError
        If the comparison is no CKA, or there are not two names.
    """
    import torch

    from simplugins_adapters.subclasses.torch_cka import Results

    if comparison.method not in _ESTIMATORS:
        raise ValueError(
            f"results of {TOOL} are CKA; this comparison is by {comparison.method!r}, not by one of "
            f"{', '.join(map(repr, _ESTIMATORS))}"
        )
    first, second = network_names(comparison, names)
    dataset = f"{comparison.metadata['inputs']} inputs, {_ESTIMATORS[comparison.method]} of {rsms_of(comparison)}"
    return Results(
        torch.tensor(comparison.values, dtype=torch.float32),
        {"Name": first, "Layers": list(comparison.rows), "Dataset": dataset},
        {"Name": second, "Layers": list(comparison.columns), "Dataset": dataset},
    )


def _keys(rsms: Mapping[str, RSM]) -> NDArray[np.int64]:
    """Return a number for each input, by its label, so that all modules know it; or its place, if there are none."""
    rsm = next((rsm for rsm in rsms.values() if rsm.labels is not None), next(iter(rsms.values())))
    if rsm.labels is None:
        return np.arange(len(rsm))
    seen: Counter[Any] = Counter()
    keys = []
    for label in rsm.labels.tolist():
        text = f"{label!r} {seen[label]}"
        seen[label] += 1
        keys.append(int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), signed=True))
    return np.array(keys, np.int64)


def _features(layer: str, rsm: RSM) -> NDArray[np.float32]:
    """Return features for debiased CKA, (N, R).

    In float32, a mean of all similarities or a scale, which CKA does not see, would cost most of the digits.
    """
    centred = centred_gram(rsm, TOOL)
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        itself = compare(rsm, rsm, "cka-debiased")
    if np.isnan(itself):
        raise ValueError(f"{layer}: debiased CKA is not defined for an RSM that is constant off the diagonal")
    features = RSM.from_similarities(centred).features(shift=True)
    scaled: NDArray[np.float32] = (features / np.abs(features).max()).astype(np.float32)
    return scaled


adapter = Adapter(
    tool=TOOL,
    modules=("torch_cka", "torch"),
    install="pip install 'simplugins[torch-cka]'",
    rsms=to_model,
    comparison=to_results,
)
