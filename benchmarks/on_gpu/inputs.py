# SPDX-License-Identifier: Apache-2.0
"""Cases from real activations, and the plan of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from inputs import load_layer
from numpy.typing import NDArray

from simplugins.compute.engines import PRECISIONS
from simplugins.compute.engines.cuda.device import Precision

Vectors = NDArray[np.float32]

NOISE = 0.1
"""Noise of copied inputs, as a share of each channel's standard deviation."""


def count_pairs(inputs: int) -> int:
    """Return the number of pairs of `inputs` inputs."""
    return inputs * (inputs - 1) // 2


@dataclass(frozen=True)
class Case:
    """Activations of one size.

    Attributes
    ----------
    layer : str
    positions : int
        Number of positions used of each input, from the first on. If the layer has fewer, its maps are enlarged to a
        square of this number by linear interpolation.
    channels : int
        If the layer has another number, a random linear map and rectification produce this one.
    inputs : int
        The layer's inputs, followed by copies with noise.
    cpu_inputs : int
        Number of inputs on which the CPU engine is timed.
    """

    layer: str
    positions: int
    channels: int
    inputs: int
    cpu_inputs: int = 0

    @property
    def name(self) -> str:
        """Its name in tables."""
        return f"S = {self.positions}, C = {self.channels}"


@dataclass(frozen=True)
class Plan:
    """Sizes and limits of a run.

    Attributes
    ----------
    checks : tuple of Case
        Cases on which engines and precisions are compared. They include copies with noise, since the layers were saved
        in float16, of which all precisions compute exact products.
    window : int
        Window of the batch-optimal matching.
    first_calls, throughput, peers : tuple of Case
    precisions : tuple of str
        The precisions at which parts are timed, float32 first.
    calls : tuple of Case
        Cases of whole calls of `compute_rsm`.
    measures : tuple of str
        The measures of these calls.
    families : mapping of int to tuple of str
        Families of affinities by number of positions; see `solvers.families`.
    family_bytes : int
        Memory of the affinities of one family.
    searches : tuple of Case
        Cases of exact search. The first `queries` inputs are queries, of which the CPU searches for the first
        `cpu_inputs`; the others are the gallery.
    queries, neighbours : int
        Numbers of queries, and of neighbours per query.
    several : tuple of Case
        Cases that all GPUs of the machine share.
    long_run, large_run : Case, optional
        A run from NumPy arrays to the matrix, and one within `memory_limit` bytes of device memory.
    product_size, copy_bytes : int
        Sizes of the square product and of the copy that measure the device's ceilings.
    row_visits : mapping of int to int
        Number of rows read while solving a problem, by number of positions, where known. Counted by
        kernel_instructions.py for the checked layers.
    """

    checks: tuple[Case, ...]
    window: int
    first_calls: tuple[Case, ...]
    throughput: tuple[Case, ...]
    peers: tuple[Case, ...]
    precisions: tuple[Precision, ...]
    calls: tuple[Case, ...]
    measures: tuple[str, ...]
    families: Mapping[int, tuple[str, ...]]
    family_bytes: int
    searches: tuple[Case, ...]
    queries: int
    neighbours: int
    several: tuple[Case, ...]
    long_run: Case | None
    large_run: Case | None
    memory_limit: int
    product_size: int
    copy_bytes: int
    row_visits: Mapping[int, int]


NARROW = (
    Case("block15", 49, 320, inputs=1000, cpu_inputs=300),
    Case("block10", 196, 112, inputs=600, cpu_inputs=150),
    Case("block4", 784, 40, inputs=150, cpu_inputs=40),
)
WIDE = (
    Case("block15", 49, 768, inputs=1000, cpu_inputs=300),
    Case("block10", 196, 768, inputs=600, cpu_inputs=150),
    Case("block4", 784, 768, inputs=150, cpu_inputs=40),
)

LARGE = Case("block4", 1369, 40, inputs=60, cpu_inputs=12)
"""The positions of a vision transformer with patches of 14 pixels in an image of 518."""

MEASURES = "semantic-cosine", "semantic-rbf", "spatio-semantic-cosine", "second-order-cosine"
FAMILIES = (
    *("efficientnet", "vit", "tokens", "relu", "offset", "noise", "outliers", "half-empty", "eight-bit", "duplicates"),
    *("integers", "lognormal", "rank-one", "geometry-2d", "price-war"),
)
"""Kinds of concept vectors first, then problems that are hard or full of ties."""

FEW_FAMILIES = ("efficientnet", "vit", "relu", "noise", "outliers", "duplicates", "rank-one")

FULL = Plan(
    checks=(
        Case("block15", 49, 320, inputs=48),
        Case("block10", 196, 112, inputs=48),
        Case("block4", 784, 40, inputs=16),
    ),
    window=32,
    first_calls=tuple(Case(case.layer, case.positions, case.channels, inputs=4) for case in NARROW),
    throughput=(*(case for both in zip(NARROW, WIDE, strict=True) for case in both), LARGE),
    peers=NARROW,
    precisions=PRECISIONS,
    calls=(Case("block15", 49, 320, inputs=4000), Case("block15", 49, 320, inputs=1000)),
    measures=MEASURES,
    families={49: FAMILIES, 196: FAMILIES, 784: FAMILIES, 1369: ("efficientnet", "relu", "duplicates")},
    family_bytes=2**32,
    searches=(
        Case("block15", 49, 320, inputs=8000, cpu_inputs=400),
        Case("block10", 196, 112, inputs=3000, cpu_inputs=100),
    ),
    queries=1000,
    neighbours=10,
    several=(Case("block15", 49, 320, inputs=12_000), Case("block10", 196, 112, inputs=3000)),
    long_run=Case("block10", 196, 112, inputs=2000),
    large_run=Case("block15", 49, 320, inputs=20_000),
    memory_limit=16 * 2**30,
    product_size=8192,
    copy_bytes=2**31,
    row_visits={49: 385, 196: 1830, 784: 5560, 1369: 13_700},
)

QUICK = replace(
    FULL,
    first_calls=(),
    throughput=(*NARROW, LARGE),
    peers=(),
    precisions=("float32",),
    families={49: FEW_FAMILIES, 196: FEW_FAMILIES, 784: FEW_FAMILIES[:3]},
    searches=FULL.searches[:1],
    several=FULL.several[:1],
    long_run=None,
    large_run=None,
)
"""Two minutes."""

TINY = Plan(
    checks=(Case("block15", 9, 320, inputs=5), Case("block4", 16, 40, inputs=10)),
    window=4,
    first_calls=(Case("block4", 16, 40, inputs=2),),
    throughput=(
        Case("block15", 9, 320, inputs=8, cpu_inputs=6),
        Case("block4", 16, 40, inputs=10, cpu_inputs=6),
        Case("block4", 16, 48, inputs=10, cpu_inputs=6),
    ),
    peers=(Case("block15", 9, 320, inputs=8),),
    precisions=PRECISIONS,
    calls=(Case("block15", 9, 320, inputs=8), Case("block15", 9, 320, inputs=5)),
    measures=MEASURES,
    families={9: ("relu", "duplicates"), 16: ("relu", "duplicates")},
    family_bytes=2**14,
    searches=(Case("block15", 9, 320, inputs=30, cpu_inputs=4),),
    queries=6,
    neighbours=2,
    several=(Case("block4", 16, 40, inputs=10),),
    long_run=Case("block4", 16, 40, inputs=10),
    large_run=Case("block15", 9, 320, inputs=30),
    memory_limit=2**20,
    product_size=64,
    copy_bytes=2**20,
    row_visits={9: 50, 16: 120},
)
"""For the emulator, at tiny sizes."""


@cache
def load(case: Case) -> Vectors:
    """Load the activations of a case, (N, S, C)."""
    layer = _with_positions(load_layer(case.layer), case.positions)
    rng, deviation = np.random.default_rng(0), NOISE * layer.std((0, 1), dtype=np.float64).astype(np.float32)
    vectors = np.empty((case.inputs, *layer.shape[1:]), np.float32)
    for start in range(0, case.inputs, len(layer)):
        copies = vectors[start : start + len(layer)]
        copies[:] = layer[: len(copies)]
        if start:
            copies += deviation * rng.standard_normal(copies.shape, np.float32)
    channels = layer.shape[2]
    if case.channels == channels:
        return vectors
    linear = rng.standard_normal((channels, case.channels), np.float32) / np.float32(channels**0.5)
    wide: Vectors = vectors.reshape(-1, channels) @ linear  # as one product: NumPy would compute one per input
    return wide.clip(min=0).reshape(*vectors.shape[:2], -1)


def _with_positions(layer: Vectors, positions: int) -> Vectors:
    """Return the first positions of a layer, or its maps enlarged to a square with more."""
    available = layer.shape[1]
    if positions <= available:
        return layer[:, :positions]
    side, wanted = math.isqrt(available), math.isqrt(positions)
    places = np.linspace(0, side - 1, wanted)
    low = np.minimum(places.astype(int), side - 2)
    high_share = (places - low).astype(np.float32)[:, None]
    maps = layer.reshape(len(layer), side, side, -1)
    for axis in (1, 2):
        shares = high_share if axis == 2 else high_share[:, None]
        first, second = (np.take(maps, index, axis) for index in (low, low + 1))
        maps = first * (1 - shares) + second * shares
    return np.ascontiguousarray(maps.reshape(len(layer), positions, -1))
