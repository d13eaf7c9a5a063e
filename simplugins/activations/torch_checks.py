# SPDX-License-Identifier: Apache-2.0
"""Loads tensors from Torch files: only dense ones of real numbers, and no larger than the file."""

from __future__ import annotations

import re
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simplugins._common.machine_memory import check_fits

_SAFE_ADVICE = "save tensors, as in torch.save({'layer': tensor}, path)"
_DEEPEST, _MOST_ENTRIES = 100, 10**6
_REFUSED = re.compile(r"(?:GLOBAL|class|type) ([\w.]+)")


def load_tensors(torch: Any, path: Path) -> Any:
    """Load a file by `torch.save`, if it holds only tensors, numbers, texts and containers of them.

    Raises
    ------
    ValueError
        If the file holds code or other Python objects, which are never loaded, or its archive is not Torch's.
    """
    _check_archive(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:
        if "weights_only" not in str(error) and "Weights" not in str(error):
            raise
        match = _REFUSED.search(str(error))
        named = f" ({match.group(1)})" if match else ""
        raise ValueError(f"it holds Python objects{named}, which are never loaded: {_SAFE_ADVICE}") from None
    _check_nesting(loaded)
    return loaded


def check_tensor(tensor: Any, path: Path) -> Any:
    """Return a loaded tensor, after checking that it is a dense one of real numbers; other objects unchanged.

    Raises
    ------
    ValueError
        If the tensor is sparse, nested, quantised, complex or without values, or its storage exceeds the file.
    """
    if not hasattr(tensor, "element_size"):
        return tensor
    kinds = {
        "nested": tensor.is_nested,
        "quantised": tensor.is_quantized,
        "complex": tensor.is_complex(),
        "meta (without values)": tensor.is_meta,
        "sparse": str(tensor.layout) != "torch.strided",
    }
    if kind := next((kind for kind, holds in kinds.items() if holds), None):
        raise ValueError(f"it holds a {kind} tensor, expected a dense one of real numbers")
    if not _holds(path, tensor.untyped_storage().nbytes()):
        raise ValueError("its tensor declares a size that differs from the values in the file")
    check_fits(tensor.numel() * tensor.element_size(), "its tensor")
    return tensor


def _check_nesting(loaded: Any) -> None:
    """Raise a ValueError if mappings are nested so deeply, or repeat so often, that listing them would not end."""
    pending, entries = [(loaded, 0)], 0
    while pending:
        mapping, depth = pending.pop()
        if not isinstance(mapping, Mapping):
            continue
        entries += len(mapping)
        if depth > _DEEPEST or entries > _MOST_ENTRIES:
            raise ValueError("its mappings are nested too deeply, or hold too many entries")
        pending.extend((value, depth + 1) for value in mapping.values())


def _holds(path: Path, size: int) -> bool:
    """Return whether an archive has a storage of this size, or any other file is large enough for it."""
    if not zipfile.is_zipfile(path):
        return size <= path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        return size in {info.file_size for info in archive.infolist()}


def _check_archive(path: Path) -> None:
    """Check a file that is an archive: its members must be as Torch writes them, and together fit into the file."""
    if tarfile.is_tarfile(path):
        raise ValueError(f"it has the tar format of early versions of Torch, which is never loaded: {_SAFE_ADVICE}")
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    names = [info.filename for info in members]
    if any(name.endswith("/constants.pkl") for name in names):
        raise ValueError(f"it holds a TorchScript program, which is never run: {_SAFE_ADVICE}")
    if len(set(names)) < len(names):
        raise ValueError("a member of its archive appears twice")
    if any(info.compress_type != zipfile.ZIP_STORED for info in members):
        raise ValueError("its archive is compressed, unlike those that torch.save writes")
    if sum(info.file_size for info in members) > path.stat().st_size:
        raise ValueError("its archive declares more bytes than the file holds")
