# SPDX-License-Identifier: Apache-2.0
"""Extraction of activations from the outputs of layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays

if TYPE_CHECKING:
    from torch import Tensor

_HIDDEN_STATES = "last_hidden_state"


class NoActivationsError(ValueError):
    """The output of a layer contains no activations, or its axes are not known.

    Attributes
    ----------
    layout : str or None
        A layout that the caller could state.
    """

    def __init__(self, reason: str, layout: str | None = None) -> None:
        super().__init__(reason)
        self.layout = layout

    def advice(self, layer: str) -> str:
        """Return how to state the layer's layout, to append to the reason; empty if that does not help."""
        return f": pass layout={{{layer!r}: {self.layout!r}}}" if self.layout is not None else ""


def copy_first_tensor(output: Any) -> Tensor | None:
    """Copy the `first_tensor` of a layer's output to the CPU; None if there is none.

    Later layers may modify the original in place. Floating-point types that NumPy lacks, such as bfloat16, become
    float32, which represents their values exactly.
    """
    import torch

    tensor = first_tensor(output)
    if tensor is None:
        return None
    in_numpy = tensor.dtype in (torch.float16, torch.float32, torch.float64) or not tensor.is_floating_point()
    return tensor.detach().to("cpu", tensor.dtype if in_numpy else torch.float32, copy=True)


def first_tensor(output: Any) -> Tensor | None:
    """Return the first tensor in a layer's output, or None if there is none.

    Parameters
    ----------
    output : object
        A tensor; or a tuple, list, mapping or dataclass, whose elements are searched in order after
        ``last_hidden_state`` (in outputs of Hugging Face models).

    Examples
    --------
    >>> import torch
    >>> first_tensor({"loss": None, "logits": torch.ones(1), "last_hidden_state": (torch.zeros(2), torch.ones(3))})
    tensor([0., 0.])
    """
    if arrays.is_torch(output):
        tensor: Tensor = output
        return tensor
    tensors = (first_tensor(element) for element in _elements(output))
    return next((tensor for tensor in tensors if tensor is not None), None)


def _elements(output: Any) -> Iterable[Any]:
    if dataclasses.is_dataclass(output) and not isinstance(output, Mapping | type):
        output = {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
    if isinstance(output, Mapping):
        return [output.get(_HIDDEN_STATES), *output.values()]
    return output if isinstance(output, tuple | list) else ()


def check_activations(tensor: Tensor | None) -> Tensor:
    """Return the result of `copy_first_tensor`, after checking that it may contain activations.

    Raises
    ------
    NoActivationsError
        If it is not a dense floating-point tensor with at least 2 dimensions.
    """
    import torch

    if tensor is None:
        raise NoActivationsError("returned no tensor")
    if not tensor.is_floating_point():
        raise NoActivationsError(f"returned {tensor.dtype} values, expected floating-point numbers")
    if tensor.layout != torch.strided or tensor.is_nested:
        raise NoActivationsError("returned a sparse or nested tensor, expected a dense one")
    if tensor.ndim < 2:
        raise NoActivationsError(f"returned shape {tuple(tensor.shape)}, expected at least 2 dimensions")
    return tensor


def activations_in(tensor: Tensor | None, inputs: int, axis: int) -> NDArray[np.floating]:
    """Return activations as an array whose first axis is that of the inputs.

    Parameters
    ----------
    tensor : tensor or None
    inputs : int
        Number of inputs in the batch.
    axis : int
        The axis of inputs in the tensor.

    Raises
    ------
    NoActivationsError
        If the tensor contains no activations, or another number of inputs.
    """
    checked = check_activations(tensor)
    shape = tuple(checked.shape)
    if axis >= len(shape) or shape[axis] != inputs:
        raise NoActivationsError(f"returned shape {shape}, expected the {inputs} inputs of the batch at axis {axis}")
    return np.ascontiguousarray(np.moveaxis(checked.numpy(), axis, 0))
