# SPDX-License-Identifier: Apache-2.0
"""The command line: the only package that prints. One file per command, which imports what it needs when it runs.

`command_options` has the options that commands share, `terminal` their tables and errors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from simplugins import __version__
from simplugins.cli.compare_command import compare
from simplugins.cli.compile_command import compile_all
from simplugins.cli.controls_command import controls
from simplugins.cli.demo_command import demo
from simplugins.cli.estimate_command import estimate
from simplugins.cli.evaluate_command import app as evaluate
from simplugins.cli.explore_command import explore
from simplugins.cli.plugins_command import plugins, resi
from simplugins.cli.rank_command import rank
from simplugins.cli.report_command import report
from simplugins.cli.rsm_command import rsm
from simplugins.cli.show_command import show

app = typer.Typer(
    name="simplugins",
    help="Semantic representational similarity: exact, fast, and inside the tools that you already use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Rich takes as long to import as everything else that help needs
    context_settings={"max_content_width": 100},
)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"simplugins {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


_SUMMARIES: dict[Callable[..., None], str] = {
    rsm: "Compute the RSM of activations, by one or several measures.",
    controls: "Compute the semantic RSM next to cheaper controls.",
    compare: "Compare the layers of one or two networks.",
    explore: "Write an HTML page to explore images, matches and layers.",
    rank: "Rank models by the similarity of their RSMs to a target.",
    report: "Write a report on one or two networks as an HTML page.",
    show: "Draw an RSM, and summarise it in the terminal.",
    plugins: "List the installed plugins and their state.",
    demo: "Try both kinds of RSM on bundled activations.",
    estimate: "Estimate the time and memory that an RSM takes.",
}
"""What `simplugins --help` says: one line each in a terminal of 80 columns."""
for _command, _summary in _SUMMARIES.items():
    app.command(short_help=_summary)(_command)
app.command(name="compile", short_help="Compile everything beforehand, as for containers.")(compile_all)
app.command(
    context_settings={"ignore_unknown_options": True},
    short_help="Run ReSi's benchmark with the registered similarities.",
)(resi)
app.add_typer(evaluate, name="evaluate", short_help="Evaluate RSMs by retrieval, or by a network's predictions.")


if __name__ == "__main__":
    app()
