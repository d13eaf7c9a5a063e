# SPDX-License-Identifier: Apache-2.0
"""Resources that a job may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from simplugins._common.threads import check_threads
from simplugins._common.validation import check_count
from simplugins.compute.memory import parse_memory, resident


@dataclass(frozen=True)
class Resources:
    """Threads and memory of this process, or a cluster.

    Attributes
    ----------
    threads : int or None
        By default one per core that this process may use; 1 for a task on a cluster.
    memory : int, str or None
        Limit of this process's memory.
    scheduler : dask.distributed.Client, str or None
        The cluster that computes; None for this process.
    tile_size : int or None
        Inputs on each side of a tile; by default chosen from the size of the inputs, the memory and the cluster.

    Raises
    ------
    ValueError
        If memory or threads are not such amounts, or memory is given for a cluster.
    """

    threads: int | None = None
    memory: int | str | None = None
    scheduler: Any = None
    tile_size: int | None = None

    def __post_init__(self) -> None:
        if self.threads is not None:
            check_threads(self.threads)
        if self.tile_size is not None:
            check_count("tile_size", self.tile_size)
        if self.memory is not None:
            parse_memory(self.memory)
            if self.scheduler is not None:
                raise ValueError(
                    "memory= limits this process, but with scheduler= the workers compute: set Dask's memory_limit"
                )

    def room(self) -> int | None:
        """Return the memory left under the limit, if there is one."""
        return None if self.memory is None else parse_memory(self.memory) - resident()
