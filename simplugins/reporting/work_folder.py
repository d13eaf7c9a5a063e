# SPDX-License-Identifier: Apache-2.0
"""A folder that keeps the results of a long run step by step, so that the same call goes on after an interrupt."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from simplugins._common import filesystem
from simplugins._common.folder_locks import LOCK, FolderLock
from simplugins.activations.activations import Activations
from simplugins.activations.recordings import is_recording, read_recorded
from simplugins.comparisons.comparison_files import load_comparison
from simplugins.comparisons.layer_comparison import Comparison
from simplugins.rsm.archive import load_rsm
from simplugins.rsm.rsm import RSM

_LONGEST = 100
"""Characters of a step's name in the names of files; those of any length differ in their digests."""

REQUEST, _WARNINGS = "request.json", "warnings.json"
_FORMAT = "simplugins work"

T = TypeVar("T")


class WorkFolder:
    """Results of the steps of a run, each computed once.

    Parameters
    ----------
    path : Path
        A new or empty folder, or one of an earlier run with the same request.
    request : mapping of str to str
        What is computed, as texts: files and arrays by their digests.
    begin : callable(str), optional
        Called with the name of each step that begins.

    Attributes
    ----------
    warnings : list of str
        Warnings raised in the steps, also in those of earlier runs, in the order of the steps.

    Raises
    ------
    ValueError
        If the folder belongs to a run with another request; the error says what differs.
    FileExistsError
        If it exists and is no such folder.
    BlockingIOError
        If another call is using it.
    """

    def __init__(self, path: Path, request: Mapping[str, str], begin: Callable[[str], object] | None = None) -> None:
        self.path = path
        self._begin = begin
        self._is_new = not path.exists()
        if not path.is_dir():
            filesystem.check_writable(path)
            path.mkdir(exist_ok=True)
        names = {entry.name for entry in path.iterdir()}
        if names and names.isdisjoint((REQUEST, LOCK)):
            raise _other_folder(path)
        self._lock = FolderLock(path)
        try:
            self._read_or_write(request)
        except BaseException:
            self.release()
            raise
        self._warnings: dict[str, list[str]] = self._read(_WARNINGS, {})

    def _read_or_write(self, request: Mapping[str, str]) -> None:
        if _entries(self.path):
            _check_request(self.path, request)
        else:
            content = {"format": _FORMAT, "request": dict(request)}
            filesystem.write_text(self.path / REQUEST, filesystem.json_text(content))

    def release(self) -> None:
        """Let other calls use the folder."""
        self._lock.release()

    def abandon(self) -> None:
        """Let other calls use the folder; remove it if this call created it, and no step is complete."""
        self.release()
        if self._is_new and _entries(self.path) == [REQUEST]:
            self.remove()

    @property
    def warnings(self) -> list[str]:
        """Warnings raised in the steps, each once."""
        return list(dict.fromkeys(text for texts in self._warnings.values() for text in texts))

    def recording(self, name: str, record: Callable[[Path], object]) -> dict[str, Activations]:
        """Return a recording, which `record` writes to a folder that it creates."""
        folder = self._path(name)
        with self.step(name):
            if not (folder.is_dir() and is_recording(folder)):
                shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
                record(folder)
            return read_recorded(folder)

    def rsm(self, name: str, compute: Callable[[], RSM]) -> RSM:
        """Return an RSM."""
        return self._result(name, ".npz", load_rsm, lambda rsm, path: rsm.save(path), compute)

    def comparison(self, name: str, compute: Callable[[], Comparison]) -> Comparison:
        """Return a comparison of layers."""
        return self._result(name, ".npz", load_comparison, lambda table, path: table.save(path), compute)

    def values(self, name: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return numbers and texts by name; NaN becomes None."""
        path = self._path(name, ".json")
        if not path.exists():
            with self.step(name):
                filesystem.write_text(path, filesystem.json_text(compute()))
        return dict(json.loads(path.read_text(encoding="utf-8")))

    def text(self, name: str, write: Callable[[Path], object]) -> str:
        """Return a text, which `write` writes to a file."""
        path = self._path(name, ".html")
        with self.step(name):
            if not path.exists():
                write(path)
            return path.read_text(encoding="utf-8")

    def remove(self) -> None:
        """Remove the folder with all results."""
        self.release()
        shutil.rmtree(self.path)

    def _path(self, name: str, ending: str = "") -> Path:
        """Return the path of a step, which differs from that of any other one, also in length and case."""
        data = name.encode("utf-8", "surrogatepass")
        start = quote(data, safe=" ")[:_LONGEST]
        return self.path / f"{start}-{hashlib.sha256(data).hexdigest()[:12]}{ending}"

    def _result(
        self,
        name: str,
        ending: str,
        load: Callable[[Path], T],
        save: Callable[[T, Path], None],
        compute: Callable[[], T],
    ) -> T:
        path = self._path(name, ending)
        with self.step(name):
            if path.exists():
                return load(path)
            result = compute()
            save(result, path)
            return result

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce a step, and keep the warnings that it raises."""
        if self._begin is not None:
            self._begin(name)
        texts: list[str] = []
        with noted_warnings(texts):
            yield
        if texts:
            self._warnings[name] = list(dict.fromkeys([*self._warnings.get(name, []), *texts]))
            filesystem.write_text(self.path / _WARNINGS, filesystem.json_text(self._warnings), overwrite=True)

    def _read(self, name: str, default: dict[str, Any]) -> dict[str, Any]:
        path = self.path / name
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else default


def _entries(path: Path) -> list[str]:
    return [entry.name for entry in path.iterdir() if entry.name != LOCK]


def _other_folder(path: Path) -> FileExistsError:
    return FileExistsError(f"{path} exists and holds no work of simplugins: choose another folder, or remove it first")


def _check_request(path: Path, request: Mapping[str, str]) -> None:
    try:
        content = json.loads((path / REQUEST).read_text(encoding="utf-8"))
        earlier = dict(content["request"]) if content["format"] == _FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        earlier = None
    if earlier is None:
        raise _other_folder(path)
    for name in [*request, *earlier]:
        if earlier.get(name) != request.get(name):
            raise ValueError(
                f"{path} holds the work of another call: {name} was {earlier.get(name, 'not there')}, now "
                f"{request.get(name, 'not there')}. Repeat that call to go on with it, choose another folder, or "
                f"remove this one"
            )


@contextmanager
def noted_warnings(texts: list[str]) -> Iterator[None]:
    """Add the texts of warnings to a list as they are shown; those about future versions are for developers."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def note(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if not issubclass(category, DeprecationWarning | PendingDeprecationWarning | FutureWarning):
                texts.append(str(message))
            show(message, category, *where, **more)

        warnings.showwarning = note
        yield
