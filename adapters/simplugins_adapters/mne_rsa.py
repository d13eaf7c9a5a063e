# SPDX-License-Identifier: Apache-2.0
"""MNE-RSA: RSMs as its condensed RDMs, one or a list, and its RDMs as RSMs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from simplugins import RSM, Adapter
from simplugins_adapters.dissimilarities import Dissimilarity, Missing, dissimilarities, matrix_as_rsm

TOOL = "MNE-RSA"


def to_rdm(rsm: RSM, *, dissimilarity: Dissimilarity = "complement") -> NDArray[np.float64]:
    """Return an RSM as an RDM in condensed form, as ``mne_rsa.compute_rdm`` returns it.

    Parameters
    ----------
    rsm : RSM
        For N inputs. Pass its labels as ``labels_rdm_model=``.
    dissimilarity : {"complement", "squared-distance", "distance"}
        With complements, correlations are those of the similarities.

    Returns
    -------
    (N (N - 1) / 2,) float64 array
        The upper triangle, row by row; ``mne_rsa.squareform`` returns the matrix.

    Raises
    ------
    ValueError
        If the RSM compares inputs with other inputs, or the kind of dissimilarity is unknown.
    """
    return squareform(dissimilarities(rsm, dissimilarity, TOOL), checks=False)  # type: ignore[no-any-return]


def to_rdms(rsms: Mapping[str, RSM], *, dissimilarity: Dissimilarity = "complement") -> list[NDArray[np.float64]]:
    """Return RSMs of the same inputs as a list of RDMs, the form in which MNE-RSA takes several; see `to_rdm`."""
    return [to_rdm(rsm, dissimilarity=dissimilarity) for rsm in rsms.values()]


def from_rdms(
    rdms: Any,
    *,
    dissimilarity: Dissimilarity,
    labels: Any = None,
    layers: Sequence[str] | None = None,
    missing: Missing = "raise",
) -> RSM | dict[str, RSM]:
    """Return RDMs as RSMs.

    Parameters
    ----------
    rdms : (N, N) or (N (N - 1) / 2,) array, or iterable of these
        For example from ``mne_rsa.compute_rdm`` or ``mne_rsa.rdm_epochs``.
    dissimilarity : {"complement", "squared-distance", "distance"}
        The kind of dissimilarities, which RDMs do not record: 1 minus similarities for MNE-RSA's "correlation" and
        "cosine", squared distances for "sqeuclidean", distances for "euclidean".
    labels : (N,) array of str or int, optional
        Labels of the inputs.
    layers : sequence of str, optional
        Names of several RDMs; by default they are numbered.
    missing : {"raise", "omit"}, default "raise"
        With "omit", complements may be NaN; see `simplugins.RSM.from_similarities`.

    Returns
    -------
    RSM, or dict of str to RSM
        An RSM for an array, a dict for an iterable. RSMs from distances are centred (see
        `simplugins.RSM.from_distances`).

    Raises
    ------
    ValueError
        If MNE-RSA would not accept an array as an RDM, the values are not of that kind, or the number of labels or
        names is wrong.
    """
    if isinstance(rdms, np.ndarray):
        return _from_rdm(rdms, dissimilarity, labels, missing)
    rsms = [_from_rdm(rdm, dissimilarity, labels, missing) for rdm in rdms]
    names = [str(position) for position in range(len(rsms))] if layers is None else list(layers)
    if len(set(names)) != len(rsms):
        raise ValueError(f"layers: expected {len(rsms)} different names (one per RDM), got {names}")
    return dict(zip(names, rsms, strict=True))


def _from_rdm(rdm: Any, dissimilarity: Dissimilarity, labels: Any, missing: Missing) -> RSM:
    values = np.asarray(rdm, np.float64)
    try:
        incomplete = values.ndim == 2 and np.isnan(values).any()  # NaN is not symmetric to SciPy
        square = values if incomplete else squareform(values if values.ndim == 1 else squareform(values))
    except ValueError as error:
        raise ValueError(
            f"rdms: {TOOL} does not accept such an RDM: {error} (simplugins.RSM.from_similarities reads similarities)"
        ) from error
    measure = f"{TOOL} {dissimilarity}"
    return matrix_as_rsm(square, dissimilarity, labels=labels, measure=measure, tool=TOOL, missing=missing)


adapter = Adapter(
    tool=TOOL,
    modules=("mne_rsa",),
    install="pip install 'simplugins[mne-rsa]'",
    rsm=to_rdm,
    rsms=to_rdms,
    reader=from_rdms,
)
