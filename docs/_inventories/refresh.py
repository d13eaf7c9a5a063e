# SPDX-License-Identifier: Apache-2.0
"""Inventories of other packages' documentation, which hold only the names that we link to; README.md says more.

python docs/_inventories/refresh.py numpy=objects.inv …
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

FOLDER = Path(__file__).parent


def pack(package: str, path: Path) -> None:
    """Write the inventory of a package from its text."""
    lines = (FOLDER / f"{package}.txt").read_text(encoding="utf-8")
    header = f"# Sphinx inventory version 2\n# Project: {package}\n# Version: \n# Compressed with zlib.\n"
    path.write_bytes(header.encode() + zlib.compress(lines.encode()))


def refresh(package: str, inventory: Path) -> None:
    """Take the lines of the names that we link to from a full inventory; names that it lacks remain as they are."""
    entries = zlib.decompress(inventory.read_bytes().split(b"\n", 4)[4]).decode().splitlines()
    current = {tuple(line.split()[:2]): line for line in entries}
    path = FOLDER / f"{package}.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("".join(current.get(tuple(line.split()[:2]), line) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        name, file = argument.split("=", 1)
        refresh(name, Path(file))
