# SPDX-License-Identifier: Apache-2.0
"""Checks of HDF5 datasets: values must be in the file itself, and readable without loading further libraries."""

from __future__ import annotations

import math
import sys
from typing import Any

from simplugins._common.machine_memory import check_fits
from simplugins._common.texts import listed
from simplugins.activations.extents import check_extent

_BUILT_IN = {1, 2, 3, 4, 5, 6, 32000}
"""Filters: deflate, shuffle, Fletcher 32, szip, n-bit, scale-offset; and LZF, which h5py includes."""


def is_in_file(file: Any, key: str) -> bool:
    """Return whether a name leads to an object in an HDF5 file without soft or external links."""
    import h5py

    group: Any = file
    for part in filter(None, key.split("/")):
        if not hasattr(group, "keys") or not isinstance(group.get(part, getlink=True), h5py.HardLink):
            return False
        group = group[part]
    return True


def check_storage(dataset: Any) -> None:
    """Check how the values of an h5py dataset are stored, without reading them.

    Raises
    ------
    ValueError
        If values are in other files (external storage, virtual datasets), need a filter that would be loaded as a
        library, or exceed what the file can hold.
    """
    name = dataset.name
    if dataset.external is not None:
        raise ValueError(f"dataset {name} keeps its values in another file, {dataset.external[0][0]!r}")
    if dataset.is_virtual:
        sources = listed(sorted({source.file_name for source in dataset.virtual_sources()}))
        raise ValueError(f"dataset {name} is virtual, assembled from {sources}: store a copy of its values")
    if dataset.shape is None:
        raise ValueError(f"dataset {name} is empty")
    _check_filters(dataset)
    chunk = dataset.dtype.itemsize * math.prod(dataset.chunks or ())
    check_extent(f"dataset {name}", dataset.shape, dataset.dtype, chunk, dataset.id.get_storage_size)


def read_whole(dataset: Any) -> Any:
    """Read all values of a dataset, after checking that they fit the memory."""
    check_fits(dataset.size * dataset.dtype.itemsize, f"dataset {dataset.name}")
    return dataset[()]


def check_values(dataset: Any) -> str:
    """Return the kind of an h5py dataset's values, "text" or "numbers".

    Raises
    ------
    ValueError
        If it holds records or references.
    """
    import h5py

    if dataset.dtype.names is not None:
        raise ValueError(f"dataset {dataset.name} holds records of type {dataset.dtype}, expected plain numbers")
    if h5py.check_ref_dtype(dataset.dtype) is not None:
        raise ValueError(f"dataset {dataset.name} holds references to other objects, expected plain numbers")
    return "text" if h5py.check_string_dtype(dataset.dtype) else "numbers"


def _check_filters(dataset: Any) -> None:
    """Raise a ValueError for filters that HDF5 would load from its plugin folder."""
    creation = dataset.id.get_create_plist()
    known = _BUILT_IN | set(getattr(sys.modules.get("hdf5plugin"), "FILTERS", {}).values())
    for number in range(creation.get_nfilters()):
        code, _, _, label = creation.get_filter(number)
        if code not in known:
            text = label.decode("utf-8", "replace")
            raise ValueError(
                f"dataset {dataset.name} is stored with filter {code} ({text or 'unnamed'}), which HDF5 would load as "
                f"a library: import hdf5plugin first, or store the values with gzip or without a filter"
            )
