# SPDX-License-Identifier: Apache-2.0
"""Copies of models with the weights of a model that has not been trained."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Any, TypeVar

from simplugins._common.optional import import_extra
from simplugins._common.texts import listed

if TYPE_CHECKING:
    from torch.nn import Module, Parameter

    Model = TypeVar("Model", bound=Module)

_RESETS = ("reset_parameters", "_reset_parameters")
"""Methods by which Torch's modules, and by convention others, draw their parameters anew."""


def untrained(model: Model, *, seed: int = 0, reset: Callable[[Module], Any] | None = None) -> Model:
    """Return a copy of a Torch model with random parameters, as a yardstick for its similarity to other models.

    Each module draws its parameters as Torch does by default (``reset_parameters``), children before their parents, and
    forgets running statistics. An architecture's own initialisation, such as the scale of its last layers, is not
    repeated: where it matters, pass a model that you have created without weights instead.

    Parameters
    ----------
    model : torch.nn.Module
        It is not changed. Its parameters are on one device.
    seed : int, default 0
        Seed of the random numbers, which are drawn on the CPU: the same on every device. The state of Torch's
        generators is not changed.
    reset : callable(module), optional
        Called for each module that has parameters of its own but no ``reset_parameters``, such as one with a class
        token; it draws them in place.

    Returns
    -------
    torch.nn.Module
        A copy in the same mode (training or evaluation), on the same device, without gradients.

    Raises
    ------
    TypeError
        If the model is not a module of Torch.
    ValueError
        If parameters have not been drawn anew: the error names them, and the classes of their modules. Also if the
        parameters are on several devices.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8))
    >>> blank = untrained(model)
    >>> bool((blank[0].weight == model[0].weight).any()), blank[1].running_var.tolist() == [1.0] * 8
    (False, True)
    """
    torch = import_extra("torch", extra="torch", purpose="a copy of a model")
    if not hasattr(model, "named_parameters"):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    devices = {parameter.device for parameter in model.parameters()}
    if len(devices) > 1:
        raise ValueError(f"model: expected parameters on one device, got {', '.join(sorted(map(str, devices)))}")
    copy = deepcopy(model).to("cpu")
    copy.zero_grad(set_to_none=True)
    versions = {name: (parameter, parameter._version) for name, parameter in copy.named_parameters()}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for module in reversed([*copy.modules()]):
            _reset(module, reset)
    originals = dict(model.named_parameters())
    unchanged = [
        name
        for name, parameter in copy.named_parameters()
        if name in originals and _is_kept(parameter, *versions[name], originals[name])
    ]
    if unchanged:
        raise ValueError(_message(copy, unchanged))
    for device in devices:
        copy.to(device)
    return copy


def _reset(module: Module, reset: Callable[[Module], Any] | None) -> None:
    """Draw the parameters of one module anew, if it can or `reset` does."""
    method = next((getattr(module, name) for name in _RESETS if callable(getattr(module, name, None))), None)
    if method is not None:
        method()
    elif reset is not None and any(True for _ in module.parameters(recurse=False)):
        reset(module)


def _is_kept(parameter: Parameter, before: Parameter, version: int, original: Parameter) -> bool:
    """Return whether nothing has been written to a parameter."""
    if parameter is not before or parameter._version != version:
        return False
    return bool((parameter.detach() == original.detach().to("cpu")).all())  # writes to .data are not counted


def _message(model: Module, unchanged: list[str]) -> str:
    classes = {name: type(model.get_submodule(name.rpartition(".")[0])).__name__ for name in unchanged}
    parameters = listed([f"{name} ({owner})" for name, owner in classes.items()], most=8)
    return (
        f"model: parameters that no reset_parameters() draws anew: {parameters}. Pass reset=, a function that draws "
        f"those of a module in place, or use a model that was created without weights"
    )
