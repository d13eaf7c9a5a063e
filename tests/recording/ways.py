# SPDX-License-Identifier: Apache-2.0
"""Ways of recording a network: forms of its inputs, batches, order, labels, masks, layers and storage."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, Sampler

from simplugins import compare_layers, compute_rsm, read_recorded, record

ALONE = ("tensor", "array", "tuples", "tuple loader")
"""Forms for networks with a single input."""
NAMED = ("mapping", "arrays", "dicts", "loader", "batch sampler")
DRAWN = ("tuple loader", "loader", "batch sampler")
"""Forms in which the inputs may come in another order."""
MASK = "attention_mask"


@dataclass(frozen=True)
class Way:
    """A way of recording a network.

    Attributes
    ----------
    form : str
        One of ALONE or NAMED.
    batch_size : int
    is_shuffled : bool
        Whether a sampler draws the inputs in random order.
    labels : {"none", "list", "batch"}
    layers : {"default", "all", "names", "patterns"}
    states_layouts : bool
    mask : {"default", "key", "array", "function"}
        Where the mask of the tokens comes from, for networks that have one.
    wrapper : {"none", "parallel", "channels last"}
    is_on_disk : bool
    """

    form: str = "mapping"
    batch_size: int = 100
    is_shuffled: bool = False
    labels: str = "none"
    layers: str = "names"
    states_layouts: bool = False
    mask: str = "default"
    wrapper: str = "none"
    is_on_disk: bool = False


@st.composite
def ways(draw, inputs, *, labelled, stated=True):
    """Draw a way that fits inputs, a mapping of tensors by the names of the network's parameters."""
    count = len(next(iter(inputs.values())))
    form = draw(st.sampled_from(NAMED + ALONE if len(inputs) == 1 else NAMED))
    is_shuffled = labelled and form in DRAWN and draw(st.booleans())
    from_batch = ["batch"] if form in ("tuples", *DRAWN) else []
    masks = ["default", "key", "function", *([] if is_shuffled else ["array"])]
    layers = draw(st.sampled_from(["names", "patterns", "default", "all"]))
    has_maps = any(values.ndim == 4 for values in inputs.values())
    return Way(
        form=form,
        batch_size=draw(st.integers(1, count)),
        is_shuffled=is_shuffled,
        labels="batch" if is_shuffled else draw(st.sampled_from(["list", *from_batch])) if labelled else "none",
        layers=layers,
        states_layouts=stated and layers != "default" and draw(st.booleans()),
        mask=draw(st.sampled_from(masks)) if MASK in inputs else "default",
        wrapper=draw(st.sampled_from(["none", "parallel", *(["channels last"] if has_maps else [])])),
        is_on_disk=draw(st.booleans()),
    )


class Shuffled(Sampler):
    """Draws all items in random order."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __iter__(self):
        return iter(np.random.default_rng(self.count).permutation(self.count).tolist())


class Items:
    """A data set of single inputs with names: tuples (input, number), or mappings with further fields."""

    def __init__(self, inputs, *, as_tuples):
        self.inputs, self.as_tuples = inputs, as_tuples

    def __len__(self):
        return len(next(iter(self.inputs.values())))

    def __getitem__(self, index):
        item = {name: values[index] for name, values in self.inputs.items()}
        return (*item.values(), index) if self.as_tuples else {"id": str(index), **item, "target": index % 3}


def awkward(values):
    """An array of the same values: floating-point numbers in float64, every second row, of the other byte order."""
    array = values.numpy()
    array = np.repeat(array.astype(np.float64) if array.dtype.kind == "f" else array, 2, axis=0)[::2]
    return array.astype(array.dtype.newbyteorder("S")) if array.dtype.kind != "b" else array


def in_form(way, inputs):
    """The inputs in the form that a way says."""
    values, count = next(iter(inputs.values())), len(next(iter(inputs.values())))
    starts = range(0, count, way.batch_size)
    if way.form in DRAWN:
        items = Items(inputs, as_tuples=way.form == "tuple loader")
        sampler = Shuffled(count) if way.is_shuffled else range(count)
        if way.form == "batch sampler":
            return DataLoader(items, batch_sampler=BatchSampler(sampler, way.batch_size, drop_last=False))
        return DataLoader(items, way.batch_size, sampler=sampler)
    cut = [{name: each[start : start + way.batch_size] for name, each in inputs.items()} for start in starts]
    return {
        "tensor": lambda: values,
        "array": lambda: awkward(values),
        "mapping": lambda: inputs,
        "arrays": lambda: {name: awkward(each) for name, each in inputs.items()},
        "dicts": lambda: cut,
        "tuples": lambda: [
            (next(iter(part.values())), np.arange(start, start + len(next(iter(part.values())))))
            for part, start in zip(cut, starts, strict=True)
        ],
    }[way.form]()


def options_of(way, inputs, layouts):
    """The keywords of `record`."""
    count = len(next(iter(inputs.values())))
    options = {"batch_size": way.batch_size, "order": "any" if way.is_shuffled else "fixed"}
    if way.labels != "none":
        of_batch = 1 if way.form in ("tuples", "tuple loader") else "id"
        options["labels"] = of_batch if way.labels == "batch" else list(map(str, range(count)))
    names = list(dict.fromkeys(name.split("#")[0] for name in layouts))
    options["layers"] = {"default": None, "all": "**", "names": names, "patterns": [*names[:1], "**"]}[way.layers]
    if way.states_layouts:
        options["layout"] = {name.split("#")[0]: layout for name, layout in layouts.items()}
    if MASK in inputs and way.mask != "default":
        options["mask"] = {"key": MASK, "array": inputs[MASK].tolist(), "function": lambda batch: batch[MASK]}[way.mask]
    return options


def recorded(model, inputs, layouts, way, folder, **common):
    """Record a network in a way.

    Parameters
    ----------
    model : torch.nn.Module
    inputs : dict of str to tensor
    layouts : dict of str to str
        The layouts of layers as their outputs are.
    way : Way
    folder : path
        A folder that does not exist, for what is stored on disk.
    **common
        Options that do not depend on the way.
    """
    if way.wrapper == "parallel":
        model = nn.DataParallel(model)
    elif way.wrapper == "channels last":
        model = copy.deepcopy(model).to(memory_format=torch.channels_last)
        inputs = {
            name: values.contiguous(memory_format=torch.channels_last) if values.ndim == 4 else values
            for name, values in inputs.items()
        }
    options = options_of(way, inputs, layouts) | common
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*(cannot be recorded|padding counts)", UserWarning)
        result = record(model, in_form(way, inputs), to=folder if way.is_on_disk else None, **options)
    return read_recorded(folder) if way.is_on_disk else result


def outputs_by_hand(model, inputs):
    """What each module returns, by name; those of a module that ran several times are numbered."""
    runs, hooks = {}, []

    def hook(name):
        def keep(module, arguments, output):
            runs.setdefault(name, []).append((output[0] if isinstance(output, tuple) else output).clone())

        return keep

    for name, module in model.named_modules():
        hooks.append(module.register_forward_hook(hook(name)))
    with torch.no_grad():
        model(**inputs)
    for each in hooks:
        each.remove()
    return {
        name if len(tensors) == 1 else f"{name}#{number}": tensor
        for name, tensors in runs.items()
        for number, tensor in enumerate(tensors)
    }


def sets_by_hand(tensor, layout, mask):
    """The set of concept vectors of each input, of a tensor with this layout and an (n, S) mask or None."""
    channels = layout.translate(str.maketrans("d", "c")) if "c" not in layout else layout
    order = [channels.index(letter) for letter in "ntdhwc" if letter in channels]
    moved = tensor.permute(order).to(torch.float64).numpy()
    vectors = moved.reshape(len(moved), -1, moved.shape[-1])
    keep = np.ones(vectors.shape[:2], bool) if mask is None or mask.shape != vectors.shape[:2] else mask
    return [each[there] for each, there in zip(vectors, keep, strict=True)]


def order_of(labels, count):
    """Where each input is in a recording."""
    return np.arange(count) if labels is None else np.argsort(labels.astype(int))


def in_order(rsm):
    """The values of an RSM, with its inputs in the order of their numbers."""
    order = order_of(rsm.labels, len(rsm))
    return rsm.values[np.ix_(order, order)]


def assert_same(one, other, *, align, tolerance):
    """Check that all layers of two recordings of the same inputs are equal, and so are their similarities."""
    names = [name for name in one if name in other]
    assert names
    a, b = ({name: compute_rsm(each[name]) for name in names} for each in (one, other))
    comparison = compare_layers(a, b, "cka-debiased", align=align)
    np.testing.assert_allclose(np.diag(comparison.values), 1, rtol=0, atol=max(1e-6, tolerance**2))
    for name in names:
        np.testing.assert_allclose(in_order(a[name]), in_order(b[name]), rtol=0, atol=tolerance, err_msg=name)
        assert one[name].layout == other[name].layout, name
