# SPDX-License-Identifier: Apache-2.0
"""pandas: RSMs and comparisons as labelled tables, square or with one row per pair; square tables as RSMs."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from simplugins import RSM, Adapter, Comparison, index_labels, partial_labels
from simplugins_adapters.descriptions import attributes_of, axis_names, common_labels, plain_labels, read_labels
from simplugins_adapters.dissimilarities import Dissimilarity, Missing, matrix_as_rsm
from simplugins_adapters.similarities import check_choice

if TYPE_CHECKING:
    from pandas import DataFrame, Index

TOOL = "pandas"

Form = Literal["square", "long"]
"""The form of a table: one row and one column per input, or one row per pair of inputs."""


def to_frame(rsm: RSM, *, form: Form = "square") -> DataFrame:
    """Return an RSM as a table.

    Parameters
    ----------
    rsm : RSM
        N x N, or N x M.
    form : {"square", "long"}
        See `Form`. A long table has each pair of different inputs once, and no diagonal; for an RSM with other inputs
        in its columns it has all N M pairs.

    Returns
    -------
    pandas.DataFrame
        Square: labels are the index, "stimulus_i", and the columns, "stimulus_j"; without labels, both are numbers.
        Long: columns "stimulus_i", "stimulus_j" and "similarity". For an RSM with other inputs in its columns, the
        names are "stimulus" and "other". float64; ``attrs`` hold the measure and the other metadata.

    Raises
    ------
    ValueError
        If the form is unknown.
    """
    check_choice("form", form, Form)
    frame = _square(rsm) if form == "square" else _long(rsm)
    frame.attrs = deepcopy(attributes_of(rsm))
    return frame


def to_frames(rsms: Mapping[str, RSM], *, form: Form = "square") -> DataFrame:
    """Return RSMs of the same inputs as one table, stacked vertically.

    Parameters
    ----------
    rsms : mapping of str to RSM
        By layer, L in total.
    form : {"square", "long"}
        As for `to_frame`.

    Returns
    -------
    pandas.DataFrame
        Square: (L N, N), with the index levels "layer" and "stimulus_i", so that ``frame.loc["block10"]`` is the table
        of one layer. Long: with a column "layer". ``attrs`` hold the metadata that all RSMs have in common.
    """
    import pandas as pd

    labels = common_labels(rsms.values())
    frames = {layer: to_frame(replace(rsm, labels=labels), form=form) for layer, rsm in rsms.items()}
    first, *rest = (frame.attrs for frame in frames.values())
    for frame in frames.values():
        frame.attrs = {}
    stacked = pd.concat(frames, names=["layer"])
    if form == "long":
        stacked = stacked.reset_index("layer").reset_index(drop=True)
    stacked.attrs = {key: value for key, value in first.items() if all(attrs.get(key) == value for attrs in rest)}
    return stacked


def comparison_to_frame(comparison: Comparison) -> DataFrame:
    """Return a comparison of layers as a table, float64.

    Layers of one network are its index, "layer_a", those of the other its columns, "layer_b"; ``attrs`` hold the
    metadata.
    """
    import pandas as pd

    frame = pd.DataFrame(
        comparison.values.copy(),
        index=pd.Index(comparison.rows, name="layer_a"),
        columns=pd.Index(comparison.columns, name="layer_b"),
    )
    frame.attrs = deepcopy(dict(comparison.metadata))
    return frame


def from_frame(
    frame: DataFrame,
    *,
    dissimilarity: Dissimilarity | None = None,
    measure: str | None = None,
    missing: Missing = "raise",
) -> RSM | dict[str, RSM]:
    """Return a square table as an RSM.

    Parameters
    ----------
    frame : pandas.DataFrame
        (N, N), with the labels of inputs as index and columns, in any order; or (L N, N), whose index has one more
        level than its columns, which names L tables. Labels with several levels are joined (`simplugins.index_labels`).
    dissimilarity : {"squared-distance", "distance", "complement"}, optional
        The kind of dissimilarities; by default the values are similarities.
    measure : str, optional
        Name of the measure; by default the one in ``attrs``, if simplugins made the table, otherwise "precomputed".
    missing : {"raise", "omit"}, default "raise"
        With "omit", similarities and complements may be missing (NaN); see `simplugins.RSM.from_similarities`.

    Returns
    -------
    RSM, or dict of str to RSM
        Inputs are in the order of rows. The diagonal holds the squared norms, as tables hold neither norms nor kernel.

    Raises
    ------
    TypeError
        If `frame` is not a table.
    ValueError
        If rows and columns are not the same inputs, or values are missing, not symmetric, or not of the kind stated.
    """
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"frame: expected a pandas DataFrame, got {type(frame).__name__}")
    name = str(measure or frame.attrs.get("measure", "precomputed"))
    if frame.index.nlevels == frame.columns.nlevels + 1:
        tables = frame.groupby(level=0, sort=False)
        return {str(layer): _rsm_of(table.droplevel(0), dissimilarity, name, missing) for layer, table in tables}
    return _rsm_of(frame, dissimilarity, name, missing)


def matrix_of(frame: DataFrame, missing: Missing = "raise") -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return the values of a square table, with columns in the order of rows, and the labels of inputs.

    Parameters
    ----------
    frame : pandas.DataFrame
        (N, N). Labels are compared as text, because files of tables hold column names as text. Labels on one axis are
        enough; the default numbers of pandas do not count as labels.
    missing : {"raise", "omit"}, default "raise"
        Whether values may be missing ("omit").

    Raises
    ------
    ValueError
        If rows and columns are not the same inputs, or values are missing that may not be.
    """
    count = int(frame.isna().to_numpy().sum())
    if count and missing == "raise":
        raise ValueError(
            f"{count} values are missing (NaN), as in sums of RSMs of different inputs: select the inputs that all "
            f"of them have, or pass missing='omit'"
        )
    values, rows, columns = frame.to_numpy(), frame.index, frame.columns
    labels = [index_labels(axis) for axis in (rows, columns) if not _is_numbered(axis)]
    if len(labels) < 2 and rows.equals(columns):
        return values, None
    if len(labels) == 1 and set(rows) != set(columns):
        return values, labels[0]
    return _columns_as_rows(values, index_labels(rows), index_labels(columns)), index_labels(rows)


def _square(rsm: RSM) -> DataFrame:
    import pandas as pd

    rows, columns = axis_names(rsm)
    return pd.DataFrame(
        rsm.values.copy(),
        index=_index(rsm.labels, rsm.shape[0], rows),
        columns=_index(rsm.labels if rsm.symmetric else rsm.other_labels, rsm.shape[1], columns),
    )


def _long(rsm: RSM) -> DataFrame:
    import pandas as pd

    table = _square(rsm)
    i, j = np.triu_indices(len(rsm), 1) if rsm.symmetric else np.indices(rsm.shape).reshape(2, -1)
    rows, columns = axis_names(rsm)
    return pd.DataFrame({rows: table.index[i], columns: table.columns[j], "similarity": rsm.values[i, j]})


def _index(labels: NDArray[Any] | None, count: int, name: str) -> Index:
    import pandas as pd

    return pd.RangeIndex(count, name=name) if labels is None else pd.Index(plain_labels(labels), name=name)


def _is_numbered(axis: Index) -> bool:
    """Return whether an axis has the default numbers of pandas."""
    import pandas as pd

    return isinstance(axis, pd.RangeIndex) and axis.equals(pd.RangeIndex(len(axis)))


def _columns_as_rows(values: NDArray[Any], rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[Any]:
    """Return a matrix with its columns in the order of its rows, by their labels."""
    transposed = RSM.from_similarities(
        values.T,
        labels=partial_labels(columns),
        other_squared_norms=np.zeros(len(rows)),
        squared_norms=np.zeros(len(columns)),
        missing="omit",
    )
    try:
        return transposed.in_order(partial_labels(rows)).values.T
    except ValueError as error:
        raise ValueError(f"columns and rows are not the same inputs: {error}") from error


def _rsm_of(frame: DataFrame, dissimilarity: Dissimilarity | None, measure: str, missing: Missing) -> RSM:
    values, labels = matrix_of(frame, missing)
    labels = read_labels(labels, frame.attrs)
    return matrix_as_rsm(values, dissimilarity, labels=labels, measure=measure, tool=TOOL, missing=missing)


adapter = Adapter(
    tool=TOOL,
    modules=("pandas",),
    install="pip install 'simplugins[pandas]'",
    rsm=to_frame,
    rsms=to_frames,
    comparison=comparison_to_frame,
    reader=from_frame,
)
