# SPDX-License-Identifier: Apache-2.0
"""Where the RSMs of the checkpoints of a training are kept: in memory, or in a folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote

from simplugins._common import filesystem
from simplugins.reporting.work_folder import REQUEST, WorkFolder
from simplugins.rsm.archive import load_rsm
from simplugins.rsm.rsm import RSM

_PREFIX = "step-"
_ORDER = "layers.txt"


class CheckpointStore(Protocol):
    """RSMs by step and layer."""

    def steps(self) -> list[int]:
        """Return the steps, in order."""

    def layers(self) -> list[str]:
        """Return the names of the layers, none before the first step."""

    def put(self, step: int, rsms: Mapping[str, RSM]) -> None:
        """Keep the RSMs of a step, in place of earlier ones."""

    def get(self, step: int, layer: str) -> RSM:
        """Return an RSM."""

    def discard(self, step: int) -> None:
        """Remove a step."""


class MemoryStore:
    """RSMs in memory."""

    def __init__(self) -> None:
        self._rsms: dict[int, dict[str, RSM]] = {}

    def steps(self) -> list[int]:
        """Return the steps, in order."""
        return sorted(self._rsms)

    def layers(self) -> list[str]:
        """Return the names of the layers, none before the first step."""
        return list(next(iter(self._rsms.values()), {}))

    def put(self, step: int, rsms: Mapping[str, RSM]) -> None:
        """Keep the RSMs of a step, in place of earlier ones."""
        self._rsms[step] = dict(rsms)

    def get(self, step: int, layer: str) -> RSM:
        """Return an RSM."""
        return self._rsms[step][layer]

    def discard(self, step: int) -> None:
        """Remove a step."""
        del self._rsms[step]


class FolderStore:
    """RSMs in a folder, with a folder per step that appears when it is complete.

    Parameters
    ----------
    path : Path
    request : mapping of str to str, optional
        As for `WorkFolder`; None opens an existing folder without checking its request.

    Raises
    ------
    FileNotFoundError
        If there is no request and no such folder.
    ValueError, FileExistsError
        As for `WorkFolder`.
    """

    def __init__(self, path: Path, request: Mapping[str, str] | None = None) -> None:
        self.path = path
        if request is not None:
            WorkFolder(path, request).release()
        elif not (path / REQUEST).is_file():
            raise FileNotFoundError(f"{path}: there is no folder of a trajectory")

    def steps(self) -> list[int]:
        """Return the steps, in order."""
        names = [entry.name.removeprefix(_PREFIX) for entry in self.path.iterdir() if entry.name.startswith(_PREFIX)]
        return sorted(int(name) for name in names if name.isdecimal())

    def layers(self) -> list[str]:
        """Return the names of the layers, none before the first step."""
        path, steps = self.path / _ORDER, self.steps()
        if not steps:
            return []
        if path.exists():
            return [unquote(line) for line in path.read_text(encoding="utf-8").split()]
        return sorted(unquote(file.stem) for file in self._folder(steps[0]).glob("*.npz"))

    def put(self, step: int, rsms: Mapping[str, RSM]) -> None:
        """Keep the RSMs of a step, in place of earlier ones."""
        if not self.steps():
            names = "".join(f"{quote(name, safe='')}\n" for name in rsms)
            filesystem.write_text(self.path / _ORDER, names, overwrite=True)
        final = self._folder(step)
        unfinished = filesystem.unfinished_name(final)
        unfinished.mkdir()
        try:
            for name, rsm in rsms.items():
                rsm.save(unfinished / _file_name(name))
            if final.exists():
                shutil.rmtree(final)
            os.replace(unfinished, final)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    def get(self, step: int, layer: str) -> RSM:
        """Return an RSM."""
        return load_rsm(self._folder(step) / _file_name(layer))

    def discard(self, step: int) -> None:
        """Remove a step."""
        shutil.rmtree(self._folder(step))

    def _folder(self, step: int) -> Path:
        return self.path / f"{_PREFIX}{step}"


def _file_name(layer: str) -> str:
    return f"{quote(layer, safe='')}.npz"
