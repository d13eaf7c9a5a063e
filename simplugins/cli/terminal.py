# SPDX-License-Identifier: Apache-2.0
"""Output of all commands: tables, and errors of one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import typer

P = ParamSpec("P")
R = TypeVar("R")

BAD_INPUT = 2
INTERRUPTED = 130
_PIPED_WIDTH = 240


def one_line_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Print errors that users can fix as one line on standard error, without a traceback."""

    @wraps(command)
    def run(*arguments: P.args, **options: P.kwargs) -> R:
        from simplugins.plugins import PluginError

        try:
            return command(*arguments, **options)
        except (ValueError, TypeError, OSError, ImportError, MemoryError, PluginError) as error:
            text = " ".join(str(error).split()) or type(error).__name__
            typer.secho(f"error: {text}", err=True, fg="red")
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt as interrupt:
            typer.secho(f"interrupted: {str(interrupt) or 'nothing was written'}", err=True, fg="red")
            raise typer.Exit(INTERRUPTED) from None

    return run


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """Print a table as wide as the terminal, or wide enough for all cells if the output is piped."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*map(escape, header), header_style="bold")
    for row in rows:
        table.add_row(*map(escape, row))
    console = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)
    console.print(table)
