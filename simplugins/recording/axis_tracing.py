# SPDX-License-Identifier: Apache-2.0
"""Follow named axes through the operations of a model's forward pass."""

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
    inputs_at,
    is_by_data,
    kind_of,
    named,
    places_of,
    resized,
    size_of,
    special_of,
    unknown,
    untouched,
    with_special,
)
from simplugins.recording.axis_operations import CONSTANT, Operation, elementwise, tensors_in
from simplugins.recording.axis_products import PRODUCTS
from simplugins.recording.axis_rules import RULES, Result, Rule, reduced, replaced, rule_for_maps
from simplugins.recording.batch_effects import Effect, effect_of

if TYPE_CHECKING:
    from torch import Tensor

_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_FACTORIES = frozenset(
    {"lift_fresh", "lift_fresh_copy", "lift", "new_empty", "new_zeros", "new_ones", "new_full", "new_empty_strided"}
)


class AxisTracing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, follows the axes of all tensors that depend on the inputs.

    Results do not change, and an error in the bookkeeping leaves axes unknown. Tensors are referenced weakly.

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
        """For a view of part of a tensor: that tensor, the dimension, and the index or slice."""
        self._effects: Any = WeakTensorKeyDictionary()
        """What else than their input tensors depend on."""
        self.adds_tokens = False
        """Whether a tensor has had tokens that come from constants."""
        for tensor in constants:
            self._axes[tensor] = CONSTANT

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Let Torch compile as it would without this mode."""
        return True

    def start(self, inputs: Iterable[Tensor], size: int) -> None:
        """Note the arguments of the model: tensors of this length along axis 0 hold one element per input."""
        for tensor in inputs:
            if tensor.ndim and tensor.shape[0] == size:
                self._axes[tensor] = (named(INPUTS, size), *untouched(tensor.shape[1:]))

    def find(self, tensor: Tensor) -> Axes | str | None:
        """Return a tensor's axes; CONSTANT if it does not depend on the inputs; None if nothing is known about it."""
        result: Axes | str | None = self._axes.get(tensor)
        return None if isinstance(result, tuple) and len(result) != tensor.ndim else result

    def effect_on(self, tensor: Tensor) -> Effect | None:
        """Return what else than its input a tensor depends on; None if nothing is known."""
        effect: Effect | None = self._effects.get(tensor)
        return effect

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled() and _is_composite(func):
            with self:
                return func._op_dk(_COMPOSITE, *args, **kwargs)
        result = func(*args, **kwargs)
        try:
            self._observe(func, args, kwargs, result)
        except Exception:  # bookkeeping never breaks a model: the axes are unknown
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
        self._note_effect(op)
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

    def _note_effect(self, op: Operation) -> None:
        effect = next((each for tensor in op.tensors() if (each := self.effect_on(tensor))), None) or effect_of(op)
        if effect is None:
            return
        for tensor in op.outputs:
            while tensor is not None:
                self._effects[tensor] = effect
                tensor = self._parts.get(tensor, (None,))[0]

    def _note(self, outputs: Iterable[Tensor], axes: Axes | str | None) -> None:
        for tensor in outputs:
            if axes is None:
                self._axes.pop(tensor, None)
            else:
                self._axes[tensor] = axes

    def _note_axes(self, outputs: list[Tensor], result: Result) -> None:
        each = result if isinstance(result, list) else [result] * len(outputs)
        for tensor, axes in zip(outputs, each, strict=True):
            if axes is None or tuple(map(size_of, axes)) != tuple(tensor.shape):
                self._axes[tensor] = unknown(tensor.shape)
            else:
                self._axes[tensor] = axes
                self.adds_tokens = self.adds_tokens or any(special_of(each) is not None for each in axes)

    def _copy_into(self, op: Operation) -> None:
        """Note that a tensor now has the values of another one."""
        source = self.find(op.arguments["src"])
        self._note(op.outputs, elementwise([source], op.shape) if isinstance(source, tuple) else source)

    def _note_part(self, op: Operation) -> None:
        """Note that the output is a view of part of the first argument, in case values are written into it later."""
        base, dim = op.arguments["self"], op.axis()
        if op.name == "select":
            part: Any = op.arguments["index"]
        else:
            part = slice(op.arguments["start"], op.arguments["end"], op.arguments["step"])
        self._parts[op.outputs[0]] = base, dim, part

    def _write_through(self, view: Tensor) -> None:
        """Update the axes of the tensor that a view is part of, after values were written into the view."""
        if view not in self._parts:
            return
        base, dim, part = self._parts[view]
        axes = _after_writing(self.find(view), self.find(base), dim, part, base.shape)
        if axes is not None:
            self._axes[base] = axes
            self._write_through(base)


def _after_writing(
    written: Axes | str | None, before: Axes | str | None, dim: int, part: int | slice, shape: tuple[int, ...]
) -> Axes | None:
    """Return the axes of a tensor after values were written into part of a dimension; None if they do not change."""
    size = shape[dim]
    former = special_of(before[dim]) if isinstance(before, tuple) else np.full(size, before == CONSTANT)
    special = np.zeros(size, bool) if former is None else former.copy()
    if not isinstance(written, tuple):
        if written != CONSTANT or not isinstance(before, tuple):
            return None
        special[part] = True
        return replaced(before, dim, with_special(before[dim], special, size))
    axes = [*written[:dim], (), *written[dim:]] if isinstance(part, int) else [*written]
    if isinstance(part, slice) and kind_of(axes[dim]) == INPUTS:
        inputs = _after_writing_inputs(axes[dim], before[dim] if isinstance(before, tuple) else (), part, size)
        known = [replaced(each, dim, inputs) for each in (tuple(axes), before) if isinstance(each, tuple)]
        return elementwise(known, shape)
    special_part = special_of(axes[dim])
    special[part] = False if special_part is None else special_part
    axes[dim] = with_special(resized(axes[dim], size) or named(UNKNOWN, size), special, size)
    known = [tuple(axes), before] if isinstance(before, tuple) else [tuple(axes)]
    combined = elementwise(known, shape)
    kind = kind_of(combined[dim]) or UNKNOWN
    return replaced(combined, dim, with_special(named(kind, size), special_of(axes[dim]), size))


def _after_writing_inputs(written: Dimension, before: Dimension, part: slice, size: int) -> Dimension:
    """Return the inputs of a dimension after some have been written into part of it."""
    places = places_of(before).copy() if kind_of(before) == INPUTS else np.arange(size)
    places[part] = places_of(written)
    return inputs_at(places, by_data=is_by_data(written) or is_by_data(before))


def _name_of(func: Any) -> str:
    return str(getattr(func, "overloadpacket", func).__name__).removesuffix("_")


def _is_composite(func: Any) -> bool:
    """Return whether an operation has no rule and must be decomposed into others to be traced."""
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
    values = {**defaults, **dict(zip(names, args, strict=False)), **kwargs}
    return {name: values[name] for name in names if name in values}


def _rule_for(func: Any, op: Operation) -> Rule:
    if str(getattr(func, "namespace", "")) in ("aten", "prims"):
        if rule := RULES.get(op.name) or PRODUCTS.get(op.name) or rule_for_maps(op.name) or _KEEPING.get(op.name):
            return rule
        if torch.Tag.pointwise in func.tags:
            return _broadcast
        if "keepdim" in op.arguments or ("dim" in op.arguments and len(op.shape) < next(op.tensors()).ndim):
            return reduced
    return _inherited_by_size


def _broadcast(op: Operation) -> Result:
    return elementwise([axes for _, axes in op.derived()], op.shape)


def _written(op: Operation) -> Result:
    """Operations that write into part of their first argument."""
    return op.axes(op.arguments["self"])


def _inherited(op: Operation) -> Result:
    """Operations on one traced tensor whose outputs of the same shape have its axes."""
    derived = op.derived()
    if len(derived) != 1:
        return None
    tensor, axes = derived[0]
    return [axes if output.shape == tensor.shape else unknown(output.shape) for output in op.outputs]


def _inherited_by_size(op: Operation) -> Result:
    """Operations without a rule may exchange axes, so only axes of unique size keep their kind."""
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


_NAMES: dict[Rule, str] = {
    _broadcast: "add sub mul div pow where masked_fill lerp addcmul addcdiv maximum minimum clamp copy _to_copy clone",
    _inherited: "_fake_quantize_learnable_per_tensor_affine _log_softmax _masked_softmax _safe_softmax _softmax alias "
    "bernoulli channel_shuffle contiguous cummax cummin cumprod cumsum detach dropout log_sigmoid_forward "
    "log_softmax logcumsumexp native_channel_shuffle native_dropout renorm softmax tril triu",
    _written: "index_put scatter scatter_add scatter_reduce index_add index_copy index_fill masked_scatter",
}
_KEEPING: dict[str, Rule] = {name: rule for rule, names in _NAMES.items() for name in names.split()}
"""Rules of further operations that keep the shape of an argument."""
