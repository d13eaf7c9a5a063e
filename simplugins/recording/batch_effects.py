# SPDX-License-Identifier: Apache-2.0
"""Operations that make outputs depend on more than their own input: on the batch, or on random numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from simplugins.recording.axes import INPUTS, Axes, Dimension
from simplugins.recording.axis_operations import Operation

_NAMES = {
    "reduction": "mean sum amax amin max min prod std var std_mean var_mean norm linalg_vector_norm logsumexp "
    "median nanmedian nansum nanmean quantile aminmax",
    "along one dimension": "_softmax softmax _log_softmax log_softmax cumsum cumprod cummax cummin logcumsumexp",
    "batch norm": "native_batch_norm _native_batch_norm_legit _batch_norm_with_update batch_norm cudnn_batch_norm "
    "miopen_batch_norm _batch_norm_impl_index",
    "product": "mm bmm addmm baddbmm _addmm_activation linear mkldnn_linear",
    "random": "rand randn randint randperm rand_like randn_like randint_like bernoulli binomial uniform "
    "normal normal_functional log_normal exponential geometric cauchy multinomial poisson "
    "_standard_gamma _sample_dirichlet native_dropout dropout alpha_dropout _fused_dropout "
    "rrelu_with_noise",
}
_KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split()}
"""The kinds of operations by name."""
_FACTORS = ("self", "input", "mat1", "mat2", "batch1", "batch2", "weight")
"""Names of the two factors of products."""
_SWITCHES = ("train", "training", "p", "dropout_p")
"""Arguments that turn off randomness if they are 0 or False."""


@dataclass(frozen=True)
class Effect:
    """Something other than its input on which an output depends.

    Attributes
    ----------
    kind : {"batch", "random", "padding"}
        The other inputs of the batch, random numbers, or the length to which packed sequences are padded.
    operation : str
    """

    kind: Literal["batch", "random", "padding"]
    operation: str


def effect_of(op: Operation) -> Effect | None:
    """Return the effect that an operation has by itself; None if it has none."""
    if _is_random(op):
        return Effect("random", op.name)
    if op.name == "_pack_padded_sequence":
        _, sizes = op.outputs  # the numbers of inputs at each time
        return Effect("padding", op.name) if sizes[0] != sizes[-1] else None
    if not op.outputs[0].is_floating_point() or not op.derived():
        return None
    return Effect("batch", op.name) if _holds_inputs(_contracted(op)) else None


def _is_random(op: Operation) -> bool:
    is_active = all(op.arguments.get(name) not in (False, 0) for name in _SWITCHES if _is_number(op.arguments, name))
    return is_active and (_KINDS.get(op.name) == "random" or _is_number(op.arguments, "dropout_p"))


def _is_number(arguments: dict[str, Any], name: str) -> bool:
    return isinstance(arguments.get(name), bool | int | float)


def _holds_inputs(dimensions: Iterable[Dimension]) -> bool:
    return any(factor.kind == INPUTS and factor.size > 1 for dimension in dimensions for factor in dimension)


def _contracted(op: Operation) -> Axes:
    """Return the dimensions along which an operation combines values."""
    kind = _KINDS.get(op.name)
    if kind == "reduction":
        return _reduced(op)
    if kind == "along one dimension":
        return op.first()[op.axis() :][:1]
    if kind == "product":
        return _inner(op)
    if kind == "batch norm":
        axes = op.first()
        return (*axes[:1], *axes[2:]) if op.arguments.get("training") else ()
    if op.name in ("native_layer_norm", "layer_norm"):
        return op.first()[-len(op.arguments["normalized_shape"]) :]
    if op.name.startswith(("scaled_dot_product", "_scaled_dot_product")):
        value = op.axes(op.arguments["value"])
        return value[-2:-1] if value else ()
    if op.name in ("_native_multi_head_attention", "_transformer_encoder_layer_fwd"):
        return (op.axes(next(op.tensors())) or ((), ()))[1:2]
    return ()


def _reduced(op: Operation) -> Axes:
    if op.name in ("max", "min") and "other" in op.arguments:  # elementwise, of two tensors
        return ()
    axes, dims = op.first(), op.arguments.get("dim")
    if dims is None or dims == []:
        return axes
    return tuple(axes[dim] for dim in ([dims] if isinstance(dims, int) else dims))


def _inner(op: Operation) -> Axes:
    """Return the inner dimensions of a product of matrices."""
    left, right = [value for name, value in op.arguments.items() if name in _FACTORS][-2:]
    one, other = op.axes(left), op.axes(right)
    return (*(one[-1:] if one else ()), *(other[-2:-1] if other and op.name != "linear" else ()))
