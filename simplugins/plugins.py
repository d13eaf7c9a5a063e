# SPDX-License-Identifier: Apache-2.0
"""Measures, matchings and other parts that any installed distribution may add: list them, load them.

A plugin is an entry point, declared in the pyproject.toml of the distribution that brings it::

    [project.entry-points."simplugins.measures"]
    my-measure = "my_package.my_module:my_measure"

Once that distribution is installed, ``my-measure`` is a name like our own, which come in by the same way.
`GROUPS` says which groups there are. Entry points are read with `importlib.metadata`, the standard-library
successor of the ``entrypoints`` package.

A plugin that cannot be imported never hides the others: `status` shows it with its error, `load` raises that
error as a `PluginError`.
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

T = TypeVar("T")

GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "simplugins.measures": "measures: activations to RSM",
        "simplugins.matchings": "matchings: affinities to an assignment",
        "simplugins.comparisons": "comparisons: two RSMs to a number",
        "simplugins.similarities": "similarities: activations of two networks to a number",
        ADAPTERS: "adapters: RSMs, comparisons and similarities to other tools, and back",
    }
)
"""The entry-point groups that simplugins reads, and what a plugin of each is. Read-only."""


class PluginError(RuntimeError):
    """A plugin that is installed but cannot be used: its import fails, or its name is taken twice."""


@dataclass(frozen=True)
class Plugin:
    """One registered plugin, not imported.

    Attributes
    ----------
    group : str
        Its entry-point group, a key of `GROUPS`.
    name : str
        The name that users give.
    target : str
        What it names, such as ``"package.module:object"``.
    distribution : str
        Name and version of the distribution that registers it, such as ``"simplugins 0.1.0"``.
    """

    group: str
    name: str
    target: str
    distribution: str


@dataclass(frozen=True)
class PluginStatus:
    """Whether one plugin can be loaded.

    Attributes
    ----------
    plugin : Plugin
        The plugin.
    error : str or None
        Why it cannot be loaded; None if it can.
    missing : str or None
        What has to be installed before it can be used, of an adapter whose tool is not there; None of all others.
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
        Sorted by name. A name that several distributions register appears once for each of them.

    Raises
    ------
    ValueError
        If there is no such group.

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
        What the plugin's target names.

    Raises
    ------
    ValueError
        If there is no such group, or no plugin of that name in it.
    PluginError
        If several distributions register that name, or if the import fails; the cause is chained.

    Examples
    --------
    >>> callable(load("simplugins.measures", "semantic-cosine"))
    True
    """
    plugins = available(group)
    found = [plugin for plugin in plugins if plugin.name == name]
    if not found:
        raise _unknown(group, "plugin", name, (plugin.name for plugin in plugins))
    if len(found) > 1:
        sources = " and ".join(f"{plugin.distribution} ({plugin.target})" for plugin in found)
        raise PluginError(f"{group} has {len(found)} plugins named {name!r}: {sources}; uninstall all but one")
    return _import(found[0])


def status(group: str) -> list[PluginStatus]:
    """Try to load every plugin of a group.

    Parameters
    ----------
    group : str
        Entry-point group, a key of `GROUPS`.

    Returns
    -------
    list of PluginStatus
        In the order of `available`, each plugin with the text of the error that `load` raises for it, if any; of
        adapters also what their `available` says is missing.

    Raises
    ------
    ValueError
        If there is no such group.
    """
    return [_status(plugin) for plugin in available(group)]


_caches: list[Any] = []


def cached(function: Callable[[str], T]) -> Callable[[str], T]:
    """Cache a function of a plugin's name until `refresh`."""
    wrapper = cache(function)
    _caches.append(wrapper)
    return wrapper


def refresh() -> None:
    """Forget what was found, so that distributions installed or removed since are noticed.

    Needed only within a running process: each process reads a group once, when it is first asked for.
    """
    importlib.invalidate_caches()
    _scan.cache_clear()
    for function in _caches:
        function.cache_clear()


@cache
def _scan(group: str) -> tuple[Plugin, ...]:
    found = {_plugin(entry) for entry in entry_points(group=group)}
    return tuple(sorted(found, key=attrgetter("name", "distribution", "target")))


def _plugin(entry: EntryPoint) -> Plugin:
    source = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown distribution"
    return Plugin(entry.group, entry.name, entry.value, source)


def _import(plugin: Plugin) -> Any:
    try:
        return EntryPoint(plugin.name, plugin.target, plugin.group).load()
    except Exception as error:
        raise PluginError(
            f"plugin {plugin.name!r} of {plugin.group} ({plugin.target}, from {plugin.distribution}) "
            f"could not be loaded: {type(error).__name__}: {error}"
        ) from error


def _status(plugin: Plugin) -> PluginStatus:
    try:
        loaded = load(plugin.group, plugin.name)
    except PluginError as error:
        return PluginStatus(plugin, str(error))
    if plugin.group != ADAPTERS:
        return PluginStatus(plugin, None)
    try:
        return PluginStatus(plugin, None, loaded.available().reason)
    except Exception as error:  # what looks into the tool is the plugin's own
        return PluginStatus(plugin, f"{plugin.distribution} cannot tell: {type(error).__name__}: {error}")


def _unknown(owner: str, kind: str, asked: str, known: Iterable[str]) -> ValueError:
    names = list(dict.fromkeys(known))
    nearest = ", ".join(get_close_matches(str(asked).lower(), names, cutoff=0.5))
    hint = f" (nearest: {nearest})" if nearest else ""
    return ValueError(f"{owner} has no {kind} {asked!r}{hint}; available: {', '.join(names) or 'none'}")
