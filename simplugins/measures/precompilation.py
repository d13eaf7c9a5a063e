# SPDX-License-Identifier: Apache-2.0
"""Compilation of everything that the CPU needs, before the first call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simplugins._common.formatting import human_bytes
from simplugins._common.progress import progress_bar
from simplugins._common.threads import check_threads


@dataclass(frozen=True)
class Precompilation:
    """What `precompile` did.

    Attributes
    ----------
    compiled : int
        Number of functions that were compiled, once for each combination of types.
    loaded : int
        Number of those whose machine code was there already.
    folders : tuple of Path
        Where the machine code lies.
    size : int
        Bytes of all machine code in these folders.
    seconds : float
        How long it took.
    """

    compiled: int
    loaded: int
    folders: tuple[Path, ...]
    size: int
    seconds: float

    def __repr__(self) -> str:
        return (
            f"{self.compiled} functions compiled in {self.seconds:.0f} s, {self.loaded} were compiled before; "
            f"{human_bytes(self.size)} in {len(self.folders)} folders"
        )


def precompile(*, processes: int | None = None, progress: bool | str = False) -> Precompilation:
    """Compile everything that computing on a CPU can need, so that no later call has to.

    All matchings, measures and comparisons of simplugins are compiled for float32 and float64, and the machine code is
    kept where calls look for it: in the folder ``NUMBA_CACHE_DIR``, or next to the package, or in the user's cache
    folder. Run it when you build the image of a container or the environment of a cluster. Calls can read
    ``NUMBA_CACHE_DIR`` and the folder of the package even if they are read-only.

    Machine code is valid for one version of simplugins, Numba and Python, and for one kind of CPU. If you build on
    another kind of CPU than you compute on, set ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` to those of the oldest
    one in both places, or run this on each kind.

    Takes a minute or two on one core. More than four processes do not make it faster.

    Parameters
    ----------
    processes : int, optional
        Number of parallel processes; by default one per core that this process may use.
    progress : bool or str
        Show a progress bar on standard error; a string replaces its title.

    Returns
    -------
    Precompilation

    Raises
    ------
    OSError
        If no folder is writable, or not the one that ``NUMBA_CACHE_DIR`` names, or if machine code cannot be saved.
    RuntimeError
        If a call fails.

    Examples
    --------
    >>> import simplugins
    >>> simplugins.precompile()  # doctest: +SKIP
    77 functions compiled in 58 s, 0 were compiled before; 12.7 MB in 4 folders
    """
    from simplugins.measures.compiled_calls import PARTS

    count, start = check_threads(processes), time.perf_counter()
    _check_folder()
    with ThreadPoolExecutor(count) as pool:
        running = [pool.submit(_run, part) for part in PARTS]
        try:
            with progress_bar(as_completed(running), progress, title="compiling", total=len(running)) as finished:
                results = [future.result() for future in finished]
        finally:
            pool.shutdown(cancel_futures=True)
    if failures := _union(results, "failures"):
        raise OSError(f"cannot save machine code: {'; '.join(sorted(failures))}")
    compiled, folders = _union(results, "compiled"), sorted(map(Path, _union(results, "folders")))
    return Precompilation(
        compiled=len(compiled),
        loaded=len(_union(results, "loaded") - compiled),
        folders=tuple(folders),
        size=sum(file.stat().st_size for folder in folders for file in folder.glob("*.nb[ci]")),
        seconds=time.perf_counter() - start,
    )


def _check_folder() -> None:
    """Raise an OSError if machine code cannot be kept, or not where the user wants it."""
    from numba import config

    from simplugins.matching.objective import assignment_values

    wanted, folder = config.CACHE_DIR, assignment_values._cache.cache_path
    if wanted and (folder is None or not Path(folder).is_relative_to(wanted)):
        raise PermissionError(f"NUMBA_CACHE_DIR={wanted!r} is not a writable folder: set it to one that is")
    if folder is None:
        raise PermissionError(
            f"neither {Path(__file__).parents[1]} nor the user's cache folder is writable: set NUMBA_CACHE_DIR to a "
            f"folder that is, also for later calls"
        )


def _run(part: str) -> dict[str, Any]:
    """Make the calls of a part in a new process."""
    code = f"from simplugins.measures.compiled_calls import run; run({part!r})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"compiling {part} failed: {done.stderr.strip() or f'exit status {done.returncode}'}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _union(results: list[dict[str, Any]], key: str) -> set[str]:
    return {entry for result in results for entry in result[key]}
