# SPDX-License-Identifier: Apache-2.0
"""The result of ranking models by their similarity to a target: `ModelRanking`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import filesystem
from simplugins._common.texts import spreadsheet_cell
from simplugins.comparisons.method import method_label
from simplugins.comparisons.multiple_tests import letters
from simplugins.comparisons.noise_ceilings import NoiseCeiling
from simplugins.rsm.matrices import Matrix, Vector

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_ROUNDING = 1e-12
"""Rounding of levels such as 1 - 0.95."""


@dataclass(frozen=True, eq=False, repr=False)
class ModelRanking:
    """Result of `rank_models`: candidates by their similarity to one or several targets, the most similar one first.

    Attributes
    ----------
    candidates, targets : tuple of str
        Names of the K candidates, the most similar one first, and of the S targets.
    per_target : (K, S) float64 array
        The comparison of each candidate with each target.
    low, high : (K,) float64 arrays
        The ends of the confidence interval of each value.
    p_values : (K,) float64 array
        Of the permutation test that a candidate is more similar to the targets than by chance.
    family_p_values : (K,) float64 array
        The same, corrected for the number of candidates by the permutation test of the maximum.
    difference_low, difference_high : (K, K) float64 arrays
        The ends of the confidence interval of the difference of each two values, row minus column.
    difference_p_values : (K, K) float64 array
        Of the tests that two values differ, corrected by Holm's procedure for the number of pairs; 1 on the
        diagonal.
    noise_ceiling : NoiseCeiling or None
        See `noise_ceiling`; None if there is one target, or targets cannot be pooled for the method.
    metadata : mapping
        "method", "method_options", "larger_is_more_similar", "inputs", "over", "confidence", "resamples",
        "permutations", "exact" (whether these are all permutations), "simplugins" (the version).
    """

    candidates: tuple[str, ...]
    targets: tuple[str, ...]
    per_target: Matrix
    low: Vector
    high: Vector
    p_values: Vector
    family_p_values: Vector
    difference_low: Matrix
    difference_high: Matrix
    difference_p_values: Matrix
    noise_ceiling: NoiseCeiling | None
    metadata: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The name of the method, followed by its options."""
        return method_label(self.metadata["method"], self.metadata["method_options"])

    @property
    def values(self) -> Vector:
        """The mean over targets of `per_target`, (K,)."""
        return np.asarray(self.per_target.mean(1))

    @property
    def differences(self) -> Matrix:
        """The differences of the values, row minus column, (K, K)."""
        return self.values[:, None] - self.values

    @property
    def clearly_different(self) -> NDArray[np.bool_]:
        """Whether two values differ at the level of 1 - confidence, corrected for the number of pairs, (K, K)."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.difference_p_values <= 1 - self.metadata["confidence"] + _ROUNDING)

    @property
    def ranks(self) -> NDArray[np.int64]:
        """One more than the number of candidates that are clearly better, (K,); 0 where the value is NaN."""
        direction = -1 if self.metadata["larger_is_more_similar"] is False else 1
        better = self.clearly_different & (direction * self.differences > 0)
        return np.where(np.isnan(self.values), 0, 1 + better.sum(0))

    @property
    def letters(self) -> tuple[str, ...]:
        """Letters for each candidate: two candidates share one unless they are clearly different."""
        return tuple(letters(self.clearly_different))

    def table(self) -> list[dict[str, Any]]:
        """Return one dict per candidate, for data frames."""
        columns: dict[str, Any] = {
            "candidate": self.candidates,
            "rank": self.ranks.tolist(),
            "value": self.values.tolist(),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "p_value": self.p_values.tolist(),
            "family_p_value": self.family_p_values.tolist(),
            "letters": self.letters,
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def difference_table(self) -> list[dict[str, Any]]:
        """Return one dict per pair of candidates, with their difference, for data frames."""
        return [
            {
                "candidate": self.candidates[i],
                "other": self.candidates[j],
                "difference": float(self.differences[i, j]),
                "low": float(self.difference_low[i, j]),
                "high": float(self.difference_high[i, j]),
                "p_value": float(self.difference_p_values[i, j]),
            }
            for i in range(len(self.candidates))
            for j in range(i + 1, len(self.candidates))
        ]

    def cells(self) -> list[list[str]]:
        """Return the table that is printed: the names of the columns, and one row of texts per candidate."""
        header = [
            "rank",
            "candidate",
            "value",
            f"{100 * self.metadata['confidence']:g} %",
            "p",
            "p (all)",
            "letters",
        ]
        return [
            header,
            *(
                [
                    str(row["rank"] or ""),
                    row["candidate"],
                    f"{row['value']:.3f}",
                    f"[{row['low']:.3f}, {row['high']:.3f}]",
                    f"{row['p_value']:.3g}",
                    f"{row['family_p_value']:.3g}",
                    row["letters"],
                ]
                for row in self.table()
            ),
        ]

    def notes(self) -> list[str]:
        """Return the lines that are printed below the table."""
        lines = []
        if self.noise_ceiling is not None:
            lines.append(f"noise ceiling: {self.noise_ceiling.lower:.3f} to {self.noise_ceiling.upper:.3f}")
        if len(self.candidates) > 1:
            lines.append("candidates that share a letter are not clearly different")
        return lines

    def __repr__(self) -> str:
        counts = [
            f"{len(names)} {noun}{'' if len(names) == 1 else 's'}"
            for names, noun in ((self.candidates, "candidate"), (self.targets, "target"))
        ]
        title = f"ModelRanking {self.label}: {', '.join(counts)}, {self.metadata['inputs']} inputs"
        cells = self.cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        table = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
        return "\n".join([title, *table, *self.notes()])

    def plot(self, axes: Axes | None = None, *, title: str | None = None) -> Axes:
        """Draw values, intervals and the noise ceiling; see `simplugins.plotting.rankings.plot_ranking`."""
        from simplugins.plotting.rankings import plot_ranking

        return plot_ranking(self, axes, title=title)

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write the ranking to a file, atomically.

        Parameters
        ----------
        path : path
            Ends in .csv (the rows of `table`) or .json (all results).
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
        if suffix not in _TEXTS:
            raise ValueError(f"{path}: expected a name that ends in one of {', '.join(TABLES)}")
        filesystem.write_text(path, _TEXTS[suffix](self), overwrite=overwrite)


def _as_csv(ranking: ModelRanking) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    rows = ranking.table()
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow([spreadsheet_cell(value) if isinstance(value, str) else repr(value) for value in row.values()])
    return table.getvalue()


def _as_json(ranking: ModelRanking) -> str:
    return filesystem.json_text(
        {
            **ranking.metadata,
            "targets": ranking.targets,
            "noise_ceiling": None if ranking.noise_ceiling is None else ranking.noise_ceiling._asdict(),
            "candidates": ranking.table(),
            "per_target": ranking.per_target.tolist(),
            "differences": ranking.difference_table(),
        }
    )


_TEXTS = {".csv": _as_csv, ".json": _as_json}

TABLES = tuple(_TEXTS)
"""Endings of the files that `ModelRanking.save` writes."""
