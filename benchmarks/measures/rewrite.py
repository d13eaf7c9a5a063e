# SPDX-License-Identifier: Apache-2.0
"""Rewrite the text and picture of a report from its numbers: ``python benchmarks/measures/rewrite.py <...>.json``.

Writes the report beside the JSON file, and the picture to ``docs/images``. Nothing is trained.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from runs import FOLDER

from measures.publishing import FIGURES, publish

if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else sorted((FOLDER / "results").glob("*-measures.json")):
        print(publish(json.loads(path.read_text(encoding="utf-8")), path.parent, FIGURES))
