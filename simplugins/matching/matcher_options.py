# SPDX-License-Identifier: Apache-2.0
"""Creation of matchers by name, and their options."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np

from simplugins import plugins
from simplugins._common.plugin_objects import settings_of
from simplugins._common.validation import check_count
from simplugins.matching.matcher import Matcher, type_name

GROUP = "simplugins.matchings"


def matcher_options(matcher: Matcher) -> dict[str, Any]:
    """Return a matcher's options by name, as numbers, strings, booleans or None: its fields, or its attributes."""
    plain = {name: v.item() if isinstance(v, np.generic) else v for name, v in settings_of(matcher).items()}
    return {name: v if isinstance(v, bool | int | float | str | None) else repr(v) for name, v in plain.items()}


def resolve_matcher(matching: str | Matcher | type[Matcher], options: Mapping[str, Any] | None = None) -> Matcher:
    """Return the matcher specified by a name, class or instance.

    Parameters
    ----------
    matching : str, Matcher or subclass of Matcher
        The name of a plugin of the group ``simplugins.matchings``, a matcher, or a class, which is instantiated.
    options : mapping, optional
        Options of a matcher given by name or class; omitted ones have their defaults.

    Returns
    -------
    Matcher

    Raises
    ------
    ValueError
        If no plugin has that name, or the value of an option is not allowed.
    TypeError
        If the plugin is not a matcher, the matcher has no such option, or options are passed with an instance.

    Examples
    --------
    >>> resolve_matcher("batch-optimal", {"window": 64})
    BatchOptimal(window=64)
    """
    options = dict(options or {})
    if isinstance(matching, str):
        matcher = _create(plugins.load(GROUP, matching), matching, options)
    elif isinstance(matching, type) and issubclass(matching, Matcher):
        matcher = _create(matching, getattr(matching, "name", matching.__name__), options)
    elif not isinstance(matching, Matcher):
        raise TypeError(
            f"matching: expected a name or a Matcher, a class with a method match, got {type_name(matching)}"
        )
    elif options:
        raise TypeError(
            f"options {sorted(options)} cannot be applied to the matcher instance {matching}: pass them to its "
            f"constructor, or give the matching by name"
        )
    else:
        matcher = matching
    if not isinstance(getattr(matcher, "name", None), str):
        raise TypeError(
            f"{type_name(matcher)} has no name: a matcher needs a class attribute `name: ClassVar[str] = ...`"
        )
    if matcher.window is not None:
        check_count("window", matcher.window)
    return matcher


def _create(plugin: Any, name: str, options: dict[str, Any]) -> Matcher:
    if not (isinstance(plugin, type) and issubclass(plugin, Matcher)):
        raise TypeError(f"matching {name!r}: expected the plugin to be a subclass of Matcher, got {type_name(plugin)}")
    parameters = inspect.signature(plugin).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        for option in options:
            if option not in parameters:
                nearest = "".join(f" (nearest: {other})" for other in get_close_matches(str(option), parameters, n=1))
                known = f"its options are {', '.join(parameters)}" if parameters else "it takes no options"
                raise TypeError(f"matching {name!r} has no option {option!r}{nearest}; {known}")
    try:
        return plugin(**options)
    except TypeError as error:
        raise TypeError(f"matching {name!r} could not be created: {error}") from error
