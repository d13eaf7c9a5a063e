# SPDX-License-Identifier: Apache-2.0
"""Comparing two networks layer by layer: a matrix of numbers with the names of the layers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins import __version__, plugins
from simplugins._common import filesystem
from simplugins._common.texts import spreadsheet_cell
from simplugins._common.validation import check_names, error_prefix
from simplugins.comparisons.comparing import AnyMethod, resolve_method
from simplugins.comparisons.inputs import all_aligned, named
from simplugins.comparisons.method import ComparisonMethod, method_label
from simplugins.comparisons.rsm_options import RsmOptions
from simplugins.rsm.matrices import Missing, check_missing
from simplugins.rsm.rsm import RSM

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simplugins.activations.preparation import Center, Normalize
    from simplugins.matching.matcher import Matcher
    from simplugins.rsm.kernels import Sigma

_FORMAT = "simplugins comparison of layers"
_FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """How the layers of one network compare with those of another; `compare_layers` computes it.

    Attributes
    ----------
    values : (A, B) float64 array
        One value per layer of the first network and layer of the second; NaN where the method is not defined.
    rows, columns : tuple of str
        Names of the layers.
    metadata : mapping
        "method", "method_options", "larger_is_more_similar" (None if unknown), "symmetric" (whether rows and columns
        are the same layers), "measure" (of the RSMs; a list if they differ), "inputs" (their number), "simplugins" (the
        version).

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> rng = np.random.default_rng(0)
    >>> early, late = rng.normal(size=(6, 8, 5, 5)), rng.normal(size=(6, 16, 3, 3))  # two layers, 6 inputs
    >>> comparison = simplugins.compare_layers({"early": early, "late": late})
    >>> comparison
    Comparison cka-debiased: 2 x 2 layers, 6 inputs
    >>> comparison.values.diagonal()
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
        expected = len(self.rows), len(self.columns)
        if self.values.shape != expected:
            raise ValueError(
                f"values: expected shape {expected}, one value per pair of layers, got {self.values.shape}"
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
        label = method_label(self.method, self.metadata.get("method_options", {}))
        return f"Comparison {label}: {rows} x {columns} layers, {self.metadata['inputs']} inputs"

    def best_match(self) -> dict[str, str]:
        """Return the most similar column for each layer of the rows; ties go to the first column.

        Raises
        ------
        ValueError
            If the method does not declare whether larger values are more similar, or a row contains only NaN.
        """
        direction = self.metadata.get("larger_is_more_similar")
        if direction is None:
            raise ValueError(
                f"method {self.method!r} does not declare larger_is_more_similar, so the best match is unknown"
            )
        if (undefined := np.isnan(self.values).all(1)).any():
            raise ValueError(f"layer {self.rows[int(np.argmax(undefined))]!r} has no value under {self.method!r}")
        nearest = (np.nanargmax if direction else np.nanargmin)(self.values, axis=1)
        return {row: self.columns[k] for row, k in zip(self.rows, nearest, strict=True)}

    def plot(
        self,
        axes: Axes | None = None,
        *,
        title: str | None = None,
        cmap: str = "viridis",
        limits: tuple[float, float] | None = None,
    ) -> Axes:
        """Draw the matrix as a heat map; see `simplugins.plotting.heatmaps.plot_comparison`."""
        from simplugins.plotting.heatmaps import plot_comparison

        return plot_comparison(self, axes, title=title, cmap=cmap, limits=limits)

    def to(self, tool: Any, **options: Any) -> Any:
        """Return the comparison as an object of another tool; see `simplugins.to_tool`."""
        return plugins.adapter(tool).to(self, **options)

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write the comparison to a file, atomically.

        Parameters
        ----------
        path : path
            Ends in .npz (which `load_comparison` reads), .csv (a table with the names of the layers) or .json.
        overwrite : bool, default False
            Whether an existing file may be replaced.

        Raises
        ------
        FileExistsError
            If the file exists and may not be replaced.
        ValueError
            If the path has another ending.
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
    writer.writerow(map(spreadsheet_cell, [comparison.method, *comparison.columns]))
    for name, row in zip(comparison.rows, comparison.values.tolist(), strict=True):
        writer.writerow([spreadsheet_cell(name), *map(repr, row)])
    return table.getvalue()


def _as_json(comparison: Comparison) -> str:
    values = comparison.values.tolist()
    return filesystem.json_text(
        {**comparison.metadata, "rows": comparison.rows, "columns": comparison.columns, "values": values}
    )


_TEXTS = {".csv": _as_csv, ".json": _as_json}

TABLES = (".npz", *_TEXTS)
"""Endings of the files that `Comparison.save` writes."""


def load_comparison(path: str | PathLike[str]) -> Comparison:
    """Read a comparison that `Comparison.save` wrote to a .npz file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a comparison, is damaged, or has a later version of the format.
    """
    arrays, header = filesystem.read_npz(path)
    if header.get("format") != _FORMAT:
        raise ValueError(f"{path} is not a comparison of layers saved by simplugins")
    try:
        filesystem.check_version(header["format_version"], _FORMAT_VERSION)
        return _from_archive(arrays["values"], header)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a comparison of layers: {error}") from error


def _from_archive(values: NDArray[Any], header: Mapping[str, Any]) -> Comparison:
    rows, columns, metadata = header["rows"], header["columns"], header["metadata"]
    if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in (rows, columns)):
        raise ValueError("rows and columns: expected lists of names")
    if not isinstance(metadata, dict) or not {"method", "symmetric", "inputs"} <= set(metadata):
        raise ValueError("metadata: expected entries by name, among them method, symmetric and inputs")
    if values.dtype.kind not in "iuf":
        raise ValueError(f"values: expected numbers, got {values.dtype}")
    return Comparison(values, tuple(rows), tuple(columns), metadata)


def compare_layers(
    a: Mapping[str, Any],
    b: Mapping[str, Any] | None = None,
    method: AnyMethod = "cka-debiased",
    *,
    method_options: Mapping[str, Any] | None = None,
    align: bool = False,
    missing: Missing = "raise",
    measure: Any = "semantic-cosine",
    measure_options: Mapping[str, Any] | None = None,
    layout: str = "auto",
    mask: Any = None,
    labels: Any = None,
    drop_tokens: int | Sequence[int] = 0,
    dtype: DTypeLike | None = None,
    center: Center | None = None,
    normalize: Normalize | None = None,
    matching: str | Matcher | None = None,
    matching_options: Mapping[str, Any] | None = None,
    sigma: Sigma = "median",
    engine: str = "auto",
    precision: str | None = None,
    threads: int | None = None,
    subset: int | Sequence[int] | None = None,
    seed: int = 0,
    memory: int | str | None = None,
    scheduler: Any = None,
    progress: bool = False,
) -> Comparison:
    """Compare the layers of one network with those of another, or with each other.

    Parameters
    ----------
    a, b : mapping of str to RSM or activations
        Layers by name: RSMs, which are compared as they are, or activations (see `compute_rsm`), whose RSMs are
        computed once. All must have the same inputs; channels and positions may differ. Pass matrices of similarities
        or distances as RSMs (`RSM.from_similarities`, `RSM.from_distances`). Without `b`, the layers of `a` are
        compared with each other.
    method : str or callable, default "cka-debiased"
        As for `compare`.
    method_options : mapping, optional
        As for `compare`.
    align : bool, default False
        Whether to reorder the inputs of all RSMs by the labels of the first. Otherwise a different order is an error.
    missing : {"raise", "omit"}, default "raise"
        As for `compare`; pairs of inputs are left out of each comparison of two RSMs for which they are missing.
    measure : str or measure, default "semantic-cosine"
        As for `compute_rsm`, like all options below. They apply to every layer that is given as activations.
    measure_options, layout, labels, drop_tokens, dtype, center, normalize, matching, matching_options, sigma, engine
        As for `compute_rsm`. Each layer is centred on its own.
    precision, threads
        As for `compute_rsm`.
    mask : (N, S) bool array, optional
        For layers with the same S positions. Pass `Activations` if masks differ between layers.
    subset, seed, memory, scheduler
        As for `compute_rsm`; the memory limit applies to each RSM in turn.
    progress : bool, default False
        Show a progress bar on standard error for each RSM that is computed.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If there are no layers, an RSM has different inputs in rows and columns, or the inputs differ in number or
        labels; or as `compute_rsm`.
    TypeError
        If `a` or `b` is not a mapping; or as `compute_rsm`.

    Notes
    -----
    Memory: 8 N^2 bytes per layer for the RSMs, and as much again for the method.

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> maps = np.random.default_rng(0).normal(size=(8, 4, 6, 6))
    >>> mirrored = maps[:, :, :, ::-1]
    >>> comparison = simplugins.compare_layers({"maps": maps}, {"mirrored": mirrored}, "cka")
    >>> comparison.rows, comparison.columns, comparison.values.round(6)
    (('maps',), ('mirrored',), array([[1.]]))
    """
    options = RsmOptions.among(locals())
    check_missing(missing)
    resolved = resolve_method(method, method_options)
    rows = dict(_rsms(a, "a", options))
    columns = rows if b is None else dict(_rsms(b, "b", options))
    sides = (rows, columns)
    if align:
        first = next(iter(rows.values()))
        sides = (all_aligned(first, rows), all_aligned(first, columns))
    return Comparison(
        values=resolved.compare_all(named(sides[0], "a"), None if b is None else named(sides[1], "b"), missing=missing),
        rows=tuple(rows),
        columns=tuple(columns),
        metadata=_metadata(resolved, [*rows.values(), *columns.values()], symmetric=b is None),
    )


def _metadata(method: ComparisonMethod, rsms: Sequence[RSM], *, symmetric: bool) -> dict[str, Any]:
    measures = list(dict.fromkeys(rsm.measure for rsm in rsms))
    return {
        "method": method.name,
        "method_options": dict(method.options),
        "larger_is_more_similar": method.larger_is_more_similar,
        "symmetric": symmetric,
        "measure": measures[0] if len(measures) == 1 else measures,
        "inputs": len(rsms[0]),
        "simplugins": __version__,
    }


def _rsms(layers: Mapping[str, Any], parameter: str, options: RsmOptions) -> Iterator[tuple[str, RSM]]:
    """Yield each layer's RSM, computed if it is given as activations."""
    if not isinstance(layers, Mapping):
        raise TypeError(f"{parameter}: expected a mapping of names to layers, got {type(layers).__name__}")
    if not layers:
        raise ValueError(f"{parameter}: expected at least one layer, got none")
    check_names(parameter, layers)
    if any(not isinstance(layer, RSM) for layer in layers.values()):
        options.resolved()
    for name, layer in layers.items():
        if isinstance(layer, RSM):
            yield str(name), layer
            continue
        with error_prefix(f"{parameter}[{name!r}]"):
            layer_options = replace(options, progress=str(name) if options.progress else False)
            yield str(name), layer_options.compute(options.read(layer))
