# SPDX-License-Identifier: Apache-2.0
"""The command line: the only package that prints. One file per command, which imports what it needs when it runs.

`command_options` has the options that commands share, `terminal` their tables and errors.
"""

from __future__ import annotations

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


for _command in (rsm, controls, compare, explore, rank, report, show, plugins, demo, estimate):
    app.command()(_command)
app.command(name="compile")(compile_all)
app.command(context_settings={"ignore_unknown_options": True})(resi)
app.add_typer(evaluate, name="evaluate")


if __name__ == "__main__":
    app()
