# SPDX-License-Identifier: Apache-2.0
"""Models, inputs and options as short texts that differ if these do."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from simplugins._common import arrays
from simplugins.activations.activations import Activations


def describe(value: Any) -> str:
    """Return a text that identifies a value: itself if it is short, else its type and digest.

    Arrays, tensors, images, Activations, Torch models, and lists and mappings of these are identified by their content;
    paths by the names, sizes and times of their files; other objects, such as a DataLoader, by type and length only.

    Examples
    --------
    >>> describe("median"), describe(None), describe([1, 2])
    ("'median'", 'None', '[1, 2]')
    >>> describe(np.zeros((2, 3)))
    'array (2, 3) float64 sha256:17b0761f87b081d5'
    """
    if value is None or isinstance(value, str | int | float | bool | np.number):
        return repr(value)
    if isinstance(value, os.PathLike):
        return _of_path(Path(value))
    if isinstance(value, Activations):
        return f"{value!r} sha256:{value.digest()[:16]}"
    if arrays.is_torch(value) or isinstance(value, np.ndarray) or hasattr(value, "__array_interface__"):
        return _of_array(value)
    if hasattr(value, "state_dict") and hasattr(value, "named_modules"):
        return f"{type(value).__name__} {_of_parts(value.state_dict())}"
    if isinstance(value, Mapping):
        return _of_parts(value)
    if isinstance(value, list | tuple):
        text = "[" + ", ".join(map(describe, value)) + "]"
        return text if len(text) < 80 else f"{type(value).__name__} of {len(value)} {_digest(text)}"
    return _of_object(value)


def _of_array(value: Any) -> str:
    array = _numpy(value)
    return f"array {tuple(array.shape)} {array.dtype} {_digest(np.ascontiguousarray(array).data)}"


def _numpy(value: Any) -> Any:
    if not arrays.is_torch(value):
        array = np.asarray(value)
        return array.astype("U") if array.dtype.kind in "OT" else array
    tensor = value.detach().cpu()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


def _of_path(path: Path) -> str:
    """Return a path with a digest of the names, sizes and times of its files."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    facts = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists()]
    return f"{path} {_digest(repr(facts))}"


def _of_parts(parts: Mapping[Any, Any]) -> str:
    text = ", ".join(f"{name}: {describe(part)}" for name, part in parts.items())
    return f"of {len(parts)} parts {_digest(text)}"


def _of_object(value: Any) -> str:
    length = f" of {len(value)}" if hasattr(value, "__len__") else ""
    return f"{type(value).__module__}.{type(value).__qualname__}{length}"


def _digest(content: Any) -> str:
    data = content.encode() if isinstance(content, str) else content
    return f"sha256:{hashlib.sha256(data).hexdigest()[:16]}"
