# SPDX-License-Identifier: Apache-2.0
"""Human-readable descriptions of RSMs: one line, or a table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simplugins._common.formatting import counted
from simplugins.rsm.rsm import RSM


def one_line(rsm: RSM) -> str:
    """Return the repr of an RSM; the values of a stored one are not read."""
    rows, columns = rsm.shape
    matching = "" if rsm.matching is None else f", {_matching(rsm)} matching"
    return f"RSM {rsm.measure}: {rows} x {columns}{matching}{_span(rsm)}"


def _span(rsm: RSM) -> str:
    if rsm.source.location is not None:
        return f", in {rsm.source.location}"
    values = _informative(rsm, rsm.values)
    if not values.size:
        return ""
    return f", values {values.min():.4g} to {values.max():.4g}" + (" off the diagonal" if rsm.symmetric else "")


def summarise(rsm: RSM) -> dict[str, str]:
    """Return a human-readable summary as a dict of strings."""
    rows, columns = rsm.shape
    where = " off the diagonal" if rsm.symmetric else ""
    values = _informative(rsm, rsm.values)
    details = {"kernel": rsm.kernel, "sigma": rsm.sigma, **rsm.metadata}
    for name in ("matching_options", "rounding"):
        details.pop(name, None)
    summary = {
        "measure": rsm.measure,
        "inputs": f"{rows}" if rsm.symmetric else f"{rows} x {columns}",
        "labels": _labels(rsm),
        "similarity" + where: (
            f"{values.min():.6g} to {values.max():.6g}, mean {values.mean():.6g}" if values.size else "none"
        ),
    }
    if missing := rsm.values.size - np.count_nonzero(~np.isnan(rsm.values)):
        summary["missing values"] = f"{missing} of {rsm.values.size}"
    if rsm.matching is not None:
        summary["matching"] = _matching(rsm)
    if rsm.gap is not None:
        summary["optimality gap" + where] = _gap_range(rsm, rsm.gap)
    texts = {name: f"{value:.6g}" if isinstance(value, float) else str(value) for name, value in details.items()}
    return summary | {name: text for name, text in texts.items() if details[name] is not None}


def _labels(rsm: RSM) -> str:
    if rsm.labels is None:
        return "none"
    labels = rsm.labels.tolist()
    without = labels.count("")
    return f"{len({*labels} - {''})} different" + (f", {counted(without, 'input')} without a label" if without else "")


def _matching(rsm: RSM) -> str:
    options = rsm.metadata.get("matching_options", {})
    texts = [f"{name} {value}" for name, value in options.items() if value is not None]
    return f"{rsm.matching}" + (f" ({', '.join(texts)})" if texts else "")


def _gap_range(rsm: RSM, gap: NDArray[np.float64]) -> str:
    """Describe the size of the gaps, and name the pair with the largest."""
    gaps = _informative(rsm, gap)
    if not gaps.any():
        return "none"
    i, j = np.unravel_index(np.argmax(gap), gap.shape)  # it is 0 on the diagonal
    return f"largest {gaps.max():.3g} (inputs {i} and {j}), mean {gaps.mean():.3g}"


def _informative(rsm: RSM, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entries that differ between RSMs: those off the diagonal, if rows and columns are the same inputs.

    Missing values (NaN) are left out.
    """
    entries = matrix[~np.eye(len(rsm), dtype=bool)] if rsm.symmetric else matrix.ravel()
    return entries[~np.isnan(entries)]
