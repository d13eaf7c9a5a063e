# SPDX-License-Identifier: Apache-2.0
"""Selection of layers by name or pattern."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from difflib import get_close_matches

from simplugins._common.texts import listed

_WILDCARDS = {"**.": r"(?:.*\.)?", "**": ".*", "*": r"[^.]*", "?": r"[^.]"}
_MOST_LISTED = 12


def select(names: Collection[str], requested: str | Sequence[str], *, owner: str) -> dict[str, str | None]:
    """Return the requested names, each with the pattern that it matches, or None if it was requested by name.

    Parameters
    ----------
    names : collection of str
        Names whose parts are joined by dots.
    requested : str or sequence of str
        Names, or patterns in which ``*`` matches any one part of a name, ``?`` any character of a part, and ``**``
        any number of parts.
    owner : str
        The object that has these layers, for error messages.

    Raises
    ------
    TypeError
        If a requested name is not a string.
    ValueError
        If no name is requested, or a name or pattern matches none.

    Examples
    --------
    >>> names = ["stem", "stages.0", "stages.0.conv", "stages.1", "stages.1.conv"]
    >>> select(names, ["stem", "stages.*"], owner="the model")
    {'stem': None, 'stages.0': 'stages.*', 'stages.1': 'stages.*'}
    >>> list(select(names, "**.conv", owner="the model"))
    ['stages.0.conv', 'stages.1.conv']
    """
    patterns = [requested] if isinstance(requested, str) else list(requested)
    if not patterns or not all(isinstance(pattern, str) for pattern in patterns):
        error = TypeError if patterns else ValueError
        raise error(f"layers: expected names of layers, or patterns of names, got {requested!r}")
    selected: dict[str, str | None] = {}
    for pattern in patterns:
        if pattern in names:
            selected[pattern] = None
            continue
        expression = _expression(pattern)
        matches = [name for name in names if expression.fullmatch(name)]
        if not matches:
            raise ValueError(_unknown(pattern, names, owner))
        for name in matches:
            selected.setdefault(name, pattern)
    return selected


def _expression(pattern: str) -> re.Pattern[str]:
    pieces = re.split(r"(\*\*\.|\*\*|\*|\?)", pattern)
    return re.compile("".join(_WILDCARDS.get(piece, re.escape(piece)) for piece in pieces))


def _unknown(pattern: str, names: Collection[str], owner: str) -> str:
    nearest = ", ".join(get_close_matches(pattern, names, cutoff=0.5))
    top = [name for name in names if "." not in name] or names
    return (
        f"{owner} has no layer {pattern!r}"
        + (f" (nearest: {nearest})" if nearest else "")
        + f"; it has {listed(top, most=_MOST_LISTED)} "
        + "(in patterns, * matches one part of a name, ** any number of parts)"
    )
