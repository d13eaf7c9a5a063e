# SPDX-License-Identifier: Apache-2.0
"""`simplugins plugins` lists plugins; `simplugins resi` runs the benchmark of ReSi with ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from simplugins.cli.terminal import one_line_errors, print_table

if TYPE_CHECKING:
    from simplugins_adapters.contract import Adapter


@one_line_errors
def plugins() -> None:
    """List all installed plugins and their state; the exit code is 1 if one of them is broken."""
    from simplugins.plugins import GROUPS, status

    broken = 0
    for group in GROUPS:
        states = status(group)
        rows = [[s.plugin.name, s.plugin.distribution, s.plugin.target, s.error or s.missing or "ok"] for s in states]
        print_table([group, "distribution", "target", "state"], rows)
        broken += sum(s.error is not None for s in states)
    if broken:
        typer.secho(f"{broken} broken", err=True, fg="red")
        raise typer.Exit(1)


def resi(
    arguments: Annotated[
        list[str],
        typer.Argument(help="Arguments of `python -m repsim.run`, such as -- -c config.yaml.", metavar="ARGUMENT"),
    ],
) -> None:
    """Run ReSi's benchmark with all similarities of networks that are registered here."""
    _available("resi").run(arguments)  # the errors of ReSi keep their tracebacks


@one_line_errors
def _available(tool: str) -> Adapter:
    """Return the adapter of a tool, if the tool is installed."""
    from simplugins_adapters.contract import adapter

    result = adapter(tool)
    if not (availability := result.available()):
        raise ImportError(str(availability))
    return result
