# SPDX-License-Identifier: Apache-2.0
"""Checks of arguments, and errors that name them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


@contextmanager
def error_prefix(argument: str) -> Iterator[None]:
    """Prefix errors with the argument that they are about."""
    try:
        yield
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{argument}: {error}") from error


def check_count(name: str, value: Any) -> None:
    """Raise a ValueError unless an option is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")


def check_between(name: str, value: Any, low: float, high: float) -> None:
    """Raise a ValueError unless an option is a number above `low` and below `high`."""
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not is_number or not low < value < high:
        raise ValueError(f"{name} must be a number above {low:g} and below {high:g}, got {value!r}")
