# SPDX-License-Identifier: Apache-2.0
"""xarray: RSMs and comparisons as arrays with labels, which netCDF files keep whole; arrays with labels as RSMs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins import RSM, Adapter, Comparison
from simplugins_adapters.pandas import matrix_of
from simplugins_adapters.shared import Dissimilarity, axes_of, common_labels, matrix_as_rsm

if TYPE_CHECKING:
    from xarray import DataArray

TOOL = "xarray"


def to_array(rsm: RSM) -> DataArray:
    """Return an RSM as an array with labels.

    Parameters
    ----------
    rsm : RSM
        N x N, or N x M.

    Returns
    -------
    xarray.DataArray
        "rsm", with the dimensions "stimulus_i" and "stimulus_j"; if the RSM compares inputs with others, "stimulus" and
        "other". float64. Labels are their coordinates; further coordinates are the squared norms of rows and columns,
        "squared_norm_i" and "squared_norm_j", and "gap" if there is one. Attributes tell how the RSM was made, as
        numbers and texts (JSON where they are neither), so that netCDF takes them.
    """
    return to_stack({"": rsm}).isel(layer=0, drop=True)


def to_stack(rsms: Mapping[str, RSM]) -> DataArray:
    """Return RSMs of the same inputs as one array with labels.

    Parameters
    ----------
    rsms : mapping of str to RSM
        By layer, L of them.

    Returns
    -------
    xarray.DataArray
        As `to_array`, with "layer" as first dimension, (L, N, N). What was made differently for each layer is no
        attribute, but a coordinate along "layer".
    """
    from xarray import DataArray

    each = list(rsms.values())
    rows, columns = axes_of(each[0])
    common, differing = _told(each)
    gap = _gaps(each)
    others = [rsm.squared_norms if rsm.other_squared_norms is None else rsm.other_squared_norms for rsm in each]
    return DataArray(
        np.stack([rsm.values for rsm in each]),
        dims=("layer", rows, columns),
        coords={
            **{key: ("layer", _values(told)) for key, told in differing.items()},
            "layer": list(rsms),
            **_labels(each),
            "squared_norm_i": (("layer", rows), np.stack([rsm.squared_norms for rsm in each])),
            "squared_norm_j": (("layer", columns), np.stack(others)),
            **({} if gap is None else {"gap": (("layer", rows, columns), gap)}),
        },
        name="rsm",
        attrs=_attributes(common),
    )


def comparison_to_array(comparison: Comparison) -> DataArray:
    """Return a comparison of layers as an array with labels.

    Returns
    -------
    xarray.DataArray
        Named like the method; dimensions "layer_a" and "layer_b", of the one network's layers and the other's; float64.
        Attributes tell what `Comparison.metadata` has, as those of `to_array`.
    """
    from xarray import DataArray

    return DataArray(
        comparison.values.copy(),
        dims=("layer_a", "layer_b"),
        coords={"layer_a": list(comparison.rows), "layer_b": list(comparison.columns)},
        name=comparison.method,
        attrs=_attributes(comparison.metadata),
    )


def from_array(
    found: DataArray | str | PathLike[str],
    *,
    layer: str = "layer",
    dissimilarity: Dissimilarity | None = None,
    measure: str | None = None,
) -> RSM | dict[str, RSM]:
    """Return an array with labels, or a netCDF file of one, as an RSM.

    Parameters
    ----------
    found : xarray.DataArray or path
        (N, N), with any two dimensions and labels of inputs on both, in any order; or with one dimension more.
    layer : str, default "layer"
        That dimension, which tells several RSMs apart.
    dissimilarity : {"squared-distance", "distance", "complement"}, optional
        What the values are, where they are dissimilarities: squared distances, distances, or 1 minus similarities. By
        default they are similarities.
    measure : str, optional
        What the RSM's measure is to be called; by default what its attributes say, if the array was made here, or else
        its name.

    Returns
    -------
    RSM, or dict of str to RSM
        Inputs are in the order of rows. An array that was made here, and not changed since, becomes the RSM that it
        was, with norms, gap and kernel. Of all others, the diagonal counts as squared norms.

    Raises
    ------
    TypeError
        If it is no array with labels.
    ValueError
        If it has other dimensions; rows and columns are not the same inputs; values are missing, not symmetric, or not
        what they are said to be; or it was made here, and the diagonal is not its kernel's any more.
    """
    import xarray as xr

    if isinstance(found, str | PathLike):
        with xr.open_dataarray(found) as opened:
            found = opened.load()
    if not isinstance(found, xr.DataArray):
        raise TypeError(f"expected an xarray DataArray, or a netCDF file of one, got {type(found).__name__}")
    if layer not in found.dims:
        return _rsm_of(found, layer, dissimilarity, measure)
    names = [str(name) for name in found[layer].values]
    if len(set(names)) < len(names):
        raise ValueError(f"dimension {layer!r} names several RSMs alike: {', '.join(names)}")
    each = [found.isel({layer: place}) for place in range(len(names))]
    return {name: _rsm_of(one, layer, dissimilarity, measure) for name, one in zip(names, each, strict=True)}


def _rsm_of(array: DataArray, layer: str, dissimilarity: Dissimilarity | None, measure: str | None) -> RSM:
    if array.ndim != 2:
        names = ", ".join(map(str, array.dims))
        raise ValueError(f"expected two dimensions, inputs by inputs, and a third if layer= names it; got {names}")
    made, norms = _made(array, layer), _norms(array, array.dims[0])
    if set(array.dims) == {"stimulus", "other"} and dissimilarity is None:
        return _between(array.transpose("stimulus", "other"), made if measure is None else {**made, "measure": measure})
    values, labels = matrix_of(array.to_pandas())
    if dissimilarity or measure or "measure" not in made or norms is None:
        name = measure or made.get("measure") or array.name or "precomputed"
        return matrix_as_rsm(values, dissimilarity, labels=labels, measure=str(name), source=TOOL)
    gap = _gap(array)
    gap = None if gap is None else matrix_of(gap.to_pandas())[0].copy()
    plain = RSM.from_similarities(values, labels=labels)
    found = replace(plain, made=made, squared_norms=norms, gap=gap)
    _check_unchanged(found, plain)
    return found


def _between(array: DataArray, made: Mapping[str, Any]) -> RSM:
    """Return an array of inputs by others as the RSM that it was."""
    norms, others = (_norms(array, axis) for axis in array.dims)
    gap = _gap(array)
    if "measure" not in made or norms is None or others is None or array.isnull().any():
        raise ValueError(
            "an RSM of inputs with others is read from an array that was made here: with the attribute 'measure', the "
            "coordinates 'squared_norm_i' and 'squared_norm_j', and no values missing (NaN)"
        )
    labels = [array[axis].values.copy() if axis in array.coords else None for axis in array.dims]
    return RSM(
        array.values.copy(), made, norms, others, None if gap is None else gap.values.copy(), labels[0], labels[1]
    )


def _check_unchanged(found: RSM, plain: RSM) -> None:
    """Check that the diagonal is still that of the kernel, so that distances are those of the values."""
    expected, distances = plain.rdm(squared=True), found.rdm(squared=True)
    if not np.allclose(distances, expected, rtol=0, atol=1e-5 * np.abs(plain.values).max()):
        raise ValueError(
            f"the array was made of an RSM with the kernel {found.metadata.get('kernel')!r}, and its values were changed "
            f"since: say with measure= what they are now"
        )


def _told(rsms: Sequence[RSM]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return how RSMs were made: what is the same for all, and for each what is not."""
    told = {key: [rsm.metadata.get(key) for rsm in rsms] for rsm in rsms for key in rsm.metadata}
    differing = {key: values for key, values in told.items() if any(value != values[0] for value in values)}
    return {key: values[0] for key, values in told.items() if key not in differing}, differing


def _made(array: DataArray, layer: str) -> dict[str, Any]:
    """Return how an array's RSM was made: its attributes, and the coordinates that are one number or text."""
    single = {name: x.values for name, x in array.coords.items() if x.ndim == 0 and name != layer}
    told = {str(key): _read(value) for key, value in {**array.attrs, **single}.items()}
    return {key: value for key, value in told.items() if value is not None}


def _labels(rsms: Sequence[RSM]) -> dict[str, NDArray[Any]]:
    """Return copies of the labels of rows and of columns, if there are some."""
    labels = common_labels(rsms)
    others = labels if rsms[0].symmetric else rsms[0].other_labels
    named = zip(axes_of(rsms[0]), (labels, others), strict=True)
    return {axis: found.copy() for axis, found in named if found is not None}


def _gaps(rsms: Sequence[RSM]) -> NDArray[np.float64] | None:
    """Return the gaps of RSMs, (L, N, M), NaN for those that have none; None if none has."""
    if all(rsm.gap is None for rsm in rsms):
        return None
    return np.stack([np.full(rsm.shape, np.nan) if rsm.gap is None else rsm.gap for rsm in rsms])


def _norms(array: DataArray, axis: Any) -> NDArray[Any] | None:
    """Return the squared norms of inputs along a dimension, if an array has them."""
    found = [array[name] for name in ("squared_norm_i", "squared_norm_j") if name in array.coords]
    return next((norms.values.copy() for norms in found if norms.dims == (axis,)), None)


def _gap(array: DataArray) -> DataArray | None:
    return array["gap"] if "gap" in array.coords and array["gap"].notnull().any() else None


def _attributes(made: Mapping[str, Any]) -> dict[str, Any]:
    """Return what there is to tell as numbers and texts."""
    told = {key: value for key, value in made.items() if value is not None}
    return {key: value if _is_number(value) else _text(value) for key, value in told.items()}


def _values(told: Sequence[Any]) -> NDArray[Any]:
    """Return what there is to tell of each RSM: all as numbers, or all as texts."""
    return np.array(told if all(map(_is_number, told)) else [_text(value) for value in told])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _text(value: Any) -> str:
    """Return a text as it is, or else as JSON; also a text that would be read as JSON."""
    return value if isinstance(value, str) and _read(value) == value else json.dumps(value)


def _read(value: Any) -> Any:
    """Return what `_text`, or a number in a file, told."""
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
    back=from_array,
)
