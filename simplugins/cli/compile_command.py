# SPDX-License-Identifier: Apache-2.0
"""`simplugins compile`: everything that the CPU needs, before the first call."""

from __future__ import annotations

from typing import Annotated

import typer

from simplugins.cli.command_options import Quiet
from simplugins.cli.terminal import one_line_errors, say

_Processes = Annotated[
    int | None, typer.Option(help="Number of parallel processes.", show_default="one per usable core", min=1)
]


@one_line_errors
def compile_all(processes: _Processes = None, quiet: Quiet = False) -> None:
    """Compile everything that computing on a CPU can need, for images of containers and environments of clusters.

    The machine code is kept in the folder NUMBA_CACHE_DIR, or next to the package, or in the user's cache folder.
    """
    from simplugins._common.formatting import human_bytes
    from simplugins.measures.precompilation import precompile

    result = precompile(processes=processes, progress=not quiet)
    say(f"{result.compiled} functions compiled in {result.seconds:.0f} s, {result.loaded} were compiled before")
    say(f"{human_bytes(result.size)} of machine code in:")
    for folder in result.folders:
        say(str(folder))
