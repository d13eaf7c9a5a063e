# SPDX-License-Identifier: Apache-2.0
"""Arrays that say more than their numbers: names of dimensions, coordinates, masked values; and lists of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from simplugins._common import arrays, refusals
from simplugins._common.data_frames import check_complete, frame_values, is_frame
from simplugins.activations.coordinates import check_columns, check_one_position, labels_along, labels_of_index
from simplugins.activations.layouts import parse_layout
from simplugins.activations.masked_arrays import is_masked, plain_and_mask, rows_with_values
from simplugins.activations.named_dimensions import dimension_names, known_letter, layout_by_name
from simplugins.activations.named_orders import check_labels_order, check_same_places, index_along
from simplugins.activations.packed_values import check_unpacked

_RESULTS = {"simplugins.rsm", "simplugins.comparisons", "simplugins.evaluation"}
"""Packages whose objects are results of activations, such as RSMs."""


class Source(NamedTuple):
    """An array, and the options of `Activations.from_array` that it determines."""

    array: Any
    layout: str
    mask: Any
    labels: Any


def read_source(array: Any, layout: str = "auto", mask: Any = None, labels: Any = None) -> Source:
    """Return an array without names and masked values, which have become its layout, mask and labels.

    Parameters
    ----------
    array : array or list of arrays
        Names of dimensions are read from xarray, netCDF4, Zarr and h5py, the index from pandas. Lists of sets
        (S_i, C) are returned as lists.
    layout, mask, labels
        As for `Activations.from_array`; they have precedence over what the array says, unless they contradict it.

    Raises
    ------
    TypeError
        If the object is not an array of real numbers.
    ValueError
        If names are unknown or contradict the layout, or masked values are not whole positions.
    """
    if {".".join(base.__module__.split(".")[:2]) for base in type(array).__mro__} & _RESULTS:
        raise TypeError(
            f"expected activations, got {array!r:.60}, which simplugins computed of them: compare RSMs with "
            f"simplugins.compare, or pass np.asarray(...) if its rows are meant as activations"
        )
    source = Source(array, layout, mask, labels)
    if isinstance(array, list | tuple):
        return _read_list(source)
    if _is_nested_tensor(array):
        return _read_list(source._replace(array=list(array.unbind())))
    check_unpacked(array)
    check_columns(array)
    if is_frame(array):
        source = _read_frame(source)
    elif names := dimension_names(array):
        source = _read_named(source, names)
    else:
        source = source._replace(array=_values(array))
    _check_order_known(source)
    if is_masked(source.array):
        data, mask = plain_and_mask(source.array, source.layout, source.mask)
        return source._replace(array=data, mask=mask)
    return source


def read_set(vectors: Any) -> Any:
    """Return one set (S, C) without names, and without the positions that are masked."""
    check_unpacked(vectors)
    check_columns(vectors)
    if is_frame(vectors):
        return frame_values(vectors)
    if names := dimension_names(vectors):
        vectors = _values(vectors)
        if len(names) == 2:
            vectors = vectors if layout_by_name(("n", *names)).endswith(("c", "d")) else vectors.T
    if isinstance(vectors, list | tuple) and arrays.holds_masked(vectors):
        vectors = _stacked(vectors)
    if isinstance(vectors, np.ma.MaskedArray) and vectors.ndim == 2:
        return rows_with_values(vectors)
    return vectors


def check_channel_order(first: Any, second: Any, layout: str = "auto", *, one_input: bool = False) -> None:
    """Check that the channels of two arrays, or responses of one input, do not have names in different orders.

    Raises
    ------
    ValueError
        If they have.
    """
    expected, names = (_channel_names(array, layout, one_input=one_input) for array in (first, second))
    check_same_places(expected, names, "channels are in another order than in the first array")


def check_channels_of_elements(elements: Sequence[Any], layout: str = "auto") -> None:
    """Check that the channels of the elements of a list do not have names in different orders.

    Raises
    ------
    ValueError
        If they have.
    """
    named = [number for number, element in enumerate(elements) if not arrays.is_plain(element)]
    if not named:
        return
    first = _channel_names(elements[named[0]], layout, one_input=True)
    for number in named[1:] if first is not None else ():
        names = _channel_names(elements[number], layout, one_input=True)
        check_same_places(first, names, f"channels of elements {named[0]} and {number} are in different orders")


def _channel_names(array: Any, layout: str, *, one_input: bool) -> list[str] | None:
    """Return the names of the channels of an array, or of the response of one input; None if they have none."""
    if one_input and np.ndim(array) == 2:
        layout = "auto"  # a set
    if is_frame(array):
        return index_along(array, 1 if one_input else parse_layout(_frame_layout(array, layout)).channels)
    if names := dimension_names(array):
        letters = layout_by_name(("n", *names) if one_input else names, layout)
        return index_along(array, parse_layout(letters).channels - one_input)
    return index_along(array, 0) if one_input and getattr(array, "ndim", 0) == 1 else None


def read_response(response: Any, layout: str = "auto") -> tuple[Any, str]:
    """Return the response of one input without names, and its layout, which is that of several without the n."""
    if not (names := dimension_names(response)):
        return (frame_values(response) if is_frame(response) else response), layout
    wanted = layout if layout == "auto" else f"n{layout}"
    return _values(response), layout_by_name(("n", *names), wanted).replace("n", "", 1)


def _read_list(source: Source) -> Source:
    """Return a list of sets as it is, and other lists of arrays that have names or masks as one array."""
    elements = source.array
    named = [names for names in map(dimension_names, elements) if names]
    if all(np.ndim(element) == 2 for element in elements):
        return source
    check_channels_of_elements(elements, source.layout)
    if named:
        if len(named) < len(elements) or len(set(named)) > 1:
            raise ValueError(
                f"expected a list of arrays with the same dimensions in the same order, got {named[0]} and "
                f"{next((names for names in named if names != named[0]), 'an array without names')}"
            )
        layout = layout_by_name(("n", *named[0]), source.layout)
        return read_source([_values(element) for element in elements], layout, source.mask, source.labels)
    if arrays.holds_masked(elements):
        return read_source(_stacked(elements), source.layout, source.mask, source.labels)
    return source


def _stacked(elements: Sequence[Any]) -> np.ma.MaskedArray[Any, Any]:
    """Return nested lists of arrays, of which some are masked, as one masked array."""
    parts = [_stacked(element) if isinstance(element, list | tuple) else element for element in elements]
    return np.ma.stack([np.ma.asarray(part) for part in parts])


def _is_nested_tensor(array: Any) -> bool:
    return arrays.is_torch(array) and bool(array.is_nested)


def _read_named(source: Source, names: tuple[str, ...]) -> Source:
    array, mask, labels = source.array, source.mask, source.labels
    layout = layout_by_name(names, source.layout)
    parsed = parse_layout(layout)
    check_one_position(array, parsed.channels, source.layout)
    if labels is None:
        labels = labels_along(array, parsed.inputs, names[parsed.inputs])
    else:
        index = index_along(array, parsed.inputs)
        check_labels_order(index, index, labels)
    if mask is not None and (mask_names := dimension_names(mask)):
        mask = _ordered_mask(array, mask, mask_names, names, parsed.inputs, parsed.channels)
    return Source(_values(array), layout, mask, labels)


def _ordered_mask(
    array: Any, mask: Any, mask_names: tuple[str, ...], names: tuple[str, ...], inputs: int, channels: int
) -> Any:
    """Return a mask with named dimensions with those of the array, in its order, inputs first and without channels."""
    order = [names[inputs], *(name for axis, name in enumerate(names) if axis not in (inputs, channels))]
    if set(mask_names) != set(order):
        raise ValueError(f"mask: expected the dimensions {', '.join(order)}, got {', '.join(mask_names)}")
    for name in order if hasattr(mask, "indexes") and hasattr(array, "indexes") else ():
        ours, others = array.indexes.get(name), mask.indexes.get(name)
        if ours is not None and others is not None and not ours.equals(others):
            raise ValueError(f"mask: its coordinates of {name!r} are not those of the activations, or in another order")
    return np.asarray(_values(mask)).transpose([mask_names.index(name) for name in order])


def _read_frame(source: Source) -> Source:
    frame = source.array
    if frame.columns.nlevels > 1:
        raise ValueError(
            f"the columns of the table have {frame.columns.nlevels} levels "
            f"({', '.join(map(str, frame.columns.names))}): pass an array (inputs, positions, channels), or "
            f"frame.to_numpy() to read all columns as channels"
        )
    layout = _frame_layout(frame, source.layout)
    axis = parse_layout(layout).inputs
    if (labels := source.labels) is None:
        labels = labels_of_index(frame.columns if axis else frame.index)
    else:
        index = index_along(frame, axis)
        check_labels_order(index, index, labels)
    values = frame_values(frame)
    check_complete(frame)
    return Source(values, layout, source.mask, labels)


def _frame_layout(frame: Any, layout: str) -> str:
    """Return the layout of a table: rows are inputs, unless the names of index and columns say the opposite."""
    given = [frame.index.name, frame.columns.name]
    if layout != "auto":
        letters = ["input" if letter == "n" else "channel" for letter in parse_layout(layout).name]
        names = [str(name) if _is_known(name) else default for name, default in zip(given, letters, strict=False)]
        return layout_by_name(names, layout) if len(letters) == 2 else layout
    if _is_known(given[1], "n") and _is_known(given[0], "n"):
        raise ValueError(
            f"rows ({given[0]}) and columns ({given[1]}) of the table are both inputs: activations are a table of "
            f"inputs and channels; a matrix of similarities is read by simplugins.from_tool"
        )
    swapped = _is_known(given[0], "c") or _is_known(given[1], "n")
    contradicted = _is_known(given[0], "n") or _is_known(given[1], "c")
    if swapped and contradicted:
        raise ValueError(f"rows ({given[0]}) and columns ({given[1]}) of the table are both channels")
    return "cn" if swapped else "nc"


def _is_known(name: Any, letters: str = "nc") -> bool:
    """Return whether the name of a dimension is known to be that of inputs or channels."""
    return known_letter(name) in tuple(letters)


def _values(array: Any) -> Any:
    """Return the array that has the names, in memory or lazy."""
    known = refusals.libraries(array)
    if "xarray" in known:
        return array.data if hasattr(array, "dtype") else array
    return _netcdf_values(array) if "netCDF4" in known and not hasattr(type(array), "variables") else array


def _netcdf_values(variable: Any) -> Any:
    """Return the values of a netCDF variable, masked where they are missing."""
    if not variable.scale and {"scale_factor", "add_offset"} & set(variable.ncattrs()):
        raise ValueError(
            f"variable {variable.name!r} is not unpacked, set_auto_scale(False): call set_auto_scale(True), or pass "
            f"its values, variable[:]"
        )
    if not variable.mask:
        raise ValueError(
            f"variable {variable.name!r} hides which values are missing, set_auto_mask(False): call "
            f"set_auto_mask(True), or pass its values, variable[:]"
        )
    return variable[...]


def _check_order_known(source: Source) -> None:
    """Check that the order of an HDF5 dataset's dimensions is known: h5py shows those of MATLAB in reverse."""
    array = source.array
    if (
        source.layout == "auto"
        and "h5py" in refusals.libraries(array)
        and "MATLAB_class" in getattr(array, "attrs", {})
    ):
        raise ValueError(
            f"MATLAB wrote the dataset {array.name!r}, and h5py shows its dimensions in reverse: pass "
            f"simplugins.read_activations({array.file.filename!r}, {array.name.strip('/')!r}), or the layout of the "
            f"shape {tuple(array.shape)}"
        )
