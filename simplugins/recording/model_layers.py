# SPDX-License-Identifier: Apache-2.0
"""Layers by name: as ``model.named_modules()`` calls them, or by patterns of names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simplugins.activations.layer_names import select

if TYPE_CHECKING:
    from torch.nn import Module

_DIRECT_PARTS = "the direct parts of the model"


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
