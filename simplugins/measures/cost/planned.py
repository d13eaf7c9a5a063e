# SPDX-License-Identifier: Apache-2.0
"""The run that is asked about: how many inputs of what size, compared how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from simplugins import plugins
from simplugins._common.threads import check_threads
from simplugins._common.validation import check_count
from simplugins.activations.activations import Activations
from simplugins.compute.engines import check_engine
from simplugins.matching.matcher import Matcher
from simplugins.matching.options import resolve_matcher
from simplugins.measures.computation import GROUP, Measure


class Counts(NamedTuple):
    """How many inputs are compared, and with how many others: None for each other."""

    inputs: int
    others: int | None

    @property
    def pairs(self) -> int:
        """How many pairs are matched."""
        return self.inputs * (self.inputs - 1) // 2 if self.others is None else self.inputs * self.others

    @property
    def total(self) -> int:
        """How many inputs and others there are."""
        return self.inputs + (self.others or 0)

    @property
    def largest(self) -> int:
        """The larger number."""
        return max(self.inputs, self.others or 0)

    def at_most(self, count: int) -> Counts:
        """Return the same of no more than so many inputs, and others."""
        return Counts(min(self.inputs, count), None if self.others is None else min(self.others, count))

    @classmethod
    def of(cls, inputs: int, others: int | None) -> Counts:
        """Check that an RSM can have them; see `estimate`."""
        check_count("inputs", inputs)
        if others is not None:
            check_count("others", others)
        elif inputs < 2:
            raise ValueError(f"an RSM needs at least 2 inputs, got {inputs}")
        return cls(int(inputs), None if others is None else int(others))


class Size(NamedTuple):
    """How large activations are."""

    counts: Counts
    positions: int
    channels: int
    dtype: np.dtype[np.floating]

    @property
    def activations_bytes(self) -> int:
        """Bytes of all activations."""
        return self.counts.total * self.positions * self.channels * self.dtype.itemsize


@dataclass(frozen=True)
class PlannedRun:
    """How an RSM is computed."""

    measure: Measure
    matcher: Matcher
    certify: bool
    engine: str
    threads: int

    @classmethod
    def of(
        cls,
        measure: str,
        matching: str | Matcher | None,
        *,
        certify: bool,
        engine: str,
        threads: int | None,
        **options: Any,
    ) -> PlannedRun:
        """Find measure and matcher, and check that they fit; see `estimate`."""
        check_engine(engine)
        found = plugins.load(GROUP, measure)
        if not isinstance(found, Measure):
            raise ValueError(f"estimates are for measures of ours, got {measure!r}")
        matcher = resolve_matcher(found.matching if matching is None else matching, options)
        found.check_matcher(matcher)
        return cls(found, matcher, certify, engine, check_threads(threads))

    def __call__(self, x: Activations, y: Activations | None) -> None:
        """Compute the RSM of some inputs."""
        how: dict[str, Any] = {"certify": self.certify, "engine": self.engine, "threads": self.threads}
        self.measure(x, other=y, matching=self.matcher, **how)
