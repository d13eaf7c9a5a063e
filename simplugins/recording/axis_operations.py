# SPDX-License-Identifier: Apache-2.0
"""A call of a Torch operation, with the axes of its arguments, and elementwise operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simplugins.recording.axes import Axes, Dimension, combined, unknown

if TYPE_CHECKING:
    from torch import Tensor

CONSTANT = "constant"
"""Stands for the axes of tensors that do not depend on the inputs."""


@dataclass(frozen=True)
class Operation:
    """A call of a Torch operation.

    Attributes
    ----------
    name : str
        Without namespace, overload and the underscore of in-place operations.
    arguments : mapping
        All arguments by name.
    outputs : sequence of tensors
    find : callable
        Returns a tensor's axes; CONSTANT if it does not depend on the inputs; None if nothing is known about it.
    """

    name: str
    arguments: dict[str, Any]
    outputs: Sequence[Tensor]
    find: Callable[[Tensor], Axes | str | None]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the first output."""
        return tuple(self.outputs[0].shape)

    def axes(self, value: Any) -> Axes | None:
        """Return the axes of an argument; None if it does not depend on the inputs, or nothing is known about it."""
        result = self.find(value)
        return None if isinstance(result, str) else result

    def first(self) -> Axes:
        """Return the axes of the first argument."""
        tensor = next(iter(self.arguments.values()))
        return self.axes(tensor) or unknown(tensor.shape)

    def tensors(self) -> Iterator[Tensor]:
        """Yield all tensors among the arguments."""
        for value in self.arguments.values():
            yield from tensors_in(value)

    def derived(self) -> list[tuple[Tensor, Axes]]:
        """Return all tensors that depend on the inputs, with their axes."""
        return [(tensor, axes) for tensor in self.tensors() if (axes := self.axes(tensor)) is not None]

    def axis(self, name: str = "dim", *, dimensions: int | None = None) -> int:
        """Return the dimension that an argument names, counted from the front."""
        count = dimensions or len(next(self.tensors()).shape)
        return int(self.arguments[name]) % count


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in a value: itself, or the elements of a list or tuple."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for element in value:
            yield from tensors_in(element)


def elementwise(axes: Sequence[Axes], shape: Sequence[int]) -> Axes:
    """Return the axes of an elementwise operation with broadcasting."""
    result: list[Dimension] = []
    for back, size in zip(range(len(shape), 0, -1), shape, strict=True):
        result.append(combined([each[-back] for each in axes if len(each) >= back], size))
    return tuple(result)
