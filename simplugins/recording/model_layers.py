# SPDX-License-Identifier: Apache-2.0
"""Selection of a model's layers by name or pattern."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simplugins.activations.layer_names import select

if TYPE_CHECKING:
    from torch.nn import Module

_CHILDREN = "the children of the model"


@dataclass(frozen=True)
class Layer:
    """A requested layer.

    Attributes
    ----------
    name : str
        Its name in the model, such as ``"features.3.conv"``.
    module : torch.nn.Module
    pattern : str or None
        The pattern that it matches; None if it was requested by name.
    """

    name: str
    module: Module
    pattern: str | None


def choose_layers(model: Module, requested: str | Sequence[str] | None) -> list[Layer]:
    """Return the requested layers of a model.

    Parameters
    ----------
    model : torch.nn.Module
    requested : str or sequence of str, or None
        Names and patterns (see `select`); None for the children of the model, where a ModuleList or ModuleDict, which
        never runs itself, is replaced by its children.

    Returns
    -------
    list of Layer
        In the order requested. A module with several names appears once for all patterns, and once per requested name.

    Raises
    ------
    TypeError, ValueError
        As for `select`; and if the model has no layers.
    """
    modules = {name: module for name, module in model.named_modules(remove_duplicate=False) if name}
    if not modules:
        kind = type(model).__name__
        raise ValueError(f"the model ({kind}) has no layers: pass torch.nn.Sequential(model), in which it is layer '0'")
    if requested is None:
        return [Layer(name, modules[name], _CHILDREN) for name in _children(model)]
    selected: dict[str, Layer] = {}
    for name, pattern in select(modules, requested, owner="the model").items():
        if pattern is None or all(modules[name] is not layer.module for layer in selected.values()):
            selected[name] = Layer(name, modules[name], pattern)
    return list(selected.values())


def _children(model: Module, prefix: str = "") -> Iterator[str]:
    for name, part in model.named_children():
        if is_container(part):
            yield from _children(part, f"{prefix}{name}.")
        else:
            yield prefix + name


def is_container(module: Module) -> bool:
    """Return whether a module only holds others, and never runs itself."""
    from torch.nn import Module, ModuleDict, ModuleList

    return isinstance(module, ModuleList | ModuleDict) and type(module).forward is Module.forward
