# SPDX-License-Identifier: Apache-2.0
"""NumPy, Torch, CuPy and on-disk arrays behind one interface: the only module that knows array libraries.

Libraries are recognised by the modules of an array's type, so none is imported that the user has not imported already.
"""

from __future__ import annotations

import math
import mmap
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import gpu, refusals
from simplugins._common.data_frames import frame_values, is_frame

_LAZY_TYPES = {("zarr", "Array"), ("h5py", "Dataset"), ("dask", "Array"), ("simplugins", "ReversedDataset")}


def is_torch(array: Any) -> bool:
    """Return whether an object is a Torch tensor."""
    return _comes_from("torch", array) and hasattr(array, "detach")


def is_cupy(array: Any) -> bool:
    """Return whether an object is a CuPy array."""
    return _comes_from("cupy", array) and hasattr(array, "get")


def _comes_from(library: str, array: Any) -> bool:
    kind = type(array)
    return kind is not np.ndarray and any(base.__module__.split(".")[0] == library for base in kind.__mro__)


def is_lazy(array: Any) -> bool:
    """Return whether an object is a Zarr, h5py or Dask array, whose values are loaded only when it is sliced.

    Examples
    --------
    >>> is_lazy(np.ones(3))
    False
    """
    return any((base.__module__.split(".")[0], base.__name__) in _LAZY_TYPES for base in type(array).__mro__)


def is_plain(array: Any) -> bool:
    """Return whether an object is a NumPy array or memmap, rather than a subclass with masks, or anything else."""
    return type(array) is np.ndarray or type(array) is np.memmap


def as_array(array: Any) -> Any:
    """Return a NumPy, Torch, CuPy or on-disk array unchanged; convert anything else to NumPy (Torch for tensors).

    Raises
    ------
    TypeError
        If the object is not an array of real numbers: ragged nested lists, strings, objects, a masked or sparse array,
        a mapping of arrays. The error says what to pass instead.
    """
    if not is_plain(array):
        array = _converted(array)
    if number_kind(array) not in ("float", "integer"):
        raise TypeError(refusals.of_type(array, array.dtype))
    return array


def _converted(array: Any) -> Any:
    if isinstance(array, list | tuple):
        _check_elements(array)
        if array and all(is_torch(element) for element in array):
            array = sys.modules["torch"].stack(list(array))
    if (reason := refusals.refusal(array)) is not None:
        raise TypeError(reason)
    if is_frame(array):
        return frame_values(array)
    if is_lazy(array):
        _check_known_shape(array)
    if isinstance(array, np.ma.MaskedArray):
        return unmasked(array)
    if isinstance(array, np.ndarray) or is_torch(array) or is_cupy(array) or is_lazy(array):
        return array
    try:
        foreign = hasattr(array, "__dlpack__") and not hasattr(array, "__array__")
        converted = np.from_dlpack(array) if foreign else np.asanyarray(array)
    except (ValueError, TypeError, RuntimeError, BufferError) as error:
        raise TypeError(f"expected an array, got a {type(array).__name__} that is not one: {error}") from error
    if number_kind(converted) not in ("float", "integer"):
        raise TypeError(refusals.of_type(array, converted.dtype))
    return unmasked(converted)


def unmasked(array: Any) -> NDArray[Any]:
    """Return an array without masked values as a plain array.

    Raises
    ------
    TypeError
        If it has masked values.
    """
    if isinstance(array, np.ma.MaskedArray) and (hidden := np.ma.getmaskarray(array)).any():
        first = tuple(int(axis[0]) for axis in np.nonzero(hidden))
        raise TypeError(
            f"expected a plain array, got a masked array with {int(hidden.sum())} masked values, the first at {first}: "
            f"pass its data, without the masked values"
        )
    return np.asarray(array)


def _check_elements(elements: Sequence[Any]) -> None:
    """Check that the elements of a list that are arrays have no masked values and one shape."""
    for masked in masked_arrays_in(elements):
        unmasked(masked)
    shapes = [tuple(element.shape) for element in elements if hasattr(element, "shape")]
    if different := next((number for number, shape in enumerate(shapes) if shape != shapes[0]), 0):
        hint = ": for maps of several sizes, pass sets (S_i, C), such as [m.reshape(len(m), -1).T for m in maps]"
        raise TypeError(
            f"expected arrays of one shape, got {shapes[0]} in element 0 and {shapes[different]} in element "
            f"{different}{hint if len(shapes[0]) == len(shapes[different]) == 3 else ''}"
        )


def masked_arrays_in(elements: Sequence[Any]) -> Iterator[np.ma.MaskedArray[Any, Any]]:
    """Yield the masked arrays in nested lists."""
    for kind in set(map(type, elements)):
        if issubclass(kind, list | tuple):
            for element in elements:
                yield from masked_arrays_in(element) if isinstance(element, list | tuple) else ()
        elif issubclass(kind, np.ma.MaskedArray):
            yield from (element for element in elements if isinstance(element, np.ma.MaskedArray))


def holds_masked(elements: Sequence[Any]) -> bool:
    """Return whether nested lists hold a masked array."""
    return next(masked_arrays_in(elements), None) is not None


def _check_known_shape(array: Any) -> None:
    if any(size != size for size in array.shape):  # NaN
        raise TypeError(
            f"expected a Dask array of known size, got shape {tuple(array.shape)}: call array.compute_chunk_sizes() "
            f"first"
        )


def number_kind(array: Any) -> str:
    """Return "float", "integer" or "other" for the type of an array's elements."""
    if is_torch(array):
        if array.is_floating_point():
            return "float"
        return "other" if array.is_complex() or str(array.dtype) == "torch.bool" else "integer"
    if array.dtype.kind in "iu":
        return "integer"
    is_float = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
    return "float" if is_float else "other"


def is_float64(array: Any) -> bool:
    """Return whether an array holds floats of 64 bits or more, in any byte order."""
    return number_kind(array) == "float" and int(array.dtype.itemsize) >= 8


def exceeds_float32(array: Any) -> bool:
    """Return whether float32 does not hold all values of an array's type: floats of 64 bits, integers of 32 or more."""
    return int(array.dtype.itemsize) >= {"float": 8, "integer": 4}.get(number_kind(array), math.inf)


def type_of_integers(parts: Sequence[Any]) -> np.dtype[np.floating] | None:
    """Return float32, the type to compute in, if arrays hold integers that float32 rounds, and none holds float64."""
    needed = any(map(exceeds_float32, parts)) and not any(map(is_float64, parts))
    return np.dtype(np.float32) if needed else None


def to_float(array: Any, dtype: np.dtype[np.floating]) -> Any:
    """Return an array as float32 or float64 on its own device, copied only if necessary.

    A tensor on a GPU becomes a CuPy array by DLPack, or a NumPy array if CuPy is not installed.
    """
    if is_torch(array):
        tensor = array.detach()
        tensor = tensor.double() if dtype == np.float64 else tensor.float()
        return gpu.cupy().from_dlpack(tensor) if gpu_of(array) is not None else tensor.cpu().numpy()
    if is_cupy(array):
        return array.astype(dtype, copy=False)
    return np.asarray(array if isinstance(array, np.ndarray) else _computed(array), dtype=dtype)


def to_numpy(array: Any, dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
    """Return an array as a NumPy array of float32 or float64, copied only if necessary."""
    with on_gpu(gpu_of(array)):
        values = to_float(array, dtype)
        return values.get() if is_cupy(values) else values  # type: ignore[no-any-return]


def small_numpy(array: Any) -> NDArray[Any]:
    """Return labels, a mask or another small array as NumPy, with its type unchanged."""
    if is_torch(array):
        tensor = array.detach().cpu()
        array = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    elif is_cupy(array):
        with on_gpu(gpu_of(array)):
            array = array.get()
    return np.asarray(array)


def namespace(array: Any) -> ModuleType:
    """Return the module whose functions work on an array: CuPy for a CuPy array, else NumPy."""
    return gpu.cupy() if is_cupy(array) else np


def shared(tensor: Any) -> Any:
    """Return a Torch tensor as an array of CuPy, or of NumPy if it is in host memory, without a copy."""
    return gpu.cupy().from_dlpack(tensor) if tensor.is_cuda else tensor.numpy()


def gpu_of(array: Any) -> int | None:
    """Return the number of the GPU that holds an array; None for the CPU, or if CuPy cannot reach that GPU."""
    if is_cupy(array):
        return int(array.device.id)
    if is_torch(array) and array.is_cuda and gpu.why_unusable() is None:
        return int(array.device.index)
    return None


def common_gpu(sets: Sequence[Any]) -> int | None:
    """Return the number of the GPU that holds all arrays, or None."""
    numbers = {gpu_of(array) for array in sets}
    return numbers.pop() if len(numbers) == 1 else None


def on_gpu(number: int | None) -> AbstractContextManager[Any]:
    """Make a GPU the current one within a ``with`` block; None changes nothing."""
    return nullcontext() if number is None else gpu.cupy().cuda.Device(number)


def chunk_bytes(array: Any) -> int:
    """Return the bytes of an on-disk array's largest chunk; 0 for an array without chunks."""
    chunks = getattr(array, "chunks", None) if is_lazy(array) else None
    return math.prod(int(np.max(size)) for size in chunks) * int(array.dtype.itemsize) if chunks else 0


def memmap_of(array: Any) -> np.memmap[Any, Any] | None:
    """Return the memmap that an array is a view of; None if there is none, or it is copy-on-write."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap):
            return array if array.mode != "c" else None
        array = array.base
    return None


def loaded(part: Any) -> Any:
    """Return a slice of an on-disk array as a NumPy array in memory, and other arrays unchanged.

    The pages of a memmap are released after copying, so that they do not accumulate in memory.
    """
    mapped = memmap_of(part)
    if mapped is None:
        return _computed(part) if is_lazy(part) else part
    values = np.array(part, subok=False)
    if hasattr(mmap, "MADV_DONTNEED"):
        mapped.base.madvise(mmap.MADV_DONTNEED)  # type: ignore[union-attr]
    return values


def _computed(part: Any) -> NDArray[Any]:
    """Return a slice of a lazy array in memory, after checking that none of its blocks has masked values."""
    values = part.compute() if hasattr(part, "compute") else np.asarray(part)
    if isinstance(values, np.ma.MaskedArray) and (count := int(np.ma.getmaskarray(values).sum())):
        raise ValueError(
            f"{count} values of a block are masked: fill them, for example with dask.array.ma.filled(array, value); "
            f"masks of whole positions of activations are used if the array's type tells of them, "
            f"meta=numpy.ma.array(...)"
        )
    return np.asarray(values)
