# SPDX-License-Identifier: Apache-2.0
"""Collects the outputs of layers: checks and stores each batch, and constructs Activations at the end."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins._common.formatting import counted
from simplugins._common.texts import listed
from simplugins._common.validation import error_prefix
from simplugins.activations.activations import Activations
from simplugins.activations.layouts import Layout, parse_layout
from simplugins.activations.recordings import layer_activations
from simplugins.recording.batch_effects import Effect
from simplugins.recording.effect_reports import check_effects, warn_of_effects
from simplugins.recording.growing_output import GrowingOutput, Store
from simplugins.recording.input_labels import InputLabels
from simplugins.recording.layer_layouts import OutputLayout
from simplugins.recording.layer_masks import LayerMasks
from simplugins.recording.layer_outputs import NoActivationsError, activations_in, check_activations
from simplugins.recording.model_layers import Layer, is_container
from simplugins.recording.special_tokens import SPECIAL, special_indices

if TYPE_CHECKING:
    from torch import Tensor

    Outputs = Mapping[str, Sequence[Tensor | None]]
    FindLayout = Callable[[Layer, int, Tensor], OutputLayout]

_MOST_REASONS = 5
_DID_NOT_RUN = (
    "did not run in the forward pass: it is unused, a container, or part of a fused, compiled or scripted module"
)


class Memory:
    """A store in memory."""

    def __init__(self) -> None:
        self._parts: dict[str, list[NDArray[np.floating]]] = {}

    def append(self, name: str, values: NDArray[np.floating]) -> None:
        """Append the activations of more inputs."""
        self._parts.setdefault(name, []).append(values)

    def convert(self, name: str, function: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        """Convert each part stored under a name."""
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
    drop_tokens
        As for `simplugins.recording.record`.
    """

    def __init__(self, layers: Sequence[Layer], store: Store, *, drop_tokens: Any) -> None:
        self._layers, self._store = layers, store
        self._drop_tokens = arrays.small_numpy(drop_tokens).tolist()
        self._inputs = 0
        self._names: dict[str, list[str]] = {}
        """The names of each layer's outputs."""
        self._layouts: dict[str, OutputLayout] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._dtypes: dict[str, np.dtype[np.floating]] = {}
        self._growing: dict[str, GrowingOutput] = {}

    def add(self, outputs: Outputs, size: int, find_layout: FindLayout, masks: LayerMasks | None = None) -> None:
        """Add the outputs of a batch.

        Parameters
        ----------
        outputs : mapping of str to sequence of tensors
            By layer, one tensor per run.
        size : int
            Number of inputs in the batch.
        find_layout : callable
            Returns the layout of an output in the first batch, by its layer and the number of the run.
        masks : LayerMasks or None
            The positions that count; None for all.

        Raises
        ------
        ValueError
            If the number of a layer's runs, or the type or shape of its output, has changed; if values are NaN or
            infinite; if a layer depends on which inputs share a batch, and this is the second; or if, in the first
            batch, a layer requested by name or all layers that match a pattern cannot be recorded.

        Warns
        -----
        UserWarning
            If other layers that match a pattern cannot be recorded, or layers depend on more than their input.
        """
        if self._names:
            check_effects(self._effects)
        else:
            self._begin(outputs, find_layout)
            are_masked = masks is not None and masks.are_given
            warn_of_effects(self._effects, "random", *([] if are_masked else ["padding"]))
        inputs = f"inputs {self._inputs} to {self._inputs + size - 1}"
        for layer, names in self._names.items():
            tensors = outputs.get(layer, [])
            if len(tensors) != len(names):
                raise ValueError(f"layer {layer!r} ran {len(tensors)} times for {inputs}, {len(names)} times before")
            for name, tensor in zip(names, tensors, strict=True):
                with error_prefix(f"layer {name!r}, {inputs}"):
                    values = self._checked(name, tensor, size)
                    growing = self._growing[name]
                    special = self._layouts[name].special
                    growing.append(
                        values, None if masks is None else masks.of(name, values.shape, growing.axes, special)
                    )
        if masks is not None:
            masks.end()
        self._inputs += size

    @property
    def _effects(self) -> dict[str, Effect | None]:
        """What else than their input outputs depend on; outputs without positions have no padding."""
        effects = {name: layout.effect for name, layout in self._layouts.items()}
        pooled = {name for name, layout in self._layouts.items() if len(layout.name) == 2}
        return {
            name: None if effect is not None and effect.kind == "padding" and name in pooled else effect
            for name, effect in effects.items()
        }

    def finish(self, labels: InputLabels) -> dict[str, Activations]:
        """Return the activations of all inputs, and complete the store.

        Parameters
        ----------
        labels : InputLabels

        Raises
        ------
        ValueError
            If there were no inputs, or there is not exactly one label per input.

        Warns
        -----
        UserWarning
            If layers depend on which inputs share a batch, and there was one.
        """
        if not self._inputs:
            raise ValueError("inputs: expected at least one, got none")
        names = labels.finish()
        warn_of_effects(self._effects, "batch")
        activations, descriptions = {}, {}
        for name, array in self._store.arrays().items():
            options = self._growing[name].options
            activations[name] = layer_activations(name, array, labels=names, **options)
            descriptions[name] = {"shape": list(array.shape), "dtype": str(array.dtype), **options}
        self._store.describe(descriptions, names)
        return activations

    def _begin(self, outputs: Outputs, find_layout: FindLayout) -> None:
        """Find the layers that return activations in the first batch, and their layouts; warn of those that do not."""
        reasons: dict[Layer, NoActivationsError] = {}
        for layer in self._layers:
            try:
                self._begin_layer(layer, outputs.get(layer.name, []), find_layout)
            except NoActivationsError as error:
                if layer.pattern is None:
                    raise ValueError(f"layer {layer.name!r} {error}{error.advice(layer.name)}") from None
                reasons[layer] = error
            except ValueError as error:
                raise ValueError(f"layer {layer.name!r}: {error}") from None
        self._check_patterns(reasons)
        if missing := self._describe_missing(reasons, outputs):
            warnings.warn(missing, UserWarning, stacklevel=4)
        self._check_drop_tokens()
        for name, layout in self._layouts.items():
            axes = parse_layout(layout.name)
            self._growing[name] = GrowingOutput(name, self._store, axes, self._drop_tokens_of(name))

    def _begin_layer(self, layer: Layer, outputs: Sequence[Tensor | None], find_layout: FindLayout) -> None:
        if not outputs:
            raise NoActivationsError(_DID_NOT_RUN)
        tensors = [check_activations(tensor) for tensor in outputs]
        layouts = [find_layout(layer, number, tensor) for number, tensor in enumerate(tensors)]
        names = [layer.name] if len(outputs) == 1 else [f"{layer.name}#{number}" for number in range(len(outputs))]
        self._names[layer.name] = names
        for name, tensor, layout in zip(names, tensors, layouts, strict=True):
            values = tensor.numpy()
            self._layouts[name], self._dtypes[name] = layout, values.dtype
            self._shapes[name] = tuple(np.delete(values.shape, layout.inputs).tolist())

    def _check_patterns(self, reasons: Mapping[Layer, NoActivationsError]) -> None:
        """Raise a ValueError if no layer that matches a pattern can be recorded."""
        recorded = {layer.pattern for layer in self._layers if layer.name in self._names}
        for pattern in dict.fromkeys(layer.pattern for layer in reasons):
            if pattern not in recorded:
                missing = {layer.name: reason for layer, reason in reasons.items() if layer.pattern == pattern}
                causes = [f"layer {name!r} {reason}{reason.advice(name)}" for name, reason in missing.items()]
                text = listed(causes, "; ", most=_MOST_REASONS)
                raise ValueError(f"layers: no activations in {pattern!r}: {text}")

    def _describe_missing(self, reasons: Mapping[Layer, NoActivationsError], outputs: Outputs) -> str | None:
        """Return the layers that cannot be recorded, by reason, except containers whose parts are requested."""
        by_reason: dict[str, list[str]] = {}
        advice: dict[str, str] = {}
        for layer, reason in reasons.items():
            has_parts = any(other.name.startswith(f"{layer.name}.") for other in self._layers)
            is_empty = is_container(layer.module) and not any(layer.module.children())
            if layer.name in outputs or not (has_parts or is_empty):
                by_reason.setdefault(str(reason), []).append(layer.name)
                advice.setdefault(str(reason), reason.advice(layer.name))
        entries = [f"{', '.join(map(repr, names))} {text}{advice[text]}" for text, names in by_reason.items()]
        count = counted(sum(map(len, by_reason.values())), "layer")
        return f"{count} cannot be recorded: {'; '.join(entries)}" if by_reason else None

    def _checked(self, name: str, tensor: Tensor | None, size: int) -> NDArray[np.floating]:
        """Return the activations of a batch, after checking them against the first batch."""
        values = activations_in(tensor, size, self._layouts[name].inputs)
        dtype, shape = self._dtypes[name], self._shapes[name]
        if values.dtype != dtype or not _same_but_tokens(values.shape, (size, *shape), self._growing[name].axes):
            raise ValueError(
                f"returned {values.dtype} of shape {values.shape[1:]} per input, but {dtype} of shape {shape} before; "
                f"activations must have the same type and shape for all inputs, except for the number of tokens"
            )
        return values

    def _drop_tokens_of(self, name: str) -> int | list[int]:
        """Return the tokens to drop from an output.

        A number or indices apply to outputs with tokens from parameters; if the model has no such tokens, to all
        outputs with tokens; and if there are none, to all outputs, so that constructing Activations raises the error.
        """
        if isinstance(self._drop_tokens, str) and self._drop_tokens == SPECIAL:
            return special_indices(self._layouts[name].special)
        layouts = self._layouts.items()
        suitable = [output for output, each in layouts if each.special is not None]
        if not any(each.model_adds_tokens for _, each in layouts):
            suitable = suitable or [output for output, each in layouts if parse_layout(each.name).has_tokens]
            return self._drop_tokens if name in suitable or not suitable else 0
        return self._drop_tokens if name in suitable else 0

    def _check_drop_tokens(self) -> None:
        """Warn if tokens should be dropped by number, but only layers that are not recorded have some to drop."""
        if self._drop_tokens in (0, [], SPECIAL) or any(self._drop_tokens_of(name) for name in self._layouts):
            return
        warnings.warn(
            f"drop_tokens={self._drop_tokens} drops nothing: the model adds class or register tokens, but after the "
            f"recorded layers, {listed(self._layouts)}, or before them",
            UserWarning,
            stacklevel=5,
        )

    @property
    def has_special_tokens(self) -> bool:
        """Whether an output has tokens that come from parameters."""
        return any(layout.special is not None for layout in self._layouts.values())


def _same_but_tokens(shape: Sequence[int], before: Sequence[int], axes: Layout) -> bool:
    """Return whether two shapes are equal, except for the axis of tokens if there is one."""
    tokens = axes.positions if axes.has_tokens else ()
    return len(shape) == len(before) and all(
        one == other or axis in tokens for axis, (one, other) in enumerate(zip(shape, before, strict=True))
    )
