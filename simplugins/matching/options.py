# SPDX-License-Identifier: Apache-2.0
"""Matchers by name: found among the plugins, created with their options, and what these are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from simplugins import plugins
from simplugins._common.validation import check_count
from simplugins.matching.matcher import Matcher, kind

GROUP = "simplugins.matchings"


def matcher_options(matcher: Matcher) -> dict[str, Any]:
    """Return the options that a matcher was created with, as numbers and texts by name; none if it is no dataclass."""
    if not dataclasses.is_dataclass(matcher):
        return {}
    options = {field.name: getattr(matcher, field.name) for field in dataclasses.fields(matcher)}
    plain = {name: v.item() if isinstance(v, np.generic) else v for name, v in options.items()}
    return {name: v if isinstance(v, bool | int | float | str | None) else repr(v) for name, v in plain.items()}


def resolve_matcher(matching: str | Matcher, options: Mapping[str, Any] | None = None) -> Matcher:
    """Return the matcher of a name, created with its options, or a matcher as it is.

    Raises
    ------
    ValueError
        If no plugin has that name, or an option has an impossible value.
    TypeError
        If the plugin is no matcher, an option is unknown to it, or options come with a matcher that is already made.
    """
    if isinstance(matching, str):
        matcher = _create(matching, dict(options or {}))
    elif not isinstance(matching, Matcher):
        raise TypeError(f"matching must be a name or a Matcher, got {kind(matching)}")
    elif options:
        raise TypeError(f"options {sorted(options)} come with a matcher that is already made: {matching}")
    else:
        matcher = matching
    if not isinstance(getattr(matcher, "name", None), str):
        raise TypeError(f"{kind(matcher)} has no name: a matcher says what it is called, as name: ClassVar[str] = ...")
    if matcher.window is not None:
        check_count("window", matcher.window)
    return matcher


def _create(name: str, options: dict[str, Any]) -> Matcher:
    plugin = plugins.load(GROUP, name)
    if not (isinstance(plugin, type) and issubclass(plugin, Matcher)):
        raise TypeError(f"matching {name!r}: expected the plugin to be a subclass of Matcher, got {kind(plugin)}")
    try:
        return plugin(**options)
    except TypeError as error:
        taken = [f.name for f in dataclasses.fields(plugin) if f.init] if dataclasses.is_dataclass(plugin) else None
        unknown = sorted(options if taken is None else options.keys() - taken)
        if not unknown:
            raise TypeError(f"matching {name!r} could not be created: {error}") from error
        raise TypeError(
            f"unknown options {unknown}: they are none of this call's, and matching {name!r} "
            + (f"does not take them: {error}" if taken is None else f"takes {', '.join(taken) or 'no options'}")
        ) from error
