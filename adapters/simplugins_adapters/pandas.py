# SPDX-License-Identifier: Apache-2.0
"""pandas: RSMs and comparisons as tables with labels, square or with a row for each pair; square tables as RSMs."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from simplugins import RSM, Adapter, Comparison
from simplugins_adapters.shared import Dissimilarity, axes_of, common_labels, matrix_as_rsm

if TYPE_CHECKING:
    from pandas import DataFrame, Index

TOOL = "pandas"

Form = Literal["square", "long"]
"""How a table holds similarities: a row and a column for each input, or a row for each pair of inputs."""


def to_frame(rsm: RSM, *, form: Form = "square") -> DataFrame:
    """Return an RSM as a table.

    Parameters
    ----------
    rsm : RSM
        N x N, or N x M.
    form : {"square", "long"}
        See `Form`. Long tables have each pair of different inputs once, so no diagonal; those of RSMs of inputs with
        others have all N M pairs.

    Returns
    -------
    pandas.DataFrame
        Square: labels are its index, "stimulus_i", and its columns, "stimulus_j"; without labels, both are numbers.
        Long: columns "stimulus_i", "stimulus_j" and "similarity". Where the RSM compares inputs with others, they are
        "stimulus" and "other". float64; ``attrs`` tell how the RSM was made.

    Raises
    ------
    ValueError
        If there is no such form.
    """
    if form not in get_args(Form):
        raise ValueError(f"form: expected one of {', '.join(get_args(Form))}, got {form!r}")
    found = _square(rsm) if form == "square" else _long(rsm)
    found.attrs = deepcopy(dict(rsm.metadata))
    return found


def to_frames(rsms: Mapping[str, RSM], *, form: Form = "square") -> DataFrame:
    """Return RSMs of the same inputs as one table, one below the other.

    Parameters
    ----------
    rsms : mapping of str to RSM
        By layer, L of them.
    form : {"square", "long"}
        As for `to_frame`.

    Returns
    -------
    pandas.DataFrame
        Square: (L N, N), its index has the levels "layer" and "stimulus_i", so ``frame.loc["block10"]`` is the table
        of one. Long: with a column "layer". ``attrs`` tell of how the RSMs were made what is the same for all.

    Raises
    ------
    ValueError
        If there is no such form.
    """
    import pandas as pd

    labels = common_labels(rsms.values())
    frames = {layer: to_frame(replace(rsm, labels=labels), form=form) for layer, rsm in rsms.items()}
    made = [frame.attrs for frame in frames.values()]
    for frame in frames.values():
        frame.attrs = {}
    found = pd.concat(frames, names=["layer"])
    if form == "long":
        found = found.reset_index("layer").reset_index(drop=True)
    found.attrs = {key: told for key, told in made[0].items() if all(other.get(key) == told for other in made)}
    return found


def comparison_to_frame(comparison: Comparison) -> DataFrame:
    """Return a comparison of layers as a table.

    Returns
    -------
    pandas.DataFrame
        Layers of the one network are its index, "layer_a", those of the other its columns, "layer_b"; float64.
        ``attrs`` tell the method, and what else `Comparison.metadata` has.
    """
    import pandas as pd

    found = pd.DataFrame(
        comparison.values.copy(),
        index=pd.Index(comparison.rows, name="layer_a"),
        columns=pd.Index(comparison.columns, name="layer_b"),
    )
    found.attrs = deepcopy(dict(comparison.metadata))
    return found


def from_frame(
    frame: DataFrame, *, dissimilarity: Dissimilarity | None = None, measure: str | None = None
) -> RSM | dict[str, RSM]:
    """Return a square table as an RSM.

    Parameters
    ----------
    frame : pandas.DataFrame
        (N, N), with labels of inputs as index and columns, in any order; or (L N, N), its index with one level more
        than its columns, which tells L tables apart. Labels of more levels are joined by blanks.
    dissimilarity : {"squared-distance", "distance", "complement"}, optional
        What the values are, where they are dissimilarities: squared distances, distances, or 1 minus similarities. By
        default they are similarities.
    measure : str, optional
        What the RSM's measure is to be called; by default what ``attrs`` say, if the table was made here, or else
        "precomputed".

    Returns
    -------
    RSM, or dict of str to RSM
        Inputs are in the order of rows. The diagonal counts as squared norms, as tables hold neither norms nor kernel.

    Raises
    ------
    TypeError
        If it is no table.
    ValueError
        If rows and columns are not the same inputs; or values are missing, not symmetric, or not what they are said to
        be.
    """
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"expected a pandas DataFrame, got {type(frame).__name__}")
    name = str(measure or frame.attrs.get("measure", "precomputed"))
    if frame.index.nlevels == frame.columns.nlevels + 1:
        tables = frame.groupby(level=0, sort=False)
        return {str(layer): _rsm_of(table.droplevel(0), dissimilarity, name) for layer, table in tables}
    return _rsm_of(frame, dissimilarity, name)


def matrix_of(frame: DataFrame) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return the values of a square table, columns in the order of rows, and the labels of inputs.

    Parameters
    ----------
    frame : pandas.DataFrame
        (N, N). Labels are compared as texts: files of tables tell the names of columns only so. Those of one axis are
        enough; the numbers that pandas gives where there are no labels are none.

    Raises
    ------
    ValueError
        If rows and columns are not the same inputs, or values are missing.
    """
    if missing := int(frame.isna().to_numpy().sum()):
        raise ValueError(
            f"{missing} values are missing (NaN), as after sums of RSMs of different inputs: take the inputs that all "
            f"of them have"
        )
    values, rows, columns = frame.to_numpy(), frame.index, frame.columns
    labelled = [_labels(axis) for axis in (rows, columns) if not _is_numbered(axis)]
    if len(labelled) < 2 and rows.equals(columns):
        return values, None
    if len(labelled) == 1 and set(rows) != set(columns):
        return values, labelled[0]
    return _columns_as_rows(values, _labels(rows), _labels(columns)), _labels(rows)


def _square(rsm: RSM) -> DataFrame:
    import pandas as pd

    rows, columns = axes_of(rsm)
    others = rsm.labels if rsm.symmetric else rsm.other_labels
    return pd.DataFrame(
        rsm.values.copy(),
        index=_index(rsm.labels, rsm.shape[0], rows),
        columns=_index(others, rsm.shape[1], columns),
    )


def _long(rsm: RSM) -> DataFrame:
    import pandas as pd

    table = _square(rsm)
    i, j = np.triu_indices(len(rsm), 1) if rsm.symmetric else np.indices(rsm.shape).reshape(2, -1)
    rows, columns = axes_of(rsm)
    return pd.DataFrame({rows: table.index[i], columns: table.columns[j], "similarity": rsm.values[i, j]})


def _index(labels: NDArray[Any] | None, count: int, name: str) -> Index:
    import pandas as pd

    return pd.RangeIndex(count, name=name) if labels is None else pd.Index(labels.copy(), name=name)


def _labels(axis: Index) -> NDArray[Any]:
    """Return the labels of an axis; those of several levels are joined."""
    return np.asarray(axis) if axis.nlevels == 1 else np.array([" ".join(map(str, label)) for label in axis])


def _is_numbered(axis: Index) -> bool:
    """Tell whether pandas numbered an axis, as it had no labels."""
    import pandas as pd

    return isinstance(axis, pd.RangeIndex) and axis.equals(pd.RangeIndex(len(axis)))


def _columns_as_rows(values: NDArray[Any], rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[Any]:
    """Return a matrix with its columns in the order of its rows, by their labels."""
    count, others = values.shape
    transposed = RSM(values.T, {"measure": "any"}, np.zeros(others), np.zeros(count), labels=columns.astype(str))
    try:
        return transposed.in_order(rows.astype(str)).values.T
    except ValueError as error:
        raise ValueError(f"columns are not the inputs that rows are: {error}") from error


def _rsm_of(frame: DataFrame, dissimilarity: Dissimilarity | None, measure: str) -> RSM:
    values, labels = matrix_of(frame)
    return matrix_as_rsm(values, dissimilarity, labels=labels, measure=measure, source=TOOL)


adapter = Adapter(
    tool=TOOL,
    modules=("pandas",),
    install="pip install 'simplugins[pandas]'",
    rsm=to_frame,
    rsms=to_frames,
    comparison=comparison_to_frame,
    back=from_frame,
)
