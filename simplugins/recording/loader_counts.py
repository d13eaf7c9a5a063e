# SPDX-License-Identifier: Apache-2.0
"""The indices that a DataLoader draws from its data set, and the number of inputs it should yield."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from simplugins._common import arrays
from simplugins.recording.loader_order import is_index_sequence, is_loader


def drawn_indices(loader: Any) -> list[int] | None:
    """Return the indices that a loader in fixed order draws from its data set; None if it does not draw by index."""
    sampler = _sampler(loader)
    if sampler is None or not hasattr(loader.dataset, "__getitem__") or _is_iterable(loader.dataset):
        return None
    return list(_flat(islice(iter(sampler), len(loader))))


def warn_of_missing_inputs(inputs: Any, recorded: int) -> None:
    """Warn if a loader yielded more or fewer inputs than its data set, or its list of indices, has."""
    loaders = [inputs] if is_loader(inputs) else inputs if isinstance(inputs, list | tuple) else []
    if not loaders or not all(map(is_loader, loaders)):
        return
    totals = [_expected(loader) for loader in loaders]
    drops = any(_drops_last(loader) for loader in loaders)
    reason = " (drop_last=True drops the last, incomplete batch: construct the DataLoader with drop_last=False)"
    if None in totals:
        if drops:
            _warn(f"inputs: the DataLoader may have dropped some after the {recorded} recorded ones{reason}")
    elif recorded != (total := sum(total for total in totals if total is not None)):
        _warn(f"inputs: recorded {recorded} of the {total} that the DataLoader reads from{reason if drops else ''}")


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=4)


def _expected(loader: Any) -> int | None:
    sampler = _sampler(loader)
    batches_itself = getattr(loader, "batch_sampler", None) is None and not hasattr(sampler, "batch_size")
    if batches_itself and getattr(loader, "batch_size", None) is None:
        return None  # items of the data set may be batches
    while (inner := getattr(sampler, "sampler", getattr(sampler, "batch_sampler", None))) is not None:
        sampler = inner
    if sampler is not None and is_index_sequence(sampler):
        return sum(1 for _ in _flat(sampler))
    try:
        return len(loader.dataset)
    except (TypeError, NotImplementedError):
        return None


def _sampler(loader: Any) -> Any:
    sampler = getattr(loader, "batch_sampler", None)
    return getattr(loader, "sampler", None) if sampler is None else sampler


def _drops_last(loader: Any) -> bool:
    return any(getattr(part, "drop_last", None) is True for part in (loader, _sampler(loader)))


def _is_iterable(dataset: Any) -> bool:
    from torch.utils.data import IterableDataset

    return isinstance(dataset, IterableDataset)


def _flat(indices: Iterable[Any]) -> Iterator[int]:
    for index in indices:
        if isinstance(index, list | tuple | range) or len(getattr(index, "shape", ())) == 1:
            yield from _flat(arrays.small_numpy(index).tolist())
        else:
            yield int(index)
