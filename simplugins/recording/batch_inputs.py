# SPDX-License-Identifier: Apache-2.0
"""Reads the arguments of the model from batches: arrays, mappings, dataclasses or tuples."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins._common.validation import error_prefix
from simplugins.recording.batch_fields import field, is_array, named_fields

ARRAYS = "a tensor, an array, a mapping of these (passed as keyword arguments)"


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

    def arrays(self) -> dict[str, Any]:
        """Return the tensors among the arguments by name; the positional argument is named "input"."""
        named = dict(zip(("input",), self.arguments, strict=False)) | dict(self.keywords)
        return {name: value for name, value in named.items() if arrays.is_torch(value)}


class BatchReader:
    """Picks the inputs in batches, and converts them to tensors on a device.

    Parameters
    ----------
    run : callable
        The model, or the function called in its place. Only keywords that its signature accepts are passed.
    device : torch.device or None
        The device that tensors and arrays are moved to; None leaves tensors where they are.
    dtype : torch.dtype or None
        The type that floating-point inputs are converted to; None keeps their type.
    input_key : str, int or None
        The field of each batch that is the input.
    other_keys : collection of str or int
        Fields that are not meant for the model, such as labels: passed only if a parameter of this name is required.
    """

    def __init__(
        self,
        run: Callable[..., Any],
        *,
        device: Any,
        dtype: Any,
        input_key: str | int | None,
        other_keys: Collection[Any] = (),
    ) -> None:
        if input_key is not None and (isinstance(input_key, bool) or not isinstance(input_key, str | int | np.integer)):
            raise TypeError(f"input_key: expected a string or an int, got {input_key!r}")
        self._device, self._dtype = device, dtype
        self._input_key, self._other_keys = input_key, other_keys
        self._name = type(run).__name__ if hasattr(run, "forward") else getattr(run, "__name__", "forward")
        self._signature = _signature(run)

    def read(self, batch: Any) -> Batch:
        """Return the arguments of a batch: an array, mapping, dataclass, or a tuple or list that starts with one.

        Raises
        ------
        TypeError
            If the batch is none of these.
        ValueError
            If its fields do not determine the model's inputs.
        """
        value = self._pick(batch)
        if is_array(value):
            return Batch(length(value), (self._tensor("input", value),), {})
        named = named_fields(value)
        if named is not None:
            return self._by_name(named)
        kind = type(batch).__name__ + ("" if value is batch else f" whose input is of type {type(value).__name__}")
        raise TypeError(
            f"batch: expected {ARRAYS}, or a tuple or list that starts with one of these; got {kind}{_advice(value)}"
        )

    def _pick(self, batch: Any) -> Any:
        if self._input_key is not None:
            with error_prefix("input_key"):
                return field(batch, self._input_key)
        named = named_fields(batch)
        if isinstance(batch, tuple) and named is not None and not any(name in self._parameters() for name in named):
            named = None  # its names mean nothing to the model
        if named is not None or not isinstance(batch, tuple | list) or not batch:
            return batch
        _check_first(batch)
        return batch[0]

    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        parameters = {} if self._signature is None else self._signature.parameters
        return {name: parameter for name, parameter in parameters.items() if parameter.kind in by_name}

    def _by_name(self, named: Mapping[str, Any]) -> Batch:
        keywords = {name: value for name, value in named.items() if self._accepts(name, value)}
        inputs = {name: value for name, value in keywords.items() if _has_length(value)}
        self._check_names(named, keywords, inputs)
        lengths = {name: length(value) for name, value in inputs.items()}
        sizes = set(lengths.values()) - {1} or {1}
        if len(sizes) > 1:
            listed = ", ".join(f"{name} {size}" for name, size in lengths.items())
            raise ValueError(
                f"inputs: expected arrays of equal length in a batch, got {listed}; choose one of them with input_key"
            )
        values = {name: self._tensor(name, value) for name, value in keywords.items()}
        return Batch(sizes.pop(), (), values)

    def _accepts(self, name: str, value: Any) -> bool:
        parameter = self._parameters().get(name)
        if parameter is not None:
            return name not in self._other_keys or parameter.default is inspect.Parameter.empty
        kinds = () if self._signature is None else [x.kind for x in self._signature.parameters.values()]
        any_keyword = self._signature is None or inspect.Parameter.VAR_KEYWORD in kinds
        is_option = value is None or is_array(value) or isinstance(value, bool | int | float)
        return any_keyword and is_option and name not in self._other_keys

    def _check_names(self, named: Mapping[str, Any], keywords: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
        has = ", ".join(map(str, named)) or "nothing"
        choice = next((name for name, value in named.items() if _has_length(value)), None)
        if choice is None:
            raise TypeError(f"inputs: expected {ARRAYS}; got a mapping of {has}")
        advice = f"pass the name of the input as input_key, such as input_key={choice!r}"
        if not inputs:
            raise ValueError(
                f"inputs: {self._name} accepts none of the batch's fields ({has}); its parameters are "
                f"{', '.join(self._parameters())}: {advice}, or rename the fields"
            )
        try:
            if self._signature is not None:
                self._signature.bind(**keywords)
        except TypeError as error:
            raise ValueError(f"inputs: {self._name}: {error}; the batch has {has}: {advice}") from None

    def _tensor(self, name: str, value: Any) -> Any:
        if not is_array(value):
            return value
        import torch

        tensor = value if arrays.is_torch(value) else torch.from_numpy(_native(name, value))
        if tensor.is_meta:
            raise ValueError(f"inputs: {name!r} is on the meta device, without values")
        floats = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
        dtype = self._dtype if tensor.dtype in floats and self._dtype is not None else tensor.dtype
        return tensor.to(device=self._device, dtype=dtype)


def length(array: Any) -> int:
    """Return the number of inputs in an array."""
    if len(array.shape) == 0:
        raise TypeError("inputs: expected arrays whose first dimension is the inputs, got a single number")
    try:
        return int(array.shape[0])
    except (TypeError, ValueError):
        raise TypeError(
            "inputs: expected an array of known length: call compute_chunk_sizes() of a Dask array first"
        ) from None


def _has_length(value: Any) -> bool:
    return is_array(value) and len(value.shape) > 0


def _signature(run: Callable[..., Any]) -> inspect.Signature | None:
    run = getattr(run, "_orig_mod", run)  # a compiled model
    try:
        return inspect.signature(getattr(run, "forward", run))
    except (TypeError, ValueError):
        return None


def _check_first(batch: tuple[Any, ...] | list[Any]) -> None:
    """Raise a ValueError if the first element looks like indices or targets, and a later one like the inputs."""
    if not _has_length(batch[0]) or len(batch[0].shape) > 1:
        return
    for number, element in enumerate(batch[1:], 1):
        if _has_length(element) and len(element.shape) > 1 and len(element) == len(batch[0]):
            raise ValueError(
                f"inputs: the first element of the batch has one number per input, like indices or targets, but "
                f"element {number} has shape {tuple(element.shape)}: pass input_key={number} if that is the input, or "
                f"input_key=0"
            )


def _native(name: str, value: Any) -> NDArray[Any]:
    """Return a copy as a NumPy array of numbers that Torch can read."""
    array = value if isinstance(value, np.ndarray) else arrays.small_numpy(value)
    if array.dtype == object and array is not value:
        array = arrays.as_array(value)
    if np.ma.is_masked(value) or np.ma.is_masked(array):
        raise TypeError(f"inputs: {name!r} is a masked array: fill the masked values, for example with filled(0)")
    if array.dtype.name == "bfloat16" or array.dtype == np.longdouble:
        return array.astype(np.float32 if array.dtype.name == "bfloat16" else np.float64)
    if array.dtype.kind in "OUSVMm":
        raise TypeError(
            f"inputs: expected numbers, got an array of {array.dtype} for {name!r}: convert it, for "
            f"example with numpy.stack(list(array)) or array.astype(numpy.float32)"
        )
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:  # most Torch functions lack these types
        if array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"inputs: {name!r} has integers that do not fit in 64 bits (int64)")
        return array.astype(np.int64)
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C", copy=True, subok=False)


def _advice(value: Any) -> str:
    first = value[0] if isinstance(value, tuple | list) and value else value
    if isinstance(first, str):
        return ": pass texts through the model's tokenizer first, with return_tensors='pt'"
    if type(first).__module__.split(".")[0] == "PIL":
        return ": convert images to tensors with the model's preprocessing first, and stack them"
    if is_array(first):
        return ": stack the arrays of the inputs, for example with torch.stack"
    return ""
