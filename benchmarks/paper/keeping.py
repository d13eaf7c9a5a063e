# SPDX-License-Identifier: Apache-2.0
"""Results of a run that the next run may use: RSMs with the time they took, and numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from runs import write_text

from simplugins import RSM, load_rsm


@dataclass(frozen=True)
class Seconds:
    """The time of a computation: wall clock, and CPU time of all threads."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Keeper:
    """Keeps results in a folder, and returns them instead of computing them again.

    Attributes
    ----------
    folder : Path, optional
        None to keep nothing.
    """

    folder: Path | None = None

    def rsms(self, name: str, compute: Callable[[], Mapping[str, RSM]]) -> tuple[dict[str, RSM], Seconds]:
        """Return the RSMs that a function computes, and the time it took when it was called."""
        file = self._file(name, ".json")
        if file is not None and file.exists():
            header = json.loads(file.read_text(encoding="utf-8"))
            return {key: load_rsm(self._rsm_file(name, key)) for key in header["rsms"]}, Seconds(**header["seconds"])
        wall, cpu = perf_counter(), process_time()
        rsms = dict(compute())
        seconds = Seconds(perf_counter() - wall, process_time() - cpu)
        if file is not None:
            for key, rsm in rsms.items():
                rsm.save(self._rsm_file(name, key), overwrite=True)
            write_text(file, json.dumps({"rsms": list(rsms), "seconds": vars(seconds)}) + "\n")
        return rsms, seconds

    def numbers(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return the result of a function, which JSON can represent."""
        file = self._file(name, ".json")
        if file is not None and file.exists():
            return json.loads(file.read_text(encoding="utf-8"))
        result = compute()
        if file is not None:
            write_text(file, json.dumps(result) + "\n")
        return result

    def _rsm_file(self, name: str, key: str) -> Path:
        file = self._file(f"{name} {key}", ".npz")
        assert file is not None
        return file

    def _file(self, name: str, suffix: str) -> Path | None:
        if self.folder is None:
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + suffix)
