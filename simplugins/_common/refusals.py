# SPDX-License-Identifier: Apache-2.0
"""Error messages for objects that are not arrays of real numbers: the reason, and what to pass instead."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from simplugins._common.texts import listed

_MOST_NAMES = 6
_HINTS = {
    "b": "convert it, for example with array.astype('float32')",
    "c": "pass their absolute values, or real and imaginary parts as two channels",
    "O": "arrays of Python objects are not supported: pass one array of numbers, or a list of arrays (S_i, C)",
    "U": "texts can be labels=, but not activations",
    "S": "texts can be labels=, but not activations",
}


def libraries(value: Any) -> set[str]:
    """Return the libraries that define the type of an object and its bases.

    Examples
    --------
    >>> sorted(libraries(np.ma.masked_array([1.0])))
    ['builtins', 'numpy']
    """
    return {base.__module__.split(".")[0] for base in type(value).__mro__}


def refusal(value: Any) -> str | None:
    """Return why an object cannot be read as one array, and what to pass instead; None if no reason is known."""
    for reason in (_not_one_array, _image, _tensor, _sparse, _delayed_table, _neuroscience):
        if text := reason(value):
            return text
    return None


def of_type(value: Any, dtype: Any) -> str:
    """Return the error for an object whose elements are not real numbers."""
    kind = "b" if "bool" in str(dtype) else "c" if "complex" in str(dtype) else getattr(dtype, "kind", "")
    name = type(value).__name__
    origin = "" if isinstance(value, np.ndarray | list | tuple) or "torch" in libraries(value) else f" from a {name}"
    is_table = kind == "O" and hasattr(value, "columns")
    hint = "; all columns of a table must be numbers" if is_table else f"; {_HINTS[kind]}" if kind in _HINTS else ""
    return f"expected real numbers, got an array of {dtype}{origin}{hint}"


def _not_one_array(value: Any) -> str | None:
    if value is None:
        return "expected an array, got None"
    if isinstance(value, str | bytes | os.PathLike):
        return f"expected an array, got the text {value!r:.60}"
    if isinstance(value, int | float | complex | np.generic):
        return f"expected an array, got the number {value}"
    if isinstance(value, Mapping) or (hasattr(value, "keys") and {"h5py", "zarr"} & libraries(value)):
        names = list(value.keys())
        present = f"the keys {listed(list(map(repr, names)), most=_MOST_NAMES)}" if names else "no keys"
        choice = f": choose one, such as activations[{names[0]!r}]" if names else ""
        return f"expected one array, got a {type(value).__name__} with {present}{choice}"
    if "netCDF4" in libraries(value) and hasattr(type(value), "variables"):
        return f"expected one array, got a file of netCDF: choose a variable, {', '.join(map(repr, value.variables))}"
    if isinstance(value, Iterator | set | frozenset):
        return f"expected an array, got a {type(value).__name__}: pass a list of its elements"
    return None


def _image(value: Any) -> str | None:
    first = value[0] if isinstance(value, list | tuple) and value else value
    if "PIL" not in libraries(first):
        return None
    return (
        "expected activations, got Pillow images: to compare pixels, pass one array (inputs, height, width, channels) "
        "with layout='nhwc'; to record the activations of a network, use simplugins.record"
    )


def _tensor(value: Any) -> str | None:
    if "torch" not in libraries(value) or not hasattr(value, "is_sparse"):
        return None
    if value.is_nested:
        return "expected one tensor, got a nested one: pass a list of its tensors, list(tensor.unbind())"
    if str(value.layout) != "torch.strided":
        return f"sparse tensors ({value.layout}) are not supported: pass tensor.to_dense()"
    if hasattr(value, "has_names") and value.has_names():
        return (
            f"tensors with named dimensions {value.names} are not supported: pass tensor.rename(None), and the layout"
        )
    if value.is_quantized:
        return "quantized tensors are not supported: pass tensor.dequantize()"
    return "expected a tensor with values, got one on the device 'meta'" if value.is_meta else None


def _sparse(value: Any) -> str | None:
    """Return the message for sparse arrays of SciPy, CuPy, PyData, JAX and TensorFlow."""
    kinds = [value, getattr(value, "_meta", None)]  # Dask arrays have a sample of their blocks
    sparse = next((kind for kind in kinds if kind is not None and _is_sparse(kind)), None)
    if sparse is None:
        return None
    ways = ("toarray", "todense", "to_dense")
    way = next((f"array.{way}()" for way in ways if hasattr(sparse, way)), "a dense array")
    if sparse is not value:
        return "Dask arrays of sparse blocks are not supported: pass array.map_blocks(lambda b: b.todense())"
    return f"sparse arrays ({type(value).__name__}) are not supported: pass {way}"


def _is_sparse(value: Any) -> bool:
    names = {(base.__module__.split(".")[0], base.__name__) for base in type(value).__mro__}
    modules = {base.__module__ for base in type(value).__mro__}
    return (
        (hasattr(value, "nnz") and bool({"scipy", "cupyx", "sparse"} & libraries(value)))
        or any(module.startswith("jax.experimental.sparse") for module in modules)
        or bool(names & {("tensorflow", "SparseTensor"), ("tensorflow", "RaggedTensor")})
    )


def _delayed_table(value: Any) -> str | None:
    if {"dask", "dask_expr"} & libraries(value) and hasattr(value, "to_dask_array"):
        return "Dask data frames are not supported: pass frame.compute(), or frame.to_dask_array(lengths=True)"
    if "polars" in libraries(value) and hasattr(value, "collect"):
        return "lazy frames of Polars are not supported: pass frame.collect()"
    return None


def _neuroscience(value: Any) -> str | None:
    """Return the refusal of the objects of rsatoolbox, which hold an array and descriptors."""
    if "rsatoolbox" not in libraries(value):
        return None
    name = type(value).__name__
    if hasattr(value, "dissimilarities"):
        return f"expected an array, got {name} of rsatoolbox: read them with simplugins.from_tool('rsatoolbox', ...)"
    return f"expected an array, got a {name} of rsatoolbox: pass its array, such as dataset.measurements"
