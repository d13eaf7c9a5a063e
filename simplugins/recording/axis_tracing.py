# SPDX-License-Identifier: Apache-2.0
"""Follows named axes through the operations of a model's forward pass."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from simplugins.recording.axes import (
    INPUTS,
    UNKNOWN,
    Axes,
    Dimension,
    given,
    kind_of,
    named,
    resized,
    size_of,
    special_of,
    unknown,
    with_special,
)
from simplugins.recording.axis_operations import CONSTANT, Operation, elementwise, tensors_in
from simplugins.recording.axis_products import PRODUCTS
from simplugins.recording.axis_rules import RULES, Result, Rule, reduced, rule_for_maps

if TYPE_CHECKING:
    from torch import Tensor

_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_ELEMENTWISE = frozenset(
    {
        "add",
        "sub",
        "mul",
        "div",
        "pow",
        "where",
        "masked_fill",
        "lerp",
        "addcmul",
        "addcdiv",
        "maximum",
        "minimum",
        "clamp",
        "copy",
        "_to_copy",
        "clone",
    }
)
_FACTORIES = frozenset(
    {"lift_fresh", "lift_fresh_copy", "lift", "new_empty", "new_zeros", "new_ones", "new_full", "new_empty_strided"}
)
_SHAPE_KEEPING = frozenset(
    {
        "_fake_quantize_learnable_per_tensor_affine",
        "_log_softmax",
        "_masked_softmax",
        "_safe_softmax",
        "_softmax",
        "alias",
        "bernoulli",
        "channel_shuffle",
        "contiguous",
        "cummax",
        "cummin",
        "cumprod",
        "cumsum",
        "detach",
        "dropout",
        "log_sigmoid_forward",
        "log_softmax",
        "logcumsumexp",
        "native_channel_shuffle",
        "native_dropout",
        "renorm",
        "softmax",
        "tril",
        "triu",
    }
)
"""Further operations whose output has the axes of the input."""
_WRITING = frozenset(
    {"index_put", "scatter", "scatter_add", "scatter_reduce", "index_add", "index_copy", "index_fill", "masked_scatter"}
)
"""Operations that write into part of their first argument."""


class AxisTracing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, follows the axes of all tensors that depend on the inputs.

    Only observes: results are those of the operations, and whatever goes wrong here leaves axes unknown. Tensors are
    referenced weakly.

    Parameters
    ----------
    constants : iterable of tensors
        The parameters and buffers of the model.
    """

    supports_higher_order_operators = True

    def __init__(self, constants: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._axes: Any = WeakTensorKeyDictionary()
        self._parts: Any = WeakTensorKeyDictionary()
        """By tensor that is part of another one: that one, the dimension and the part."""
        for tensor in constants:
            self._axes[tensor] = CONSTANT

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Let Torch compile as it would without this mode."""
        return True

    def start(self, inputs: Iterable[Tensor], size: int) -> None:
        """Note the inputs of the model: those with this length along axis 0 depend on the inputs."""
        for tensor in inputs:
            if tensor.ndim and tensor.shape[0] == size:
                self._axes[tensor] = (named(INPUTS, size), *given(tensor.shape[1:]))

    def find(self, tensor: Tensor) -> Axes | str | None:
        """Return a tensor's axes; CONSTANT if it does not depend on the inputs; None if nothing is known about it."""
        result: Axes | str | None = self._axes.get(tensor)
        return None if isinstance(result, tuple) and len(result) != tensor.ndim else result

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled() and _is_composite(func):
            with self:
                return func._op_dk(_COMPOSITE, *args, **kwargs)
        result = func(*args, **kwargs)
        try:
            self._observe(func, args, kwargs, result)
        except Exception:  # bookkeeping never breaks a model: what it returned is unknown
            with suppress(Exception):
                for tensor in tensors_in(result):
                    self._axes[tensor] = unknown(tensor.shape)
        return result

    def _observe(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        outputs = list(tensors_in(result))
        if not outputs:
            return
        name = _name_of(func)
        op = Operation(name, _arguments(func, args, kwargs), outputs, self.find)
        in_place = any(outputs[0] is tensor for tensor in op.tensors())
        if name in _FACTORIES or name.endswith("_like") or (in_place and name in ("fill", "zero")):
            self._note(outputs, CONSTANT)
        elif in_place and name == "copy":
            self._copy_into(op)
        elif not op.derived():
            self._note(outputs, CONSTANT if all(self.find(tensor) == CONSTANT for tensor in op.tensors()) else None)
        else:
            self._note_axes(outputs, _rule_for(func, op)(op))
        if in_place:
            self._write_through(outputs[0])
        elif name in ("slice", "select"):
            self._note_part(op)

    def _note(self, outputs: Iterable[Tensor], axes: Axes | str | None) -> None:
        for tensor in outputs:
            if axes is None:
                self._axes.pop(tensor, None)
            else:
                self._axes[tensor] = axes

    def _note_axes(self, outputs: list[Tensor], result: Result) -> None:
        each = result if isinstance(result, list) else [result] * len(outputs)
        for tensor, axes in zip(outputs, each, strict=True):
            fits = axes is not None and tuple(map(size_of, axes)) == tuple(tensor.shape)
            self._axes[tensor] = axes if fits else unknown(tensor.shape)

    def _copy_into(self, op: Operation) -> None:
        """Note that a tensor now has the values of another one."""
        source = self.find(op.arguments["src"])
        self._note(op.outputs, elementwise([source], op.shape) if isinstance(source, tuple) else source)

    def _note_part(self, op: Operation) -> None:
        """Note that the output is a view of part of the first argument, in case that something is written into it."""
        base, dim = op.arguments["self"], op.axis()
        if op.name == "select":
            part: Any = op.arguments["index"]
        else:
            part = slice(op.arguments["start"], op.arguments["end"], op.arguments["step"])
        self._parts[op.outputs[0]] = base, dim, part

    def _write_through(self, view: Tensor) -> None:
        """Note what has been written into a view of part of another tensor, there."""
        if view not in self._parts:
            return
        base, dim, part = self._parts[view]
        written, earlier, size = self.find(view), self.find(base), base.shape[dim]
        is_selection = isinstance(part, int)
        if isinstance(written, tuple):
            axes = [*written]
            if is_selection:
                axes.insert(dim, ())
            special = special_of(earlier[dim]) if isinstance(earlier, tuple) else np.full(size, earlier == CONSTANT)
            special = np.zeros(size, bool) if special is None else special.copy()
            there = None if is_selection else special_of(axes[dim])
            special[part] = False if there is None else there
            axes[dim] = with_special(resized(axes[dim], size) or named(UNKNOWN, size), special, size)
            known = [axes, earlier] if isinstance(earlier, tuple) else [axes]
            others = elementwise([tuple(each) for each in known], base.shape)
            self._axes[base] = (*others[:dim], _merged(axes[dim], others[dim]), *others[dim + 1 :])
        elif written == CONSTANT and isinstance(earlier, tuple):
            special = special_of(earlier[dim])
            special = np.zeros(size, bool) if special is None else special.copy()
            special[part] = True
            self._axes[base] = (*earlier[:dim], with_special(earlier[dim], special, size), *earlier[dim + 1 :])
        else:
            return
        self._write_through(base)


def _merged(written: Dimension, combined: Dimension) -> Dimension:
    return with_special(_plain(combined), special_of(written), size_of(written))


def _plain(dimension: Dimension) -> Dimension:
    return named(kind_of(dimension) or UNKNOWN, size_of(dimension))


def _name_of(func: Any) -> str:
    return str(getattr(func, "overloadpacket", func).__name__).removesuffix("_")


def _is_composite(func: Any) -> bool:
    """Return whether an operation without a rule consists of others, which are only seen if it is taken apart."""
    name = _name_of(func)
    if name in RULES or name in PRODUCTS or rule_for_maps(name) is not None:
        return False
    try:
        return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), _COMPOSITE)
    except AttributeError:  # not an operation of the dispatcher
        return False


def _arguments(func: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """Return all arguments of an operation by name, with defaults."""
    schema = getattr(func, "_schema", None)
    if schema is None:
        return {**{str(number): value for number, value in enumerate(args)}, **kwargs}
    names = [argument.name for argument in schema.arguments]
    defaults = {each.name: each.default_value for each in schema.arguments if each.has_default_value()}
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    return {name: given.get(name, defaults.get(name)) for name in names if name in given or name in defaults}


def _rule_for(func: Any, op: Operation) -> Rule:
    if str(getattr(func, "namespace", "")) in ("aten", "prims"):
        if rule := RULES.get(op.name) or PRODUCTS.get(op.name) or rule_for_maps(op.name):
            return rule
        if op.name in _WRITING:
            return _unchanged if op.axes(op.arguments["self"]) else _nothing
        if torch.Tag.pointwise in func.tags or op.name in _ELEMENTWISE:
            return _broadcast
        if "keepdim" in op.arguments or ("dim" in op.arguments and len(op.shape) < next(op.tensors()).ndim):
            return reduced
        if op.name in _SHAPE_KEEPING:
            return _inherited
    return _inherited_by_size


def _broadcast(op: Operation) -> Result:
    return elementwise([axes for _, axes in op.derived()], op.shape)


def _unchanged(op: Operation) -> Result:
    return op.first()


def _nothing(op: Operation) -> Result:
    return None


def _inherited(op: Operation) -> Result:
    """Of one tensor to another of the same shape, axes stay what they are."""
    derived = op.derived()
    if len(derived) != 1:
        return None
    tensor, axes = derived[0]
    return [axes if output.shape == tensor.shape else unknown(output.shape) for output in op.outputs]


def _inherited_by_size(op: Operation) -> Result:
    """Operations without a rule may exchange axes, so only axes of a size of their own stay what they are."""
    derived = op.derived()
    if len(derived) != 1 or op.shape != derived[0][0].shape:
        return None
    return [
        tuple(
            axis if op.shape.count(size) == 1 and output.shape == op.shape else named(UNKNOWN, size)
            for axis, size in zip(derived[0][1], output.shape, strict=False)
        )
        for output in op.outputs
    ]
