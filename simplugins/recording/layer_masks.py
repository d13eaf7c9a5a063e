# SPDX-License-Identifier: Apache-2.0
"""Masks of the positions of layers, derived from the masks of the inputs' tokens."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common.texts import listed
from simplugins.activations.layouts import Layout

if TYPE_CHECKING:
    from torch.nn import Module

_MOST_LISTED = 12


class LayerMasks:
    """Finds the masks of layers from the masks of the inputs' tokens.

    Parameters
    ----------
    model : torch.nn.Module
    is_default : bool
        Whether the caller did not ask for a mask.
    """

    def __init__(self, model: Module, *, is_default: bool) -> None:
        self._model, self._is_default = model, is_default
        self._masks: list[_TokenMask] = []
        self._independent: dict[str, frozenset[str]] = {}
        """For each mask by name, the outputs of layers whose positions are not its tokens."""
        self._unmasked: dict[str, str] = {}
        """Layers that no mask fits, with a description."""
        self._has_masked = self._has_warned = False

    @property
    def are_given(self) -> bool:
        """Whether the batch has a mask."""
        return bool(self._masks)

    def begin(
        self,
        masks: Mapping[str, NDArray[np.bool_]],
        find_independent: Callable[[NDArray[np.bool_], str], frozenset[str]],
    ) -> None:
        """Begin a batch.

        Parameters
        ----------
        masks : mapping of str to (n, T) bool array
            The masks of the inputs' tokens by name; or masks (n, ...) of the positions of maps.
        find_independent : callable
            Finds the outputs of layers whose positions are not the tokens of a mask, by the mask and its name.
        """
        for name, mask in masks.items():
            if name not in self._independent:
                self._independent[name] = find_independent(mask, name)
        self._masks = [_TokenMask(self._model, mask, self._independent[name]) for name, mask in masks.items()]
        self._unmasked = {}

    def of(
        self, name: str, shape: tuple[int, ...], axes: Layout, special: NDArray[np.bool_] | None = None
    ) -> NDArray[np.bool_] | None:
        """Return the (n, S) mask of a layer's output; None if all positions count.

        Parameters
        ----------
        name : str
        shape : tuple of int
        axes : Layout
        special : (S,) bool array or None
            True for tokens that come from parameters; the masks may lack such tokens at the beginning.
        """
        size = math.prod(shape[axis] for axis in axes.positions)
        masks = [mask for mask in self._masks if size > 1 and name not in mask.independent]
        fitted = [values for mask in masks if (values := mask.fitted(shape, axes, special)) is not None]
        if fitted:
            self._has_masked = True
            return None if fitted[0].all() else fitted[0]
        if masks:
            self._unmasked[name] = f"{name} ({size})"
        return None

    def end(self) -> None:
        """End a batch, and warn once of layers without a mask although the inputs have padding.

        Raises
        ------
        ValueError
            If the caller requested a mask and it fits no layer.
        """
        if not self._unmasked:
            return
        layers = listed(self._unmasked.values(), most=_MOST_LISTED)
        tokens = " and ".join(" × ".join(map(str, mask.values.shape[1:])) for mask in self._masks)
        if not self._is_default and not self._has_masked:
            raise ValueError(f"mask: it has {tokens} positions per input, but the layers have others: {layers}")
        if not self._has_warned and not all(mask.values.all() for mask in self._masks):
            self._has_warned = True
            warnings.warn(
                f"the mask of {tokens} tokens does not fit all layers, so padding counts as positions in: {layers}",
                UserWarning,
                stacklevel=4,
            )


@dataclass
class _TokenMask:
    """The mask of the tokens of a batch.

    Attributes
    ----------
    model : torch.nn.Module
    values : (n, ...) bool array
    independent : set of str
        The outputs of layers whose positions are not these tokens.
    """

    model: Module
    values: NDArray[np.bool_]
    independent: frozenset[str]

    def fitted(
        self, shape: tuple[int, ...], axes: Layout, special: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_] | None:
        """Return the mask of a layer's positions, (n, S); None if it is not known."""
        sizes = tuple(shape[axis] for axis in sorted(axes.positions))
        if self.values.shape[1:] == sizes:
            return self.values.transpose(axes.mask_axes).reshape(len(self.values), -1)
        if not axes.has_tokens:
            return None
        prefix = 0 if special is None else int(np.argmin(special))
        if prefix and self.values.shape[1:] == (sizes[0] - prefix,):
            return np.pad(self.values, ((0, 0), (prefix, 0)), constant_values=True)
        return self._frames.get(sizes[0])

    @cached_property
    def _frames(self) -> dict[int, NDArray[np.bool_]]:
        return _frame_masks(self.model, self.values)


def _frame_masks(model: Module, mask: NDArray[np.bool_]) -> dict[int, NDArray[np.bool_]]:
    """Return masks of the frames that an audio model computes from masked samples, by the number of frames.

    Hugging Face's audio models state their number of frames for n samples; padding must be on the right.
    """
    lengths = mask.reshape(len(mask), -1).sum(1)
    if mask.ndim != 2 or not np.array_equal(mask, np.arange(mask.shape[1]) < lengths[:, None]):
        return {}
    masks: dict[int, NDArray[np.bool_]] = {}
    for counts in _frame_counts(model, np.append(lengths, mask.shape[1])):
        frames = int(counts[-1])
        masks.setdefault(frames, np.arange(frames) < counts[:-1, None])
    return masks


def _frame_counts(model: Module, samples: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the numbers of frames for these numbers of samples, after each convolution and at the end."""
    import torch

    for module in model.modules():
        count: Any = getattr(module, "_get_feat_extract_output_lengths", None)
        if count is None:
            continue
        config = getattr(module, "config", None)
        frames = samples
        for kernel, stride in zip(getattr(config, "conv_kernel", ()), getattr(config, "conv_stride", ()), strict=False):
            frames = (frames - kernel) // stride + 1
            yield frames
        for options in [{"add_adapter": each} for each in (False, True)] if hasattr(config, "add_adapter") else [{}]:
            counts = count(torch.as_tensor(samples), **options)
            if torch.is_tensor(counts) and counts.shape == samples.shape:
                yield counts.numpy()
