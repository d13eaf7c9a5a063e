# SPDX-License-Identifier: Apache-2.0
"""The memory of this machine, and checks of declared sizes against it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from simplugins._common.formatting import human_bytes

_GROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@cache
def physical_memory() -> int:
    """Return the bytes of memory of this machine, or of its container if that has less."""
    sizes = [sys.maxsize]
    with suppress(AttributeError, ValueError, OSError):  # not on Windows
        sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _GROUP_LIMITS:
        with suppress(OSError, ValueError):
            sizes.append(int(Path(path).read_text(encoding="ascii")))
    return min(sizes)


def check_fits(size: int, content: str) -> None:
    """Raise a ValueError if the size that a file declares exceeds the memory of this machine.

    Parameters
    ----------
    size : int
        In bytes.
    content : str
        What declares this size, for the error.
    """
    if size > physical_memory():
        declared, memory = (human_bytes(count) for count in (size, physical_memory()))
        raise ValueError(f"{content} declares {declared}, more than the {memory} of memory of this machine")
