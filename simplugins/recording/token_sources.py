# SPDX-License-Identifier: Apache-2.0
"""Finds the layers whose positions are the tokens of a mask, in models of several sequences (texts, images)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays

if TYPE_CHECKING:
    from torch import Tensor

    from simplugins.recording.layer_hooks import LayerHooks

Shape = tuple[int, ...]
DECODER = "decoder_"
"""Prefix of the names of arguments for the tokens of a decoder."""


def layers_without_tokens(
    hooks: LayerHooks,
    run: Callable[..., Any],
    keywords: Mapping[str, Any],
    mask: NDArray[np.bool_],
    name: str,
) -> frozenset[str]:
    """Return the layer outputs whose shape does not depend on the number of tokens of a mask.

    A layer of image patches or of a decoder may happen to have as many positions as the text has tokens. So if the
    model takes other sequences as well, it runs again with one token less, or else one more.

    Parameters
    ----------
    hooks : LayerHooks
        Hooks with the outputs of the layers.
    run : callable
        Runs the model.
    keywords : mapping
        The arguments of the model, by name.
    mask : (n, T) bool array
    name : str
        The name of the mask, which begins with "decoder_" for the tokens of a decoder.

    Returns
    -------
    frozenset of str
        Names of layers, followed by ``#`` and a number if they ran several times.
    """
    from torch.random import fork_rng

    axes = {key: _token_axis(key, value, mask.shape) for key, value in keywords.items() if _same_side(key, name)}
    tokens = {key: axis for key, axis in axes.items() if axis is not None}
    others = [key for key, value in keywords.items() if key not in tokens and _is_array(value) and len(value.shape) > 1]
    if not others or all(key.endswith("mask") for key in tokens):
        return frozenset()
    before = {layer: list(map(_shape, tensors)) for layer, tensors in hooks.outputs.items()}
    for change in (_shortened, _lengthened):
        after: dict[str, list[Shape | None]] = {}

        def observe(layer: str, tensor: Tensor | None, after: dict[str, list[Shape | None]] = after) -> None:
            after.setdefault(layer, []).append(_shape(tensor))

        changed = {key: change(value, tokens.get(key)) for key, value in keywords.items()}
        try:
            with fork_rng(devices=[]), hooks.observed(observe, recording=False):
                run(**changed)
        except (RuntimeError, ValueError, IndexError):  # for example, no more positional embeddings
            continue
        return _unchanged(before, after)
    return frozenset()


def _unchanged(before: Mapping[str, list[Shape | None]], after: Mapping[str, list[Shape | None]]) -> frozenset[str]:
    """Return the names of outputs whose shapes have not changed, numbered if a layer has several."""
    return frozenset(
        layer if len(shapes) == 1 else f"{layer}#{number}"
        for layer, shapes in before.items()
        for number, shape in enumerate(shapes)
        if after.get(layer, [])[number : number + 1] == [shape]
    )


def _is_array(value: Any) -> bool:
    return arrays.is_torch(value) or isinstance(value, np.ndarray)


def _token_axis(key: str, value: Any, shape: tuple[int, ...]) -> int | None:
    """Return the axis of tokens of an argument that has one value, or one vector, per token; None for others."""
    sizes = tuple(value.shape) if _is_array(value) else ()
    if sizes[:1] != shape[:1] or len(shape) != 2:
        return None
    if len(sizes) == 2:
        return 1 if sizes == shape else None
    is_vectors = len(sizes) == 3 and (key.startswith("input") or key.endswith("embeds"))
    axes = [axis for axis in (1, 2) if is_vectors and sizes[axis] == shape[1]]
    return axes[0] if len(axes) == 1 else None


def _same_side(key: str, mask: str) -> bool:
    return key.startswith(DECODER) == mask.startswith(DECODER)


def _shortened(value: Any, axis: int | None) -> Any:
    return value if axis is None else value.narrow(axis, 0, value.shape[axis] - 1)


def _lengthened(value: Any, axis: int | None) -> Any:
    from torch import cat

    return value if axis is None else cat([value, value.narrow(axis, value.shape[axis] - 1, 1)], dim=axis)


def _shape(tensor: Tensor | None) -> Shape | None:
    return None if tensor is None else tuple(tensor.shape)
