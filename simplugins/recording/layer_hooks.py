# SPDX-License-Identifier: Apache-2.0
"""Hooks that receive the outputs of layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from simplugins.recording.layer_outputs import copy_first_tensor, first_tensor
from simplugins.recording.model_layers import Layer

if TYPE_CHECKING:
    from torch import Tensor

    Observer = Callable[[str, Tensor | None], None]


class LayerHooks:
    """Hooks on layers.

    Attributes
    ----------
    outputs : dict of str to list
        By layer, a copy of the first tensor of each output; cleared before each batch.
    """

    def __init__(self) -> None:
        self.outputs: dict[str, list[Tensor | None]] = {}
        self._observer: Observer | None = None
        self._is_recording = True

    @contextmanager
    def observed(self, observer: Observer, *, recording: bool) -> Iterator[None]:
        """Also pass the first tensor of each output to a function; without `recording`, copy none."""
        self._observer, self._is_recording = observer, recording
        try:
            yield
        finally:
            self._observer, self._is_recording = None, True

    def receive(self, layer: str, output: Any) -> None:
        """Receive an output of a layer."""
        if self._observer is not None:
            self._observer(layer, first_tensor(output))
        if self._is_recording:
            self.outputs.setdefault(layer, []).append(copy_first_tensor(output))


@contextmanager
def hooked(layers: Iterable[Layer]) -> Iterator[LayerHooks]:
    """Attach hooks to layers, and remove them on exit."""
    hooks = LayerHooks()

    def hook(name: str) -> Callable[..., None]:
        return lambda module, arguments, output: hooks.receive(name, output)

    with ExitStack() as attached:
        for layer in layers:
            with suppress(
                RuntimeError
            ):  # scripted modules take no hooks, so they are reported like those that do not run
                attached.callback(layer.module.register_forward_hook(hook(layer.name)).remove)
        yield hooks
