# SPDX-License-Identifier: Apache-2.0
"""xarray: RSMs and comparisons as labelled arrays, which netCDF files keep completely; labelled arrays as RSMs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins import RSM, Adapter, Comparison
from simplugins_adapters.descriptions import (
    PARTIAL,
    attributes_of,
    axis_names,
    common_labels,
    plain_labels,
    read_labels,
)
from simplugins_adapters.dissimilarities import Dissimilarity, Missing, matrix_as_rsm
from simplugins_adapters.pandas import matrix_of

if TYPE_CHECKING:
    from xarray import DataArray

TOOL = "xarray"


def to_array(rsm: RSM) -> DataArray:
    """Return an RSM, N x N or N x M, as a labelled array.

    Returns
    -------
    xarray.DataArray
        "rsm", with the dimensions "stimulus_i" and "stimulus_j"; if columns are other inputs, "stimulus" and "other".
        float64. Labels are the coordinates of the dimensions; the squared norms of rows and columns are the coordinates
        "squared_norm_i" and "squared_norm_j", optimality gaps the coordinate "gap". Attributes hold the measure and the
        other metadata as numbers and text (JSON for other types), as netCDF requires.
    """
    return to_stack({"": rsm}).isel(layer=0, drop=True)


def to_stack(rsms: Mapping[str, RSM]) -> DataArray:
    """Return RSMs of the same inputs as one labelled array.

    Parameters
    ----------
    rsms : mapping of str to RSM
        By layer, L in total.

    Returns
    -------
    xarray.DataArray
        As `to_array`, with "layer" as first dimension, (L, N, N). Metadata that differ between layers are coordinates
        along "layer", not attributes.
    """
    from xarray import DataArray

    stack = list(rsms.values())
    rows, columns = axis_names(stack[0])
    common, differing = _common_metadata(stack)
    gap = _gaps(stack)
    column_norms = [rsm.squared_norms if rsm.other_squared_norms is None else rsm.other_squared_norms for rsm in stack]
    return DataArray(
        np.stack([rsm.values for rsm in stack]),
        dims=("layer", rows, columns),
        coords={
            **{key: ("layer", _encoded_column(values)) for key, values in differing.items()},
            "layer": list(rsms),
            **_labels(stack),
            "squared_norm_i": (("layer", rows), np.stack([rsm.squared_norms for rsm in stack])),
            "squared_norm_j": (("layer", columns), np.stack(column_norms)),
            **({} if gap is None else {"gap": (("layer", rows, columns), gap)}),
        },
        name="rsm",
        attrs=_encoded(common),
    )


def comparison_to_array(comparison: Comparison) -> DataArray:
    """Return a comparison of layers as a labelled array, float64.

    It is named after the method; the dimensions "layer_a" and "layer_b" are the layers of the two networks. Attributes
    hold the metadata, as for `to_array`.
    """
    from xarray import DataArray

    return DataArray(
        comparison.values.copy(),
        dims=("layer_a", "layer_b"),
        coords={"layer_a": list(comparison.rows), "layer_b": list(comparison.columns)},
        name=comparison.method,
        attrs=_encoded(comparison.metadata),
    )


def from_array(
    source: DataArray | str | PathLike[str],
    *,
    layer: str = "layer",
    dissimilarity: Dissimilarity | None = None,
    measure: str | None = None,
    missing: Missing = "raise",
) -> RSM | dict[str, RSM]:
    """Return a labelled array, or a netCDF file of one, as an RSM.

    Parameters
    ----------
    source : xarray.DataArray or path
        (N, N), with any two dimensions and the labels of inputs on both, in any order; or with one more dimension.
    layer : str, default "layer"
        That dimension, along which there are several RSMs.
    dissimilarity : {"squared-distance", "distance", "complement"}, optional
        The kind of dissimilarities; by default the values are similarities.
    measure : str, optional
        Name of the measure; by default the one in the attributes, if simplugins made the array, otherwise the name of
        the array.
    missing : {"raise", "omit"}, default "raise"
        With "omit", similarities and complements may be missing (NaN); see `simplugins.RSM.from_similarities`.

    Returns
    -------
    RSM, or dict of str to RSM
        Inputs are in the order of rows. An array that simplugins made, and whose values are unchanged, becomes the
        original RSM, with norms, gap and kernel. In other arrays the diagonal holds the squared norms.

    Raises
    ------
    TypeError
        If `source` is not a labelled array.
    ValueError
        If the array has other dimensions, rows and columns are not the same inputs, values are missing, not symmetric,
        or not of the kind stated, or simplugins made the array and the diagonal is no longer that of its kernel.
    """
    from xarray import DataArray, load_dataarray

    array = load_dataarray(source) if isinstance(source, str | PathLike) else source
    if not isinstance(array, DataArray):
        raise TypeError(f"source: expected an xarray DataArray or a netCDF file of one, got {type(array).__name__}")
    if layer not in array.dims:
        return _rsm_of(array, layer, dissimilarity, measure, missing)
    names = [str(name) for name in array[layer].values]
    if len(set(names)) < len(names):
        raise ValueError(f"layer: the dimension {layer!r} gives several RSMs the same name: {', '.join(names)}")
    arrays = [array.isel({layer: position}) for position in range(len(names))]
    return {
        name: _rsm_of(part, layer, dissimilarity, measure, missing) for name, part in zip(names, arrays, strict=True)
    }


def _rsm_of(
    array: DataArray, layer: str, dissimilarity: Dissimilarity | None, measure: str | None, missing: Missing
) -> RSM:
    if array.ndim != 2:
        names = ", ".join(map(str, array.dims))
        raise ValueError(f"expected two dimensions, inputs by inputs, and a third if layer= names it; got {names}")
    attributes, norms = _decoded(array, layer), _norms(array, array.dims[0])
    if set(array.dims) == {"stimulus", "other"} and dissimilarity is None:
        array = array.transpose("stimulus", "other")
        return _with_other_inputs(array, attributes if measure is None else {**attributes, "measure": measure})
    values, labels = matrix_of(array.to_pandas(), missing)
    labels = read_labels(labels, attributes)
    if dissimilarity or measure or "measure" not in attributes or norms is None:
        name = measure or attributes.get("measure") or array.name or "precomputed"
        return matrix_as_rsm(values, dissimilarity, labels=labels, measure=str(name), tool=TOOL, missing=missing)
    gap = _gap(array)
    gap = None if gap is None else matrix_of(gap.to_pandas(), missing)[0]
    rsm = _original(values, attributes, labels=labels, squared_norms=norms, gap=gap, missing=missing)
    _check_unchanged(rsm)
    return rsm


def _with_other_inputs(array: DataArray, attributes: Mapping[str, Any]) -> RSM:
    """Return an array of inputs by other inputs as the original RSM."""
    norms, other_norms = (_norms(array, axis) for axis in array.dims)
    gap = _gap(array)
    if "measure" not in attributes or norms is None or other_norms is None or array.isnull().any():
        raise ValueError(
            "an RSM of inputs with other inputs can only be read from an array that simplugins made: with the "
            "attribute 'measure', the coordinates 'squared_norm_i' and 'squared_norm_j', and no missing values (NaN)"
        )
    labels, other_labels = (array[axis].values if axis in array.coords else None for axis in array.dims)
    return _original(
        array.values,
        attributes,
        labels=read_labels(labels, attributes),
        other_labels=read_labels(other_labels, attributes),
        squared_norms=norms,
        other_squared_norms=other_norms,
        gap=None if gap is None else gap.values,
    )


def _original(values: NDArray[Any], attributes: Mapping[str, Any], **parts: Any) -> RSM:
    """Return the RSM that an array was made from."""
    named = {name: attributes[name] for name in ("measure", "kernel", "matching", "sigma") if name in attributes}
    metadata = {name: value for name, value in attributes.items() if name not in {*named, PARTIAL}}
    return RSM.from_similarities(values, **parts, **named, metadata=metadata)


def _check_unchanged(rsm: RSM) -> None:
    """Check that the diagonal is still that of the kernel, so that distances are those of the values."""
    expected = replace(rsm, kernel=None).rdm(squared=True)
    largest = np.fmax.reduce(np.abs(rsm.values), axis=None)
    if not np.allclose(rsm.rdm(squared=True), expected, rtol=0, atol=1e-5 * largest, equal_nan=True):
        raise ValueError(
            f"the array was made from an RSM with the kernel {rsm.kernel!r}, and its values have changed since: name "
            f"the new values with measure="
        )


def _common_metadata(rsms: Sequence[RSM]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return the metadata that all RSMs share, and lists of those that differ."""
    attributes = [attributes_of(rsm) for rsm in rsms]
    columns = {key: [each.get(key) for each in attributes] for each in attributes for key in each}
    differing = {key: values for key, values in columns.items() if any(value != values[0] for value in values)}
    return {key: values[0] for key, values in columns.items() if key not in differing}, differing


def _decoded(array: DataArray, layer: str) -> dict[str, Any]:
    """Return the metadata of an RSM: an array's attributes, and its coordinates that are a single number or text."""
    single = {name: x.values for name, x in array.coords.items() if x.ndim == 0 and name != layer}
    attributes = {str(key): _read(value) for key, value in {**array.attrs, **single}.items()}
    return {key: value for key, value in attributes.items() if value is not None}


def _labels(rsms: Sequence[RSM]) -> dict[str, NDArray[Any]]:
    """Return copies of the labels of rows and of columns, if there are any."""
    labels = common_labels(rsms)
    columns = labels if rsms[0].symmetric else rsms[0].other_labels
    named = zip(axis_names(rsms[0]), (labels, columns), strict=True)
    return {axis: plain_labels(values) for axis, values in named if values is not None}


def _gaps(rsms: Sequence[RSM]) -> NDArray[np.float64] | None:
    """Return the gaps of RSMs, (L, N, M), NaN for those without; None if no RSM has gaps."""
    if all(rsm.gap is None for rsm in rsms):
        return None
    return np.stack([np.full(rsm.shape, np.nan) if rsm.gap is None else rsm.gap for rsm in rsms])


def _norms(array: DataArray, axis: Any) -> NDArray[Any] | None:
    """Return the squared norms of inputs along a dimension, if an array has them."""
    coordinates = [array[name] for name in ("squared_norm_i", "squared_norm_j") if name in array.coords]
    return next((norms.values.copy() for norms in coordinates if norms.dims == (axis,)), None)


def _gap(array: DataArray) -> DataArray | None:
    return array["gap"] if "gap" in array.coords and array["gap"].notnull().any() else None


def _encoded(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata as numbers and text, without those that are None."""
    return {key: value if _is_number(value) else _text(value) for key, value in metadata.items() if value is not None}


def _encoded_column(values: Sequence[Any]) -> NDArray[Any]:
    """Return one item of metadata of several RSMs: all as numbers, or all as text."""
    return np.array(values if all(map(_is_number, values)) else [_text(value) for value in values])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _text(value: Any) -> str:
    """Return plain text as it is, and anything else as JSON, including text that would be read as JSON."""
    return value if isinstance(value, str) and _read(value) == value else json.dumps(value)


def _read(value: Any) -> Any:
    """Return the value that `_text` encoded, or a number from a file."""
    plain = np.asarray(value).tolist()
    if not isinstance(plain, str):
        return plain
    try:
        return json.loads(plain)
    except ValueError:
        return plain


adapter = Adapter(
    tool=TOOL,
    modules=("xarray",),
    install="pip install 'simplugins[xarray]'",
    rsm=to_array,
    rsms=to_stack,
    comparison=comparison_to_array,
    reader=from_array,
)
