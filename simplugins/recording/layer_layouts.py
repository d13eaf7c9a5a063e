# SPDX-License-Identifier: Apache-2.0
"""The layout of each layer's output: requested, declared by its module, traced, or inferred from sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.layer_names import select
from simplugins.activations.layouts import parse_layout
from simplugins.recording.axes import (
    CHANNELS,
    INPUTS,
    MERGED,
    POSITION_LETTERS,
    POSITIONS,
    UNKNOWN,
    Axes,
    is_by_data,
    is_exchanged,
    is_in_order,
    is_partial,
    is_untouched,
    kind_of,
    size_of,
    special_of,
)
from simplugins.recording.batch_effects import Effect
from simplugins.recording.declared_layouts import Declaration, channel_sizes, declaration
from simplugins.recording.layer_outputs import NoActivationsError

if TYPE_CHECKING:
    from torch.nn import Module

_MOST_LISTED = 5
Layouts = str | Mapping[str, str]


@dataclass(frozen=True)
class Observation:
    """An output of a layer in the first batch.

    Attributes
    ----------
    shape : tuple of int
    axes : Axes or None
        As traced; None if nothing is known.
    """

    shape: tuple[int, ...]
    axes: Axes | None


@dataclass(frozen=True)
class OutputLayout:
    """The layout of a layer's output, and of its stored activations.

    Attributes
    ----------
    inputs : int
        The axis of inputs in the output.
    name : str
        The layout after this axis has been moved to the front, such as "nchw".
    special : (S,) bool array or None
        True for tokens that come from parameters rather than from the input, such as class and register tokens; None
        if the output has none, or no tokens.
    effect : Effect or None
        What else than the input the values depend on; None if nothing is known.
    model_adds_tokens : bool
        Whether tokens that come from parameters have been seen anywhere in the model.
    """

    inputs: int
    name: str
    special: NDArray[np.bool_] | None = None
    effect: Effect | None = None
    model_adds_tokens: bool = False


class RequestedLayouts:
    """The layouts that the user states.

    Parameters
    ----------
    layout : str or mapping of str to str
        One layout for all outputs with this number of dimensions, or layouts by name or pattern of layers; "auto"
        states none.
    names : sequence of str
        The names of the requested layers.

    Raises
    ------
    TypeError, ValueError
        If a layout is invalid, or a name or pattern matches no layer.
    """

    def __init__(self, layout: Layouts, names: Sequence[str]) -> None:
        self._for_all = "auto"
        self._by_name: dict[str, str] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        if isinstance(layout, str):
            self._for_all = _checked(layout)
        elif isinstance(layout, Mapping):
            for pattern, text in layout.items():
                stated = _checked(text)
                for name in select(names, pattern, owner="layout: the recording"):
                    self._by_name[name] = stated
        else:
            raise TypeError(f"layout must be a string such as 'nhwc', or a mapping of names to these; got {layout!r}")

    def of(self, layer: str, shape: tuple[int, ...]) -> str | None:
        """Return the layout stated for an output; None if there is none."""
        text = self._by_name.get(layer, self._for_all)
        self._shapes[layer] = shape
        if text == "auto":
            return None
        if len(text) != len(shape):
            if layer in self._by_name:
                raise ValueError(f"layout {text!r} names {len(text)} dimensions, but the layer returned {shape}")
            return None
        return text

    def check_applied(self) -> None:
        """Raise a ValueError if the layout for all outputs has applied to none of them."""
        text = self._for_all
        if text != "auto" and self._shapes and all(len(shape) != len(text) for shape in self._shapes.values()):
            listed = ", ".join(f"{name!r} {shape}" for name, shape in list(self._shapes.items())[:_MOST_LISTED])
            raise ValueError(f"layout {text!r} names {len(text)} dimensions, but the layers returned {listed}")

    @property
    def is_mapping(self) -> bool:
        """Whether layouts are stated by name."""
        return bool(self._by_name)


def _checked(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"layout must be a string such as 'nhwc', got {text!r}")
    return text if text == "auto" else parse_layout(text).name


def find_layout(
    layer: str,
    module: Module,
    observation: Observation,
    size: int,
    *,
    requested: RequestedLayouts,
    around: Callable[[], Iterator[Module]],
    probe: Callable[[], Sequence[int]],
) -> OutputLayout:
    """Return the layout of a layer's output.

    Parameters
    ----------
    layer : str
        Its name.
    module : torch.nn.Module
    observation : Observation
    size : int
        Number of inputs in the batch.
    requested : RequestedLayouts
    around : callable
        Yields the modules that contain this one, innermost first.
    probe : callable
        Returns the axes whose size changes with the number of inputs.

    Raises
    ------
    NoActivationsError
        If the output has no separate axis of inputs, or its axis of channels cannot be determined.
    ValueError
        If the stated layout contradicts the module or the traced axes.
    """
    shape, axes = observation.shape, observation.axes
    _check_order(axes, shape, size)
    stated = requested.of(layer, shape)
    declared = declaration(module, len(shape))
    _check_size(declared, shape, module)
    if stated is not None:
        return _as_stated(stated, layer, module, observation, declared, size, explicit=requested.is_mapping)
    inputs = _inputs_axis(observation, size, probe)
    if declared is not None and declared.inputs not in (None, inputs):
        problem = (
            f"{type(module).__name__} has the inputs at axis {declared.inputs} (see batch_first), but in this model "
            f"they are at axis {inputs}"
        )
        raise _ambiguous(shape, inputs, [declared.channels], problem)
    if len(shape) == 2:
        return OutputLayout(inputs, "nd")
    channels = _channels_axis(module, observation, inputs, declared, around)
    return _laid_out(inputs, channels, shape, axes)


def _check_order(axes: Axes | None, shape: tuple[int, ...], size: int) -> None:
    inputs = [each for each in axes or () if kind_of(each) == INPUTS and size_of(each) == size]
    if inputs and not is_in_order(inputs[0]):
        cause = "which depends on the inputs" if is_by_data(inputs[0]) else "which the model changes"
        raise NoActivationsError(f"returned shape {shape}, in which the inputs are in another order, {cause}")


def _check_size(declared: Declaration | None, shape: tuple[int, ...], module: Module) -> None:
    if declared is not None and declared.size is not None and shape[declared.channels] != declared.size:
        raise NoActivationsError(
            f"returned shape {shape}, but {type(module).__name__} declares {declared.size} channels at axis "
            f"{declared.channels}"
        )


def _as_stated(
    stated: str,
    layer: str,
    module: Module,
    observation: Observation,
    declared: Declaration | None,
    size: int,
    *,
    explicit: bool,
) -> OutputLayout:
    """Return the layout that the user states, after checking it against the module and the traced axes."""
    layout, shape, axes = parse_layout(stated), observation.shape, observation.axes
    name = type(module).__name__
    hint = f"state the layouts of single layers, as in layout={{{layer!r}: ...}}"
    if declared is not None and declared.channels != layout.channels:
        raise ValueError(
            f"layout {stated!r} says that axis {layout.channels} of shape {shape} holds the channels, but {name} has "
            f"them at axis {declared.channels}; {hint}"
        )
    traced_channels = _traced(axes, CHANNELS)
    if not explicit and len(shape) > 2 and len(traced_channels) == 1 and traced_channels != [layout.channels]:
        raise ValueError(
            f"layout {stated!r} says that axis {layout.channels} of shape {shape} holds the channels, but in this "
            f"model they are at axis {traced_channels[0]}; {hint}"
        )
    declared_inputs = None if declared is None else declared.inputs
    inputs = (_traced(axes, INPUTS) or [layout.inputs if declared_inputs is None else declared_inputs])[0]
    if inputs != layout.inputs or shape[layout.inputs] != size:
        raise ValueError(
            f"layout {stated!r} says that axis {layout.inputs} of shape {shape} holds the {size} inputs"
            + (f", but they are at axis {inputs}" if inputs != layout.inputs else "")
        )
    return OutputLayout(inputs, "n" + stated.replace("n", ""), _special(axes, layout.positions))


def _inputs_axis(observation: Observation, size: int, probe: Callable[[], Sequence[int]]) -> int:
    """Return the axis of inputs: traced, or the only one of this size, or the one that changes with their number."""
    shape, axes = observation.shape, observation.axes
    if axes is not None:
        traced = [axis for axis, each in enumerate(axes) if kind_of(each) in (INPUTS, MERGED)]
        whole = [axis for axis in traced if kind_of(axes[axis]) == INPUTS and shape[axis] == size]
        if len(traced) == 1 and whole == traced:
            return traced[0]
        if traced:
            raise NoActivationsError(_describe_merged(shape, traced, size))
    candidates = [axis for axis, length in enumerate(shape) if length == size]
    if axes is not None and len(candidates) == 1 and size > 1:
        return candidates[0]
    changing = list(probe()) if candidates else []
    if len(changing) != 1 or changing[0] not in candidates:
        raise NoActivationsError(f"returned shape {shape}, in which no axis holds only the {size} inputs")
    return changing[0]


def _describe_merged(shape: tuple[int, ...], axes: Sequence[int], size: int) -> str:
    as_many = [axis for axis in axes if shape[axis] == size]
    hint = f" (pass its layout if axis {as_many[0]} holds the inputs, in their order)" if as_many else ""
    return f"returned shape {shape}, in which the {size} inputs are merged with something else{hint}"


def _channels_axis(
    module: Module,
    observation: Observation,
    inputs: int,
    declared: Declaration | None,
    around: Callable[[], Iterator[Module]],
) -> int:
    """Return the axis of channels: declared by the module, traced, or the only one with a known number of channels."""
    shape, axes = observation.shape, observation.axes
    certain = _traced(axes, CHANNELS)
    if declared is not None:
        if declared.channels == inputs or (certain and declared.channels not in certain):
            actual = f"they are at axis {certain[0]}" if certain else "this axis holds the inputs"
            problem = f"{type(module).__name__} has channels at axis {declared.channels}, but in this model {actual}"
            raise _ambiguous(shape, inputs, [declared.channels, *certain], problem)
        return declared.channels
    if len(certain) == 1:
        return certain[0]
    possible = [axis for axis in range(len(shape)) if axis != inputs and not _is_ruled_out(axes, axis)]
    for scope in islice(around(), None if axes is None else 1):  # with traced axes, only sizes within the layer count
        sizes = set(channel_sizes(scope))
        fitting = [axis for axis in possible if shape[axis] in sizes]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            break
    candidates = [axis for axis in range(len(shape)) if axis != inputs]
    raise _ambiguous(shape, inputs, candidates, "its axis of channels is not known")


def _traced(axes: Axes | None, kind: str) -> list[int]:
    """Return the axes that certainly hold inputs or channels."""
    return [
        axis
        for axis, dimension in enumerate(axes or ())
        if kind_of(dimension, resolve=True) == kind and not is_exchanged(dimension) and not is_partial(dimension)
    ]


def _is_ruled_out(axes: Axes | None, axis: int) -> bool:
    """Return whether an axis cannot hold the channels: positions, part of the channels, or an untouched axis."""
    if axes is None or is_exchanged(axes[axis]):
        return False
    kind = kind_of(axes[axis])
    return kind in tuple(POSITIONS) or (kind == CHANNELS and is_partial(axes[axis])) or is_untouched(axes[axis])


def _laid_out(inputs: int, channels: int, shape: tuple[int, ...], axes: Axes | None) -> OutputLayout:
    positions = [axis for axis in range(len(shape)) if axis not in (inputs, channels)]
    if len(positions) not in POSITION_LETTERS:
        raise NoActivationsError(f"returned shape {shape}: more dimensions than there are letters for layouts")
    letters = POSITION_LETTERS[len(positions)]
    traced = "".join(kind_of(axes[axis], resolve=True) for axis in positions) if axes is not None else ""
    if len(positions) > 1 and sorted(traced) == sorted(letters):
        letters = traced
    name_of = dict(zip(positions, letters, strict=True))
    last_of_tokens = len(positions) == 1 and channels > positions[0]
    name_of[channels] = "d" if last_of_tokens else CHANNELS
    rest = "".join(name_of[axis] for axis in range(len(shape)) if axis != inputs)
    return OutputLayout(inputs, INPUTS + rest, _special(axes, positions))


def _special(axes: Axes | None, positions: Sequence[int]) -> NDArray[np.bool_] | None:
    """Return which tokens come from parameters; None if there is no such distinction."""
    if axes is None or len(positions) != 1:
        return None
    special = special_of(axes[positions[0]])
    return None if special is None or special.all() else special


def _ambiguous(shape: tuple[int, ...], inputs: int, channels: Sequence[int], problem: str) -> NoActivationsError:
    """Return an error that names the possible layouts."""
    names = []
    for channel in dict.fromkeys(channels):
        if channel != inputs:
            letters = iter(POSITION_LETTERS.get(len(shape) - 2, ""))
            names.append("".join(_letter(axis, inputs, channel, letters) for axis in range(len(shape))))
    if not names:
        return NoActivationsError(f"returned shape {shape}: {problem}")
    return NoActivationsError(f"returned shape {shape}: {problem}; expected {' or '.join(map(repr, names))}", names[0])


def _letter(axis: int, inputs: int, channel: int, letters: Iterator[str]) -> str:
    return INPUTS if axis == inputs else CHANNELS if axis == channel else next(letters, UNKNOWN)
