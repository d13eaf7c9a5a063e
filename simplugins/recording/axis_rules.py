# SPDX-License-Identifier: Apache-2.0
"""Rules for the axes after operations that rearrange, select, join or reduce dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from simplugins.recording.axes import (
    CHANNELS,
    INPUTS,
    MERGED,
    POSITION_LETTERS,
    TOKENS,
    UNKNOWN,
    Axes,
    Dimension,
    Factor,
    anchored,
    combined,
    inputs_at,
    is_by_data,
    joined,
    kind_of,
    named,
    places_of,
    resized,
    selected,
    size_of,
    special_of,
    unknown,
    with_special,
)
from simplugins.recording.axis_operations import CONSTANT, Operation, elementwise
from simplugins.recording.axis_reshaping import reshaped

Result = Axes | list[Axes] | None
"""The axes of all outputs, or of each one; None if they are unknown."""


def _view(op: Operation) -> Result:
    tensor = next(op.tensors())
    return reshaped(op.first(), op.shape) if tensor.numel() == op.outputs[0].numel() else None


def _permute(op: Operation) -> Result:
    axes = op.first()
    return tuple(axes[dim] for dim in op.arguments["dims"])


def _transpose(op: Operation) -> Result:
    axes = list(op.first())
    if axes:
        one, other = op.axis("dim0"), op.axis("dim1")
        axes[one], axes[other] = axes[other], axes[one]
    return tuple(axes)


def _swap_last(op: Operation) -> Result:
    axes = op.first()
    return (*axes[:-2], axes[-1], axes[-2]) if len(axes) > 1 else axes


def _expand(op: Operation) -> Result:
    return elementwise([op.first()], op.shape)


def _unsqueeze(op: Operation) -> Result:
    axes, dim = op.first(), op.axis(dimensions=len(op.shape))
    before, token = _without_selected_token(axes[dim - 1]) if dim else ((), ())
    return (*axes[: dim - 1], before, token, *axes[dim:]) if dim else ((), *axes)


def _without_selected_token(dimension: Dimension) -> tuple[Dimension, Dimension]:
    """Split off the last factor of a dimension if it is a special token that has been selected."""
    has_token = len(dimension) > 1 and dimension[-1].size == 1 and dimension[-1].special is not None
    return (dimension[:-1], dimension[-1:]) if has_token else (dimension, ())


def _squeeze(op: Operation) -> Result:
    axes, shape = op.first(), next(op.tensors()).shape
    dims = op.arguments.get("dim", range(len(shape)))
    chosen = {dim % len(shape) for dim in ([dims] if isinstance(dims, int) else dims)} if len(shape) else set()
    return tuple(axes[dim] for dim in range(len(shape)) if dim not in chosen or shape[dim] != 1)


def replaced(axes: Axes, dim: int, *dimensions: Dimension) -> Axes:
    """Return axes with other dimensions in place of one."""
    return (*axes[:dim], *dimensions, *axes[dim + 1 :])


def _select(op: Operation) -> Result:
    axes, dim = op.first(), op.axis()
    special = special_of(axes[dim])
    if dim and special is not None and special[op.arguments["index"]]:  # it may be concatenated with other tokens again
        return (*axes[: dim - 1], (*axes[dim - 1], Factor(TOKENS, 1, np.ones(1, bool))), *axes[dim + 1 :])
    return replaced(axes, dim)


def _slice(op: Operation) -> Result:
    axes, dim = op.first(), op.axis()
    part = slice(op.arguments["start"], op.arguments["end"], op.arguments["step"])
    return replaced(axes, dim, selected(axes[dim], part, op.shape[dim]))


def _split(op: Operation) -> Result:
    axes, dim = op.first(), op.axis()
    parts, start = [], 0
    for output in op.outputs:
        size = output.shape[dim]
        parts.append(replaced(axes, dim, selected(axes[dim], slice(start, start + size), size)))
        start += size
    return parts


def _unbind(op: Operation) -> Result:
    return [replaced(op.first(), op.axis())] * len(op.outputs)


def _index_select(op: Operation) -> Result:
    axes, dim = op.first(), op.axis()
    return replaced(axes, dim, _indexed(op, axes[dim], op.arguments["index"], op.shape[dim]))


def _indexed(op: Operation, dimension: Dimension, index: Any, size: int) -> Dimension:
    """Return a dimension indexed by a tensor with one dimension."""
    if kind_of(dimension) == INPUTS:
        return _indexed_inputs(op, dimension, index)
    if special_of(dimension) is None or op.find(index) != CONSTANT:
        return _without_special(resized(dimension, size))
    return selected(dimension, index.cpu().numpy(), size)


def _indexed_inputs(op: Operation, dimension: Dimension, index: Any) -> Dimension:
    """Return inputs in the order of an index; one that depends on the inputs is only undone by another such index."""
    before, places = places_of(dimension), places_of(dimension)[index.cpu().numpy()]
    if op.find(index) == CONSTANT:
        return inputs_at(places, by_data=is_by_data(dimension))
    is_restored = is_by_data(dimension) and np.array_equal(places, np.arange(len(before)))
    return inputs_at(places, by_data=not is_restored)


def _without_special(dimension: Dimension) -> Dimension:
    if special_of(dimension) is None:
        return dimension
    return tuple(Factor(each.kind, each.size, exchanged=each.exchanged) for each in dimension)


def _index(op: Operation) -> Result:
    axes, indices = op.first(), op.arguments["indices"]
    used = [dim for dim, index in enumerate(indices) if index is not None]
    if len(used) == 1 and indices[used[0]].ndim == 1:
        return replaced(axes, used[0], _indexed(op, axes[used[0]], indices[used[0]], op.shape[used[0]]))
    if used != list(range(used[0], used[0] + len(used))) or any(indices[dim].dtype.itemsize == 1 for dim in used):
        return None
    rank = max(indices[dim].ndim for dim in used)
    result = unknown(op.shape[used[0] : used[0] + rank])
    if rank == 1 and used[0] == 0 and kind_of(axes[0]) == INPUTS and _counts_up(indices[0], size_of(axes[0])):
        result = (axes[0],)
    return (*axes[: used[0]], *result, *axes[used[-1] + 1 :])


def _counts_up(index: Any, size: int) -> bool:
    """Return whether an index is 0, 1, 2 and so on, so that inputs keep their order."""
    return index.numel() == size and bool((index.flatten().cpu().numpy() == np.arange(size)).all())


def _gather(op: Operation) -> Result:
    axes, dim = op.first(), op.axis()
    if kind_of(axes[dim]) == INPUTS:
        axes = replaced(axes, dim, named(MERGED, size_of(axes[dim])))
    return tuple(_without_special(resized(each, size)) for each, size in zip(axes, op.shape, strict=True))


def _flip(op: Operation) -> Result:
    axes = list(op.first())
    for dim in op.arguments["dims"]:
        axes[dim] = selected(axes[dim], slice(None, None, -1), size_of(axes[dim]))
    return tuple(axes)


def _roll(op: Operation) -> Result:
    axes, dims, shifts = list(op.first()), op.arguments["dims"], op.arguments["shifts"]
    for dim, shift in zip(dims, shifts, strict=bool(dims)):
        size = next(op.tensors()).shape[dim]
        axes[dim] = selected(axes[dim], np.roll(np.arange(size), shift), size)
    return tuple(axes) if dims else tuple(map(_without_special, axes))


def _repeat(op: Operation) -> Result:
    axes, repeats = op.first(), op.arguments["repeats"]
    axes = ((),) * (len(repeats) - len(axes)) + axes
    return tuple(
        each
        if count == 1
        else named(MERGED, size)
        if kind_of(each) == INPUTS
        else _without_special(resized(each, size))
        for each, count, size in zip(axes, repeats, op.shape, strict=True)
    )


def _cat(op: Operation) -> Result:
    tensors = [tensor for tensor in op.arguments["tensors"] if tensor.shape != (0,)]
    dim = op.axis(dimensions=len(op.shape))
    all_axes = [op.axes(tensor) for tensor in tensors]
    joint = joined([_part(op, tensor, axes, dim) for tensor, axes in zip(tensors, all_axes, strict=True)])
    others = [axes for axes in all_axes if axes]
    return tuple(
        joint if position == dim else combined([axes[position] for axes in others], size)
        for position, size in enumerate(op.shape)
    )


def _part(op: Operation, tensor: Any, axes: Axes | None, dim: int) -> Dimension | int:
    size = int(tensor.shape[dim])
    if axes is not None:
        return axes[dim] or named(UNKNOWN, size)
    return size if op.find(tensor) == CONSTANT else named(UNKNOWN, size)


def _stack(op: Operation) -> Result:
    dim = op.axis(dimensions=len(op.shape))
    others = [axes for tensor in op.arguments["tensors"] if (axes := op.axes(tensor))]
    rest = elementwise(others, op.shape[:dim] + op.shape[dim + 1 :])
    return (*rest[:dim], *unknown(op.shape[dim : dim + 1]), *rest[dim:])


def _resized(op: Operation) -> Result:
    """Operations that keep the order of dimensions, but not their sizes or the order of tokens."""
    return tuple(_without_special(resized(each, size)) for each, size in zip(op.first(), op.shape, strict=True))


def _map(op: Operation) -> Result:
    """Pooling, upsampling and other operations on maps, which are (inputs, channels, positions ...)."""
    letters, axes = POSITION_LETTERS[_map_rank(op.name)], op.first()
    if len(axes) != len(letters) + 2:
        return _resized(op)
    kinds = UNKNOWN + CHANNELS + letters
    return tuple(
        anchored(each, kind, size) if kind != UNKNOWN else each
        for each, kind, size in zip(axes, kinds, op.shape, strict=True)
    )


def _map_rank(name: str) -> int:
    return next((rank for rank in (1, 2, 3) if f"{rank}d" in name), 2)


def _pad(op: Operation) -> Result:
    axes, pad = list(op.first()), op.arguments["pad"]
    for number in range(len(pad) // 2):
        dim = len(axes) - 1 - number
        before, after = pad[2 * number : 2 * number + 2]
        special = special_of(axes[dim])
        if special is not None and min(before, after) >= 0:
            special = np.pad(special, (before, after), constant_values=True)
        axes[dim] = with_special(axes[dim], special, op.shape[dim])
    return tuple(axes)


def _unfold(op: Operation) -> Result:
    axes = list(op.first())
    dim = int(op.arguments["dimension"]) % len(axes)
    kind = kind_of(axes[dim]) or UNKNOWN
    axes[dim] = resized(axes[dim], op.shape[dim])
    return (*axes, named(MERGED if kind == INPUTS else kind, op.shape[-1]))


def _columns(op: Operation) -> Result:
    axes = op.first()
    return (axes[0], named(CHANNELS, op.shape[1]), named(TOKENS, op.shape[2])) if len(axes) == 4 else None


def _image(op: Operation) -> Result:
    height, width = op.shape[-2:]
    axes = op.first()
    return (axes[0], named(CHANNELS, op.shape[1]), named("h", height), named("w", width)) if len(axes) == 3 else None


def _shuffled(op: Operation) -> Result:
    *rest, channels, height, width = op.first()
    kinds = ((channels, CHANNELS), (height, "h"), (width, "w"))
    return (*rest, *(anchored(each, kind, size) for (each, kind), size in zip(kinds, op.shape[-3:], strict=True)))


def _as_complex(op: Operation) -> Result:
    return op.first()[:-1]


def _as_real(op: Operation) -> Result:
    return (*op.first(), named(UNKNOWN, 2))


def reduced(op: Operation) -> Result:
    """Return the axes after a reduction, such as a mean, over some or all dimensions."""
    axes = op.first()
    dims = op.arguments.get("dim")
    dims = [dims] if isinstance(dims, int) else dims or range(len(axes))
    chosen = {dim % len(axes) for dim in dims} if axes else set()
    keep = op.arguments.get("keepdim", False)
    result = tuple(
        resized(each, 1) if dim in chosen else each for dim, each in enumerate(axes) if keep or dim not in chosen
    )
    return [result if tuple(output.shape) == op.shape else unknown(output.shape) for output in op.outputs]


Rule = Callable[[Operation], Result]
_NAMES: dict[Rule, str] = {
    _view: "view _unsafe_view reshape _reshape_alias _reshape_copy view_copy",
    _permute: "permute permute_copy",
    _transpose: "transpose transpose_copy swapaxes",
    _swap_last: "t numpy_T mT adjoint t_copy",
    _expand: "expand expand_copy",
    _unsqueeze: "unsqueeze unsqueeze_copy",
    _squeeze: "squeeze squeeze_copy",
    _select: "select select_copy",
    _slice: "slice slice_copy",
    _split: "split split_with_sizes unsafe_split unsafe_split_with_sizes split_copy split_with_sizes_copy",
    _unbind: "unbind unbind_copy",
    _index_select: "index_select",
    _index: "index _unsafe_index",
    _flip: "flip",
    _roll: "roll",
    _repeat: "repeat",
    _cat: "cat concat",
    _stack: "stack",
    _pad: "constant_pad_nd",
    _unfold: "unfold",
    _columns: "im2col",
    _image: "col2im",
    _shuffled: "pixel_shuffle pixel_unshuffle",
    _as_complex: "view_as_complex",
    _as_real: "view_as_real",
    _gather: "gather take_along_dim sort topk",
    _resized: "glu _fft_r2c _fft_c2c _fft_c2r upsample_linear1d",
}
RULES: dict[str, Rule] = {name: rule for rule, names in _NAMES.items() for name in names.split()}
MAPS = (
    "adaptive_",
    "_adaptive_",
    "avg_pool",
    "fractional_max",
    "grid_sampler",
    "max_pool",
    "mkldnn_adaptive",
    "mkldnn_max_pool",
    "reflection_pad",
    "replication_pad",
    "upsample_",
    "_upsample_",
)
"""Prefixes of the names of operations on maps."""


def rule_for_maps(name: str) -> Rule | None:
    """Return the rule of an operation on maps, by the prefix of its name; None for other operations."""
    return _map if name.startswith(MAPS) else None
