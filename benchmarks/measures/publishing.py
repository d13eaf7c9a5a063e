# SPDX-License-Identifier: Apache-2.0
"""From the numbers of a report to its files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runs import FOLDER, write_report

from measures.heatmap import draw_separations
from measures.tables import write
from simplugins.plotting.heatmaps import save_figure

RESULTS = FOLDER / "results"
FIGURES = FOLDER.parent / "docs" / "images"
PICTURE = "measures.png"


def publish(summary: Mapping[str, Any], folder: Path, figure_folder: Path) -> Path:
    """Write the report, its numbers and its picture, and return the path of the report."""
    figure_folder.mkdir(parents=True, exist_ok=True)
    save_figure(draw_separations(summary), figure_folder / PICTURE, overwrite=True)
    folder.mkdir(parents=True, exist_ok=True)
    picture = Path(os.path.relpath((figure_folder / PICTURE).resolve(), folder.resolve())).as_posix()
    return write_report(write(summary, picture), summary, folder, " measures")
