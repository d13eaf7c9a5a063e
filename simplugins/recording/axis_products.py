# SPDX-License-Identifier: Apache-2.0
"""Axes after operations that form channels: products, convolutions, normalisations, attention and recurrence."""

from __future__ import annotations

from typing import Any

import numpy as np

from simplugins.recording.axes import (
    CHANNELS,
    MERGED,
    POSITION_LETTERS,
    TOKENS,
    UNKNOWN,
    Axes,
    Dimension,
    Factor,
    anchored,
    combined,
    is_exchanged,
    is_position,
    is_weak,
    mixed,
    named,
    size_of,
    unknown,
)
from simplugins.recording.axis_operations import CONSTANT, Operation
from simplugins.recording.axis_rules import Result, Rule


def _matrix_product(op: Operation) -> Result:
    """Products of matrices or stacks of matrices, with or without a summand."""
    names = [name for name in op.arguments if name in _OPERANDS]
    left, right = (op.arguments[name] for name in names[-2:])
    return _product(op, left, right)


_OPERANDS = ("self", "mat1", "mat2", "batch1", "batch2")


def _product(op: Operation, left: Any, right: Any) -> Axes:
    one, other, shape = op.axes(left), op.axes(right), op.shape
    if one is not None and other is None:
        column, rest = mixed(one[-1], one[:-1], shape[-1])
        return (*rest, column)
    if one is None and other is not None:
        return (*other[:-2], _rows(other[-2], shape[-2], op.find(left)), other[-1])
    if one is None or other is None:
        return unknown(shape)
    stacked = tuple(combined(pair, size) for *pair, size in zip(one[:-2], other[:-2], shape[:-2], strict=True))
    return (*stacked, one[-2], other[-1])


def _rows(contracted: Dimension, size: int, origin: Axes | str | None) -> Dimension:
    """Return the rows of a product whose left matrix does not depend on the inputs.

    They are mixed positions, learned queries or new channels; later operations show which.
    """
    if is_position(contracted):
        return named(TOKENS, size)
    return (Factor(UNKNOWN, size, np.ones(size, bool) if origin == CONSTANT else None),)


def _linear(op: Operation) -> Result:
    axes = op.first()
    channels, rest = mixed(axes[-1], axes[:-1], op.shape[-1])
    return (*rest, channels)


def _convolution(op: Operation) -> Result:
    axes, shape = op.first(), op.shape
    letters = POSITION_LETTERS.get(len(shape) - 2)
    if not letters:
        return None
    channels, (inputs, *positions) = mixed(axes[1], (axes[0], *axes[2:]), shape[1])
    if not is_exchanged(channels):
        channels = named(CHANNELS, shape[1])
    anchors = zip(positions, letters, shape[2:], strict=True)
    return (inputs, channels, *(anchored(each, kind, size) for each, kind, size in anchors))


def _normalised_channels(op: Operation) -> Result:
    """Batch and group normalisation, whose channels are axis 1."""
    axes = op.first()
    normalised = (axes[0], anchored(axes[1], CHANNELS, op.shape[1]), *axes[2:]) if len(axes) > 1 else axes
    return _first_of(op, normalised)


def _normalised_last(op: Operation) -> Result:
    """Layer and RMS normalisation, whose channels are the last axis, unless they normalise over several axes."""
    axes, shape = op.first(), op.arguments["normalized_shape"]
    if len(shape) != 1 or not axes:
        return _first_of(op, axes)
    *rest, last = axes
    has_channels = any(factor.kind == CHANNELS for dimension in rest for factor in dimension)
    if is_exchanged(last) and is_position(last):
        last, rest = mixed(last, rest, size_of(last))
    elif is_weak(last):
        last = (Factor(CHANNELS, size_of(last), exchanged=is_exchanged(last)),)
    elif not has_channels:
        last = anchored(last, CHANNELS, op.shape[-1])
    return _first_of(op, (*rest, last))


def _first_of(op: Operation, axes: Axes) -> list[Axes]:
    return [axes, *(unknown(output.shape) for output in op.outputs[1:])]


def _embedding(op: Operation) -> Result:
    indices = op.axes(op.arguments["indices"])
    return None if indices is None else (*indices, named(CHANNELS, op.shape[-1]))


def _attention(op: Operation) -> Result:
    """Scaled dot-product attention: the rows are those of the queries, the channels those of the values."""
    query, value = op.axes(op.arguments["query"]), op.axes(op.arguments["value"])
    shape = op.shape
    if query is None and value is None:
        return None
    channels = value[-1] if value else query[-1] if query else ()
    if query is None and value is not None:
        rows = _rows((), shape[-2], op.find(op.arguments["query"]))
        stacked = value[:-2]
    else:
        query = query or unknown(shape)
        rows = query[-2]
        stacked = tuple(
            combined([query[dim], *([value[dim]] if value else [])], size) for dim, size in enumerate(shape[:-2])
        )
    return _first_of(op, (*stacked, rows, channels))


def _whole_attention(op: Operation) -> Result:
    """Fused attention or encoder layers, which return channels last."""
    axes = op.axes(next(op.tensors()))
    return None if axes is None else _first_of(op, (*axes[:-1], anchored(axes[-1], CHANNELS, op.shape[-1])))


def _recurrence(op: Operation) -> Result:
    """Fused recurrent layers, with channels last."""
    axes = op.axes(next(op.tensors()))
    if axes is None or len(axes) != len(op.shape):
        return None
    return _first_of(op, (*axes[:-1], named(CHANNELS, op.shape[-1])))


def _cell(op: Operation) -> Result:
    """Fused cells of recurrent layers, whose outputs are (inputs, channels)."""
    axes = op.first()
    return [
        (axes[0], named(CHANNELS, output.shape[1])) if output.ndim == 2 else unknown(output.shape)
        for output in op.outputs
    ]


def _packed(op: Operation) -> Result:
    axes = op.first()
    return _first_of(op, (named(MERGED, op.shape[0]), axes[-1]))


_NAMES: dict[Rule, str] = {
    _matrix_product: "mm addmm bmm baddbmm _addmm_activation",
    _linear: "linear mkldnn_linear",
    _convolution: "convolution _convolution mkldnn_convolution conv1d conv2d conv3d conv_transpose1d conv_transpose2d "
    "conv_transpose3d convolution_overrideable cudnn_convolution cudnn_convolution_transpose miopen_convolution",
    _normalised_channels: "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training batch_norm "
    "cudnn_batch_norm miopen_batch_norm _batch_norm_impl_index _batch_norm_with_update _batch_norm_no_update "
    "native_group_norm group_norm instance_norm",
    _normalised_last: "native_layer_norm layer_norm rms_norm _fused_rms_norm",
    _embedding: "embedding",
    _attention: "scaled_dot_product_attention _scaled_dot_product_flash_attention_for_cpu "
    "_scaled_dot_product_flash_attention _scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention "
    "_scaled_dot_product_attention_math _scaled_dot_product_fused_attention_overrideable",
    _whole_attention: "_native_multi_head_attention _transformer_encoder_layer_fwd",
    _recurrence: "mkldnn_rnn_layer _cudnn_rnn miopen_rnn",
    _cell: "_thnn_fused_lstm_cell _thnn_fused_gru_cell",
    _packed: "_pack_padded_sequence",
}
PRODUCTS: dict[str, Rule] = {name: rule for rule, names in _NAMES.items() for name in names.split()}
