# SPDX-License-Identifier: Apache-2.0
"""Runs a model on batches, and traces the axes of all layer outputs in the first one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from simplugins.recording.axes import Axes
from simplugins.recording.axis_operations import tensors_in
from simplugins.recording.axis_tracing import AxisTracing
from simplugins.recording.batch_effects import Effect
from simplugins.recording.layer_hooks import LayerHooks
from simplugins.recording.layer_layouts import Observation, OutputLayout, RequestedLayouts, find_layout
from simplugins.recording.layer_outputs import NoActivationsError
from simplugins.recording.model_layers import Layer

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from simplugins.recording.batch_inputs import Batch

Shape = tuple[int, ...]


class ModelRuns:
    """Runs a model on batches, and finds the layouts of its layers' outputs in the first one.

    The first batch runs once, with its operations traced. It runs again if the model has compiled parts, if the batch
    has a single input, or if the axis of inputs can only be found with another number of inputs. If tracing fails, axes
    are unknown.

    Parameters
    ----------
    model : torch.nn.Module
    run : callable
        The model, or the function called in its place.
    hooks : LayerHooks
    requested : RequestedLayouts
    """

    def __init__(
        self, model: Module, run: Callable[..., Any], *, hooks: LayerHooks, requested: RequestedLayouts
    ) -> None:
        self._model, self._function = model, run
        self._hooks, self._requested = hooks, requested
        self._batch: Batch | None = None
        """The first batch."""
        self._axes: dict[str, list[Axes | None]] = {}
        self._effects: dict[str, list[Effect | None]] = {}
        self._adds_tokens = False
        self._other_shapes: dict[str, list[Shape]] | str | None = None

    def __call__(self, batch: Batch) -> None:
        """Run the model, so that the hooks have its outputs."""
        self._hooks.outputs.clear()
        if self._batch is None:
            self._batch = batch
            self._run_first(batch)
        else:
            self._run(batch)

    def _run(self, batch: Batch) -> None:
        self._function(*batch.arguments, **batch.keywords)

    def _run_first(self, batch: Batch) -> None:
        is_compiled = has_compiled_parts(self._model, self._function)
        if batch.size > 1 and not is_compiled:
            restore = _random_state()
            try:
                self._trace(batch, recording=True)
            except Exception:  # tracing may have caused it: run again without, so that only errors of the model remain
                self._forget()
                self._hooks.outputs.clear()
                restore()
            else:
                return
        self._run(batch)
        if not is_compiled or hasattr(torch.compiler, "set_stance"):
            with _isolated(compiled=is_compiled) as errors:
                self._trace(_resized(batch) if batch.size == 1 else batch, recording=False)
            if errors:
                self._forget()

    def _forget(self) -> None:
        self._axes, self._effects = {}, {}

    def _trace(self, batch: Batch, *, recording: bool) -> None:
        tracing = AxisTracing([*self._model.parameters(), *self._model.buffers()])
        tracing.start(tensors_in([*batch.arguments, *batch.keywords.values()]), batch.size)

        def observe(layer: str, tensor: Tensor | None) -> None:
            axes = None if tensor is None else tracing.find(tensor)
            self._axes.setdefault(layer, []).append(axes if isinstance(axes, tuple) else None)
            self._effects.setdefault(layer, []).append(None if tensor is None else tracing.effect_on(tensor))

        with self._hooks.observed(observe, recording=recording), tracing:
            self._run(batch)
        self._adds_tokens = tracing.adds_tokens

    @property
    def _first(self) -> Batch:
        assert self._batch is not None
        return self._batch

    def layout(self, layer: Layer, number: int, tensor: Tensor) -> OutputLayout:
        """Return the layout of a layer's output in its run of this number.

        Raises
        ------
        NoActivationsError, ValueError
            As for `find_layout`.
        """
        shape = tuple(tensor.shape)
        runs, count = self._axes.get(layer.name, []), len(self._hooks.outputs[layer.name])
        axes = runs[number] if len(runs) == count else None
        effect = self._effects[layer.name][number] if len(runs) == count else None
        if axes is not None and len(axes) != len(shape):
            axes = None
        layout = find_layout(
            layer.name,
            layer.module,
            Observation(shape, axes),
            self._first.size,
            requested=self._requested,
            around=lambda: self._around(layer),
            probe=lambda: self._changing(layer.name, number, shape),
        )
        return replace(layout, effect=effect, model_adds_tokens=self._adds_tokens)

    def _around(self, layer: Layer) -> Iterator[Module]:
        yield layer.module
        parts = layer.name.split(".")
        for length in range(len(parts) - 1, -1, -1):
            yield self._model.get_submodule(".".join(parts[:length]))

    def _changing(self, layer: str, number: int, shape: Shape) -> list[int]:
        """Return the axes whose lengths change with the number of inputs."""
        if self._other_shapes is None:
            self._other_shapes = self._run_resized()
        if isinstance(self._other_shapes, str):
            raise NoActivationsError(
                f"returned shape {shape}: the axis of the {self._first.size} inputs is not known, because the model "
                f"does not run with another number of inputs ({self._other_shapes}): pass its layout"
            )
        others = self._other_shapes.get(layer, [])
        other = others[number] if number < len(others) else ()
        return [axis for axis, pair in enumerate(zip(shape, other, strict=False)) if pair[0] != pair[1]]

    def _run_resized(self) -> dict[str, list[Shape]] | str:
        shapes: dict[str, list[Shape]] = {}

        def observe(layer: str, tensor: Tensor | None) -> None:
            shape = () if tensor is None or tensor.is_nested else tuple(tensor.shape)
            shapes.setdefault(layer, []).append(shape)

        with _isolated(compiled=False) as errors, self._hooks.observed(observe, recording=False):
            self._run(_resized(self._first))
        return f"{type(errors[0]).__name__}: {errors[0]}" if errors else shapes


def has_compiled_parts(model: Module, run: Any) -> bool:
    """Return whether a model has parts that `torch.compile` compiles."""

    def is_compiled(value: Any) -> bool:
        return hasattr(value, "_torchdynamo_orig_callable") or type(value).__name__ == "OptimizedModule"

    return is_compiled(run) or any(
        is_compiled(module)
        or is_compiled(vars(module).get("forward"))
        or getattr(module, "_compiled_call_impl", None) is not None
        for module in model.modules()
    )


@contextmanager
def _isolated(*, compiled: bool) -> Iterator[list[Exception]]:
    """Run the block without effect on random numbers and compiled code; yield a list that receives its exception."""
    restore = _random_state()
    errors: list[Exception] = []
    stance = torch.compiler.set_stance("force_eager") if compiled else nullcontext()
    try:
        with stance:
            yield errors
    except Exception as error:
        errors.append(error)
    finally:
        restore()


def _random_state() -> Callable[[], None]:
    """Return a function that restores the state of the random generators as it is now."""
    states = torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]

    def restore() -> None:
        torch.set_rng_state(states)
        if devices is not None:
            torch.cuda.set_rng_state_all(devices)

    return restore


def _resized(batch: Batch) -> Batch:
    """Return the batch without its last input, or with a single input repeated."""
    size = batch.size

    def resized(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or not value.ndim or value.shape[0] != size:
            return value
        return value[: size - 1] if size > 1 else value.repeat_interleave(2, 0)

    return replace(
        batch,
        size=size - 1 if size > 1 else 2,
        arguments=tuple(map(resized, batch.arguments)),
        keywords={name: resized(value) for name, value in batch.keywords.items()},
    )
