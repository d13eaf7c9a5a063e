# SPDX-License-Identifier: Apache-2.0
"""Names of layers, and patterns of names."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from difflib import get_close_matches

_WILDCARDS = {"**.": r"(?:.*\.)?", "**": ".*", "*": r"[^.]*", "?": r"[^.]"}
_MOST_LISTED = 12


def select(names: Collection[str], wanted: str | Sequence[str], *, owner: str) -> dict[str, str | None]:
    """Return the names that are asked for, each with the pattern that it matches, or None if it is asked for itself.

    Parameters
    ----------
    names : collection of str
        Names whose parts are joined by dots.
    wanted : str or sequence of str
        Names, or patterns, in which ``*`` is any part of a name, ``?`` any character of it, and ``**`` any parts, down
        to any depth.
    owner : str
        What has these names, for errors.

    Raises
    ------
    TypeError
        If something asked for is no text.
    ValueError
        If nothing is asked for, or there is no such name, nor any that matches the pattern.

    Examples
    --------
    >>> names = ["stem", "stages.0", "stages.0.conv", "stages.1", "stages.1.conv"]
    >>> select(names, ["stem", "stages.*"], owner="the model")
    {'stem': None, 'stages.0': 'stages.*', 'stages.1': 'stages.*'}
    >>> list(select(names, "**.conv", owner="the model"))
    ['stages.0.conv', 'stages.1.conv']
    """
    asked = [wanted] if isinstance(wanted, str) else list(wanted)
    if not asked or not all(isinstance(name, str) for name in asked):
        kind = ValueError if not asked else TypeError
        raise kind(f"layers: expected names of layers, or patterns of names, got {wanted!r}")
    found: dict[str, str | None] = {}
    for name in asked:
        if name in names:
            found[name] = None
            continue
        expression = _expression(name)
        matches = [known for known in names if expression.fullmatch(known)]
        if not matches:
            raise ValueError(_unknown(name, names, owner))
        for match in matches:
            found.setdefault(match, name)
    return found


def _expression(pattern: str) -> re.Pattern[str]:
    pieces = re.split(r"(\*\*\.|\*\*|\*|\?)", pattern)
    return re.compile("".join(_WILDCARDS.get(piece, re.escape(piece)) for piece in pieces))


def _unknown(name: str, names: Collection[str], owner: str) -> str:
    nearest = ", ".join(get_close_matches(name, names, cutoff=0.5))
    listed = [known for known in names if "." not in known] or list(names)
    more = ", ..." if len(listed) > _MOST_LISTED else ""
    return (
        f"{owner} has no layer {name!r}"
        + (f" (nearest: {nearest})" if nearest else "")
        + f"; it has {', '.join(listed[:_MOST_LISTED])}{more} (in patterns, * is one part of a name, ** any parts)"
    )
