# SPDX-License-Identifier: Apache-2.0
"""Matchings as they are named on the command line, with their options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simplugins.matching.contract import Matcher


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
    return resolve_matcher(matching, **given)


def _number_or_text(text: str) -> Any:
    import json

    try:
        number = json.loads(text)
    except ValueError:
        return text
    return number if isinstance(number, int | float) else text
