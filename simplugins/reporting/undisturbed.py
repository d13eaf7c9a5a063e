# SPDX-License-Identifier: Apache-2.0
"""Runs of a model in the middle of its training that leave no trace in it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


@contextmanager
def undisturbed(model: Module) -> Iterator[None]:
    """Restore the states of random generators and the buffers of a model on exit, and run without autocast.

    Restored are the generators of Python, NumPy and Torch, on all devices in use. In a region of autocast, Torch keeps
    the converted weights: those of a run without gradients would then take part in the next training step.
    """
    import torch

    restore = [_generators(), _buffers(model)]
    try:
        with ExitStack() as stack:
            for device in ("cpu", "cuda"):
                if torch.is_autocast_enabled(device):
                    stack.enter_context(torch.autocast(device, enabled=False))
            yield
    finally:
        for each in restore:
            each()


def _generators() -> Callable[[], None]:
    """Return a function that restores the present states of the random generators."""
    import torch

    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    in_use: Any = torch.cuda.is_initialized
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and in_use() else None
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None

    def restore() -> None:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)

    return restore


def _buffers(model: Module) -> Callable[[], None]:
    """Return a function that restores the present buffers of a model, in place."""
    import torch

    entries: list[tuple[dict[str, Any], str, Tensor, Tensor]] = [
        (module._buffers, name, buffer, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]

    present = [(module._buffers, set(module._buffers)) for module in model.modules()]

    def restore() -> None:
        for buffers, names in present:
            for name in set(buffers) - names:  # made in the run
                del buffers[name]
        with torch.no_grad():
            for buffers, name, buffer, values in entries:
                if not torch.equal(buffer, values):  # an unchanged one keeps its version, which autograd compares
                    buffer.copy_(values)
                buffers[name] = buffer

    return restore
