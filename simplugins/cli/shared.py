# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have, and matchings as they are named there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from simplugins.matching.matcher import Matcher

Key = Annotated[str | None, typer.Option(help="Which array, in a file of several.")]
Layout = Annotated[str, typer.Option(help="auto, nd, ntd, nchw or nhwc.")]
DropTokens = Annotated[int, typer.Option(help="Leave out the first so many tokens (1: a class token).", min=0)]
Dtype = Annotated[str | None, typer.Option(help="Compute in float32 or float64.")]
Matching = Annotated[
    str | None, typer.Option(help="A matching in place of the optimal one; `simplugins plugins` lists them.")
]
MatchingOptions = Annotated[
    list[str] | None, typer.Option("-O", "--option", help="An option of the matching, as window=64. May be repeated.")
]
Certify = Annotated[bool, typer.Option("--certify", help="Prove how far each pair may be off the optimum.")]
Threads = Annotated[int | None, typer.Option(help="By default all cores.", min=1)]


def read_matcher(matching: str | None, options: list[str]) -> Matcher | None:
    """Create the matcher that was asked for, if one was; numbers among its options are read as such."""
    from simplugins.matching.options import resolve_matcher

    if matching is None:
        if options:
            raise ValueError("--option goes with --matching, which was not given")
        return None
    given: dict[str, Any] = {}
    for option in options:
        name, equals, text = option.partition("=")
        if not (name.isidentifier() and equals):
            raise ValueError(f"--option: expected NAME=VALUE, as window=64, got {option!r}")
        if name in given:
            raise ValueError(f"--option: {name} was given twice")
        given[name] = _number_or_text(text)
    return resolve_matcher(matching, given)


def _number_or_text(text: str) -> Any:
    import json

    try:
        number = json.loads(text)
    except ValueError:
        return text
    return number if isinstance(number, int | float) else text
