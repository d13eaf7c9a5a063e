# SPDX-License-Identifier: Apache-2.0
"""Small distributions, made and installed to test what others can plug in."""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from textwrap import dedent

PIP_INSTALL = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]


def build_wheel(folder, name, version, entry_points, modules, group="simplugins.measures"):
    """Write a wheel of modules by name, with entry points of one group, and return its path."""
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    entries = "\n".join(f"{key} = {target}" for key, target in entry_points.items())
    files = {f"{module}.py": dedent(text) for module, text in modules.items()} | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[{group}]\n{entries}\n",
    }
    record = [f"{path},sha256={_digest(text)},{len(text.encode())}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel


def _digest(text):
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def pip_install(site, *wheels):
    """Return the command that installs wheels into a folder."""
    return [*PIP_INSTALL, "--target", str(site), *map(str, wheels)]
