# SPDX-License-Identifier: Apache-2.0
"""Checks that DataLoaders and their wrappers yield inputs in a fixed order."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from simplugins._common.arrays import is_torch

_LOADER_ATTRIBUTES = ("sampler", "batch_sampler", "batch_size", "bs", "shuffle", "collate_fn")
_SAMPLERS = ("batch_sampler", "sampler", "_index_sampler")
_MAP_PARTS = ("dataset", "datasets")
_PARTS = (
    *_MAP_PARTS,
    *("_dataset", "base_dataloader", "dataloader", "loader", "_loader", "iterable", "root"),  # wrappers of loaders
    *("source", "datapipe", "_datapipe", "pipeline", "_ex_iterable", "ex_iterable", "ex_iterables"),
)
_TRUSTED = {
    *("torch", "torchdata", "torch_geometric", "accelerate", "transformers", "datasets", "timm"),
    *("lightning", "lightning_fabric", "pytorch_lightning"),
}
"""Packages whose loaders and sampler wrappers keep the order of what they wrap."""
_BUILTIN_ITERATORS = (enumerate, filter, map, zip)
_RANDOM_SAMPLER = re.compile("random|shuffl|weighted", re.IGNORECASE)
_RANDOM_STREAM = re.compile("shuffl|resampl|randomly", re.IGNORECASE)


@dataclass(frozen=True)
class Doubt:
    """A reason why the order of inputs is not known to be fixed.

    Attributes
    ----------
    kind : {"random", "unknown", "part"}
        "part" means only part of the data set, or repeated inputs.
    reason : str
    """

    kind: Literal["random", "unknown", "part"]
    reason: str


def is_loader(source: Any) -> bool:
    """Return whether an object is a DataLoader or resembles one: a data set and another attribute of loaders."""
    return hasattr(source, "dataset") and any(hasattr(source, name) for name in _LOADER_ATTRIBUTES)


def check_order(inputs: Any, order: str, *, labels_are_listed: bool) -> None:
    """Raise a ValueError if the inputs come from a DataLoader whose order is not known to be fixed.

    Parameters
    ----------
    inputs : iterable
    order : {"fixed", "any"}
        "any" permits any order, except a random one with a list of labels.
    labels_are_listed : bool
        Whether the labels are a list, and do not come with each batch.
    """
    if order not in ("fixed", "any"):
        raise ValueError(f"order must be 'fixed' or 'any', got {order!r}")
    doubts = list(order_doubts(inputs))
    random = [doubt for doubt in doubts if doubt.kind == "random"]
    if order == "any":
        if random and labels_are_listed:
            raise ValueError(
                f"labels: a list cannot be matched to inputs in random order ({random[0].reason}): take the labels "
                f"from the batches, such as labels='id' or labels=1, or construct the DataLoader with shuffle=False"
            )
        return
    if doubts:
        doubt = (random or doubts)[0]
        remedy = {
            "random": "construct the DataLoader with shuffle=False",
            "unknown": "use a torch.utils.data.DataLoader with shuffle=False, or a list of indices as sampler",
            "part": "record all inputs in one process, with a plain DataLoader with shuffle=False",
        }[doubt.kind]
        raise ValueError(
            f"inputs: the DataLoader's order is not known to be fixed: {doubt.reason}. Recordings can only be compared "
            f"if they have the same inputs in the same order: {remedy}. Or pass order='any' if you know that the "
            f"order is fixed, or if the labels come with the inputs (such as labels='id') to compare with align=True"
        )


def order_doubts(source: Any, seen: set[int] | None = None) -> Iterator[Doubt]:
    """Yield the reasons why a source of batches may not have a fixed order.

    Parameters
    ----------
    source : object
        A DataLoader, a data set, or something that wraps one. An iterable without any of these is trusted.
    seen : set of int, optional
        Identities of objects already visited.
    """
    seen = set() if seen is None else seen
    if source is None or id(source) in seen or isinstance(source, str | bytes) or is_torch(source):
        return
    seen.add(id(source))
    is_map = _is_map_style(source)
    if not is_map:
        yield from _stream_doubts(source)
    elif getattr(source, "shuffle", None) is True:
        yield Doubt("random", f"{_name(source)} has shuffle=True")
    for part in _parts(source, _MAP_PARTS if is_map else _PARTS):
        yield from order_doubts(part, seen)
    if not is_map:
        for name in _SAMPLERS:
            yield from _sampler_doubts(getattr(source, name, None), seen)


def _is_map_style(source: Any) -> bool:
    from torch.utils.data import IterableDataset

    return (
        hasattr(source, "__getitem__")
        and not isinstance(source, IterableDataset | list | tuple)
        and not is_loader(source)
    )


def _parts(source: Any, names: Sequence[str]) -> Iterator[Any]:
    """Yield the objects that a source reads from."""
    if isinstance(source, _BUILTIN_ITERATORS):
        yield from source.__reduce__()[1]
    elif inspect.isgenerator(source):
        yield inspect.getgeneratorlocals(source).get(".0")  # of a generator expression
    elif isinstance(source, list | tuple):
        yield from filter(is_loader, source)
    else:
        for name in names:
            part = getattr(source, name, None)
            yield from part if isinstance(part, list | tuple) else (part,)


def _stream_doubts(source: Any) -> Iterator[Doubt]:
    """Yield doubts about a loader or an iterable data set by itself, without its parts."""
    shuffle = getattr(source, "shuffle", None)
    name = _name(source)
    function = getattr(getattr(source, "f", None), "__name__", "")  # a stage of WebDataset
    if shuffle is True:
        yield Doubt("random", f"{name} has shuffle=True")
    elif _RANDOM_STREAM.search(f"{name} {function}") and shuffle is not False and _enabled(source):
        yield Doubt("random", f"{function or name} shuffles the inputs")
    if is_loader(source) and shuffle is not False and _iterating_class(source) not in (None, *_trusted_bases(source)):
        yield Doubt("unknown", f"{name} defines __iter__ itself and may yield any order")
    yield from _worker_doubts(source)
    yield from _part_doubts(source)


def _worker_doubts(source: Any) -> Iterator[Doubt]:
    workers = getattr(source, "num_workers", None) or getattr(source, "_num_workers", None) or 0
    if not isinstance(workers, int) or workers < 2:
        return
    in_order = getattr(source, "in_order", getattr(source, "_in_order", True))
    if in_order is False:
        yield Doubt("random", f"{workers} workers deliver batches as soon as they are ready (in_order=False)")
    dataset = getattr(source, "dataset", getattr(source, "_dataset", None))
    if dataset is not None and not _is_map_style(dataset) and not is_loader(dataset):
        yield Doubt("unknown", f"{workers} workers interleave, and may repeat, the items of an iterable data set")


def _part_doubts(source: Any) -> Iterator[Doubt]:
    for owner in (source, getattr(source, "_distributed", None)):
        for name in ("num_replicas", "num_processes", "world_size"):
            number = getattr(owner, name, None)
            if isinstance(number, int) and number > 1:
                yield Doubt("part", f"{_name(source)} draws only the share of one of {number} processes ({name})")
                return


def _sampler_doubts(sampler: Any, seen: set[int]) -> Iterator[Doubt]:
    """Yield the reasons why a sampler or batch sampler may not have a fixed order."""
    from torch.utils.data import BatchSampler, SequentialSampler
    from torch.utils.data.dataloader import _InfiniteConstantSampler

    if sampler is None or id(sampler) in seen or is_index_sequence(sampler):
        return
    seen.add(id(sampler))
    shuffle = getattr(sampler, "shuffle", None)
    owner = _iterating_class(sampler)
    owner_name = "" if owner is None else owner.__name__
    if shuffle is True or (shuffle is not False and _RANDOM_SAMPLER.search(owner_name)):
        yield Doubt("random", f"its {_name(sampler)} draws inputs in random order")
        return
    yield from _part_doubts(sampler)
    inner = [getattr(sampler, name, None) for name in ("batch_sampler", "sampler")]
    is_transparent = owner is BatchSampler or owner in _trusted_bases(sampler)
    if shuffle is False or (is_transparent and any(part is not None for part in inner)):
        for part in inner:
            yield from _sampler_doubts(part, seen)
    elif owner not in (SequentialSampler, _InfiniteConstantSampler):
        yield Doubt("unknown", f"its sampler, a {_name(sampler)}, may draw any order")


def is_index_sequence(sampler: Any) -> bool:
    """Return whether a sampler is a plain sequence of indices, or of batches of indices."""
    return isinstance(sampler, Sequence) or (hasattr(sampler, "__array__") and hasattr(sampler, "shape"))


def _iterating_class(source: Any) -> type | None:
    """Return the class that defines how an object is iterated."""
    return next((base for base in type(source).__mro__ if "__iter__" in vars(base)), None)


def _trusted_bases(source: Any) -> list[type]:
    return [base for base in type(source).__mro__ if base.__module__.split(".")[0] in _TRUSTED]


def _enabled(source: Any) -> bool:
    return getattr(source, "_enabled", True) is not False  # the switch of Torch's data pipes


def _name(source: Any) -> str:
    return type(source).__name__


def chained(inputs: Any) -> Any:
    """Return the batches of several DataLoaders, one after the other; other inputs unchanged."""
    several = isinstance(inputs, list | tuple) and inputs and all(map(is_loader, inputs))
    return chain.from_iterable(inputs) if several else inputs
