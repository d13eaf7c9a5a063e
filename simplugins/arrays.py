# SPDX-License-Identifier: Apache-2.0
"""NumPy, Torch and CuPy arrays seen alike: the only room that knows array libraries.

No library is imported here before the user has: an array's type tells where it comes from.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_torch(array: Any) -> bool:
    """Whether an object is a Torch tensor."""
    return type(array).__module__.split(".")[0] == "torch" and hasattr(array, "detach")


def is_cupy(array: Any) -> bool:
    """Whether an object is a CuPy array."""
    return type(array).__module__.split(".")[0] == "cupy" and hasattr(array, "get")


def as_array(array: Any) -> Any:
    """Return a Torch or CuPy array, or a NumPy memmap, as it is; anything else as a NumPy array.

    Raises
    ------
    TypeError
        If the object is no array of numbers, for example ragged nested lists, strings or objects.
    """
    if not (is_torch(array) or is_cupy(array) or isinstance(array, np.ndarray)):
        try:
            array = np.asarray(array)
        except ValueError as error:
            raise TypeError(f"expected an array, got {type(array).__name__} that makes none: {error}") from error
    kind = number_kind(array)
    if kind not in ("float", "integer"):
        raise TypeError(f"expected real numbers, got an array of {array.dtype}")
    return array


def number_kind(array: Any) -> str:
    """Return "float", "integer" or "other", of a NumPy, CuPy or Torch array."""
    if is_torch(array):
        if array.is_floating_point():
            return "float"
        return "other" if array.is_complex() or str(array.dtype) == "torch.bool" else "integer"
    if array.dtype.kind in "iu":
        return "integer"
    is_float = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
    return "float" if is_float else "other"


def is_float64(array: Any) -> bool:
    """Whether an array holds 64-bit floats."""
    return str(array.dtype) in ("float64", "torch.float64")


def to_numpy(array: Any) -> NDArray[np.floating]:
    """Copy an array to the CPU if it is not there, as float64 if it is that, else as float32."""
    if is_torch(array):
        tensor = array.detach()
        array = (tensor if is_float64(tensor) else tensor.float()).cpu().numpy()
    elif is_cupy(array):
        array = array.get()
    return np.asarray(array, dtype=np.float64 if is_float64(array) else np.float32)


def small_numpy(array: Any) -> NDArray[Any]:
    """Return labels, a mask or another small array as NumPy, in its own type."""
    if is_torch(array):
        array = array.detach().cpu().numpy()
    elif is_cupy(array):
        array = array.get()
    return np.asarray(array)
