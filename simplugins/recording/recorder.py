# SPDX-License-Identifier: Apache-2.0
"""Runs a model on inputs and records the outputs of its layers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from simplugins._common.optional import import_extra
from simplugins._common.progress import progress_bar
from simplugins._common.validation import check_count
from simplugins.activations.activations import Activations
from simplugins.activations.recordings import writing
from simplugins.recording.batch_inputs import BatchReader
from simplugins.recording.batches import count_inputs, in_batches
from simplugins.recording.collector import Collector, Memory
from simplugins.recording.growing_output import Store
from simplugins.recording.input_labels import InputLabels
from simplugins.recording.input_masks import InputMasks
from simplugins.recording.layer_hooks import hooked
from simplugins.recording.layer_layouts import RequestedLayouts
from simplugins.recording.layer_masks import LayerMasks
from simplugins.recording.loader_counts import warn_of_missing_inputs
from simplugins.recording.loader_order import check_order
from simplugins.recording.model_errors import explaining_errors
from simplugins.recording.model_facts import float_type, input_device, named_model, unwrapped
from simplugins.recording.model_layers import choose_layers
from simplugins.recording.token_sources import layers_without_tokens

if TYPE_CHECKING:
    from torch.nn import Module


def record(
    model: Module,
    inputs: Any,
    layers: str | Sequence[str] | None = None,
    *,
    to: str | os.PathLike[str] | None = None,
    layout: str | Mapping[str, str] = "auto",
    mask: Any = None,
    drop_tokens: int | Sequence[int] | Literal["special"] = 0,
    labels: Any = None,
    input_key: str | int | None = None,
    order: Literal["fixed", "any"] = "fixed",
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
        All N inputs as a tensor, an array, or a mapping of these that is passed as keyword arguments (Hugging Face
        processors return such mappings); or an iterable of batches. A batch is one of these, a dataclass, or a tuple
        or list that starts with one. Fields that the model's ``forward`` has no parameter for, and further elements,
        such as targets, are ignored.
    layers : str or sequence of str, optional
        Names from ``model.named_modules()``, or patterns in which ``*`` matches one part of a name and ``**`` any
        number of parts: ``"features.*"`` are the children of ``features``, ``"features.**"`` all its descendants.
        Layers that match a pattern but cannot be recorded are named in a warning; layers given by name must return
        activations. By default the children of the model, usually its stages; recording every layer can take gigabytes.
    to : path, optional
        A new or empty folder for one .npy file per layer, written while the model runs, so that only one batch is in
        memory at a time; `read_recorded` opens it. By default all values are kept in memory.
    layout : str or mapping of str to str, default "auto"
        Meaning of the dimensions of what layers return, one letter per dimension (see `simplugins.parse_layout`): for
        all layers with this number of dimensions, or by name or pattern, such as ``{"blocks.*": "nhwc"}``. "auto",
        which applies to all other layers, follows the axes of inputs and channels through the model.
    mask : str, (N, T) array, callable or False, optional
        True or 1 for the tokens of the inputs that count, False or 0 for padding, whose positions are left out. The key
        of the mask in each batch; a mask of all inputs, for maps also (N, H, W); or a function that returns the mask of
        a batch. By default the batch's ``"attention_mask"`` and ``"decoder_attention_mask"``, if any; False counts all
        positions.
    drop_tokens : int, sequence of int or "special", default 0
        Tokens to drop from layers that have tokens: the number of leading tokens (1 drops a class token), the indices
        of tokens, or "special": class, register and distillation tokens, which come from the model's parameters, and
        the special tokens of texts (see Notes). If some layers have tokens from parameters, a number or indices apply
        only to these layers, and not to those before the tokens are added. Files of layers without a mask contain all
        tokens.
    labels : sequence of N str or int, str or int, optional
        Names of the inputs: a sequence; the key (a string) or position (an int) of the labels in each batch; or, if
        batches have no such key, the name of the data set's labels: a column of a Hugging Face data set, an attribute
        with one value per input, or ``"paths"`` of an ImageFolder. To compare recordings with ``align=True``, each
        input needs a unique label: an identifier or path, not its class.
    input_key : str or int, optional
        The key or position of the model's input in each batch, such as ``"image"`` or ``1``.
    order : {"fixed", "any"}, default "fixed"
        "fixed" raises an error if a DataLoader's order is not known to be fixed, or it draws only part of the inputs.
        "any" accepts both. Use it if you know that the order of your own sampler is fixed, or if the labels come with
        the inputs, so that recordings can be compared with ``align=True``.
    batch_size : int, default 32
        Number of inputs per batch, unless `inputs` is an iterable of batches.
    device : torch.device or str, optional
        The device that inputs are moved to; by default that of the model's first parameter. The model is not moved.
        Floating-point inputs are converted to the type of the model's parameters, if all have the same.
    forward : callable, optional
        Called with each batch in place of the model, such as ``model.encode_image``.
    progress : bool or str, default False
        Show a progress bar on standard error; a string replaces its title.

    Returns
    -------
    dict of str to Activations
        By layer, in the order requested; the inputs keep their order. A shared layer that runs several times in a
        forward pass has one entry per run: ``name#0``, ``name#1`` and so on. The inputs come first in each layout, even
        if the layer has them elsewhere. Values keep the type that the layer returned, except that types that NumPy
        lacks, such as bfloat16, become float32.

    Raises
    ------
    TypeError
        If the model is not a Torch module, or `inputs` or a batch has none of the forms above.
    ValueError
        If a requested layer does not exist; a layer requested by name, or all layers that match a pattern, do not run
        or return no floating-point tensor with an axis of inputs; an axis of channels is not known, or operations,
        module and `layout` contradict each other; the shape or type of a layer's output changes between batches; a
        value is NaN or infinite; there are no inputs; the order of a DataLoader is not known to be fixed; layers depend
        on which inputs share a batch, for example by statistics of the batch, and there are several batches; a mask
        fits no layer, or leaves an input without positions; the fields of a batch do not determine the model's input;
        the model raises an error that the type, device or shape of the inputs explains; or `layout`, `drop_tokens` or
        `labels` do not fit.
    FileExistsError
        If `to` exists and is not an empty folder.

    Warns
    -----
    UserWarning
        If layers that match a pattern cannot be recorded.
        If layers depend on random numbers that the model draws in evaluation mode, on which inputs share a batch, or,
        without a mask, on the length to which packed sequences are padded.
        If a mask does not fit some layers, so that padding counts in them.
        If a DataLoader yields more or fewer inputs than it reads from, for example because of ``drop_last=True``.

    Notes
    -----
    A mask applies to layers with the same number of tokens, not counting leading tokens from the model's parameters,
    and to the frames of Hugging Face's audio models, which state how many frames a signal padded on the right has. In
    models of several sequences, such as texts and images, another run of the first batch with one token less shows
    which layers have the text's tokens. Layers with masked positions, and layers whose number of tokens differs between
    batches, become sets of unequal size. Without a mask, `record` cannot tell padding from tokens; it warns if texts
    begin or end with the padding token in the model's configuration.

    The special tokens of texts are those of the batch's ``"special_tokens_mask"``, which is not passed to the model
    (``tokenizer(..., return_special_tokens_mask=True)``), or else the beginning, end, class, separator and padding
    tokens in the model's configuration.

    The order of a DataLoader is known to be fixed if it draws sequentially, from a sequence of indices, or with a
    sampler whose attribute ``shuffle`` is False; data sets and other iterables of batches are trusted unless they are
    known to shuffle. A model in DataParallel or DistributedDataParallel runs outside the wrapper, on one device; layers
    have their names in the wrapped model, unless all are requested with the wrapper's prefix ``module.``.

    The axes of a layer's output are those that `layout` states; else those that Torch's own modules declare (such as
    ``Conv1d``, ``Linear``, ``batch_first`` or timm's ``output_fmt``); else those traced through the operations of the
    first batch, such as convolutions, products and reshapes; else channels are the only axis whose size is a number of
    channels known in or around the layer. If the axes remain unknown or contradict each other, an error names the
    possible layouts. If the axis of inputs is uncertain, or there is a single input, the model runs once more with
    another number of inputs.

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
    named = named_model(model, layers)
    selected = choose_layers(named, layers)
    requested = RequestedLayouts(layout, [layer.name for layer in selected])
    model = unwrapped(model)
    run = unwrapped(model if forward is None else forward)
    batches = in_batches(inputs, batch_size)
    names = InputLabels(labels, inputs, count_inputs(inputs))
    check_order(inputs, order, labels_are_listed=labels is not None and names.key is None)
    masks, layer_masks = InputMasks(model, mask, drop_tokens), LayerMasks(model, is_default=mask is None)
    reader = BatchReader(
        run,
        device=input_device(model, device, is_called=run is model),
        dtype=float_type(model),
        input_key=input_key,
        other_keys=(names.key, *masks.keys),
    )
    with _storing(to) as store:
        collector = Collector(selected, store, drop_tokens=drop_tokens)
        with (
            _evaluating(model),
            hooked(selected) as hooks,
            torch.no_grad(),
            progress_bar(batches, progress, title="recording", unit="batch") as steps,
        ):
            runs = ModelRuns(named, run, hooks=hooks, requested=requested)
            for step in steps:
                batch = reader.read(step)
                names.add(step, batch.size)
                masks_of_batch = masks.read(step, batch.size)
                with explaining_errors(model, batch, step, picked=input_key is not None):
                    runs(batch)
                layer_masks.begin(masks_of_batch, partial(layers_without_tokens, hooks, run, batch.keywords))
                collector.add(hooks.outputs, batch.size, runs.layout, layer_masks)
                requested.check_applied()
        warn_of_missing_inputs(inputs, names.count)
        masks.finish(has_special_layers=collector.has_special_tokens)
        return collector.finish(names)


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
