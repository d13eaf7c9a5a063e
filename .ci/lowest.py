# SPDX-License-Identifier: Apache-2.0
"""Print constraints with the lowest versions that pyproject.toml allows, for the core and for the extras named.

Usage: python .ci/lowest.py EXTRA...
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = project["optional-dependencies"]
requirements = project["dependencies"] + [requirement for extra in sys.argv[1:] for requirement in extras[extra]]
for requirement in requirements:
    match = re.match(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)", requirement)
    if match:  # other extras of simplugins, which have no version, do not match
        sys.stdout.write(f"{match[1]}=={match[2]}\n")
