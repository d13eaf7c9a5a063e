# SPDX-License-Identifier: Apache-2.0
"""Running a model on inputs, and keeping what its layers return."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from itertools import chain
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from simplugins._common.optional import import_extra
from simplugins._common.progress import shown
from simplugins._common.validation import check_count
from simplugins.activations.activations import Activations
from simplugins.activations.labels import check_labels
from simplugins.activations.recordings import writing
from simplugins.recording.batches import count_inputs, in_batches, read_batch
from simplugins.recording.collector import Collector, Memory, Store
from simplugins.recording.layer_outputs import copy_first_tensor
from simplugins.recording.model_layers import Layer, choose_layers

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import Module


def record(
    model: Module,
    inputs: Any,
    layers: str | Sequence[str] | None = None,
    *,
    to: str | os.PathLike[str] | None = None,
    layout: str = "auto",
    drop_tokens: int | Sequence[int] = 0,
    labels: Any = None,
    batch_size: int = 32,
    device: Any = None,
    forward: Callable[..., Any] | None = None,
    progress: bool | str = False,
) -> dict[str, Activations]:
    """Record the activations of layers of a Torch model.

    The model runs in evaluation mode and without gradients; afterwards, and after an error or an interrupt, every one
    of its modules is in the mode in which it was, and nothing is left attached to it.

    Parameters
    ----------
    model : torch.nn.Module
    inputs : tensor, array, mapping, DataLoader, or iterable of batches
        N inputs at once, as a tensor, a NumPy array, or a mapping of these that is passed by keyword (as Hugging Face's
        processors return), or batch by batch. A batch is one of these, or a tuple or list that starts with one: what
        follows, such as targets, is not used.
    layers : str or sequence of str, optional
        Names as ``model.named_modules()`` has them, or patterns of names, in which ``*`` stands for one part of a name
        and ``**`` for any: ``"features.*"`` are the direct parts of ``features``, ``"features.**"`` all parts of it.
        Of what a pattern finds, whatever does not return activations is left out; what is named must return some. By
        default the direct parts of the model, usually its stages: all its layers take memory in the gigabytes fast.
    to : path, optional
        A folder, new or empty, for one .npy file a layer, written as the model runs, so that no more than a batch is
        in memory; see `read_recorded`. By default all is kept in memory.
    layout : {"auto", "nd", "ntd", "nchw", "nhwc"}
        What the dimensions are of layers that have so many; "auto" reads two, three and four of them as the first
        three. The maps of some models, such as Swin transformers, are "nhwc".
    drop_tokens : int or sequence of int, default 0
        Tokens to leave out of every layer that has tokens: the first so many, or those at these places (1 for a class
        token). Files keep them.
    labels : sequence of N str or int, optional
        What the inputs are called.
    batch_size : int, default 32
        How many of N inputs given at once the model gets at a time.
    device : torch.device or str, optional
        Where the inputs are moved; by default where the model's first parameter is. The model is not moved.
    forward : callable, optional
        What to call with each batch in place of the model, such as ``model.encode_image``.
    progress : bool or str, default False
        Show a progress bar on standard error; a string is its title.

    Returns
    -------
    dict of str to Activations
        By the names of layers, in the order asked for; inputs in their order. A layer that runs several times in a
        forward pass, because it is shared, is there for each time, as ``name#0``, ``name#1`` and so on.
        Values are kept in the type in which they were returned; types that NumPy lacks, such as bfloat16, as float32.

    Raises
    ------
    TypeError
        If the model is no Torch module, or inputs or a batch are none of the above.
    ValueError
        If a name is unknown; a layer that was named, or all that a pattern finds, does not run, or returns no tensor of
        floating-point numbers that has 2 to 4 dimensions, of which the first is that of inputs; a layer returns other
        shapes for other batches; values are NaN or infinite; there are no inputs; a DataLoader draws them in random
        order; or `layout`, `drop_tokens` or `labels` do not fit.
    FileExistsError
        If `to` is no empty folder.

    Notes
    -----
    Of a tuple, list, mapping or dataclass that a layer returns, the first tensor is recorded, or that in
    ``last_hidden_state``.
    Outputs are copied when their layer returns, so later layers may work in place. On disk, nothing is left if the
    recording is not completed.
    Parts of a model that are compiled, scripted, or computed by a fused kernel do not run as modules, and so cannot be
    recorded.

    Examples
    --------
    >>> import torch
    >>> import simplugins
    >>> from simplugins.recording import record
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2))
    >>> recorded = record(model, torch.rand(5, 3, 8, 8), ["1", "2"])
    >>> {name: (len(layer), layer.channels, layer.positions[0].item()) for name, layer in recorded.items()}
    {'1': (5, 8, 36), '2': (5, 8, 9)}
    >>> simplugins.compute_rsm(recorded["2"], "semantic-cosine").shape
    (5, 5)
    """
    torch = import_extra("torch", extra="torch", purpose="recording activations")
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    check_count("batch_size", batch_size)
    chosen = choose_layers(model, layers)
    batches = in_batches(inputs, batch_size)
    labels = _read_labels(labels, count_inputs(inputs))
    device = _device_of(model) if device is None else torch.device(device)
    with _storing(to) as store:
        collector = Collector(chosen, store, layout=layout, drop_tokens=drop_tokens, labels=labels)
        with (
            _evaluating(model),
            _listening(chosen) as heard,
            torch.no_grad(),
            shown(batches, progress, title="recording", unit="batch") as steps,
        ):
            for given in steps:
                batch = read_batch(given, device)
                heard.clear()
                batch.run(model if forward is None else forward)
                collector.take(heard, batch.size)
        return collector.finish()


def _read_labels(labels: Any, count: int | None) -> NDArray[Any] | None:
    return None if labels is None else check_labels(labels, len(labels) if count is None else count)


def _device_of(model: Module) -> torch.device:
    import torch

    first = next(chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if first is None else first.device


@contextmanager
def _evaluating(model: Module) -> Iterator[None]:
    """Set all modules to evaluation mode, and then each back to its own.

    The flags are set one by one, since a model's own `train` may do more than that, such as keep parts frozen or merge
    weights.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def _listening(layers: Iterable[Layer]) -> Iterator[dict[str, list[Tensor | None]]]:
    """Collect what layers return, copied, by the names of the layers; cleared by the caller."""
    heard: dict[str, list[Tensor | None]] = {}

    def listener(name: str) -> Callable[..., None]:
        return lambda module, arguments, output: heard.setdefault(name, []).append(copy_first_tensor(output))

    with ExitStack() as hooks:
        for layer in layers:
            hooks.callback(layer.module.register_forward_hook(listener(layer.name)).remove)
        yield heard


def _storing(to: str | os.PathLike[str] | None) -> AbstractContextManager[Store]:
    return nullcontext(Memory()) if to is None else writing(to)
