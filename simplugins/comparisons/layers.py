# SPDX-License-Identifier: Apache-2.0
"""Comparing two networks layer by layer: a matrix of numbers, with the layers' names."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins import __version__
from simplugins._common import filesystem
from simplugins._common.validation import error_prefix
from simplugins.activations import formats
from simplugins.activations import recordings as recording
from simplugins.activations.layer_names import select
from simplugins.rsm.archive import is_rsm, load_rsm
from simplugins.rsm.rsm import RSM

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simplugins.comparisons import Method

_FORMAT = "simplugins comparison of layers"
_FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """How the layers of one network compare with those of another.

    Attributes
    ----------
    values : (A, B) float64 array
        Of layer a of the one and b of the other, under the method; NaN where it is not defined.
    rows, columns : tuple of str
        Names of the layers.
    metadata : mapping
        "method", "larger_is_more_similar" (None if that is not known), "symmetric" (whether rows and columns are the
        same layers), "measure" (of the RSMs; a list if they differ), "inputs", "simplugins" (the version).

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> rng = np.random.default_rng(0)
    >>> early, late = rng.normal(size=(6, 8, 5, 5)), rng.normal(size=(6, 16, 3, 3))  # of two layers, for 6 inputs
    >>> found = simplugins.compare_layers({"early": early, "late": late})
    >>> found
    Comparison cka: 2 x 2 layers, of 6 inputs
    >>> found.values.diagonal()
    array([1., 1.])
    """

    values: NDArray[np.float64]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    metadata: Mapping[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.asarray(self.values, np.float64))
        object.__setattr__(self, "rows", tuple(map(str, self.rows)))
        object.__setattr__(self, "columns", tuple(map(str, self.columns)))
        if self.values.shape != (len(self.rows), len(self.columns)):
            raise ValueError(
                f"expected a value for each of {len(self.rows)} x {len(self.columns)} layers, got shape "
                f"{self.values.shape}"
            )

    @property
    def method(self) -> str:
        """Name of the comparison method."""
        return str(self.metadata["method"])

    @property
    def symmetric(self) -> bool:
        """Whether rows and columns are the same layers."""
        return bool(self.metadata["symmetric"])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is None:  # NumPy 1 has no such mode
            return np.asarray(self.values, dtype)
        return np.array(self.values, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        rows, columns = self.values.shape
        return f"Comparison {self.method}: {rows} x {columns} layers, of {self.metadata['inputs']} inputs"

    def best_match(self) -> dict[str, str]:
        """Return for each layer of the rows the most similar one of the columns, the first of equals.

        Raises
        ------
        ValueError
            If it is not known whether larger values mean more similar, or a row has only NaN.
        """
        direction = self.metadata.get("larger_is_more_similar")
        if direction is None:
            raise ValueError(f"it is not known whether larger values of {self.method!r} mean more similar")
        if (undefined := np.isnan(self.values).all(1)).any():
            raise ValueError(f"layer {self.rows[int(np.argmax(undefined))]!r} has no value under {self.method!r}")
        nearest = (np.nanargmax if direction else np.nanargmin)(self.values, axis=1)
        return {row: self.columns[k] for row, k in zip(self.rows, nearest, strict=True)}

    def plot(self, axes: Axes | None = None, **options: Any) -> Axes:
        """Draw the matrix as a heat map; see `simplugins.plotting.plot_comparison`."""
        from simplugins.plotting.heatmaps import plot_comparison

        return plot_comparison(self, axes, **options)

    def to(self, tool: str, **options: Any) -> Any:
        """Return the comparison as an object of another tool; see `simplugins.to_tool`."""
        from simplugins_adapters.contract import to_tool

        return to_tool(tool, self, **options)

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write the comparison to a file, whole or not at all.

        Parameters
        ----------
        path : path
            Ends in .npz, which `load_comparison` reads; in .csv, a table with the names of layers; or in .json.
        overwrite : bool, default False
            Whether an existing file may be replaced.

        Raises
        ------
        FileExistsError
            If the file exists and may not be replaced.
        ValueError
            If the path ends in something else.
        """
        suffix = Path(path).suffix
        if suffix == ".npz":
            header = {
                "format": _FORMAT,
                "format_version": _FORMAT_VERSION,
                "rows": self.rows,
                "columns": self.columns,
                "metadata": dict(self.metadata),
            }
            filesystem.write_npz(path, {"values": self.values}, header, overwrite=overwrite)
        elif suffix in _TEXTS:
            filesystem.write_text(path, _TEXTS[suffix](self), overwrite=overwrite)
        else:
            raise ValueError(f"{path}: expected a name that ends in one of {', '.join(TABLES)}")


def _as_csv(comparison: Comparison) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow([comparison.method, *comparison.columns])
    writer.writerows(
        [name, *map(repr, row)] for name, row in zip(comparison.rows, comparison.values.tolist(), strict=True)
    )
    return table.getvalue()


def _as_json(comparison: Comparison) -> str:
    values = comparison.values.tolist()
    return filesystem.json_text(
        {**comparison.metadata, "rows": comparison.rows, "columns": comparison.columns, "values": values}
    )


_TEXTS = {".csv": _as_csv, ".json": _as_json}

TABLES = (".npz", *_TEXTS)
"""What names of files end in that `Comparison.save` writes."""


def load_comparison(path: str | PathLike[str]) -> Comparison:
    """Read a comparison that `Comparison.save` wrote to a .npz file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no comparison, is damaged, or comes from a later version of the format.
    """
    arrays, header = filesystem.read_npz(path)
    if header.get("format") != _FORMAT:
        raise ValueError(f"{path} is no comparison of layers saved by simplugins")
    try:
        filesystem.check_version(header["format_version"], _FORMAT_VERSION)
        return Comparison(arrays["values"], header["rows"], header["columns"], dict(header["metadata"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a comparison of layers: {error}") from error


def compare_layers(
    a: Mapping[str, Any],
    b: Mapping[str, Any] | None = None,
    method: str | Method = "cka",
    *,
    measure: str = "semantic-cosine",
    align: bool = False,
    progress: bool = False,
    **options: Any,
) -> Comparison:
    """Compare the layers of one network with those of another, or with each other.

    Parameters
    ----------
    a, b : mapping of str to RSM or activations
        Layers by name: RSMs, or activations (see `compute_rsm`), of which each layer's RSM is computed once. All are of
        the same inputs; channels and positions may differ. Without `b`, the layers of `a` are compared with each other.
    method : str or callable, default "cka"
        Any plugin of the group ``simplugins.comparisons``.
    measure : str, default "semantic-cosine"
        Of RSMs that are computed here.
    align : bool, default False
        Whether RSMs whose labels stand in another order are brought into that of the first. Otherwise that is an error.
    progress : bool, default False
        Show a progress bar on standard error for each RSM that is computed.
    **options
        For `compute_rsm`, where RSMs are computed.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If there are no layers, an RSM compares inputs with others, or inputs differ: in number, or in labels.
    TypeError
        If `a` or `b` is no mapping.

    Notes
    -----
    Memory: the RSMs, 8 N^2 bytes a layer, and once more what the method makes of them.

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> maps = np.random.default_rng(0).normal(size=(8, 4, 6, 6))
    >>> mirrored = maps[:, :, :, ::-1]
    >>> found = simplugins.compare_layers({"maps": maps}, {"mirrored": mirrored}, "cka")
    >>> found.rows, found.columns, found.values.round(6)
    (('maps',), ('mirrored',), array([[1.]]))
    """
    from simplugins.comparisons import pairwise, resolve_method
    from simplugins.comparisons.inputs import all_aligned

    resolved = resolve_method(method)
    how = {"measure": measure, "progress": progress, **options}
    rows = dict(_rsms(a, "a", how))
    columns = rows if b is None else dict(_rsms(b, "b", how))
    first = next(iter(rows.values()))
    own, others = (all_aligned(first, layers) if align else layers for layers in (rows, columns))
    return Comparison(
        values=pairwise(resolved, own, None if b is None else others),
        rows=tuple(rows),
        columns=tuple(columns),
        metadata={
            "method": getattr(resolved, "name", str(method)),
            "larger_is_more_similar": getattr(resolved, "larger_is_more_similar", None),
            "symmetric": b is None,
            "measure": _common(rsm.measure for rsm in [*rows.values(), *columns.values()]),
            "inputs": len(first),
            "simplugins": __version__,
        },
    )


def read_layers(path: str | PathLike[str], patterns: Sequence[str] = ()) -> dict[str, Any]:
    """Read the layers of a network: RSMs that simplugins saved, or activations.

    Parameters
    ----------
    path : path
        A folder that `simplugins.record` wrote; a folder with a file for each layer, named like it; a .npz file with an
        array for each layer; or a file of one layer (see `simplugins.read_activations`).
    patterns : sequence of str
        Names of the layers wanted, or patterns such as ``"block*"``, as for `simplugins.record`; by default all.

    Returns
    -------
    dict of str to RSM or array
        In the order asked for; or else of the files' names, with numbers in them by size, or of the arrays in the file.

    Raises
    ------
    FileNotFoundError
        If there is nothing at the path.
    ValueError
        If a file cannot be read, or a pattern fits no layer.
    """
    path = Path(path)
    if recording.is_recording(path):
        return dict(recording.read_recorded(path, list(patterns) or None))
    if path.is_dir() and path.suffix != ".zarr":
        found = {file.stem: file for file in sorted(path.iterdir(), key=_natural) if file.suffix in formats.FORMATS}
        return {name: _read_layer(found[name]) for name in _chosen(found, patterns, path)}
    if path.suffix == ".npz" and not is_rsm(path):
        arrays, _ = filesystem.read_npz(path)
        return {name: arrays[name] for name in _chosen(arrays, patterns, path)}
    return {path.stem: _read_layer(path)}


def _read_layer(path: Path) -> Any:
    return load_rsm(path) if is_rsm(path) else formats.read_activations(path)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return what puts names in order, with the numbers in them by size."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.stem)]


def _chosen(names: Collection[str], patterns: Sequence[str], path: Path) -> list[str]:
    """Return the names that are asked for, or all."""
    if not names:
        raise ValueError(f"{path} holds no layers")
    return list(select(names, patterns, owner=str(path)) if patterns else names)


def _rsms(layers: Mapping[str, Any], which: str, how: Mapping[str, Any]) -> Iterator[tuple[str, RSM]]:
    """Yield each layer's RSM, computed where activations are given."""
    if not isinstance(layers, Mapping):
        raise TypeError(f"{which}: expected layers by name, as a dictionary; got {type(layers).__name__}")
    if not layers:
        raise ValueError(f"{which}: expected at least one layer")
    for name, layer in layers.items():
        if isinstance(layer, RSM):
            yield str(name), layer
            continue
        with error_prefix(f"{which}[{name!r}]"):
            yield str(name), _compute(layer, str(name), **how)


def _compute(layer: Any, name: str, *, progress: bool, **options: Any) -> RSM:
    from simplugins.measures.computation import compute_rsm

    return compute_rsm(layer, progress=name if progress else False, **options)


def _common(measures: Iterator[str]) -> str | list[str]:
    """Return the one measure of all RSMs, or the list of them."""
    found = list(dict.fromkeys(measures))
    return found[0] if len(found) == 1 else found
