# SPDX-License-Identifier: Apache-2.0
"""Families of affinities: their names, and the functions that generate them.

Each function takes a random generator and the numbers of rows and columns, and returns affinities as an array. The same
family, size and seed always give the same problems.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from solvers import adversarial, concept_vectors, degenerate, photographs, positions, tokens

Matrix = NDArray[np.floating]
Make = Callable[[np.random.Generator, int, int], Matrix]

CONCEPTS = "concept vectors"
DEGENERATE = "degenerate concept vectors"
GEOMETRY = "geometry"
LITERATURE = "assignment literature"


@dataclass(frozen=True)
class Family:
    """A kind of affinities.

    Attributes
    ----------
    title : str
        Its name in tables.
    group : str
    make : callable
        Generates one problem.
    largest : bool, default False
        Whether the largest size is measured, which takes seconds per problem.
    """

    title: str
    group: str
    make: Make
    largest: bool = False

    def problems(self, rows: int, cols: int, count: int, dtype: type[np.floating], seed: int = 0) -> Matrix:
        """Return `count` problems as an array (count, rows, cols)."""
        rng = np.random.default_rng([seed, crc32(self.title.encode()), rows, cols])
        return np.ascontiguousarray([self.make(rng, rows, cols) for _ in range(count)], dtype=dtype)


FAMILIES: Mapping[str, Family] = {
    "efficientnet": Family("EfficientNet-Lite0, photographs", CONCEPTS, photographs.efficientnet, largest=True),
    "sentences": Family("sentence encoder, tokens", CONCEPTS, tokens.sentences),
    "tokens": Family("tokens with a common part and repeated words", CONCEPTS, tokens.repeated_words),
    "vit": Family("ViT-like: class token, outlier tokens and channels", CONCEPTS, tokens.vit, largest=True),
    "relu": Family("relu, C = 64", CONCEPTS, concept_vectors.relu, largest=True),
    "sparse": Family("sparse relu, C = 64", CONCEPTS, partial(concept_vectors.relu, below=1.2)),
    "offset": Family("common offset", CONCEPTS, concept_vectors.offset),
    "noise": Family("itself with noise", CONCEPTS, concept_vectors.noisy_copy, largest=True),
    "shifted": Family("smooth map, shifted", CONCEPTS, concept_vectors.shifted_map),
    "waves": Family("smooth in one dimension, shifted", CONCEPTS, concept_vectors.shifted_waves),
    "outliers": Family(
        "outlier tokens (a few norms 100 times the rest)", CONCEPTS, concept_vectors.outliers, largest=True
    ),
    "half-empty": Family("half-empty maps", CONCEPTS, concept_vectors.half_empty),
    "padded": Family("a fifth of zeros as padding", CONCEPTS, concept_vectors.padded),
    "binary": Family("binary activations", CONCEPTS, concept_vectors.binary),
    "eight-bit": Family("8-bit activations", CONCEPTS, concept_vectors.eight_bit),
    "spikes": Family("spike counts", CONCEPTS, concept_vectors.spikes),
    "uniform": Family("uniform", DEGENERATE, degenerate.uniform),
    "integers": Family("integers 0 to 3", DEGENERATE, partial(degenerate.integers, below=4), largest=True),
    "lognormal": Family("norms lognormal", DEGENERATE, degenerate.lognormal, largest=True),
    "wide": Family("magnitudes over 30 powers of ten", DEGENERATE, degenerate.wide),
    "duplicates": Family("half of the positions equal", DEGENERATE, degenerate.duplicates, largest=True),
    "few-vectors": Family("eight different vectors", DEGENERATE, degenerate.few_vectors),
    "plain": Family("plain rows", DEGENERATE, degenerate.plain_rows),
    "nearly-equal": Family("nearly equal positions", DEGENERATE, degenerate.nearly_equal),
    "rank-one": Family("rank one", DEGENERATE, degenerate.rank_one, largest=True),
    "rank-two": Family("rank two", DEGENERATE, degenerate.rank_two),
    "constant": Family("constant", DEGENERATE, degenerate.constant),
    "geometry-2d": Family(
        "squared distances in 2-D", GEOMETRY, partial(positions.distances, dimensions=2), largest=True
    ),
    "geometry-3d": Family("squared distances in 3-D", GEOMETRY, partial(positions.distances, dimensions=3)),
    "grid": Family("distances on a grid, shifted", GEOMETRY, positions.shifted_grid),
    "kernel": Family("Gaussian kernel of positions in 2-D", GEOMETRY, positions.kernel),
    "machol-wien": Family("Machol–Wien, costs i j", LITERATURE, adversarial.machol_wien, largest=True),
    "small-range": Family("integers 0 to 99", LITERATURE, partial(degenerate.integers, below=100)),
    "size-range": Family("integers 0 to S", LITERATURE, adversarial.integers_to_size),
    "two-cost": Family("two costs on a sparse graph", LITERATURE, adversarial.two_costs),
    "fixed-cost": Family("fixed costs of rows on a sparse graph", LITERATURE, adversarial.fixed_costs),
    "permuted": Family("permuted diagonal", LITERATURE, adversarial.permuted_diagonal),
    "staircase": Family("staircase", LITERATURE, adversarial.staircase, largest=True),
    "price-war": Family("price war: one column that nobody wants", LITERATURE, adversarial.price_war, largest=True),
    "chain": Family("chain of near-ties", LITERATURE, adversarial.chain),
    "blocks": Family("blocks of unequal sides", LITERATURE, adversarial.unequal_blocks),
}


def select(names: str) -> list[str]:
    """Return the keys that start with one of the comma-separated names, in the order of the table.

    Raises
    ------
    ValueError
        If a name fits no family.
    """
    wanted = [name.strip() for name in names.split(",")]
    unknown = [name for name in wanted if not any(key.startswith(name) for key in FAMILIES)]
    if unknown:
        raise ValueError(f"families: {', '.join(unknown)} not found; there are {', '.join(FAMILIES)}")
    return [key for key in FAMILIES if key.startswith(tuple(wanted))]
