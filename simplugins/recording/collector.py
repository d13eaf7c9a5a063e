# SPDX-License-Identifier: Apache-2.0
"""Collects the outputs of layers: checks and stores each batch, and finally constructs Activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins._common.validation import error_prefix
from simplugins.activations.activations import Activations
from simplugins.activations.layouts import Layout, layout_of
from simplugins.activations.recordings import layer_activations
from simplugins.recording.growing_output import GrowingOutput, Store
from simplugins.recording.input_labels import InputLabels
from simplugins.recording.layer_masks import LayerMasks
from simplugins.recording.layer_outputs import NoActivationsError, activations_in
from simplugins.recording.model_layers import Layer

if TYPE_CHECKING:
    from torch import Tensor

    Outputs = Mapping[str, Sequence[Tensor | None]]

_MOST_REASONS = 5


class Memory:
    """A store in memory."""

    def __init__(self) -> None:
        self._parts: dict[str, list[NDArray[np.floating]]] = {}

    def append(self, name: str, values: NDArray[np.floating]) -> None:
        """Append the activations of more inputs."""
        self._parts.setdefault(name, []).append(values)

    def convert(self, name: str, function: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        """Convert each part of what is stored under a name."""
        self._parts[name] = [function(part) for part in self._parts[name]]

    def arrays(self) -> dict[str, NDArray[np.floating]]:
        """Concatenate the parts layer by layer, to release the memory of each."""
        return {name: np.concatenate(self._parts.pop(name)) for name in list(self._parts)}

    def describe(self, layers: Mapping[str, Mapping[str, Any]], labels: NDArray[Any] | None) -> None:
        """Do nothing: in memory, the Activations hold this information."""


class Collector:
    """Collects the outputs of layers.

    A layer that runs once per forward pass has one output, with the layer's name; otherwise it has one output per run.

    Parameters
    ----------
    layers : sequence of Layer
    store : Store
    layout, drop_tokens
        As for `simplugins.recording.record`.
    """

    def __init__(self, layers: Sequence[Layer], store: Store, *, layout: str, drop_tokens: Any) -> None:
        self._layers, self._store = layers, store
        self._layout, self._drop_tokens = layout, arrays.small_numpy(drop_tokens).tolist()
        self._inputs = 0
        self._names: dict[str, list[str]] = {}
        """The names of each layer's outputs."""
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._dtypes: dict[str, np.dtype[np.floating]] = {}
        self._growing: dict[str, GrowingOutput] = {}

    def add(self, outputs: Outputs, size: int, masks: LayerMasks | None = None) -> None:
        """Add the outputs of a batch.

        Parameters
        ----------
        outputs : mapping of str to sequence of tensors
            By layer, one tensor per run.
        size : int
            Number of inputs in the batch.
        masks : LayerMasks or None
            The positions that count; None for all.

        Raises
        ------
        ValueError
            If the number of a layer's runs, or the type or shape of its output, has changed; if values are NaN or
            infinite; or if a requested layer has no activations in the first batch.
        """
        if not self._names:
            self._begin(outputs, size)
        inputs = f"inputs {self._inputs} to {self._inputs + size - 1}"
        for layer, names in self._names.items():
            tensors = outputs.get(layer, [])
            if len(tensors) != len(names):
                raise ValueError(f"layer {layer!r} ran {len(tensors)} times for {inputs}, {len(names)} times before")
            for name, tensor in zip(names, tensors, strict=True):
                with error_prefix(f"layer {name!r}, {inputs}"):
                    values = self._checked(name, tensor, size)
                    growing = self._growing[name]
                    growing.append(values, None if masks is None else masks.of(name, values.shape, growing.axes))
        if masks is not None:
            masks.end()
        self._inputs += size

    def finish(self, labels: InputLabels) -> dict[str, Activations]:
        """Return the activations of all inputs, and complete the store.

        Parameters
        ----------
        labels : InputLabels

        Raises
        ------
        ValueError
            If there were no inputs, or there is not exactly one label per input.
        """
        if not self._inputs:
            raise ValueError("inputs: expected at least one, got none")
        names = labels.finish()
        activations, descriptions = {}, {}
        for name, array in self._store.arrays().items():
            options = self._growing[name].options
            activations[name] = layer_activations(name, array, labels=names, **options)
            descriptions[name] = {"shape": list(array.shape), "dtype": str(array.dtype), **options}
        self._store.describe(descriptions, names)
        return activations

    def _begin(self, outputs: Outputs, size: int) -> None:
        """Find the layers that return activations in the first batch, with output names, types and shapes."""
        reasons: dict[str, list[str]] = {}
        for layer in self._layers:
            try:
                self._begin_layer(layer.name, _read_all(outputs.get(layer.name, []), size))
            except NoActivationsError as error:
                reason = f"layer {layer.name!r} {error}"
                if layer.pattern is None:
                    raise ValueError(reason) from None
                reasons.setdefault(layer.pattern, []).append(reason)
        matched = {layer.pattern for layer in self._layers if layer.name in self._names}
        for pattern in (pattern for pattern in reasons if pattern not in matched):
            more = ["..."] if len(reasons[pattern]) > _MOST_REASONS else []
            listed = "; ".join(reasons[pattern][:_MOST_REASONS] + more)
            raise ValueError(f"layers: no activations in {pattern!r}: {listed}")
        for name, shape in self._shapes.items():
            options = self._options(len(shape) + 1)
            with error_prefix(f"layer {name!r}"):
                axes = layout_of((size, *shape), options["layout"])
            self._growing[name] = GrowingOutput(name, self._store, axes, options["drop_tokens"])

    def _begin_layer(self, layer: str, outputs: Sequence[NDArray[np.floating]]) -> None:
        names = [layer] if len(outputs) == 1 else [f"{layer}#{number}" for number in range(len(outputs))]
        self._names[layer] = names
        for name, values in zip(names, outputs, strict=True):
            self._shapes[name], self._dtypes[name] = values.shape[1:], values.dtype

    def _checked(self, name: str, tensor: Tensor | None, size: int) -> NDArray[np.floating]:
        """Return the activations of a batch, after checking them against the first batch."""
        values = activations_in(tensor, size)
        dtype, shape = self._dtypes[name], self._shapes[name]
        if values.dtype != dtype or not _differ_in_tokens_at_most(
            values.shape, (size, *shape), self._growing[name].axes
        ):
            raise ValueError(
                f"returned {values.dtype} of shape {values.shape[1:]} per input, and {dtype} of shape {shape} before; "
                f"activations must have the same type for all inputs, and the same shape but for the number of tokens"
            )
        return values

    def _options(self, dimensions: int) -> dict[str, Any]:
        """Return the options that apply to arrays with this number of dimensions.

        An option that applies to no output is returned for all of them, so that constructing Activations explains why.
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
            "did not run in the forward pass: it is unused, a container, or part of something fused or compiled"
        )
    return [activations_in(tensor, size) for tensor in tensors]


def _differ_in_tokens_at_most(shape: Sequence[int], before: Sequence[int], axes: Layout) -> bool:
    """Return whether two shapes are equal, except for the tokens' axis if there is one."""
    tokens = axes.positions if axes.has_tokens else ()
    return len(shape) == len(before) and all(
        one == other or axis in tokens for axis, (one, other) in enumerate(zip(shape, before, strict=True))
    )
