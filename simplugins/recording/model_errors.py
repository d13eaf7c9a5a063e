# SPDX-License-Identifier: Apache-2.0
"""Explanations of errors that a model raises because of its inputs' type, device or order of dimensions."""

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
_INPUT = re.compile(r"channel|size|shape|height|width|dimension|type|missing", re.I)
_HALF = re.compile(r"not implemented for '(Half|BFloat16)'")
_DEVICE = re.compile(r"same device|devices|is on (cpu|cuda|meta)|device type|torch\.cuda\.\w+Tensor", re.I)
_ARGUMENTS = re.compile(r"missing \d+ required positional")


@contextmanager
def explaining_errors(model: Module, batch: Batch, source: Any, *, picked: bool) -> Iterator[None]:
    """Replace an error that the model's inputs explain with a ValueError that says what to change.

    Parameters
    ----------
    model : torch.nn.Module
    batch : Batch
        The arguments of the model.
    source : object
        The batch from which they were read.
    picked : bool
        Whether the user named the field of the batch that is the input.
    """
    try:
        yield
    except _EXPLAINED as error:
        if _is_ours(error):
            raise
        reasons = list(_reasons(model, batch, str(error)))
        has_more = isinstance(source, tuple | list) and any(map(is_array, source[1:]))
        if has_more and not picked and _INPUT.search(str(error)):
            reasons.append("only the first element of each batch was passed: choose another with input_key=1")
        if not reasons:
            raise
        cause = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        raise ValueError(f"inputs: {'; '.join(reasons)} (the model raised {cause})") from error


def _is_ours(error: Exception) -> bool:
    """Return whether simplugins.recording raised the error, for example in a hook."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    name = "" if traceback is None else traceback.tb_frame.f_globals.get("__name__", "")
    return str(name).startswith("simplugins.recording.") and name != __name__


def _reasons(model: Module, batch: Batch, message: str) -> Iterator[str]:
    parameters = list(model.parameters())
    types = sorted({str(x.dtype).removeprefix("torch.") for x in parameters if x.is_floating_point()})
    devices = {parameter.device for parameter in parameters}
    embeds = any(type(module).__name__ == "Embedding" for module in model.modules())
    for name, tensor in batch.arrays().items():
        channels = _channels_last(model, tuple(tensor.shape))
        if channels is not None and _INPUT.search(message):
            yield (
                f"{name} has shape {tuple(tensor.shape)} with {channels} channels last, but the convolutions expect "
                f"them in dimension 1: pass {name}.movedim(-1, 1)"
            )
        dtype = str(tensor.dtype).removeprefix("torch.")
        yield from _type_reasons(name, dtype, [] if embeds and dtype in ("int32", "int64") else types, message)
        if _DEVICE.search(message) and devices and tensor.device not in devices:
            listed = ", ".join(sorted(map(str, devices)))
            yield f"{name} is on {tensor.device}, but the model is on {listed}: pass device="
    if _HALF.search(message):
        yield f"Torch cannot run this in {' and '.join(types)} on this device: record model.float(), or use a GPU"
    if _ARGUMENTS.search(message):
        yield "the model has several inputs: pass a mapping of them, whose keys are the names of its parameters"


def _type_reasons(name: str, dtype: str, types: list[str], message: str) -> Iterator[str]:
    """Yield reasons why inputs of a type do not fit a model whose parameters have floating-point types."""
    if "'indices'" in message and "Long, Int" in message:
        yield f"{name} is {dtype}, but the model has an embedding, which expects token ids in int64 or int32"
    elif _TYPE.search(message) and types not in ([], [dtype]):
        scale = ", scaled as in its training, such as images.float() / 255" if dtype == "uint8" else ""
        yield f"{name} is {dtype}, but the model's parameters are {' and '.join(types)}: convert it{scale}"


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
