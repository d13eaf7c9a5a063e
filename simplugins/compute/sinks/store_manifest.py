# SPDX-License-Identifier: Apache-2.0
"""Checks of a store's manifest, before memory is allocated or anything computed from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from simplugins._common.machine_memory import check_fits
from simplugins.activations.saved_checks import check_label_list
from simplugins.compute.tiling import Tiling

_ENTRIES = {"measure", "sigma", "run", "metadata", "computed", "labels", "other_labels", "tiling"}
_MOST_ORDINARY = 2**24
"""A number of values that fits into any memory."""

_TILING = {"rows": int, "columns": int, "size": int, "symmetric": bool}


def read_tiling(manifest: Mapping[str, Any]) -> Tiling:
    """Return the tiling of a manifest, after checking all entries.

    Raises
    ------
    ValueError
        If an entry is missing, has the wrong type, or contradicts another.
    """
    if missing := _ENTRIES - set(manifest):
        raise ValueError(f"its manifest lacks {', '.join(sorted(missing))}")
    for name in ("run", "metadata", "computed", "tiling"):
        if not isinstance(manifest[name], Mapping):
            raise ValueError(f"{name}: expected entries by name, got {manifest[name]!r}")
    tiling = _tiling(manifest["tiling"])
    _check_run(manifest)
    for name, count in (("labels", tiling.rows), ("other_labels", tiling.columns)):
        _check_labels(name, manifest[name], count)
    if manifest["run"]["other"] is None and tiling.rows != tiling.columns:
        raise ValueError(f"it compares inputs with each other, but has {tiling.rows} rows and {tiling.columns} columns")
    return tiling


def _tiling(entries: Mapping[str, Any]) -> Tiling:
    if {name: type(value) for name, value in entries.items()} != _TILING:
        raise ValueError(f"tiling: expected {', '.join(_TILING)}, got {dict(entries)}")
    tiling = Tiling(**entries)
    if min(tiling.rows, tiling.columns, tiling.size) < 1:
        raise ValueError(f"tiling: expected sizes of at least 1, got {dict(entries)}")
    for count, content in ((math.prod(tiling.tile_shape), "a tile"), (tiling.rows + tiling.columns, "the norms")):
        if count > _MOST_ORDINARY:
            check_fits(8 * count, content)
    return tiling


def _check_run(manifest: Mapping[str, Any]) -> None:
    run, rounding, sigma = manifest["run"], manifest["computed"].get("rounding"), manifest["sigma"]
    if not isinstance(run["certify"], bool) or not isinstance(run["matching"], str | None):
        raise ValueError("run: expected certify as true or false, and matching as a name")
    if not isinstance(run.get("pooling"), str | None):
        raise ValueError("run: expected pooling as a name")
    if not isinstance(run["other"], Mapping | None) or not isinstance(manifest["measure"], str):
        raise ValueError("expected the measure as a name, and other inputs as entries by name")
    if rounding is not None and not _is_number(rounding, least=0):
        raise ValueError(f"computed: expected a rounding of at least 0, got {rounding!r}")
    if sigma != "median" and not _is_number(sigma, least=math.ulp(0)):
        raise ValueError(f"sigma: expected 'median' or a positive number, got {sigma!r}")


def _is_number(value: Any, *, least: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value < math.inf


def _check_labels(name: str, labels: Any, count: int) -> None:
    if labels is None:
        return
    check_label_list(name, labels)
    if len(labels) != count:
        raise ValueError(f"{name}: expected {count} (one per input), got {len(labels)}")
