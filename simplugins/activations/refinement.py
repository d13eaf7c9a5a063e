# SPDX-License-Identifier: Apache-2.0
"""Applies the options of `Activations.from_array` (mask, dropped tokens, labels, dtype, subset) to Activations."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins.activations.labels import check_labels
from simplugins.activations.layouts import RAGGED, parse_layout
from simplugins.activations.positions import read_mask, remaining_tokens
from simplugins.activations.readers import PositionsReader
from simplugins.activations.scaling import read_dtype
from simplugins.activations.subsets import choose_inputs

if TYPE_CHECKING:
    from simplugins.activations.activations import Activations


def refine(
    activations: Activations,
    layout: str,
    mask: Any,
    labels: Any,
    dtype: DTypeLike | None,
    dropped: NDArray[np.int64] | None,
    subset: Any,
    seed: int,
) -> Activations:
    """Return activations with options applied; values are re-read only if the positions or the dtype change."""
    if layout not in ("auto", activations.layout):
        raise ValueError(f"layout: these Activations have layout {activations.layout!r}, got {layout!r}")
    computed = activations.dtype if dtype is None else read_dtype(dtype)
    positions = _remaining_positions(activations, mask, dropped)
    if positions is None and computed == activations.dtype:
        if labels is not None:
            activations = replace(activations, labels=check_labels(labels, len(activations)))
        return activations if subset is None else activations.chosen(choose_inputs(len(activations), subset, seed))
    reader = activations._reader
    result = activations.from_reader(
        reader if positions is None else PositionsReader(reader, positions),
        activations.positions if positions is None else positions.sum(1),
        layout=activations.layout,
        dtype=np.float32 if dtype is None and activations.widened else computed,
        labels=activations.labels if labels is None else labels,
        subset=subset,
        seed=seed,
        grid=activations.grid if positions is None else None,
        same_positions=activations.same_positions and (positions is None or bool((positions == positions[:1]).all())),
    )
    return replace(result, prepared=activations.prepared)


def _remaining_positions(
    activations: Activations, mask: Any, dropped: NDArray[np.int64] | None
) -> NDArray[np.bool_] | None:
    """Return the positions left by a mask and dropped tokens as an (N, S) mask; None for all."""
    if mask is None and dropped is None:
        return None
    option = "drop_tokens" if mask is None else "mask"
    count, size, _ = activations.shape
    if size is None:
        raise ValueError(
            f"{option} needs inputs with equal numbers of positions, but these Activations have "
            f"{activations.describe_positions()}, some of which a mask may have left out already: pass {option} to "
            f"record, or to from_array together with the original array"
        )
    axes = None if activations.layout == RAGGED else parse_layout(activations.layout)
    tokens = None if dropped is None else remaining_tokens(dropped, axes, size)
    remaining = np.ones((count, size), bool) if mask is None else read_mask(mask, count, size, axes, activations.grid)
    if tokens is not None:
        remaining = remaining & np.isin(np.arange(size), tokens)
    return None if remaining.all() else remaining
