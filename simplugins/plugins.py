# SPDX-License-Identifier: Apache-2.0
"""Plugins: measures, matchings, comparisons, similarities and adapters that installed packages register.

A plugin is an entry point in the pyproject.toml of the distribution that provides it::

    [project.entry-points."simplugins.measures"]
    my-measure = "my_package.my_module:my_measure"

Once that distribution is installed, ``my-measure`` can be used by name. The built-in plugins are registered in the same
way. `GROUPS` lists the entry-point groups, which are read with `importlib.metadata`.

A plugin that fails to import does not affect the others: `status` lists it with its error, and `load` raises a
`PluginError`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from operator import attrgetter
from types import MappingProxyType
from typing import Any, TypeVar

__all__ = ["GROUPS", "Plugin", "PluginError", "PluginStatus", "available", "load", "refresh", "status"]

ADAPTERS = "simplugins.adapters"
NEUTRAL = "representational_similarity.measures"
"""A group that belongs to no suite; docs/neutral-measures.md specifies it."""

T = TypeVar("T")

GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "simplugins.measures": "measures: activations to RSM",
        "simplugins.matchings": "matchings: affinities to an assignment",
        "simplugins.comparisons": "comparisons: two RSMs to a number",
        "simplugins.similarities": "similarities: activations of two networks to a number",
        NEUTRAL: "measures of any suite: responses of two networks to a number",
        ADAPTERS: "adapters: RSMs, comparisons and similarities to other tools, and back",
    }
)
"""Description of the plugins in each entry-point group that simplugins reads. Read-only."""


class PluginError(RuntimeError):
    """An installed plugin cannot be used: its import fails, or two distributions register its name."""


@dataclass(frozen=True)
class Plugin:
    """An installed plugin, which need not have been imported.

    Attributes
    ----------
    group : str
        Its entry-point group, a key of `GROUPS`.
    name : str
        The name by which users select it.
    target : str
        The object to import, such as ``"package.module:object"``.
    distribution : str
        Name and version of the distribution that registers it, such as ``"simplugins 0.1.0"``.
    """

    group: str
    name: str
    target: str
    distribution: str


@dataclass(frozen=True)
class PluginStatus:
    """Whether a plugin can be used.

    Attributes
    ----------
    plugin : Plugin
        The plugin.
    error : str or None
        Why it cannot be loaded, or why an adapter could not check for its tool; None if there was no error.
    missing : str or None
        For an adapter whose tool cannot be used here: the reason, and what to install. None otherwise.
    """

    plugin: Plugin
    error: str | None
    missing: str | None = None


def available(group: str) -> list[Plugin]:
    """List the plugins of a group without importing any of them.

    Parameters
    ----------
    group : str
        Entry-point group, a key of `GROUPS`.

    Returns
    -------
    list of Plugin
        Sorted by name. A name that several distributions register appears once per distribution.

    Raises
    ------
    ValueError
        If the group does not exist.

    Examples
    --------
    >>> "semantic-cosine" in {plugin.name for plugin in available("simplugins.measures")}
    True
    """
    if group not in GROUPS:
        raise _unknown("simplugins", "plugin group", group, GROUPS)
    return list(_scan(group))


def adapter(tool: Any) -> Any:
    """Return the adapter of a tool by its name, or as it is.

    Raises
    ------
    ValueError
        If no plugin has that name; the error suggests the nearest names.
    TypeError
        If it is not an adapter.
    """
    plugin = load(ADAPTERS, tool) if isinstance(tool, str) else tool
    if not callable(getattr(plugin, "to", None)) or isinstance(plugin, type):
        raise TypeError(f"tool must be the name of an adapter or a simplugins.Adapter, got {plugin!r}")
    return plugin


def load(group: str, name: str) -> Any:
    """Import a plugin.

    Parameters
    ----------
    group : str
        Entry-point group, a key of `GROUPS`.
    name : str
        Name of the plugin in that group.

    Returns
    -------
    object
        The plugin's target.

    Raises
    ------
    ValueError
        If the group does not exist, or has no plugin of that name.
    PluginError
        If several distributions register that name, or the import fails; the cause is chained.

    Examples
    --------
    >>> callable(load("simplugins.measures", "semantic-cosine"))
    True
    """
    plugins = available(group)
    matches = [plugin for plugin in plugins if plugin.name == name]
    if not matches:
        raise _unknown(group, "plugin", name, (plugin.name for plugin in plugins), _elsewhere(group, name))
    if len(matches) > 1:
        sources = " and ".join(f"{plugin.distribution} ({plugin.target})" for plugin in matches)
        raise PluginError(f"{group} has {len(matches)} plugins named {name!r}: {sources}; uninstall all but one")
    return _import(matches[0])


def status(group: str) -> list[PluginStatus]:
    """Try to load every plugin of a group.

    Parameters
    ----------
    group : str
        Entry-point group, a key of `GROUPS`.

    Returns
    -------
    list of PluginStatus
        One per plugin, in the order of `available`.

    Raises
    ------
    ValueError
        If the group does not exist.
    """
    return [_status(plugin) for plugin in available(group)]


_caches: list[Any] = []


def cached(function: Callable[[str], T]) -> Callable[[str], T]:
    """Cache the results of a function of a plugin's name; `refresh` clears them."""
    wrapper = cache(function)
    _caches.append(wrapper)
    return wrapper


def refresh() -> None:
    """Clear all caches, so that distributions installed or removed during this process are noticed.

    Each group is read once per process, on first use.
    """
    importlib.invalidate_caches()
    _scan.cache_clear()
    for function in _caches:
        function.cache_clear()


@cache
def _scan(group: str) -> tuple[Plugin, ...]:
    plugins = {_plugin(entry) for entry in entry_points(group=group)}
    return tuple(sorted(plugins, key=attrgetter("name", "distribution", "target")))


def _plugin(entry: EntryPoint) -> Plugin:
    source = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown distribution"
    return Plugin(entry.group, entry.name, entry.value, source)


def _import(plugin: Plugin) -> Any:
    try:
        return EntryPoint(plugin.name, plugin.target, plugin.group).load()
    except (Exception, SystemExit) as error:  # a module that ends the program is as broken as one that raises
        raise PluginError(
            f"plugin {plugin.name!r} of {plugin.group} ({plugin.target}, from {plugin.distribution}) "
            f"could not be loaded: {type(error).__name__}: {error}"
        ) from error


def _status(plugin: Plugin) -> PluginStatus:
    try:
        target = load(plugin.group, plugin.name)
    except PluginError as error:
        return PluginStatus(plugin, str(error))
    if plugin.group != ADAPTERS:
        return PluginStatus(plugin, None)
    try:
        return PluginStatus(plugin, None, target.available().reason)
    except Exception as error:  # an adapter's check is the plugin's code, which can raise anything
        return PluginStatus(
            plugin,
            f"adapter {plugin.name!r} ({plugin.target}, from {plugin.distribution}) could not look for its "
            f"tool: {type(error).__name__}: {error}",
        )


def _elsewhere(group: str, name: str) -> str:
    """Return which other groups have a plugin of that name, and what these plugins are."""
    others = [other for other in GROUPS if other != group and any(plugin.name == name for plugin in _scan(other))]
    return "; ".join(f"it is a plugin of {other} ({GROUPS[other]})" for other in others)


def _unknown(owner: str, kind: str, name: str, known: Iterable[str], hint: str = "") -> ValueError:
    names = list(dict.fromkeys(known))
    nearest = ", ".join(get_close_matches(str(name).lower(), names, cutoff=0.5))
    hint = f": {hint}" if hint else f" (nearest: {nearest})" if nearest else ""
    return ValueError(f"{owner} has no {kind} {name!r}{hint}; available: {', '.join(names) or 'none'}")
