# SPDX-License-Identifier: Apache-2.0
"""Explanations of errors that a model raises because its inputs have another type, device or order of dimensions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from simplugins.recording.batch_fields import is_array
from simplugins.recording.batch_inputs import Batch

if TYPE_CHECKING:
    from torch.nn import Module

_EXPLAINED = (RuntimeError, ValueError, TypeError, IndexError, AssertionError, NotImplementedError)
_TYPE = re.compile(r"dtype|scalar type|type \(|bias type|not implemented for '(Byte|Char|Short|Int|Long|Bool)'", re.I)
_HALF = re.compile(r"not implemented for '(Half|BFloat16)'")
_DEVICE = re.compile(r"same device|devices|is on (cpu|cuda|meta)|device type|torch\.cuda\.\w+Tensor", re.I)
_ARGUMENTS = re.compile(r"missing \d+ required positional")


@contextmanager
def explaining_errors(model: Module, batch: Batch, source: Any, *, picked: bool) -> Iterator[None]:
    """Replace an error of the model that its inputs explain by a ValueError that says what to change.

    Parameters
    ----------
    model : torch.nn.Module
    batch : Batch
        The arguments of the model.
    source : object
        The batch that they were read from.
    picked : bool
        Whether the user named the field of the batch that is the input.
    """
    try:
        yield
    except _EXPLAINED as error:
        reasons = list(_reasons(model, batch, str(error)))
        if not picked and isinstance(source, tuple | list) and any(map(is_array, source[1:])):
            reasons.append(
                "only the first element of each batch was passed: name another by input_key, as in input_key=1"
            )
        if not reasons or type(error).__module__.startswith("simplugins"):
            raise
        first_line = str(error).strip().split("\n")[0]
        raise ValueError(
            f"inputs: {'; '.join(reasons)} (the model raised {type(error).__name__}: {first_line})"
        ) from error


def _reasons(model: Module, batch: Batch, message: str) -> Iterator[str]:
    parameters = list(model.parameters())
    devices = {parameter.device for parameter in parameters}
    types = sorted({str(x.dtype).removeprefix("torch.") for x in parameters if x.is_floating_point()})
    for name, tensor in batch.arrays().items():
        dtype = str(tensor.dtype).removeprefix("torch.")
        channels = _channels_last(model, tuple(tensor.shape))
        if channels is not None:
            yield (
                f"{name} has shape {tuple(tensor.shape)} with {channels} channels last, but the convolutions expect "
                f"them in dimension 1: pass {name}.movedim(-1, 1)"
            )
        if "indices" in message and tensor.is_floating_point():
            yield f"{name} is {dtype}, but the model has an embedding, which expects integers such as token ids"
        elif _TYPE.search(message) and not tensor.is_floating_point() and types:
            scale = ", scaled as in its training, such as images.float() / 255" if dtype == "uint8" else ""
            yield f"{name} is {dtype}, but the model's parameters are {' and '.join(types)}: convert it{scale}"
        elif _TYPE.search(message) and types and dtype not in types:
            yield f"{name} is {dtype}, but the model's parameters are {' and '.join(types)}: convert it"
        if _DEVICE.search(message) and devices and tensor.device not in devices:
            listed = ", ".join(sorted(map(str, devices)))
            yield f"{name} is on {tensor.device}, but the model is on {listed}: pass device="
    if _HALF.search(message):
        yield f"Torch cannot run this in {' and '.join(types)} on this device: record model.float(), or use a GPU"
    if _ARGUMENTS.search(message):
        yield "the model has several inputs: pass a mapping of them, whose keys are the names of its parameters"


def _channels_last(model: Module, shape: tuple[int, ...]) -> int | None:
    """Return the number of channels if the last dimension, and not dimension 1, fits the model's first convolution."""
    dimensions = {"Conv1d": 3, "Conv2d": 4, "Conv3d": 5}
    for module in model.modules():
        kind = type(module).__name__
        if kind in dimensions:
            channels = int(module.in_channels)  # type: ignore[arg-type]
            fits = len(shape) == dimensions[kind] and shape[-1] == channels != shape[1]
            return channels if fits else None
    return None
