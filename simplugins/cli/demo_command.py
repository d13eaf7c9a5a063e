# SPDX-License-Identifier: Apache-2.0
"""`simplugins demo`: both kinds of RSM on bundled activations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simplugins.cli.command_options import Force, check_output
from simplugins.cli.terminal import one_line_errors, print_table, say

if TYPE_CHECKING:
    from simplugins.rsm.rsm import RSM


@one_line_errors
def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="A folder for the two figures.")] = Path("simplugins-demo"),
    force: Force = False,
) -> None:
    """Compute both kinds of RSM on bundled activations of a pretrained network, and draw them."""
    from simplugins.cli import tour
    from simplugins.plotting.heatmaps import save_figure

    figures = out / "rsms.png", out / "match.png"
    out.mkdir(exist_ok=True)
    for figure in figures:
        check_output(figure, force=force)
    say("Responses of EfficientNet-Lite0 to 4 overlapping crops of each of 6 photographs.")
    rsms = tour.photo_rsms(progress=True)
    say("How many of each crop's three nearest neighbours are crops of the same photograph, of 72:")
    print_table(["measure", *tour.LAYERS], _hits(rsms))
    say(f"semantic-{tour.KERNELS[0]} is the default measure, and the one that the figures show.")
    say("Mean pooling ignores positions too, without matching them: `simplugins controls` computes more such controls.")
    save_figure(tour.rsms_figure(rsms), figures[0], overwrite=force)
    save_figure(tour.match_figure(tour.match_crops()), figures[1], overwrite=force)
    say(f"figures: {figures[0]} (the RSMs), {figures[1]} (two crops and their matching)")


def _hits(rsms: dict[tuple[str, str], RSM]) -> list[list[str]]:
    from simplugins.cli import tour

    measures = [f"{kind}-{kernel}" for kernel in tour.KERNELS for kind in (*tour.KINDS, tour.CONTROL)]
    return [
        [measure, *(str(tour.neighbour_hits(rsms[layer, measure])) for layer in tour.LAYERS)] for measure in measures
    ]
