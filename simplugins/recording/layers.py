# SPDX-License-Identifier: Apache-2.0
"""Layers by name: as ``model.named_modules()`` calls them, or by patterns of names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.nn import Module

_DIRECT_PARTS = "the direct parts of the model"
_WILDCARDS = {"**.": r"(?:.*\.)?", "**": ".*", "*": r"[^.]*", "?": r"[^.]"}
_MOST_LISTED = 12


@dataclass(frozen=True)
class Layer:
    """A layer that was asked for.

    Attributes
    ----------
    name : str
        What the model calls it, such as ``"features.3.conv"``.
    module : torch.nn.Module
    pattern : str or None
        What it was found by; None if it was asked for by its name.
    """

    name: str
    module: Module
    pattern: str | None


def choose_layers(model: Module, wanted: str | Sequence[str] | None) -> list[Layer]:
    """Find the layers of a model that are asked for.

    Parameters
    ----------
    model : torch.nn.Module
    wanted : str or sequence of str, or None
        Names and patterns (see `select`); None for the direct parts of the model, where a ModuleList or ModuleDict,
        which never runs itself, stands for its parts.

    Returns
    -------
    list of Layer
        In the order asked for. A module that has several names is found once by patterns, and once by each name.

    Raises
    ------
    TypeError, ValueError
        As `select`; and if the model has no layers.
    """
    modules = {name: module for name, module in model.named_modules(remove_duplicate=False) if name}
    if not modules:
        kind = type(model).__name__
        raise ValueError(f"the model ({kind}) has no layers in it: record torch.nn.Sequential(model), whose '0' it is")
    if wanted is None:
        return [Layer(name, modules[name], _DIRECT_PARTS) for name in _direct_parts(model)]
    chosen: dict[str, Layer] = {}
    for name, pattern in select(modules, wanted, owner="the model").items():
        if pattern is None or all(modules[name] is not layer.module for layer in chosen.values()):
            chosen[name] = Layer(name, modules[name], pattern)
    return list(chosen.values())


def _direct_parts(model: Module, prefix: str = "") -> Iterator[str]:
    from torch.nn import ModuleDict, ModuleList

    for name, part in model.named_children():
        if isinstance(part, ModuleList | ModuleDict):
            yield from _direct_parts(part, f"{prefix}{name}.")
        else:
            yield prefix + name


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
