# SPDX-License-Identifier: Apache-2.0
"""Activations in whatever a layer returns."""

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
    """What a layer returned are no activations."""


def copy_first_tensor(output: Any) -> Tensor | None:
    """Copy the `first_tensor` of what a layer returned to the CPU; None if there is none.

    A copy, since a later layer may work in place. Floating-point types that NumPy lacks, such as bfloat16, become
    float32, which holds all of their values.
    """
    import torch

    tensor = first_tensor(output)
    if tensor is None:
        return None
    known = tensor.dtype in (torch.float16, torch.float32, torch.float64) or not tensor.is_floating_point()
    return tensor.detach().to("cpu", tensor.dtype if known else torch.float32, copy=True)


def first_tensor(output: Any) -> Tensor | None:
    """Return the first tensor in what a layer returned, or None if there is none.

    Parameters
    ----------
    output : object
        A tensor; or a tuple, list, mapping or dataclass, whose elements are searched in their order, but for
        ``last_hidden_state``, as the outputs of Hugging Face's models have it, which goes first.

    Examples
    --------
    >>> import torch
    >>> first_tensor({"loss": None, "logits": torch.ones(1), "last_hidden_state": (torch.zeros(2), torch.ones(3))})
    tensor([0., 0.])
    """
    if arrays.is_torch(output):
        tensor: Tensor = output
        return tensor
    found = (first_tensor(element) for element in _elements(output))
    return next((tensor for tensor in found if tensor is not None), None)


def _elements(output: Any) -> Iterable[Any]:
    if dataclasses.is_dataclass(output) and not isinstance(output, Mapping | type):
        output = {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
    if isinstance(output, Mapping):
        return [output.get(_HIDDEN_STATES), *output.values()]
    return output if isinstance(output, tuple | list) else ()


def read_activations_of(tensor: Tensor | None, inputs: int) -> NDArray[np.floating]:
    """Return a copied tensor as an array, after checking that it is one of activations.

    Parameters
    ----------
    tensor : tensor or None
        As from `copy_first_tensor`.
    inputs : int
        How many inputs the layer was given.

    Raises
    ------
    NoActivationsError
        If it is no tensor of floating-point numbers, has not 2 to 4 dimensions, or the first is not that of inputs.
    """
    import torch

    if tensor is None:
        raise NoActivationsError("returned no tensor")
    if not tensor.is_floating_point():
        raise NoActivationsError(f"returned {tensor.dtype} values, expected floating-point numbers")
    if tensor.layout != torch.strided or tensor.is_nested:
        raise NoActivationsError("returned a sparse or nested tensor, expected a dense one")
    shape = tuple(tensor.shape)
    if not 2 <= len(shape) <= 4 or shape[0] != inputs:
        raise NoActivationsError(
            f"returned shape {shape}, expected 2 to 4 dimensions, of which the first is the batch of {inputs} inputs"
        )
    return np.ascontiguousarray(tensor.numpy())
