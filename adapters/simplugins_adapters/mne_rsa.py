# SPDX-License-Identifier: Apache-2.0
"""MNE-RSA: RSMs as its condensed RDMs, one or a list, and its RDMs as RSMs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from simplugins import RSM, Adapter
from simplugins_adapters.shared import Dissimilarity, dissimilarities, from_dissimilarities

TOOL = "MNE-RSA"


def to_rdm(rsm: RSM, *, dissimilarity: Dissimilarity = "complement") -> NDArray[np.float64]:
    """Return an RSM as an RDM in condensed form, as ``mne_rsa.compute_rdm`` returns.

    Parameters
    ----------
    rsm : RSM
        Of N inputs. Its labels are what ``labels_rdm_model=`` takes.
    dissimilarity : {"complement", "squared-distance", "distance"}
        With complements, correlations are those of the similarities.

    Returns
    -------
    (N (N - 1) / 2,) float64 array
        The upper triangle, row by row. ``mne_rsa.squareform`` makes it a matrix.

    Raises
    ------
    ValueError
        If the RSM compares inputs with others, or there is no such dissimilarity.
    """
    return squareform(dissimilarities(rsm, dissimilarity, TOOL), checks=False)  # type: ignore[no-any-return]


def to_rdms(rsms: Mapping[str, RSM], *, dissimilarity: Dissimilarity = "complement") -> list[NDArray[np.float64]]:
    """Return RSMs of the same inputs as a list of RDMs, which is what MNE-RSA takes several as; see `to_rdm`."""
    return [to_rdm(rsm, dissimilarity=dissimilarity) for rsm in rsms.values()]


def from_rdms(
    rdms: Any, *, dissimilarity: Dissimilarity, labels: Any = None, layers: Sequence[str] | None = None
) -> RSM | dict[str, RSM]:
    """Return RDMs as RSMs.

    Parameters
    ----------
    rdms : (N, N) or (N (N - 1) / 2,) array, or iterable of these
        Such as ``mne_rsa.compute_rdm`` and ``mne_rsa.rdm_epochs`` return.
    dissimilarity : {"complement", "squared-distance", "distance"}
        What they are: 1 minus similarities, as of MNE-RSA's "correlation" and "cosine"; squared distances, as of
        "sqeuclidean"; or distances, as of "euclidean". They do not tell it themselves.
    labels : (N,) array of str or int, optional
        What the inputs are called.
    layers : sequence of str, optional
        What several RDMs are called; by default they are numbered.

    Returns
    -------
    RSM, or dict of str to RSM
        One of an array, several of an iterable. Those of distances are about the mean of all inputs (see
        `simplugins.RSM.from_distances`).

    Raises
    ------
    ValueError
        If an array is no RDM that MNE-RSA would take, or not of that kind; or labels or names are not as many as there
        must be.
    """
    if isinstance(rdms, np.ndarray):
        return _from_rdm(rdms, dissimilarity, labels)
    found = [_from_rdm(rdm, dissimilarity, labels) for rdm in rdms]
    names = [str(place) for place in range(len(found))] if layers is None else list(layers)
    if len(set(names)) != len(found):
        raise ValueError(f"layers: expected {len(found)} different names, one for each RDM, got {names}")
    return dict(zip(names, found, strict=True))


def _from_rdm(rdm: Any, dissimilarity: Dissimilarity, labels: Any) -> RSM:
    values = np.asarray(rdm, np.float64)
    try:
        square = squareform(values if values.ndim == 1 else squareform(values))
    except ValueError as error:
        raise ValueError(
            f"{TOOL} takes no such RDM: {error} (similarities are read by simplugins.RSM.from_similarities)"
        ) from error
    return from_dissimilarities(square, dissimilarity, labels=labels, measure=f"{TOOL} {dissimilarity}", source=TOOL)


adapter = Adapter(
    tool=TOOL,
    modules=("mne_rsa",),
    install="pip install 'simplugins[mne-rsa]'",
    rsm=to_rdm,
    rsms=to_rdms,
    back=from_rdms,
)
