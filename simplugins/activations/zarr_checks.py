# SPDX-License-Identifier: Apache-2.0
"""Opens Zarr folders without links that lead out, consolidated metadata or pickled objects."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from simplugins._common.filesystem import MANIFEST, check_tree
from simplugins._common.json_objects import parse_object
from simplugins.activations.extents import check_extent

_OBJECT_CODECS = {"pickle", "msgpack", "msgpack2", "json", "json2", "categorize"}
_INDEX_BYTES = 16
"""Bytes of a shard's index for each of its chunks."""


def open_zarr(zarr: Any, path: Path) -> Any:
    """Open a Zarr folder as an array or a group, each array with its own metadata.

    Raises
    ------
    ValueError
        If it is not a folder, or holds links that lead out of it.
    """
    if not path.is_dir():
        raise ValueError("expected a folder")
    check_tree(path)
    if _is_array(path):
        return zarr.open_array(path, mode="r")
    return zarr.open_group(path, mode="r", use_consolidated=False)


def _is_array(path: Path) -> bool:
    if (path / MANIFEST).is_file():
        return parse_object((path / MANIFEST).read_bytes()).get("node_type") == "array"
    return (path / ".zarray").is_file()


def check_zarr_array(array: Any) -> Any:
    """Return a Zarr array, after checking how its values are stored, without reading them.

    Raises
    ------
    ValueError
        If its values are objects, or its chunks or its shape exceed what is stored or what memory can hold.
    """
    content = f"array {array.path or '/'}"
    filters = [*(array.metadata.to_dict().get("filters") or ()), array.metadata.to_dict().get("compressor")]
    names = {codec.get("id") for codec in filters if isinstance(codec, dict)}
    if array.dtype.kind == "O" or names & _OBJECT_CODECS:
        raise ValueError(f"{content} holds Python objects, which are never loaded")
    if array.dtype.names is not None:
        raise ValueError(f"{content} holds records of type {array.dtype}, expected plain numbers")
    if min(array.chunks, default=1) < 1:
        raise ValueError(f"{content} declares chunks of shape {array.chunks}")
    itemsize, shard = array.dtype.itemsize, array.shards
    inner, outer = math.prod(array.chunks), 0 if shard is None else math.prod(shard)
    chunk = max(inner * itemsize, _INDEX_BYTES * (outer // max(1, inner)))
    check_extent(content, array.shape, array.dtype, chunk, array.nbytes_stored)
    return array
