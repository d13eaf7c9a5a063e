# SPDX-License-Identifier: Apache-2.0
"""The check of measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.activations import Activations
from simplugins.compute.job import Job
from simplugins.measures.computation import compute_rsm
from simplugins.measures.measure import Measure, Options, resolve_measure
from simplugins.testing.expectations import agree, changed_activations, check_repeatable, expect, failing, pickled

_OPTIONS = Options(engine="cpu")


def check_measure(measure: Any, options: Mapping[str, Any] | None = None) -> None:
    """Check a measure: what it returns, and everything that it declares.

    Calls the measure on inputs of several sizes and types, masked inputs, sets of unequal size, and two different sets
    of inputs; verifies symmetry, tiles, positive semi-definiteness and effects as declared; and checks that it leaves
    its inputs unchanged, is deterministic, can be pickled, and can be called from several threads. For sets of unequal
    size, a measure may instead raise a ValueError or TypeError.

    Parameters
    ----------
    measure : str or measure
        As for `simplugins.compute_rsm`.
    options : mapping, optional
        As `measure_options` for `simplugins.compute_rsm`.

    Raises
    ------
    AssertionError
        If a check fails; the message says which.

    Examples
    --------
    >>> check_measure("semantic-cosine")
    >>> check_measure(lambda x, y: 1.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    AssertionError: measure '<lambda>' fails on 4 and 3 inputs of 5 positions in float32: ...
    """
    with failing("this is not a measure"):
        resolved = resolve_measure(measure, options)
    checks = _Checks(resolved)
    checks.check_results()
    checks.check_masks()
    checks.check_symmetry()
    checks.check_tiles()
    checks.check_definiteness()
    checks.check_effects()
    checks.check_calls()
    checks.check_compute_rsm()


class _Checks:
    """The checks of one measure, each with its own random inputs."""

    def __init__(self, measure: Measure) -> None:
        self.measure, self.name = measure, f"measure {measure.name!r}"
        self.rng = np.random.default_rng(0)

    def inputs(self, count: int, positions: int, channels: int = 6, dtype: type = np.float64) -> Activations:
        """Return random activations, some of whose values are zero, as after a ReLU."""
        return Activations.from_array(self.array(count, positions, channels).astype(dtype))

    def array(self, count: int, positions: int, channels: int = 6) -> NDArray[np.float64]:
        """Return random (N, S, C) activations."""
        return np.maximum(self.rng.normal(0.5, 1, size=(count, positions, channels)), 0) + 0.01

    def job(self, x: Activations, y: Activations | None, *, other: bool = False) -> Job:
        """Return the job for some inputs; `other` states whether y is of other inputs than x."""
        return self.measure.job(x, y, self.measure.operation(replace(_OPTIONS, other=other)))

    def pairs(self, x: Activations, y: Activations | None = None) -> NDArray[np.float64]:
        """Return the values of all pairs, before any step that depends on all of them, such as a median bandwidth."""
        sides = [side for side in (x, y) if side is not None]
        before = [(side.digest(), side.squared_norms.tolist()) for side in sides]
        result = self.job(x, y).compute(threads=1)
        after = [(side.digest(), side.squared_norms.tolist()) for side in sides]
        expect(before == after, f"{self.name} changes its inputs in place")
        return result.values

    def accepts(self, x: Activations, y: Activations) -> bool:
        """Whether the operation accepts two sets of inputs, before anything is computed."""
        try:
            job = self.job(x, y)
            job.operation.check(job.x, job.columns)
        except ValueError:
            return False
        return True

    def rsm(self, x: Activations, y: Activations | None = None) -> NDArray[np.float64]:
        """Return the values of the RSM."""
        job = self.job(x, y, other=y is not None)
        return self.measure.similarities(job.compute(threads=1), *job.measured, "median").values

    def check_results(self) -> None:
        """Check shape, type and finiteness, and that float32 and float64 give about the same."""
        for count, others, positions in ((4, 3, 5), (2, 5, 9), (3, 1, 1), (1, 2, 4)):
            values = {}
            x, y = self.array(count, positions), self.array(others, positions)
            for dtype in (np.float32, np.float64):
                case = f"{count} and {others} inputs of {positions} positions in {np.dtype(dtype)}"
                with failing(f"{self.name} fails on {case}"):
                    sides = (Activations.from_array(side.astype(dtype)) for side in (x, y))
                    values[dtype] = self.pairs(*sides)
            message = f"{self.name} returns different values for float32 and float64 activations"
            expect(agree(values[np.float32], values[np.float64], 1e-3), message)

    def check_masks(self) -> None:
        """Check masked inputs and sets of unequal size."""
        whole, y = self.array(4, 6), self.inputs(3, 4)
        mask = np.broadcast_to(np.arange(6) < 4, (4, 6))
        masked = Activations.from_array(np.where(mask[..., None], whole, np.nan), mask=mask)
        if self.accepts(masked, y):
            with failing(f"{self.name} fails on masked activations"):
                values = self.pairs(masked, y)
                expected = self.pairs(Activations.from_array(whole[:, :4]), y)
            expect(agree(values, expected), f"{self.name} depends on masked positions")
        unequal = Activations.from_sets([self.array(1, size)[0] for size in (3, 5, 1, 4)])
        for case in ((unequal, y), (unequal, unequal), (self.inputs(4, 5), y)):
            try:
                job = self.job(*case)
                job.operation.check(job.x, job.columns)
                self.pairs(*case)
            except (ValueError, TypeError):  # a measure need not support these, as long as it says so
                continue
            except Exception as error:
                raise AssertionError(
                    f"{self.name} must support sets of unequal size or raise a ValueError, but raised "
                    f"{type(error).__name__}: {error}"
                ) from error

    def check_symmetry(self) -> None:
        """Check ``symmetric = True``."""
        if self.measure.symmetric:
            x, y = self.inputs(5, 4), self.inputs(3, 4)
            forth, back = self.pairs(x, y), self.pairs(y, x)
            expect(agree(forth, back.T), f"{self.name} declares symmetric = True, but value (j, i) differs from (i, j)")

    def check_tiles(self) -> None:
        """Check ``pairwise = True``: tiles equal the whole."""
        if not self.measure.pairwise:
            return
        x, y = self.inputs(5, 4), self.inputs(4, 4)
        whole = self.pairs(x, y)
        for rows, columns in ((slice(0, 2), slice(1, 4)), (slice(2, 5), slice(0, 1))):
            tile = self.pairs(*(side.part(part.start, part.stop) for side, part in ((x, rows), (y, columns))))
            expect(
                agree(tile, whole[rows, columns]),
                f"{self.name} returns other values for a part of the inputs than for all: declare pairwise = False",
            )

    def check_definiteness(self) -> None:
        """Check ``positive_semidefinite = True``."""
        if self.measure.positive_semidefinite:
            values = self.rsm(self.inputs(12, 3, channels=2))
            eigenvalues = np.linalg.eigvalsh((values + values.T) / 2)
            expect(
                eigenvalues.min() >= -1e-9 * np.abs(values).max() * len(values),
                f"{self.name} declares positive_semidefinite = True, but an RSM has the eigenvalue "
                f"{eigenvalues.min():.3g}",
            )

    def check_effects(self) -> None:
        """Check each declared effect of a change of the activations."""
        sets = self.array(6, 5)
        before = self.rsm(Activations.from_array(sets))
        for change, effect in self.measure.effects_with(None, "median").items():
            after = self.rsm(Activations.from_array(changed_activations(change, sets, self.rng)))
            observed = _effect(before, after)
            # No effect is also a scaling by 1 and a translation by 0.
            holds = observed != "none" if effect == "other" else observed in ("none", effect)
            expect(
                holds,
                f"{self.name} declares effects[{change!r}] = {effect!r}, but the observed effect is {observed!r}",
            )

    def check_calls(self) -> None:
        """Check determinism, threads and pickling."""
        x, y = self.inputs(4, 5), self.inputs(3, 5)
        expected = self.pairs(x, y)
        check_repeatable(self.name, lambda: self.pairs(x, y), expected)
        again = _Checks(pickled(self.name, self.measure))
        expect(agree(again.pairs(x, y), expected), f"{self.name} returns other values after pickling")

    def check_compute_rsm(self) -> None:
        """Check a call of `compute_rsm` with labels, a subset, and other inputs."""
        array, other, labels = self.array(5, 4), self.array(3, 4), list("abcde")
        with failing(f"compute_rsm fails with {self.name}"):
            rsm = compute_rsm(array, self.measure, other=other, labels=labels, subset=[3, 0, 1], engine="cpu")
        expected = self.rsm(*(Activations.from_array(side) for side in (array[[3, 0, 1]], other)))
        expect(agree(rsm.values, expected), f"{self.name} returns other values through compute_rsm than when called")


def _effect(before: NDArray[np.float64], after: NDArray[np.float64]) -> str:
    """Return the effect that turned one RSM into another, as named in `simplugins.measures.measure.EFFECTS`."""
    if agree(after, before):
        return "none"
    factor = float((before * after).sum() / max((before * before).sum(), np.finfo(np.float64).tiny))
    if factor > 0 and agree(after, factor * before):
        return "scaling"
    difference = after - before
    means = difference.mean(axis=1, keepdims=True)
    rest = difference - means - means.T + difference.mean()
    scale = max(np.abs(before).max(), np.abs(after).max())
    return "translation" if np.abs(rest).max() <= 1e-6 * scale else "other"
