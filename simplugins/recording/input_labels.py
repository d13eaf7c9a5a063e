# SPDX-License-Identifier: Apache-2.0
"""Labels of inputs: from a list, the batches or the data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins._common.validation import error_prefix
from simplugins.activations.labels import as_labels, check_labels
from simplugins.recording.batch_fields import NoFieldError, field, is_array
from simplugins.recording.loader_counts import drawn_indices
from simplugins.recording.loader_order import is_loader, order_doubts


def is_key(labels: Any) -> bool:
    """Return whether `labels` is a key or position of labels in the batches, rather than a list of labels.

    Raises
    ------
    TypeError
        If it is a bool.
    """
    if isinstance(labels, bool):
        raise TypeError(f"labels: expected one per input, a key such as 'id', or a position such as 1; got {labels}")
    return isinstance(labels, str | int | np.integer)


class InputLabels:
    """Collects one label per input while batches are read.

    Parameters
    ----------
    labels : sequence, str, int or None
        One label per input; or the key or position of the labels in each batch, or their name in the data set.
    inputs : object
        All inputs, as given to `simplugins.recording.record`.
    count : int or None
        Number of inputs, if known.

    Attributes
    ----------
    key : str, int or None
        The key or position of the labels in each batch, or their name in the data set.
    count : int
        Number of inputs so far.
    """

    def __init__(self, labels: Any, inputs: Any, count: int | None) -> None:
        self.key: str | int | None = None if labels is None or not is_key(labels) else labels
        self.count = 0
        self._inputs = inputs
        self._parts: list[list[Any]] = []
        self._all: NDArray[Any] | None = None
        if self.key is not None:
            if isinstance(inputs, Mapping) or is_array(inputs):
                self._all = check_labels(_in_batch(inputs, self.key), count or 0)
        elif labels is not None:
            self._all = _read(labels) if count is None else check_labels(labels, count)

    def add(self, batch: Any, size: int) -> None:
        """Add the labels of a batch.

        Raises
        ------
        ValueError
            If neither the batch nor the data set has such labels, or there is not one per input.
        """
        self.count += size
        if self.key is not None and self._all is None:
            try:
                values = _in_batch(batch, self.key)
            except NoFieldError as error:
                if self._parts:
                    raise
                self._all = self._from_data_set(error)
            else:
                self._parts.append(_one_per_input(values, size, self.key))
        if self._all is not None and self.count > len(self._all):
            raise ValueError(f"labels: expected one per input, got {len(self._all)} for at least {self.count}")

    def finish(self) -> NDArray[Any] | None:
        """Return the labels of all inputs, or None.

        Raises
        ------
        ValueError
            If there is not exactly one label per input.
        """
        labels = list(chain.from_iterable(self._parts)) if self._parts else self._all
        return check_labels(labels, self.count)

    def _from_data_set(self, error: NoFieldError) -> NDArray[Any]:
        """Return the data set's labels, in the order in which the loader draws its inputs."""
        if not isinstance(self.key, str) or not is_loader(self._inputs):
            raise error
        labels = data_set_labels(self._inputs.dataset, self.key)
        if labels is None:
            raise NoFieldError(
                f"{error}; nor does its data set, a {type(self._inputs.dataset).__name__}, have one {self.key!r} per "
                f"input"
            ) from None
        doubt = next(order_doubts(self._inputs), None)
        indices = None if doubt else drawn_indices(self._inputs)
        if indices is None:
            reason = doubt.reason if doubt else "it does not draw by index"
            raise ValueError(
                f"labels: {self.key!r} of the data set cannot be matched to the DataLoader's inputs: {reason}. Let "
                f"the data set return the labels with each input, so that they are in the batches"
            )
        return _read([labels[index] for index in indices])


def _read(labels: Any) -> NDArray[Any]:
    with error_prefix("labels"):
        return as_labels(labels)


def data_set_labels(dataset: Any, name: str) -> Sequence[Any] | None:
    """Return a data set's labels by name, one per item; None if it has none.

    Parameters
    ----------
    dataset : object
        The labels are a column of a Hugging Face data set, or an attribute with one value per item; subsets and
        concatenations look them up in their data sets.
    name : str
        "paths" falls back on the files of torchvision's ImageFolder, relative to its root.
    """
    if hasattr(dataset, "indices") and hasattr(dataset, "dataset"):
        inner = data_set_labels(dataset.dataset, name)
        return None if inner is None else [inner[int(index)] for index in dataset.indices]
    if hasattr(dataset, "datasets") and isinstance(dataset.datasets, list | tuple):
        parts = [data_set_labels(part, name) for part in dataset.datasets]
        return None if None in parts else list(chain.from_iterable(part for part in parts if part is not None))
    if name in (getattr(dataset, "column_names", None) or ()):
        return list(dataset[name])
    values = getattr(dataset, name, None)
    if (isinstance(values, Sequence) and not isinstance(values, str | bytes)) or is_array(values):
        labels: list[Any] = list(values) if isinstance(values, Sequence) else arrays.small_numpy(values).tolist()
        return labels if len(labels) == len(dataset) else None
    return _paths(dataset) if name == "paths" else None


def _paths(dataset: Any) -> list[str] | None:
    samples, root = getattr(dataset, "samples", None), getattr(dataset, "root", None)
    if not isinstance(samples, list) or root is None:
        return None
    return [PurePath(path).relative_to(root).as_posix() for path, *_ in samples]


def _in_batch(batch: Any, key: str | int) -> Any:
    try:
        return field(batch, key)
    except NoFieldError as error:
        raise NoFieldError(f"labels: {error}") from None


def _one_per_input(values: Any, size: int, key: str | int) -> list[Any]:
    listed = arrays.small_numpy(values).tolist() if is_array(values) else values
    if size == 1 and isinstance(listed, str | int | PurePath):
        return [listed]
    if (
        not isinstance(listed, list | tuple)
        or len(listed) != size
        or any(isinstance(label, list | tuple) for label in listed)
    ):
        shape = getattr(values, "shape", None)
        kind = type(values).__name__ + ("" if shape is None else f" of shape {tuple(shape)}")
        raise ValueError(f"labels: expected one {key!r} per input in a batch of {size}, got a {kind}")
    return list(listed)
