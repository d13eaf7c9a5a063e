# SPDX-License-Identifier: Apache-2.0
"""NumPy, Torch and CuPy arrays seen alike: the only room that knows array libraries.

No library is imported here before the user has: an array's type tells where it comes from.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import gpu, ondisk


def is_torch(array: Any) -> bool:
    """Whether an object is a Torch tensor."""
    return _comes_from("torch", array) and hasattr(array, "detach")


def is_cupy(array: Any) -> bool:
    """Whether an object is a CuPy array."""
    return _comes_from("cupy", array) and hasattr(array, "get")


def _comes_from(library: str, array: Any) -> bool:
    return any(base.__module__.split(".")[0] == library for base in type(array).__mro__)


def as_array(array: Any) -> Any:
    """Return a Torch or CuPy array, or one that stays on disk, as it is; anything else as a NumPy array.

    Raises
    ------
    TypeError
        If the object is no array of numbers, for example ragged nested lists, strings or objects.
    """
    if isinstance(array, list | tuple) and array and all(is_torch(element) for element in array):
        array = sys.modules["torch"].stack(list(array))
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError("masked arrays are not read: pass the plain array, and which positions count as mask=")
    if not (is_torch(array) or is_cupy(array) or isinstance(array, np.ndarray) or ondisk.is_lazy(array)):
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
    """Whether an array holds floats of 64 bits or more, in any byte order."""
    return number_kind(array) == "float" and int(array.dtype.itemsize) >= 8


def to_float(array: Any, dtype: np.dtype[np.floating]) -> Any:
    """Return an array as float32 or float64 where it lies, a copy only where one is needed.

    What is on a GPU comes as a CuPy array, of Torch's by DLPack, or, where there is no CuPy, on the CPU.
    """
    if is_torch(array):
        tensor = array.detach()
        tensor = tensor.double() if dtype == np.float64 else tensor.float()
        return gpu.cupy().from_dlpack(tensor) if gpu_of(array) is not None else tensor.cpu().numpy()
    if is_cupy(array):
        return array.astype(dtype, copy=False)
    return np.asarray(array, dtype=dtype)


def to_numpy(array: Any, dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
    """Return an array on the CPU as float32 or float64, a copy only where one is needed."""
    with gpu.current(gpu_of(array)):
        found = to_float(array, dtype)
        return found.get() if is_cupy(found) else found  # type: ignore[no-any-return]


def namespace(array: Any) -> ModuleType:
    """Return the module whose functions work on a NumPy or CuPy array: NumPy or CuPy."""
    return gpu.cupy() if is_cupy(array) else np


def gpu_of(array: Any) -> int | None:
    """Return the number of the GPU that an array lies on, if CuPy can reach it there; None otherwise."""
    if is_cupy(array):
        return int(array.device.id)
    if is_torch(array) and array.is_cuda and gpu.why_unusable() is None:
        return int(array.device.index)
    return None


def common_gpu(sets: Sequence[Any]) -> int | None:
    """Return the number of the GPU that all arrays lie on, or None."""
    found = {gpu_of(array) for array in sets}
    return found.pop() if len(found) == 1 else None


def small_numpy(array: Any) -> NDArray[Any]:
    """Return labels, a mask or another small array as NumPy, in its own type."""
    if is_torch(array):
        array = array.detach().cpu().numpy()
    elif is_cupy(array):
        with gpu.current(gpu_of(array)):
            array = array.get()
    return np.asarray(array)
