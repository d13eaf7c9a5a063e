# SPDX-License-Identifier: Apache-2.0
"""Rewrite the text of reports from their numbers: ``python benchmarks/paper/rewrite.py [<machine>-paper.json ...]``.

By default, all reports in ``benchmarks/results``. Nothing is computed, and the networks are not needed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from inputs import ROOT
from runs import FOLDER, report_path, write_text

from paper import sections

FIGURES = ROOT / "docs" / "images" / "paper"


def with_sentences(summary: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Add the numbers of ``sentences.py``, if the folder has those of the same machine."""
    path = report_path(summary, folder, " paper sentences").with_suffix(".json")
    return {**summary, "sentences": json.loads(path.read_text(encoding="utf-8")) if path.exists() else None}


def rewrite(path: Path) -> Path:
    """Write the report that belongs to a JSON file, and return its path."""
    report = path.with_suffix(".md")
    figures = Path(os.path.relpath(FIGURES, path.resolve().parent)).as_posix()
    write_text(
        report, sections.write(with_sentences(json.loads(path.read_text(encoding="utf-8")), path.parent), figures)
    )
    return report


if __name__ == "__main__":
    paths = [Path(argument) for argument in sys.argv[1:]]
    for path in paths or sorted((FOLDER / "results").glob("*-paper.json")):
        print(rewrite(path))
