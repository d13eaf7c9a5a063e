# SPDX-License-Identifier: Apache-2.0
"""Checks of arguments, with errors that name the argument."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


@contextmanager
def error_prefix(argument: str) -> Iterator[None]:
    """Prefix the ValueErrors and TypeErrors of the block with an argument's name."""
    try:
        yield
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{argument}: {error}") from error


def check_count(name: str, value: Any) -> None:
    """Raise a ValueError unless `value` is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")


def check_between(name: str, value: Any, low: float, high: float) -> None:
    """Raise a ValueError unless `value` is a number strictly between `low` and `high`."""
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not is_number or not low < value < high:
        raise ValueError(f"{name} must be a number above {low:g} and below {high:g}, got {value!r}")


def check_seed(value: Any) -> None:
    """Raise a ValueError unless `value` is a whole number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise ValueError(f"seed must be a whole number that is not negative, got {value!r}")


def check_megabytes(name: str, value: Any, *, least: float) -> None:
    """Raise a ValueError unless `value` is a finite number of megabytes, at least `least`."""
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not is_number or not least <= value < np.inf:
        raise ValueError(f"{name} must be a number of megabytes, at least {least:g}, got {value!r}")


def check_names(parameter: str, names: Iterable[Any]) -> None:
    """Raise a ValueError if two names, which will be used as texts, are the same text, such as 1 and "1"."""
    texts: dict[str, Any] = {}
    for name in names:
        if str(name) in texts:
            raise ValueError(f"{parameter}: {texts[str(name)]!r} and {name!r} are the same name")
        texts[str(name)] = name
