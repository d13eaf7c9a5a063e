# SPDX-License-Identifier: Apache-2.0
"""Collecting what layers return: checked batch by batch, stored, and made Activations at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins._common.validation import naming
from simplugins.activations.activations import Activations
from simplugins.activations.labels import check_labels
from simplugins.recording.layer_outputs import NoActivationsError, read_activations_of
from simplugins.recording.model_layers import Layer

if TYPE_CHECKING:
    from torch import Tensor

    Heard = Mapping[str, Sequence[Tensor | None]]

_MOST_REASONS = 5


class Store(Protocol):
    """Where recorded activations go."""

    def append(self, name: str, values: NDArray[np.floating]) -> None:
        """Keep the activations of more inputs; those of one name have equal types and shapes."""

    def arrays(self) -> dict[str, NDArray[np.floating]]:
        """Return all that was kept, an array a name; after that, no more is."""

    def describe(self, layers: Mapping[str, Mapping[str, Any]], labels: NDArray[Any] | None) -> None:
        """Keep, too, what the arrays are: "shape", "dtype", "layout" and "drop_tokens" of each, and their labels."""


class Memory:
    """A store in memory."""

    def __init__(self) -> None:
        self._parts: dict[str, list[NDArray[np.floating]]] = {}

    def append(self, name: str, values: NDArray[np.floating]) -> None:
        """Keep the activations of more inputs."""
        self._parts.setdefault(name, []).append(values)

    def arrays(self) -> dict[str, NDArray[np.floating]]:
        """Join what was kept, letting go of the parts one layer after the other."""
        return {name: np.concatenate(self._parts.pop(name)) for name in list(self._parts)}

    def describe(self, layers: Mapping[str, Mapping[str, Any]], labels: NDArray[Any] | None) -> None:
        """Do nothing: the arrays are returned with what they are."""


class Collector:
    """Collects what layers return.

    A layer that runs several times in a forward pass is several *outputs*, with names of their own; any other is one.

    Parameters
    ----------
    layers : sequence of Layer
    store : Store
    layout, drop_tokens
        As for `simplugins.recording.record`.
    labels : (N,) array or None
    """

    def __init__(
        self, layers: Sequence[Layer], store: Store, *, layout: str, drop_tokens: Any, labels: NDArray[Any] | None
    ) -> None:
        self._layers, self._store, self._labels = layers, store, labels
        self._layout, self._drop_tokens = layout, arrays.small_numpy(drop_tokens).tolist()
        self._inputs = 0
        self._outputs: dict[str, list[str]] = {}
        """The names of each layer's outputs."""
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._dtypes: dict[str, np.dtype[np.floating]] = {}

    def take(self, heard: Heard, size: int) -> None:
        """Take what layers returned for a batch.

        Parameters
        ----------
        heard : mapping of str to sequence of tensors
            By the names of layers, what each returned each time that it ran.
        size : int
            How many inputs the batch has.

        Raises
        ------
        ValueError
            If that is not of one kind with what they returned before, holds NaN or infinite values, or, of the first
            batch, is no activations where these were asked for.
        """
        if not self._outputs:
            self._begin(heard, size)
        inputs = f"inputs {self._inputs} to {self._inputs + size - 1}"
        for layer, names in self._outputs.items():
            tensors = heard.get(layer, [])
            if len(tensors) != len(names):
                raise ValueError(f"layer {layer!r} ran {len(tensors)} times for {inputs}, {len(names)} times before")
            for name, tensor in zip(names, tensors, strict=True):
                with naming(f"layer {name!r}, {inputs}"):
                    self._store.append(name, self._checked(name, tensor, size))
        self._inputs += size
        if self._labels is not None and self._inputs > len(self._labels):
            raise ValueError(f"labels: expected one an input, got {len(self._labels)} for at least {self._inputs}")

    def finish(self) -> dict[str, Activations]:
        """Return the activations of all inputs, and complete the store.

        Raises
        ------
        ValueError
            If there were no inputs, or labels are not one to an input.
        """
        if not self._inputs:
            raise ValueError("inputs: there are none")
        labels = check_labels(self._labels, self._inputs)
        found, described = {}, {}
        for name, array in self._store.arrays().items():
            reading = self._reading(array.ndim)
            with naming(f"layer {name!r}"):
                found[name] = Activations.from_array(array, labels=labels, **reading)
            described[name] = {"shape": list(array.shape), "dtype": str(array.dtype), **reading}
        self._store.describe(described, labels)
        return found

    def _begin(self, heard: Heard, size: int) -> None:
        """Find the layers that return activations, and what kind of these they are."""
        left_out: dict[str, list[str]] = {}
        for layer in self._layers:
            try:
                self._begin_layer(layer.name, _read_all(heard.get(layer.name, []), size))
            except NoActivationsError as problem:
                reason = f"layer {layer.name!r} {problem}"
                if layer.pattern is None:
                    raise ValueError(reason) from None
                left_out.setdefault(layer.pattern, []).append(reason)
        found = {layer.pattern for layer in self._layers if layer.name in self._outputs}
        for pattern, reasons in left_out.items():
            if pattern not in found:
                more = ["..."] if len(reasons) > _MOST_REASONS else []
                raise ValueError(f"layers: no activations in {pattern!r}: {'; '.join(reasons[:_MOST_REASONS] + more)}")

    def _begin_layer(self, layer: str, outputs: Sequence[NDArray[np.floating]]) -> None:
        names = [layer] if len(outputs) == 1 else [f"{layer}#{number}" for number in range(len(outputs))]
        self._outputs[layer] = names
        for name, values in zip(names, outputs, strict=True):
            self._shapes[name], self._dtypes[name] = values.shape[1:], values.dtype

    def _checked(self, name: str, tensor: Tensor | None, size: int) -> NDArray[np.floating]:
        """Return activations of a batch, after checking that they go with those before."""
        values = read_activations_of(tensor, size)
        before = self._dtypes[name], self._shapes[name]
        if (values.dtype, values.shape[1:]) != before:
            raise ValueError(
                f"returned {values.dtype} of shape {values.shape[1:]} for an input, and {before[0]} of shape "
                f"{before[1]} before; all inputs must give activations of one shape"
            )
        is_first = self._inputs == 0
        if is_first or not np.isfinite(values).all():  # what is found in the first batch need not be waited for
            Activations.from_array(values, **self._reading(values.ndim))
        return values

    def _reading(self, dimensions: int) -> dict[str, Any]:
        """Return how to read activations of so many dimensions: the options that are meant for these.

        One that fits no output at all goes to every one, to be refused.
        """
        present = {len(shape) + 1 for shape in self._shapes.values()}
        for_layout = dimensions == len(self._layout) or len(self._layout) not in present
        for_tokens = dimensions == len("ntd") or len("ntd") not in present
        return {
            "layout": self._layout if for_layout else "auto",
            "drop_tokens": self._drop_tokens if for_tokens else 0,
        }


def _read_all(tensors: Sequence[Tensor | None], size: int) -> list[NDArray[np.floating]]:
    if not tensors:
        raise NoActivationsError(
            "did not run in the forward pass: it is unused, a container, or within something fused or compiled"
        )
    return [read_activations_of(tensor, size) for tensor in tensors]
