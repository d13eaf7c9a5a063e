# SPDX-License-Identifier: Apache-2.0
"""Names and labels as text that terminals, figures and spreadsheets cannot mistake for commands."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import islice

_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Control characters, line separators, direction overrides, invisible characters and lone surrogates."""

_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
"""The beginnings of cells that spreadsheets read as a formula, in ASCII or full width."""


def printable(text: str) -> str:
    r"""Escape the characters that move the cursor, hide text or change its direction.

    Examples
    --------
    >>> print(printable("cat\x1b[31m\ndog"))
    cat\x1b[31m\ndog
    """
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


def spreadsheet_cell(text: str) -> str:
    """Return a text on one line, with a leading apostrophe if spreadsheets would read it as a formula.

    Examples
    --------
    >>> spreadsheet_cell("=1+1"), spreadsheet_cell("layer1")
    ("'=1+1", 'layer1')
    """
    text = printable(text)
    return f"'{text}" if _FORMULA.match(text) else text


def listed(names: Collection[str], separator: str = ", ", *, most: int = 20) -> str:
    """Join the first names, and say how many more there are.

    Examples
    --------
    >>> listed(["a", "b"])
    'a, b'
    >>> listed([str(number) for number in range(1000)], most=3)
    '0, 1, 2 and 997 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return separator.join(islice(names, most)) + more
