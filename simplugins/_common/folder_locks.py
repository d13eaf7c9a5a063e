# SPDX-License-Identifier: Apache-2.0
"""Locks of folders that one call at a time may write to."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

LOCK = ".simplugins.lock"


class FolderLock:
    """The lock of a folder, held until it is released or the process ends; file systems without locks are not locked.

    Parameters
    ----------
    folder : Path
        An existing folder.

    Raises
    ------
    BlockingIOError
        If another process, or another call in this one, holds the lock.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._file: int | None = None
        while self._file is None:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                _lock(file)
            except (BlockingIOError, PermissionError):  # the latter on Windows
                os.close(file)
                raise BlockingIOError(
                    f"{folder} is in use by another call: wait until it has finished, or choose another folder"
                ) from None
            except OSError:  # a file system without locks
                pass
            if self._is_current(file):
                self._file = file
            else:  # its holder has removed it
                os.close(file)

    def _is_current(self, file: int) -> bool:
        return self._path.exists() and os.path.samestat(os.fstat(file), os.stat(self._path))

    def release(self) -> None:
        """Release the lock, and remove its file."""
        if self._file is not None:
            with suppress(OSError):  # Windows does not remove open files
                self._path.unlink()
            os.close(self._file)
            self._file = None


def _lock(file: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
