# SPDX-License-Identifier: Apache-2.0
"""Batches of inputs from tensors, arrays, mappings and DataLoaders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from simplugins._common import arrays

_EXPECTED = "a tensor, an array, a mapping of these (passed as keyword arguments)"


@dataclass(frozen=True)
class Batch:
    """The arguments of one call of the model.

    Attributes
    ----------
    size : int
        Number of inputs.
    arguments : tuple
    keywords : mapping
    """

    size: int
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]


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
        If the inputs are none of these.
    ValueError
        If a DataLoader draws them in random order, or the arrays of a mapping differ in length.
    """
    if _is_array(inputs):
        return [inputs[start : start + size] for start in range(0, _length(inputs), size)]
    if isinstance(inputs, Mapping):
        return _cut_mapping(inputs, size)
    if isinstance(inputs, str | bytes) or not isinstance(inputs, Iterable):
        raise TypeError(f"inputs: expected {_EXPECTED}, or an iterable of batches; got {type(inputs).__name__}")
    _check_order(inputs)
    return inputs


def count_inputs(inputs: Any) -> int | None:
    """Return the number of inputs; None for an iterable of batches, whose total is unknown."""
    if _is_array(inputs):
        return _length(inputs)
    return next(iter(_lengths(inputs).values()), 0) if isinstance(inputs, Mapping) else None


def _cut_mapping(inputs: Mapping[str, Any], size: int) -> list[dict[str, Any]]:
    lengths = _lengths(inputs)
    if not lengths:
        raise TypeError(f"inputs: expected {_EXPECTED}; got a mapping of {', '.join(map(str, inputs)) or 'nothing'}")
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(f"inputs: expected arrays of equal length in a mapping, got {listed}")
    return [
        {name: value[start : start + size] if name in lengths else value for name, value in inputs.items()}
        for start in range(0, max(lengths.values()), size)
    ]


def _lengths(inputs: Mapping[str, Any]) -> dict[str, int]:
    return {name: _length(value) for name, value in inputs.items() if _is_array(value)}


def _check_order(inputs: Iterable[Any]) -> None:
    from torch.utils.data import DataLoader, RandomSampler, SubsetRandomSampler, WeightedRandomSampler

    if not isinstance(inputs, DataLoader):
        return
    samplers = inputs.sampler, getattr(inputs.batch_sampler, "sampler", None)
    random = RandomSampler | SubsetRandomSampler | WeightedRandomSampler
    if any(isinstance(sampler, random) for sampler in samplers):
        raise ValueError(
            "inputs: the DataLoader draws them in random order, so the order of the activations would be unknown: "
            "construct it with shuffle=False, or with a sampler in fixed order"
        )


def read_batch(batch: Any, device: Any) -> Batch:
    """Read a batch: a tensor or array, a mapping of these, or a tuple or list whose first element is one of those.

    Parameters
    ----------
    batch : object
    device : torch.device
        The device that tensors and arrays are moved to. Other values of a mapping are passed on unchanged.

    Raises
    ------
    TypeError
        If the batch is none of these.
    """
    inputs = batch[0] if isinstance(batch, tuple | list) and batch else batch
    if _is_array(inputs):
        return Batch(_length(inputs), (_moved(inputs, device),), {})
    if isinstance(inputs, Mapping):
        sizes = list(_lengths(inputs).values())
        if sizes:
            return Batch(sizes[0], (), {name: _moved(value, device) for name, value in inputs.items()})
    kind = type(batch).__name__ + ("" if inputs is batch else f" that starts with {type(inputs).__name__}")
    raise TypeError(f"batch: expected {_EXPECTED}, or a tuple or list that starts with one of these; got {kind}")


def _is_array(value: Any) -> bool:
    return arrays.is_torch(value) or isinstance(value, np.ndarray)


def _length(array: Any) -> int:
    if len(array.shape) == 0:
        raise TypeError("inputs: expected arrays whose first dimension is the batch, got a single number")
    return int(array.shape[0])


def _moved(value: Any, device: Any) -> Any:
    if not _is_array(value):
        return value
    from torch import tensor

    return (tensor(value) if isinstance(value, np.ndarray) else value).to(device)
