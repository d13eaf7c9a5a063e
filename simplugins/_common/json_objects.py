# SPDX-License-Identifier: Apache-2.0
"""Parses JSON objects from files."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any


def parse_object(text: str | bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Raises
    ------
    ValueError
        If the text is not JSON, not an object, nested too deeply, or has a duplicate key.

    Examples
    --------
    >>> parse_object('{"format": "example"}')
    {'format': 'example'}
    """
    try:
        parsed = json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(parsed, dict):
        raise ValueError(f"expected a JSON object, got {type(parsed).__name__}")
    return parsed


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"key {name!r} appears twice")
    return result
