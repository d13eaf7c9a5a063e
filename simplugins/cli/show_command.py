# SPDX-License-Identifier: Apache-2.0
"""`simplugins show`: the figure and the summary of a saved RSM."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simplugins.cli.command_options import Force, check_figure
from simplugins.cli.terminal import one_line_errors, print_table, say


@one_line_errors
def show(
    path: Annotated[Path, typer.Argument(help="An RSM that simplugins saved.", metavar="RSM")],
    figure: Annotated[
        Path | None, typer.Option(help="The figure (.png, .pdf …).", show_default="next to the RSM, ending in .png")
    ] = None,
    force: Force = False,
) -> None:
    """Draw an RSM, and summarise it in the terminal."""
    from simplugins.plotting.heatmaps import rsm_figure, save_figure
    from simplugins.rsm.archive import load_rsm

    rsm = load_rsm(path)
    figure = path.with_suffix(".png") if figure is None else figure
    check_figure(figure, force=force)
    print_table(["", str(path)], [[name, text] for name, text in rsm.summary().items()])
    save_figure(rsm_figure(rsm), figure, overwrite=force)
    say(f"written: {figure}")
