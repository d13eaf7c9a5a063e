# SPDX-License-Identifier: Apache-2.0
"""Brain-Score's assemblies: the responses in them, with neuroids at their positions."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from brainscore_core.supported_data_standards.brainio.assemblies import DataAssembly, NeuroidAssembly

TOOL = "Brain-Score"
STIMULUS = "stimulus_id"

_GRIDS = (
    ("channel", "channel_x", "channel_y"),
    ("channel", "channel_temporal", "channel_x", "channel_y"),
    ("embedding", "channel"),
)
"""The coordinates that give the place of neuroids in Brain-Score's models: the channel first, then the position."""


@dataclass(frozen=True)
class Responses:
    """Responses to stimuli.

    Attributes
    ----------
    activations : (N, C, H, W), (N, T, C) or (N, C) array
    stimuli : (N,) array of str or int64
    grid : str
        Description of the positions.
    """

    activations: NDArray[Any]
    stimuli: NDArray[Any]
    grid: str

    def __repr__(self) -> str:
        return f"Responses of shape {self.activations.shape} to {len(self.stimuli)} stimuli, {self.grid}"

    def in_order(self) -> Responses:
        """Return the responses sorted by stimulus."""
        order = np.argsort(self.stimuli)
        return replace(self, activations=self.activations[order], stimuli=self.stimuli[order])


def responses_in(assembly: NeuroidAssembly, grid: Sequence[str] | None = None) -> Responses:
    """Return the responses in an assembly, with neuroids at their positions.

    Parameters
    ----------
    assembly : NeuroidAssembly
        Presentations by neuroids, in any order.
    grid : sequence of str, optional
        The coordinates of neuroids that give their channel and then their position. By default those of Brain-Score's
        models: "channel", "channel_x" and "channel_y" for maps, "embedding" and "channel" for tokens. Neuroids without
        these coordinates are read as the channels of a single position, with a UserWarning once per layer; ``()`` does
        so for all neuroids, without a warning.

    Raises
    ------
    TypeError
        If `assembly` is not an assembly.
    ValueError
        If it has other dimensions, presentations have no or repeated stimulus_ids, or coordinates do not fill a grid.
    """
    if set(dimensions(assembly)) != {"presentation", "neuroid"}:
        raise ValueError(
            f"assembly: expected the dimensions presentation x neuroid, got {' x '.join(assembly.dims)}; select one "
            f"time bin, or average over them"
        )
    values = assembly.transpose("presentation", "neuroid").values
    stimuli = _stimuli(assembly)
    neuroids = coordinates(assembly, "neuroid")
    names = _known_grid(neuroids) if grid is None else _requested_grid(neuroids, grid)
    if not names:
        if grid is None or len(grid) > 0:
            _warn_of_one_position(tuple(sorted({str(layer) for layer in neuroids.get("layer", ())})))
        return Responses(values.copy(), stimuli, "one position")
    channels, *positions = names
    sizes = " x ".join(str(len(np.unique(neuroids[name]))) for name in positions)
    return Responses(_placed(values, neuroids, channels, positions), stimuli, f"{sizes} ({', '.join(positions)})")


def dimensions(assembly: Any) -> tuple[str, ...]:
    """Return the dimensions of an assembly; raise a TypeError if it is none."""
    if not hasattr(assembly, "dims"):
        raise TypeError(f"assembly: expected an assembly of {TOOL}, got {type(assembly).__name__}")
    return tuple(assembly.dims)


def coordinates(assembly: DataAssembly, dimension: str) -> dict[str, NDArray[Any]]:
    """Return the coordinates along a dimension, including the levels of its index."""
    from brainscore_core.supported_data_standards.brainio.assemblies import walk_coords

    return {name: values for name, dims, values in walk_coords(assembly) if set(dims) == {dimension}}


def first_repeated(names: NDArray[Any]) -> tuple[Any, int] | None:
    """Return the first name that occurs more than once, and its count."""
    return next(((name, count) for name, count in Counter(names.tolist()).items() if count > 1), None)


def _stimuli(assembly: NeuroidAssembly) -> NDArray[Any]:
    """Return the stimulus of each presentation, (N,)."""
    presentations = coordinates(assembly, "presentation")
    if STIMULUS not in presentations:
        raise ValueError(
            f"assembly: presentations need a coordinate {STIMULUS!r}, they have {', '.join(presentations) or 'none'}; "
            f"xarray drops the name of a dimension's only coordinate, so add a second one"
        )
    names = presentations[STIMULUS].tolist()
    if without := [number for number, name in enumerate(names) if name is None or name != name or name == ""]:
        raise ValueError(f"assembly: presentation {without[0]} has no {STIMULUS}: add it, or drop the presentation")
    stimuli = np.array(names)
    if repeated := first_repeated(stimuli):
        raise ValueError(
            f"assembly: {STIMULUS} {repeated[0]!r} has {repeated[1]} presentations: average repetitions first, for "
            f"example with brainscore_vision.benchmark_helpers.neural_common.average_repetition"
        )
    return stimuli


def _has_values(values: NDArray[Any]) -> bool:
    """Return whether a coordinate has values: in layers without positions, Brain-Score fills it with NaN."""
    return not (values.dtype.kind == "f" and np.isnan(values).all())


def _known_grid(neuroids: Mapping[str, NDArray[Any]]) -> Sequence[str]:
    """Return which of Brain-Score's grids neuroids have; empty if none."""
    known = {name for grid in _GRIDS for name in grid}
    present = {name for name, values in neuroids.items() if name in known and _has_values(values)}
    return next((grid for grid in _GRIDS if set(grid) == present), ())


def _requested_grid(neuroids: Mapping[str, NDArray[Any]], grid: Sequence[str]) -> Sequence[str]:
    """Return the requested grid; empty if neuroids have none of its coordinates."""
    if isinstance(grid, str) or len(grid) == 1:
        raise ValueError(f"grid: expected the coordinate of channels and those of positions, got {grid!r}")
    missing = [name for name in grid if name not in neuroids or not _has_values(neuroids[name])]
    if missing and len(missing) < len(grid):
        raise ValueError(f"grid: neuroids lack {', '.join(missing)}; their coordinates are {', '.join(neuroids)}")
    return () if missing else grid


def _placed(
    values: NDArray[Any], neuroids: Mapping[str, NDArray[Any]], channels: str, positions: Sequence[str]
) -> NDArray[Any]:
    """Return responses with neuroids at their positions: (N, C, H, W) for two coordinates, otherwise (N, T, C)."""
    names = (channels, *positions) if len(positions) == 2 else (*positions, channels)
    axes = [np.unique(neuroids[name], return_inverse=True) for name in names]
    sizes = [len(unique) for unique, _ in axes]
    cells = tuple(inverse.ravel() for _, inverse in axes)
    count = values.shape[1]
    places = np.ravel_multi_index(cells, sizes) if prod(sizes) == count else np.zeros(count, np.int64)
    if len(np.unique(places)) < count:
        raise ValueError(
            f"assembly: {count} neuroids do not fill a grid of {' x '.join(map(str, sizes))} ({', '.join(names)}): "
            f"pass all neuroids of one layer at a time, such as assembly.sel(layer=...), or grid=() to read all "
            f"neuroids as the channels of a single position"
        )
    placed = values[:, np.argsort(places)]
    return placed.reshape(len(values), *sizes) if len(positions) == 2 else placed.reshape(len(values), -1, sizes[-1])


@cache
def _warn_of_one_position(layers: tuple[str, ...]) -> None:
    """Warn that neuroids have no positions, once for recordings and once per layer of models."""
    warnings.warn(
        f"{TOOL}: neuroids{' of ' + ', '.join(layers) if layers else ''} have no coordinates of channels and positions "
        f"({', '.join(_GRIDS[0])}, or {', '.join(_GRIDS[2])}), so they are the channels of a single position and "
        f"nothing is matched; grid=() confirms this and silences the warning",
        UserWarning,
        stacklevel=2,
    )
