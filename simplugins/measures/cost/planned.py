# SPDX-License-Identifier: Apache-2.0
"""The planned call: how many inputs of what size, and how they are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from simplugins._common.threads import check_threads
from simplugins._common.validation import check_count
from simplugins.activations.activations import Activations
from simplugins.activations.preparation import Center, Normalize, Preparation
from simplugins.compute.engines import check_engine
from simplugins.compute.job import Job
from simplugins.compute.run import Resources, compute_matrix
from simplugins.matching.matcher import Matcher
from simplugins.measures.measure import Measure, Options, resolve_measure

Opener = Callable[[], Activations]
"""Reads and checks activations, which is timed as well."""


class Counts(NamedTuple):
    """Numbers of inputs, and of other inputs; None if the inputs are compared with each other."""

    inputs: int
    other_inputs: int | None

    @property
    def pairs(self) -> int:
        """Number of pairs that are compared."""
        return self.inputs * (self.inputs - 1) // 2 if self.other_inputs is None else self.inputs * self.other_inputs

    @property
    def columns(self) -> int:
        """Number of columns of the result."""
        return self.inputs if self.other_inputs is None else self.other_inputs

    @property
    def total(self) -> int:
        """Number of inputs on both sides."""
        return self.inputs + (self.other_inputs or 0)

    @property
    def largest(self) -> int:
        """The larger number of inputs."""
        return max(self.inputs, self.other_inputs or 0)

    def at_most(self, count: int) -> Counts:
        """Return the same with at most `count` inputs on each side."""
        return Counts(min(self.inputs, count), None if self.other_inputs is None else min(self.other_inputs, count))

    @classmethod
    def checked(cls, inputs: int, other_inputs: int | None) -> Counts:
        """Check that an RSM can have these numbers of inputs; see `estimate`."""
        check_count("inputs", inputs)
        if other_inputs is not None:
            check_count("other_inputs", other_inputs)
        elif inputs < 2:
            raise ValueError(f"an RSM needs at least 2 inputs, got {inputs}")
        return cls(int(inputs), None if other_inputs is None else int(other_inputs))


@dataclass(frozen=True)
class PlannedCall:
    """A call of `compute_rsm`, without its activations."""

    measure: Measure
    options: Options
    threads: int
    preparation: Preparation

    def prepared(self, sample: Callable[[int], Opener]) -> Callable[[int], Opener]:
        """Return a function that, for a number of inputs, returns one that reads and prepares them."""
        return lambda count: lambda: self.preparation.apply(sample(count)())[0]

    @classmethod
    def resolved(
        cls,
        measure: Any,
        measure_options: Mapping[str, Any] | None,
        matching: str | Matcher | None,
        matching_options: Mapping[str, Any] | None,
        *,
        certify: bool,
        engine: str,
        threads: int | None,
        center: Center | None,
        normalize: Normalize | None,
    ) -> PlannedCall:
        """Resolve the measure and the matching, and check that they fit; see `estimate`."""
        check_engine(engine)
        plugin = resolve_measure(measure, measure_options)
        preparation = Preparation.checked(center, normalize)
        if preparation.of_sets is not None:
            plugin = plugin.normalized(preparation.of_sets)
        options = Options(matching, matching_options, certify, engine=engine)
        plugin.operation(options).check_tiles()  # a sample stands for all pairs
        return cls(plugin, options, check_threads(threads), preparation)

    def job(self, x: Activations, y: Activations | None) -> Job:
        """Return the job for some inputs."""
        return self.measure.job(x, y, self.measure.operation(self.options), Resources(self.threads))

    def __call__(self, x: Activations, y: Activations | None) -> None:
        """Compute the RSM of some inputs."""
        job = self.job(x, y)
        result = compute_matrix(job, Resources(self.threads))
        self.measure.similarities(result, *job.measured, self.options.sigma)
