# SPDX-License-Identifier: Apache-2.0
"""Distributions with plugins, built and installed by the tests."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

PIP = [sys.executable, "-m", "pip"]


def build_wheel(
    folder: Path,
    name: str,
    version: str,
    entry_points: Mapping[str, str],
    modules: Mapping[str, str],
    group: str = "simplugins.measures",
) -> Path:
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


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def pip_install(site: Path, *wheels: Path) -> list[str]:
    """Return the command that installs wheels into a folder."""
    return [*PIP, "install", "-q", "--no-deps", "--no-index", "--target", str(site), *map(str, wheels)]


def build_project(project: Path, folder: Path) -> Path:
    """Build the wheel of a copy of a project with the build backend that is installed here, and return its path."""
    copy = shutil.copytree(project, folder / project.name)
    command = [*PIP, "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([*command, str(copy)], check=True)
    return next(folder.glob("*.whl"))
