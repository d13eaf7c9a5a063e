# SPDX-License-Identifier: Apache-2.0
"""Axes of channels and inputs that modules declare for their own outputs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.nn import Module

_CHANNEL_ATTRIBUTES = (
    "out_channels",
    "out_features",
    "num_features",
    "num_channels",
    "embedding_dim",
    "embed_dim",
    "hidden_size",
)
_MAPS = {
    "MaxPool",
    "AvgPool",
    "AdaptiveMaxPool",
    "AdaptiveAvgPool",
    "LPPool",
    "FractionalMaxPool",
    "MaxUnpool",
    "ReflectionPad",
    "ReplicationPad",
    "CircularPad",
    "Upsample",
    "UpsamplingBilinear",
    "UpsamplingNearest",
    "PixelShuffle",
    "PixelUnshuffle",
    "LocalResponseNorm",
}
"""Torch modules (names without the number of dimensions) that take maps with channels at axis 1."""


@dataclass(frozen=True)
class Declaration:
    """The axes that a module declares for its output.

    Attributes
    ----------
    channels : int
        The axis of channels.
    size : int or None
        Number of channels, if declared.
    inputs : int or None
        The axis of inputs, if declared.
    """

    channels: int
    size: int | None = None
    inputs: int | None = None


def declaration(module: Module, dimensions: int) -> Declaration | None:
    """Return what a module declares for an output with this number of dimensions; None if nothing.

    Only modules that run Torch's own code and timm's ``output_fmt`` are trusted, because a subclass that defines
    `forward`, such as a LayerNorm for maps, may differ.
    """
    if (stated := _output_format(module, dimensions)) is not None:
        return stated
    if not _runs_torch_code(module):
        return None
    return _of_maps(module, dimensions) or _of_channels_last(module, dimensions) or _of_sequences(module, dimensions)


def _runs_torch_code(module: Module) -> bool:
    forward = vars(module).get("forward", type(module).forward)
    return str(getattr(forward, "__module__", "")).startswith("torch.nn.")


def _output_format(module: Module, dimensions: int) -> Declaration | None:
    text = getattr(module, "output_fmt", None)
    text = str(getattr(text, "value", text) or "").upper()
    is_format = sorted(text) in (sorted("NCHW"), sorted("NLC")) and len(text) == dimensions
    return Declaration(text.index("C"), inputs=text.index("N")) if is_format else None


def _of_maps(module: Module, dimensions: int) -> Declaration | None:
    from torch import nn

    if isinstance(module, nn.modules.conv._ConvNd):
        rank, size = len(module.kernel_size), module.out_channels
        return Declaration(1, size, 0) if dimensions == rank + 2 else Declaration(0, size)
    if isinstance(module, nn.modules.batchnorm._NormBase):
        is_batch = isinstance(module, nn.BatchNorm1d) or dimensions >= _rank(module, "Norm") + 2
        return Declaration(1, module.num_features, 0) if is_batch else None
    if isinstance(module, nn.GroupNorm):
        return Declaration(1, module.num_channels, 0)
    if isinstance(module, nn.PReLU) and module.num_parameters > 1:
        return Declaration(1, module.num_parameters)
    base = re.sub("[123]d$", "", type(module).__name__)
    if base not in _MAPS:
        return None
    rank = _rank(module, base)
    return Declaration(1, inputs=0) if dimensions == rank + 2 or (not rank and dimensions > 2) else None


def _rank(module: Module, base: str) -> int:
    """Return the number of spatial dimensions in a name such as MaxPool2d; 0 if it has none."""
    digits = [int(letter) for letter in type(module).__name__ if letter in "123"]
    return digits[-1] if digits else 2 if base.startswith("Pixel") else 0


def _of_channels_last(module: Module, dimensions: int) -> Declaration | None:
    from torch import nn

    last = dimensions - 1
    if isinstance(module, nn.Linear | nn.Bilinear):
        return Declaration(last, module.out_features)
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        return Declaration(last, module.normalized_shape[0]) if len(module.normalized_shape) == 1 else None
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return Declaration(last, module.embedding_dim)
    return None


def _of_sequences(module: Module, dimensions: int) -> Declaration | None:
    from torch import nn

    if dimensions != 3:
        return None
    if isinstance(module, nn.RNNBase):
        size = (module.proj_size or module.hidden_size) * (2 if module.bidirectional else 1)
        return Declaration(2, size, 0 if module.batch_first else 1)
    attention = _attention_of(module)
    if attention is None:
        return None
    return Declaration(2, attention.embed_dim, 0 if attention.batch_first else 1)


def _attention_of(module: Any) -> Any:
    """Return the attention module of a transformer module; None for other modules."""
    from torch import nn

    if isinstance(module, nn.MultiheadAttention):
        return module
    if isinstance(module, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
        return module.self_attn
    if isinstance(module, nn.TransformerEncoder | nn.TransformerDecoder):
        return _attention_of(module.layers[0]) if len(module.layers) else None
    return _attention_of(module.encoder) if isinstance(module, nn.Transformer) else None


def channel_sizes(module: Module) -> Iterator[int]:
    """Yield the numbers of channels in the attributes of a module and its parts."""
    for part in module.modules():
        for name in _CHANNEL_ATTRIBUTES:
            if isinstance(value := getattr(part, name, None), int):
                yield value
        shape = getattr(part, "normalized_shape", ())
        if isinstance(shape, tuple) and len(shape) == 1 and isinstance(shape[0], int):
            yield shape[0]
