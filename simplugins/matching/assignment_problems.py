# SPDX-License-Identifier: Apache-2.0
"""Assignment problems, represented as submatrices of a matrix of affinities, for the compiled solvers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def make_problems(
    first_row: NDArray[np.int64], end_of_rows: Any, first_column: Any, end_of_columns: Any
) -> NDArray[np.int64]:
    """Return B problems as a (B, 4) array; all bounds but `first_row` may be scalars."""
    problems = np.empty((len(first_row), 4), np.int64)
    problems[:, 0], problems[:, 1] = first_row, end_of_rows
    problems[:, 2], problems[:, 3] = first_column, end_of_columns
    return problems


def whole_problems(offsets: NDArray[np.int64], cols: int) -> NDArray[np.int64]:
    """Return the problems that consist of all columns and the rows between consecutive offsets.

    Examples
    --------
    >>> whole_problems(np.array([0, 3, 5]), 4)
    array([[0, 3, 0, 4],
           [3, 5, 0, 4]])
    """
    return make_problems(offsets[:-1], offsets[1:], 0, cols)
