# SPDX-License-Identifier: Apache-2.0
"""Batches of inputs from tensors, arrays, mappings and DataLoaders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from simplugins.recording.batch_fields import is_array
from simplugins.recording.batch_inputs import ARRAYS, length
from simplugins.recording.loader_order import chained


def in_batches(inputs: Any, size: int) -> Iterable[Any]:
    """Split inputs into batches; return an iterable of batches unchanged.

    Parameters
    ----------
    inputs : tensor, array, mapping of these, or iterable of batches
    size : int
        Number of inputs per batch.

    Raises
    ------
    TypeError
        If the inputs are none of these, or tensors that cannot be split.
    ValueError
        If the arrays of a mapping differ in length.
    """
    if is_array(inputs):
        _check_dense("input", inputs)
        return [inputs[start : start + size] for start in range(0, length(inputs), size)]
    if isinstance(inputs, Mapping):
        return _cut_mapping(inputs, size)
    _check_batches(inputs)
    return chained(inputs)  # type: ignore[no-any-return]


def count_inputs(inputs: Any) -> int | None:
    """Return the number of inputs; None for an iterable of batches, whose total is unknown."""
    if is_array(inputs):
        return length(inputs)
    return max(_lengths(inputs).values(), default=0) if isinstance(inputs, Mapping) else None


def _check_batches(inputs: Any) -> None:
    from torch.utils.data import Dataset

    expected = f"inputs: expected {ARRAYS}, or an iterable of batches"
    if isinstance(inputs, Dataset) or (hasattr(inputs, "column_names") and hasattr(inputs, "set_format")):
        kind = type(inputs).__name__
        raise TypeError(
            f"{expected}; got a data set ({kind}), which yields single inputs: pass "
            f"torch.utils.data.DataLoader(dataset, batch_size=32), or batch_size=None if its items are batches"
        )
    if isinstance(inputs, str | bytes) or not isinstance(inputs, Iterable):
        raise TypeError(f"{expected}; got {type(inputs).__name__}")


def _cut_mapping(inputs: Mapping[str, Any], size: int) -> list[dict[str, Any]]:
    for name, value in inputs.items():
        _check_dense(name, value)
    lengths = _lengths(inputs)
    if not lengths:
        raise TypeError(f"inputs: expected {ARRAYS}; got a mapping of {', '.join(map(str, inputs)) or 'nothing'}")
    total = max(lengths.values())
    if any(length not in (1, total) for length in lengths.values()):
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(f"inputs: expected arrays of equal length in a mapping, got {listed}")
    cut = {name for name, length in lengths.items() if length == total}
    return [
        {name: value[start : start + size] if name in cut else value for name, value in inputs.items()}
        for start in range(0, total, size)
    ]


def _check_dense(name: str, array: Any) -> None:
    """Raise a TypeError if an array is a tensor of a kind that cannot be split into batches."""
    import torch

    if isinstance(array, torch.Tensor) and (array.is_nested or array.layout != torch.strided):
        raise TypeError(
            f"inputs: {name!r} is a sparse or nested tensor, which cannot be split: pass a list of batches, or a dense "
            f"tensor, such as {name}.to_dense() or torch.nested.to_padded_tensor with a mask"
        )


def _lengths(inputs: Mapping[str, Any]) -> dict[str, int]:
    return {name: length(value) for name, value in inputs.items() if is_array(value) and len(value.shape)}
