# SPDX-License-Identifier: Apache-2.0
"""Output of all commands: lines, tables, and one-line warnings and errors, with control characters escaped."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import typer

P = ParamSpec("P")
R = TypeVar("R")

BAD_INPUT = 2
INTERRUPTED = 130
_PIPED_WIDTH = 240


def one_line_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Print errors that users can fix, and warnings, as one line each on standard error, without a traceback."""

    @wraps(command)
    def run(*arguments: P.args, **options: P.kwargs) -> R:
        from simplugins.plugins import PluginError

        _escape_unencodable()
        try:
            with _one_line_warnings():
                return command(*arguments, **options)
        except BrokenPipeError:
            raise  # the reader of the output has closed it: Click ends the process
        except (ValueError, TypeError, OSError, ImportError, MemoryError, PluginError) as error:
            _complain("error", str(error) or type(error).__name__)
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt as interrupt:
            _complain("interrupted", str(interrupt) or "nothing was written")
            raise typer.Exit(INTERRUPTED) from None

    return run


def say(text: str) -> None:
    """Print one line."""
    from simplugins._common.texts import printable

    typer.echo(printable(text))


def _complain(kind: str, text: str, color: str = "red") -> None:
    from simplugins._common.texts import printable

    typer.secho(f"{kind}: {printable(' '.join(text.split()))}", err=True, fg=color)


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        _complain("warning", str(message), "yellow")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _escape_unencodable() -> None:
    """Let output streams escape characters that their encoding lacks, rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure") and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """Print a table as wide as the terminal, or wide enough for all cells if the output is piped."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from simplugins._common.texts import printable

    table = Table(header_style="bold")
    for name in header:
        table.add_column(Text(printable(name)))
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    Console(width=None if is_terminal else _PIPED_WIDTH).print(table)
