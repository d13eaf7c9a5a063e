# SPDX-License-Identifier: Apache-2.0
"""Loading Torch files: tensors only, of the kinds that hold plain numbers, and no larger than the file."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

from simplugins._common.machine_memory import check_fits

_SAFE_ADVICE = "save tensors, as in torch.save({'layer': tensor}, path)"
_REFUSED = re.compile(r"(?:GLOBAL|class|type) ([\w.]+)")


def load_tensors(torch: Any, path: Path) -> Any:
    """Load what `torch.save` wrote; only tensors, numbers, texts and containers of them.

    Raises
    ------
    ValueError
        If the file holds code or other Python objects, which are never loaded, or its archive is not one by Torch.
    """
    _check_archive(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:
        if "weights_only" not in str(error) and "Weights" not in str(error):
            raise
        match = _REFUSED.search(str(error))
        named = f" ({match.group(1)})" if match else ""
        raise ValueError(f"it holds Python objects{named}, which are never loaded: {_SAFE_ADVICE}") from None


def check_tensor(tensor: Any, path: Path) -> Any:
    """Return a loaded tensor, after checking that it is a plain one; other objects unchanged.

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
    if tensor.untyped_storage().nbytes() > path.stat().st_size:
        raise ValueError("its tensor declares more values than the file holds")
    check_fits(tensor.numel() * tensor.element_size(), "its tensor")
    return tensor


def _check_archive(path: Path) -> None:
    """Check the archive of a file, if it is one: members as Torch writes them, that together fit the file."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    names = [info.filename for info in members]
    if any(name.endswith("/constants.pkl") for name in names):
        raise ValueError(f"it holds a TorchScript program, which is never run: {_SAFE_ADVICE}")
    if len(set(names)) < len(names):
        raise ValueError("its archive holds a member twice")
    if any(info.compress_type != zipfile.ZIP_STORED for info in members):
        raise ValueError("its archive is compressed, unlike those that torch.save writes")
    if sum(info.file_size for info in members) > path.stat().st_size:
        raise ValueError("its archive declares more bytes than the file holds")
