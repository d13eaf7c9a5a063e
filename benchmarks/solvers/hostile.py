# SPDX-License-Identifier: Apache-2.0
"""Hostile assignment problems: families with random distortions, and mutations of other problems.

A problem has a lineage such as ``0:12:3`` (seed, batch and index) or ``0:12:3/77`` (a mutation of that one by the
random numbers of seed 77), from which it can be made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solvers.families import FAMILIES

Matrix = NDArray[np.float64]
Change = Callable[[np.random.Generator, Matrix], Matrix]

SMALL = (1, 2, 3, 4, 5, 8, 12, 16, 17, 24, 31, 32, 33, 48, 49, 64)
LARGE = (100, 128, 196, 256, 400)
UNEQUAL = (
    (1, 7),
    (3, 5),
    (5, 12),
    (7, 8),
    (16, 21),
    (16, 32),
    (20, 64),
    (48, 49),
    (49, 64),
    (49, 98),
    (20, 300),
    (100, 130),
)
SHARE_OF_LARGE, SHARE_OF_UNEQUAL = 0.02, 0.3
SHARE_OF_FLOAT64 = 0.25

LIMITS = {"float32": 1e37, "float64": 1e300}
"""Magnitudes are clipped to these, so that differences and sums are finite."""


class Batch(NamedTuple):
    """What the problems of a batch have in common: shape, precision, and how they are made."""

    rows: int
    cols: int
    dtype: str
    base: str
    changes: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The recipe in words."""
        return " + ".join((self.base, *self.changes))


def plan(seed: int, number: int) -> Batch:
    """Return the plan of a batch."""
    rng = np.random.default_rng([seed, number])
    if rng.random() < SHARE_OF_UNEQUAL:
        rows, cols = UNEQUAL[rng.integers(len(UNEQUAL))]
    else:
        rows = cols = int(rng.choice(LARGE if rng.random() < SHARE_OF_LARGE else SMALL))
    dtype = "float64" if rng.random() < SHARE_OF_FLOAT64 else "float32"
    return Batch(rows, cols, dtype, *_recipe(rng))


def make(seed: int, number: int, index: int) -> NDArray[np.floating]:
    """Return a problem of a batch."""
    return _make(plan(seed, number), np.random.default_rng([seed, number, index]))


def sample(rows: int, cols: int, dtype: str, count: int, seed: int) -> list[NDArray[np.floating]]:
    """Return problems of one shape, each made in another way."""
    rng = np.random.default_rng([seed, rows, cols])
    return [_make(Batch(rows, cols, dtype, *_recipe(rng)), rng) for _ in range(count)]


def _recipe(rng: np.random.Generator) -> tuple[str, tuple[str, ...]]:
    base = list(BASES)[rng.integers(len(BASES))]
    return base, tuple(list(CHANGES)[k] for k in rng.integers(0, len(CHANGES), rng.integers(0, 4)))


def _make(batch: Batch, rng: np.random.Generator) -> NDArray[np.floating]:
    problem = np.asarray(BASES[batch.base](rng, batch.rows, batch.cols), np.float64)
    for change in batch.changes:
        problem = CHANGES[change](rng, problem)
    return finish(problem, batch.dtype)


def mutate(problem: NDArray[np.floating], seed: int) -> NDArray[np.floating]:
    """Return a mutation of a problem."""
    rng = np.random.default_rng(seed)
    names = list(MUTATIONS)
    result = np.array(problem, np.float64)
    for _ in range(rng.integers(1, 4)):
        result = MUTATIONS[names[rng.integers(len(names))]](rng, result)
    return finish(result, str(problem.dtype))


def remake(lineage: str) -> NDArray[np.floating]:
    """Return the problem of a lineage."""
    origin, *seeds = lineage.split("/")
    seed, number, index = map(int, origin.split(":"))
    problem = make(seed, number, index)
    for mutation in seeds:
        problem = mutate(problem, int(mutation))
    return problem


def finish(problem: Matrix, dtype: str) -> NDArray[np.floating]:
    """Clip a problem and convert it."""
    limit = LIMITS[dtype]
    return np.ascontiguousarray(np.clip(np.nan_to_num(problem, nan=0.0), -limit, limit), dtype)


def _magnitude(problem: Matrix) -> float:
    return float(np.abs(problem).max()) or 1.0


def _some(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    return rng.choice(count, rng.integers(1, count + 1), replace=False)


def _ties(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Every assignment has the same value, to rounding."""
    return rng.standard_normal((rows, 1)) + rng.standard_normal((1, cols))


def _few_levels(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    levels = 10.0 ** rng.uniform(-3, 3, rng.integers(1, 5))
    return np.asarray(rng.choice(levels, (rows, cols)))


def _contended(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """All rows want a few columns that differ by single units of the integer costs."""
    wanted = rng.choice(cols, rng.integers(1, cols + 1), replace=False)
    problem = -rng.random((rows, cols))
    problem[:, wanted] = 2.0**-26 * rng.integers(0, 4, (rows, len(wanted)))
    return problem


def _climbing(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Make a chain: each row prefers the next column by a few units, and one row wants none of them."""
    problem = np.full((rows, cols), -1.0)
    unit = 2.0 ** -rng.integers(1, 26)
    for i in range(rows):
        problem[i, i % cols] = 0
        problem[i, (i + 1) % cols] = unit * rng.integers(0, 3)
    problem[rng.integers(rows)] = -rng.random(cols)
    return problem


def _powers(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Powers of two, over which an increment cannot be right for all."""
    return np.asarray(2.0 ** rng.integers(-60, 60, (rows, cols)).astype(np.float64))


def _sorted(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Supermodular sums of products: shortest paths are long."""
    x, y = np.sort(rng.exponential(size=rows)), np.sort(rng.exponential(size=cols))
    power = rng.choice([0.5, 1.0, 2.0])
    return np.asarray(-(np.outer(x, y) ** power) if power != 1 else -np.outer(x, y))


def _one_hot(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    problem = np.zeros((rows, cols))
    problem[rng.integers(rows), rng.integers(cols)] = 10.0 ** rng.uniform(-10, 10)
    return problem


BASES: Mapping[str, Callable[[np.random.Generator, int, int], NDArray[np.floating]]] = {
    **{
        key: family.make
        for key, family in FAMILIES.items()
        if key not in ("sentences", "tokens", "efficientnet", "shifted")
    },
    "ties": _ties,
    "few-levels": _few_levels,
    "contended": _contended,
    "climbing": _climbing,
    "powers": _powers,
    "sorted": _sorted,
    "one-hot": _one_hot,
}
"""Ways to make a problem. Families that need other packages, files or much time are left out."""


def _scale_rows(rng: np.random.Generator, x: Matrix) -> Matrix:
    return np.asarray(x * 10.0 ** rng.uniform(-1, 1, (len(x), 1)) ** rng.choice([1, 3, 9]))


def _scale_columns(rng: np.random.Generator, x: Matrix) -> Matrix:
    return np.asarray(x * 10.0 ** (rng.choice([1, 3, 9]) * rng.uniform(-1, 1, (1, x.shape[1]))))


def _scale_both(rng: np.random.Generator, x: Matrix) -> Matrix:
    reach = rng.choice([1, 4, 8])
    return np.asarray(x * 10.0 ** (reach * (rng.standard_normal((len(x), 1)) + rng.standard_normal((1, x.shape[1])))))


def _shift_rows(rng: np.random.Generator, x: Matrix) -> Matrix:
    return np.asarray(x + _magnitude(x) * 10.0 ** rng.uniform(-3, 6) * rng.standard_normal((len(x), 1)))


def _shift_columns(rng: np.random.Generator, x: Matrix) -> Matrix:
    return np.asarray(x + _magnitude(x) * 10.0 ** rng.uniform(-3, 6) * rng.standard_normal((1, x.shape[1])))


def _repeat_rows(rng: np.random.Generator, x: Matrix) -> Matrix:
    return np.asarray(x[rng.integers(0, max(1, len(x) // 2), len(x))])


def _repeat_columns(rng: np.random.Generator, x: Matrix) -> Matrix:
    return x[:, rng.integers(0, max(1, x.shape[1] // 2), x.shape[1])]


def _quantise(rng: np.random.Generator, x: Matrix) -> Matrix:
    step = _magnitude(x) / rng.choice([1, 2, 3, 7, 15, 255])
    return np.asarray(np.round(x / step) * step)


def _scale(rng: np.random.Generator, x: Matrix) -> Matrix:
    return np.asarray(x / _magnitude(x) * 10.0 ** rng.uniform(-30, 30))


def _denormal(rng: np.random.Generator, x: Matrix) -> Matrix:
    return np.asarray(x / _magnitude(x) * 10.0 ** rng.uniform(-44, -36))


def _clear(rng: np.random.Generator, x: Matrix) -> Matrix:
    x = x.copy()
    x[np.ix_(_some(rng, len(x)), _some(rng, x.shape[1]))] = rng.choice([0.0, x.flat[0], -_magnitude(x)])
    return x


def _forbid(rng: np.random.Generator, x: Matrix) -> Matrix:
    return np.where(rng.random(x.shape) < rng.random(), x, -(10.0 ** rng.uniform(0, 9)) * _magnitude(x))


def _noise(rng: np.random.Generator, x: Matrix) -> Matrix:
    return x + 2.0 ** -rng.integers(5, 30) * _magnitude(x) * rng.standard_normal(x.shape)


def _outliers(rng: np.random.Generator, x: Matrix) -> Matrix:
    x = x.copy()
    x[_some(rng, len(x))[: max(1, len(x) // 8)]] *= 10.0 ** rng.uniform(0, 8)
    return x


def _negate(rng: np.random.Generator, x: Matrix) -> Matrix:
    return -x


def _shuffle(rng: np.random.Generator, x: Matrix) -> Matrix:
    return x[rng.permutation(len(x))][:, rng.permutation(x.shape[1])]


def _square(rng: np.random.Generator, x: Matrix) -> Matrix:
    return np.asarray(np.sign(x) * np.square(x / _magnitude(x)))


CHANGES: Mapping[str, Change] = {
    change.__name__.strip("_").replace("_", " "): change
    for change in (
        *(_scale_rows, _scale_columns, _scale_both, _shift_rows, _shift_columns, _repeat_rows, _repeat_columns),
        *(_quantise, _scale, _denormal, _clear, _forbid, _noise, _outliers, _negate, _shuffle, _square),
    )
}
"""Distortions of a problem."""


def _new_entries(rng: np.random.Generator, x: Matrix) -> Matrix:
    x = x.copy()
    count = int(rng.integers(1, max(2, x.size // 8)))
    x.flat[rng.integers(0, x.size, count)] = x.flat[rng.integers(0, x.size, count)]
    return x


def _copy_row(rng: np.random.Generator, x: Matrix) -> Matrix:
    x = x.copy()
    x[rng.integers(len(x))] = x[rng.integers(len(x))]
    return x


def _copy_column(rng: np.random.Generator, x: Matrix) -> Matrix:
    x = x.copy()
    x[:, rng.integers(x.shape[1])] = x[:, rng.integers(x.shape[1])]
    return x


def _swap_entries(rng: np.random.Generator, x: Matrix) -> Matrix:
    x = x.copy()
    i, j = rng.integers(0, x.size, (2, 4))
    x.flat[i], x.flat[j] = x.flat[j], x.flat[i]
    return x


def _nudge(rng: np.random.Generator, x: Matrix) -> Matrix:
    x = x.copy()
    x.flat[rng.integers(0, x.size, 4)] += rng.standard_normal(4) * _magnitude(x) * 10.0 ** rng.uniform(-8, 0)
    return x


SMALL_MUTATIONS: Sequence[Change] = (_new_entries, _copy_row, _copy_column, _swap_entries, _nudge)

MUTATIONS: Mapping[str, Change] = {
    **{change.__name__: change for change in SMALL_MUTATIONS},
    **{name: CHANGES[name] for name in ("scale rows", "scale columns", "quantise", "noise", "outliers", "repeat rows")},
}
"""Changes that an evolutionary search makes: mostly small ones."""
