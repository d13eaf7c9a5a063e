# SPDX-License-Identifier: Apache-2.0
"""`simplugins show`: the figure and the summary of a saved RSM."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simplugins.cli.command_options import Force, check_output
from simplugins.cli.terminal import one_line_errors, print_table, say


@one_line_errors
def show(
    path: Annotated[Path, typer.Argument(help="An RSM that simplugins saved.", metavar="RSM")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The figure.", show_default="next to the RSM, ending in .png")
    ] = None,
    force: Force = False,
) -> None:
    """Draw an RSM, and summarise it in the terminal."""
    from simplugins.plotting.heatmaps import check_format, rsm_figure, save_figure
    from simplugins.rsm.archive import load_rsm

    rsm = load_rsm(path)
    figure = path.with_suffix(".png") if out is None else out
    check_output(figure, force=force)
    check_format(figure)
    print_table(["", str(path)], [[name, text] for name, text in rsm.summary().items()])
    save_figure(rsm_figure(rsm), figure, overwrite=force)
    say(f"figure: {figure}")
