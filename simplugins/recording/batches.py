# SPDX-License-Identifier: Apache-2.0
"""Batches of inputs, whatever they come in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from simplugins._common import arrays

_EXPECTED = "a tensor, an array, a mapping of these to be passed by keyword"


@dataclass(frozen=True)
class Batch:
    """Some of the inputs, as a model is called with them.

    Attributes
    ----------
    size : int
        How many inputs these are.
    arguments : tuple
    keywords : mapping
    """

    size: int
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]

    def run(self, forward: Callable[..., Any]) -> None:
        """Call the model; what it returns is not needed."""
        forward(*self.arguments, **self.keywords)


def in_batches(inputs: Any, size: int) -> Iterable[Any]:
    """Cut one set of inputs into batches; return an iterable of batches as it is.

    Parameters
    ----------
    inputs : tensor, array, mapping of these, or iterable of batches
    size : int
        How many inputs of one set make a batch.

    Raises
    ------
    TypeError
        If the inputs are nothing of the kind.
    ValueError
        If a DataLoader draws them in random order, or the arrays of a mapping do not hold equally many.
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
    """Return how many inputs there are, where that can be told before they are read: of one set."""
    if _is_array(inputs):
        return _length(inputs)
    return next(iter(_lengths(inputs).values()), 0) if isinstance(inputs, Mapping) else None


def _cut_mapping(inputs: Mapping[str, Any], size: int) -> list[dict[str, Any]]:
    lengths = _lengths(inputs)
    if not lengths:
        raise TypeError(f"inputs: expected {_EXPECTED}; got a mapping of {', '.join(map(str, inputs)) or 'nothing'}")
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(f"inputs: expected as many in each array of a mapping, got {listed}")
    return [
        {name: value[start : start + size] if name in lengths else value for name, value in inputs.items()}
        for start in range(0, max(lengths.values()), size)
    ]


def _lengths(inputs: Mapping[str, Any]) -> dict[str, int]:
    return {name: _length(value) for name, value in inputs.items() if _is_array(value)}


def _check_order(inputs: Iterable[Any]) -> None:
    from torch.utils.data import DataLoader, RandomSampler, SubsetRandomSampler, WeightedRandomSampler

    if isinstance(inputs, DataLoader) and isinstance(
        inputs.sampler, RandomSampler | SubsetRandomSampler | WeightedRandomSampler
    ):
        raise ValueError(
            "inputs: the DataLoader draws them in random order, which would be lost; make it with shuffle=False"
        )


def read_batch(batch: Any, device: Any) -> Batch:
    """Read a batch: a tensor or array, a mapping of these, or a tuple or list whose first element is one of those.

    Parameters
    ----------
    batch : object
    device : torch.device
        Where tensors and arrays are moved. Other values of a mapping are passed on as they are.

    Raises
    ------
    TypeError
        If it is none of these.
    """
    given = batch[0] if isinstance(batch, tuple | list) and batch else batch
    if _is_array(given):
        return Batch(_length(given), (_moved(given, device),), {})
    if isinstance(given, Mapping):
        sizes = list(_lengths(given).values())
        if sizes:
            return Batch(sizes[0], (), {name: _moved(value, device) for name, value in given.items()})
    got = type(batch).__name__ + ("" if given is batch else f" that starts with {type(given).__name__}")
    raise TypeError(f"expected a batch to be {_EXPECTED}, or a tuple or list that starts with one of these; got {got}")


def _is_array(value: Any) -> bool:
    return arrays.is_torch(value) or isinstance(value, np.ndarray)


def _length(array: Any) -> int:
    if len(array.shape) == 0:
        raise TypeError("expected arrays of inputs, got a single number")
    return int(array.shape[0])


def _moved(value: Any, device: Any) -> Any:
    if not _is_array(value):
        return value
    from torch import tensor

    return (tensor(value) if isinstance(value, np.ndarray) else value).to(device)
