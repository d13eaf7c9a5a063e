# SPDX-License-Identifier: Apache-2.0
"""Runs a model on inputs and records the outputs of its layers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from simplugins._common.optional import import_extra
from simplugins._common.progress import progress_bar
from simplugins._common.validation import check_count
from simplugins.activations.activations import Activations
from simplugins.activations.labels import check_labels
from simplugins.activations.recordings import writing
from simplugins.recording.batches import count_inputs, in_batches, read_batch
from simplugins.recording.collector import Collector, Memory, Store
from simplugins.recording.layer_hooks import hooked
from simplugins.recording.layer_layouts import RequestedLayouts
from simplugins.recording.model_layers import choose_layers

if TYPE_CHECKING:
    import torch
    from torch.nn import Module


def record(
    model: Module,
    inputs: Any,
    layers: str | Sequence[str] | None = None,
    *,
    to: str | os.PathLike[str] | None = None,
    layout: str | Mapping[str, str] = "auto",
    drop_tokens: int | Sequence[int] = 0,
    labels: Any = None,
    batch_size: int = 32,
    device: Any = None,
    forward: Callable[..., Any] | None = None,
    progress: bool | str = False,
) -> dict[str, Activations]:
    """Record the activations of layers of a Torch model.

    The model runs in evaluation mode and without gradients. Afterwards, also after an error or an interrupt, the modes
    of all modules are restored and all hooks removed.

    Parameters
    ----------
    model : torch.nn.Module
    inputs : tensor, array, mapping, DataLoader, or iterable of batches
        All N inputs as a tensor, a NumPy array, or a mapping of these that is passed as keyword arguments (Hugging
        Face processors return such mappings); or an iterable of batches. A batch is one of these, or a tuple or list
        that starts with one; further elements, such as targets, are ignored.
    layers : str or sequence of str, optional
        Names from ``model.named_modules()``, or patterns in which ``*`` matches one part of a name and ``**`` any
        number of parts: ``"features.*"`` are the children of ``features``, ``"features.**"`` all its descendants.
        Layers matched by a pattern are skipped if they return no activations; layers given by name must return some.
        By default the children of the model, usually its stages; recording every layer can take gigabytes.
    to : path, optional
        A new or empty folder for one .npy file per layer, written while the model runs, so that only one batch is in
        memory at a time; `read_recorded` opens it. By default all values are kept in memory.
    layout : {"auto", "nd", "ntd", "nchw", "nhwc"}
        Meaning of the dimensions, for layers with this number of dimensions; "auto", which applies to all other
        layers, reads two, three and four dimensions as "nd", "ntd" and "nchw". Some models, such as Swin transformers,
        have "nhwc" maps.
    drop_tokens : int or sequence of int, default 0
        Tokens to drop from every layer that has tokens: the number of leading tokens (1 drops a class token), or the
        indices of tokens. Files contain all tokens.
    labels : sequence of N str or int, optional
        Names of the inputs.
    batch_size : int, default 32
        Number of inputs per batch, unless `inputs` is an iterable of batches.
    device : torch.device or str, optional
        The device that inputs are moved to; by default that of the model's first parameter. The model is not moved.
    forward : callable, optional
        Called with each batch in place of the model, such as ``model.encode_image``.
    progress : bool or str, default False
        Show a progress bar on standard error; a string replaces its title.

    Returns
    -------
    dict of str to Activations
        By layer, in the order requested; the inputs keep their order. A shared layer that runs several times in a
        forward pass has one entry per run: ``name#0``, ``name#1`` and so on. Values keep the type that the layer
        returned, except that types that NumPy lacks, such as bfloat16, become float32.

    Raises
    ------
    TypeError
        If the model is not a Torch module, or `inputs` or a batch has none of the forms above.
    ValueError
        If a requested layer does not exist; a layer given by name, or every layer that matches a pattern, does not run
        or returns no floating-point tensor with 2 to 4 dimensions, the first of which is the batch; the shape or type
        of a layer's output changes between batches; a value is NaN or infinite; there are no inputs; a DataLoader draws
        inputs in random order; or `layout`, `drop_tokens` or `labels` do not fit.
    FileExistsError
        If `to` exists and is not an empty folder.

    Notes
    -----
    If a layer returns a tuple, list, mapping or dataclass, its ``last_hidden_state`` is recorded, or else its first
    tensor. Outputs are copied as soon as their layer returns, so later layers may modify them in place. Parts of a
    model that are compiled, scripted or fused do not run as modules, and cannot be recorded. An incomplete recording
    leaves no files.

    Examples
    --------
    >>> import torch
    >>> import simplugins
    >>> from simplugins.recording import record
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2))
    >>> recorded = record(model, torch.rand(5, 3, 8, 8), ["1", "2"])
    >>> recorded["2"]
    Activations(5 inputs, 9 positions, 8 channels, float32, layout 'nchw')
    >>> {name: activations.shape for name, activations in recorded.items()}
    {'1': (5, 36, 8), '2': (5, 9, 8)}
    >>> simplugins.compute_rsm(recorded["2"], "semantic-cosine").shape
    (5, 5)
    """
    torch = import_extra("torch", extra="torch", purpose="recording activations")
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    from simplugins.recording.model_runs import ModelRuns

    check_count("batch_size", batch_size)
    selected = choose_layers(model, layers)
    requested = RequestedLayouts(layout, [layer.name for layer in selected])
    batches = in_batches(inputs, batch_size)
    labels = _read_labels(labels, count_inputs(inputs))
    device = _device_of(model) if device is None else torch.device(device)
    run = model if forward is None else forward
    with _storing(to) as store:
        collector = Collector(selected, store, drop_tokens=drop_tokens, labels=labels)
        with (
            _evaluating(model),
            hooked(selected) as hooks,
            torch.no_grad(),
            progress_bar(batches, progress, title="recording", unit="batch") as steps,
        ):
            runs = ModelRuns(model, run, hooks=hooks, requested=requested)
            for step in steps:
                batch = read_batch(step, device)
                hooks.outputs.clear()
                runs(batch)
                collector.add(hooks.outputs, batch.size, runs.layout)
        return collector.finish()


def _read_labels(labels: Any, count: int | None) -> NDArray[Any] | None:
    return None if labels is None else check_labels(labels, len(labels) if count is None else count)


def _device_of(model: Module) -> torch.device:
    import torch

    tensor = next(chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device


@contextmanager
def _evaluating(model: Module) -> Iterator[None]:
    """Set all modules to evaluation mode, and restore their previous modes on exit.

    Sets the flags directly, because a model's `train` method may do more, such as keep parts frozen or merge weights.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _storing(to: str | os.PathLike[str] | None) -> AbstractContextManager[Store]:
    return nullcontext(Memory()) if to is None else writing(to)
