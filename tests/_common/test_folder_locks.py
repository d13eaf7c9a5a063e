# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys

import pytest

from simplugins._common.folder_locks import FolderLock

_HOLDER = """
import sys
from pathlib import Path
from simplugins._common.folder_locks import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_is_held_once_and_leaves_no_file(tmp_path):
    lock = FolderLock(tmp_path)
    with pytest.raises(BlockingIOError, match="in use"):
        FolderLock(tmp_path)
    lock.release()
    assert list(tmp_path.iterdir()) == []
    FolderLock(tmp_path).release()


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    command = [sys.executable, "-c", _HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError):
            FolderLock(tmp_path)
        process.kill()
    FolderLock(tmp_path).release()
