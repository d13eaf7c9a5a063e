# SPDX-License-Identifier: Apache-2.0
"""What a run may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from simplugins._common.threads import check_threads
from simplugins.compute.executors.dask_cluster import connected
from simplugins.compute.memory import parse_memory, resident


@dataclass(frozen=True)
class Resources:
    """What a run may use: threads and memory of this process, or a cluster.

    Attributes
    ----------
    threads : int or None
        By default as many as there are cores that this process may use; of a task on a cluster, 1.
    memory : int, str or None
        The most that this process may take.
    scheduler : dask.distributed.Client, str or None
        Who computes, if not this process.

    Raises
    ------
    ValueError
        If memory or threads are no such amounts, or memory is given for a cluster.
    """

    threads: int | None = None
    memory: int | str | None = None
    scheduler: Any = None

    def __post_init__(self) -> None:
        check_threads(self.threads)
        if self.memory is not None:
            parse_memory(self.memory)
            if self.scheduler is not None:
                raise ValueError(
                    "memory= is a limit for this process; with scheduler= workers compute, and Dask's memory_limit is "
                    "for them"
                )

    def check(self) -> None:
        """Check, before any work, that the cluster answers; it raises as `simplugins.compute.executors.dask_cluster.connected`."""
        if self.scheduler is not None:
            with connected(self.scheduler):
                pass

    @property
    def are_given(self) -> bool:
        """Whether there is a limit to keep to, or a cluster to use."""
        return self.memory is not None or self.scheduler is not None

    def room(self) -> int | None:
        """Return how much memory is left of the limit, if there is one."""
        return None if self.memory is None else parse_memory(self.memory) - resident()
