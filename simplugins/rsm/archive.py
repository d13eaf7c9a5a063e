# SPDX-License-Identifier: Apache-2.0
"""RSMs in .npz files: arrays, and metadata as JSON. No pickle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from simplugins._common import filesystem
from simplugins._common.texts import listed
from simplugins.activations.labels import saved_labels
from simplugins.rsm.kernels import Sigma
from simplugins.rsm.rsm import RSM, DenseValues

_FORMAT = "simplugins RSM"
_FORMAT_VERSION = 2
_DESCRIPTION = ("measure", "kernel", "matching", "sigma")
_ARRAYS = ("values", "gap", "squared_norms", "other_squared_norms", "labels", "other_labels")


def save_rsm(rsm: RSM, path: str | PathLike[str], *, overwrite: bool = False) -> None:
    """Write an RSM to a .npz file, atomically.

    Parameters
    ----------
    rsm : RSM
    path : path
        Must end in .npz.
    overwrite : bool, default False
        Whether an existing file may be replaced.

    Raises
    ------
    FileExistsError
        If the file exists and may not be replaced.
    ValueError
        If the path does not end in .npz.
    """
    arrays = {name: getattr(rsm, name) for name in _ARRAYS if getattr(rsm, name) is not None}
    header = {
        "format": _FORMAT,
        "format_version": _FORMAT_VERSION,
        "arrays": list(arrays),
        **{name: getattr(rsm, name) for name in _DESCRIPTION},
        "metadata": dict(rsm.metadata),
    }
    filesystem.write_npz(path, arrays, header, overwrite=overwrite)


def load_rsm(path: str | PathLike[str], *, measure: str | None = None, sigma: Sigma | None = None) -> RSM:
    """Read an RSM that `RSM.save` wrote, or open one in a store, whose values are read on access.

    Parameters
    ----------
    path : path
        A .npz file, or the store of a run (see `simplugins.compute_rsm`).
    measure : str, optional
        For a store: another measure with the same matching.
    sigma : "median" or float, optional
        For a store: another bandwidth of the RBF kernel.

    Returns
    -------
    RSM
        The values of a store stay there: ``rsm[rows, columns]`` reads no more than it needs.

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder.
    ValueError
        If it is not an RSM, is damaged, or has a later version of the format; or if the run is not finished; the
        error states its progress.
    """
    if Path(path).is_dir():
        from simplugins.rsm.stored_values import open_rsm

        return open_rsm(path, measure=measure, sigma=sigma)
    if measure is not None or sigma is not None:
        raise ValueError(f"{path} is a file of one RSM; measure and sigma can only be chosen for the store of a run")
    arrays, header = filesystem.read_npz(path)
    if header.get("format") != _FORMAT:
        raise ValueError(f"{path} is not an RSM saved by simplugins: it holds {', '.join(sorted(arrays)) or 'nothing'}")
    try:
        filesystem.check_version(header["format_version"], _FORMAT_VERSION)
        return _from_archive(arrays, header)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as an RSM: {error}") from error


def _from_archive(arrays: dict[str, Any], header: dict[str, Any]) -> RSM:
    declared = header["arrays"]
    if not isinstance(declared, list) or not set(map(str, declared)) | set(arrays) <= set(_ARRAYS):
        raise ValueError(
            f"arrays: expected some of {', '.join(_ARRAYS)}; it declares {declared}, holds {listed(arrays)}"
        )
    if missing := set(declared) - set(arrays):
        raise ValueError(f"its arrays {sorted(missing)} are missing")
    for name, array in arrays.items():
        kinds = "iuUS" if name.endswith("labels") else "iuf"
        if array.dtype.kind not in kinds:
            raise ValueError(f"{name}: unexpected values of type {array.dtype}")
    arrays |= {name: saved_labels(arrays[name]) for name in ("labels", "other_labels") if name in arrays}
    content: dict[str, Any] = {**arrays, **_description_of(header)}
    return RSM(DenseValues(content.pop("values"), content.pop("gap", None)), **content)


def _description_of(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an RSM that a header holds as JSON, after checking their types.

    Raises
    ------
    KeyError
        If one is missing.
    ValueError
        If one has another type than an RSM's.
    """
    sigma, metadata = header["sigma"], header["metadata"]
    for name in ("measure", "kernel", "matching"):
        if not isinstance(header[name], str) and (name == "measure" or header[name] is not None):
            raise ValueError(f"{name}: expected a name, got {header[name]!r}")
    if sigma is not None and not (type(sigma) in (int, float) and 0 < sigma < math.inf):
        raise ValueError(f"sigma: expected a positive number, got {sigma!r}")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("matching_options") or {}, dict):
        raise ValueError("metadata: expected entries by name")
    return {name: header[name] for name in (*_DESCRIPTION, "metadata")}


def is_rsm(path: str | PathLike[str]) -> bool:
    """Tell whether a path is an RSM: a .npz file that `RSM.save` wrote, or the store of a run.

    Raises
    ------
    FileNotFoundError
        If it ends in .npz and does not exist.
    ValueError
        If it ends in .npz and is damaged.
    """
    if Path(path).is_dir():
        return filesystem.is_store(path)
    return Path(path).suffix.lower() == ".npz" and filesystem.read_header(path).get("format") == _FORMAT
