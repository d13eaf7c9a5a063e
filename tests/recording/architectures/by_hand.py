# SPDX-License-Identifier: Apache-2.0
"""Sets of concept vectors taken from a model's forward pass by hand."""

from __future__ import annotations

import re

import numpy as np
import torch


def first_tensor(output):
    """The first tensor of an output, and of model outputs the last hidden state."""
    if torch.is_tensor(output):
        return output
    if hasattr(output, "last_hidden_state"):
        return output.last_hidden_state
    elements = output.values() if hasattr(output, "values") else output if isinstance(output, tuple | list) else ()
    return next((tensor for tensor in map(first_tensor, elements) if tensor is not None), None)


def outputs(model, inputs):
    """What each module returns, by name; those of a module that ran several times are numbered."""
    runs, hooks = {}, []
    for name, module in model.named_modules():
        if name:
            hooks.append(
                module.register_forward_hook(
                    lambda module, arguments, output, name=name: runs.setdefault(name, []).append(
                        None if first_tensor(output) is None else first_tensor(output).clone()
                    )
                )
            )
    with torch.no_grad():
        model(**inputs)
    for hook in hooks:
        hook.remove()
    numbered = {}
    for name, tensors in runs.items():
        for number, tensor in enumerate(tensors):
            numbered[name if len(tensors) == 1 else f"{name}#{number}"] = tensor
    return numbered


def arranged(tensor, layout):
    """(n, positions, channels) of a tensor, given the meaning of its dimensions; positions in the order t, h, w."""
    order = [layout.index(letter) for letter in "nthwc" if letter in layout]
    moved = tensor.permute(order).numpy()
    return moved.reshape(len(moved), -1, moved.shape[-1])


def layout_of(name, layouts):
    """The layout of the first pattern that matches a name; None for outputs that are not activations of the inputs."""
    name = re.sub(r"#\d+$", "", name)
    return next(layout for pattern, layout in layouts.items() if re.fullmatch(pattern, name))


def assert_sets(activations, arrays, masks=None, message=""):
    """Check that activations are the sets of (n, S, C) arrays, without the positions that (n, S) masks exclude."""
    masks = np.ones(arrays.shape[:2], bool) if masks is None else np.asarray(masks, bool)
    assert activations.positions.tolist() == masks.sum(1).tolist(), message
    for vectors, array, mask in zip(activations.sets(), arrays, masks, strict=True):
        np.testing.assert_allclose(vectors, array[mask], rtol=1e-5, atol=1e-5, err_msg=message)
