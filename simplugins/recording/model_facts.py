# SPDX-License-Identifier: Apache-2.0
"""Device, floating-point type and wrappers of a model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch.nn import Module


_PREFIX = "module."


def unwrapped(model: Any) -> Any:
    """Return the model in a DataParallel or DistributedDataParallel; other objects unchanged.

    Replicas on several GPUs would run the same layer concurrently, each on part of the batch.
    """
    from torch.nn import DataParallel
    from torch.nn.parallel import DistributedDataParallel

    while isinstance(model, DataParallel | DistributedDataParallel):
        model = model.module
    return model


def named_model(model: Module, layers: str | Sequence[str] | None) -> Module:
    """Return the model in which layers are named: the wrapper if all names have its prefix, else the wrapped model."""
    inner: Module = unwrapped(model)
    if inner is model or layers is None or hasattr(inner, "module"):
        return inner
    names = [layers] if isinstance(layers, str) else layers
    return model if all(str(name).startswith(_PREFIX) for name in names) else inner


def input_device(model: Module, device: Any, *, is_called: bool) -> torch.device | None:
    """Return the device that inputs are moved to; None to leave them where they are.

    Parameters
    ----------
    model : torch.nn.Module
    device : torch.device, str or None
        The user's choice; by default that of the first parameter.
    is_called : bool
        Whether the model itself is called, and so must be on that device.

    Raises
    ------
    ValueError
        If the whole model is on another device, or weights are on the meta device.
    """
    import torch

    tensors = list(chain(model.parameters(), model.buffers()))
    if is_called and any(tensor.is_meta for tensor in tensors) and not _is_dispatched(model):
        raise ValueError(
            "model: its weights are on the meta device, without values: move it by model.to_empty(device='cpu') and "
            "load its weights"
        )
    if device is None:
        if _is_dispatched(model):
            return None  # Accelerate moves them to the part of the model that needs them
        return tensors[0].device if tensors else torch.device("cpu")
    chosen = torch.device(device)
    devices = {tensor.device for tensor in model.parameters()}
    if is_called and len(devices) == 1 and not any(_same(chosen, each) for each in devices):
        (actual,) = devices
        raise ValueError(
            f"device: the model is on {actual}, not on {chosen}: move it there first, by model.to({device!r})"
        )
    return chosen


def _is_dispatched(model: Module) -> bool:
    """Return whether Accelerate loads weights and moves inputs to where they are needed."""
    return hasattr(model, "hf_device_map") or hasattr(model, "_hf_hook")


def _same(one: torch.device, two: torch.device) -> bool:
    return one.type == two.type and (one.index is None or two.index is None or one.index == two.index)


def float_type(model: Module) -> torch.dtype | None:
    """Return the floating-point type of a model's parameters; None if there is none, or more than one."""
    import torch

    types = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
    usual = types <= {torch.float16, torch.bfloat16, torch.float32, torch.float64}
    return types.pop() if usual and len(types) == 1 else None
