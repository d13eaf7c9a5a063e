# SPDX-License-Identifier: Apache-2.0
"""The options of `compute_rsm` that apply to every layer of a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from numpy.typing import DTypeLike

from simplugins.rsm.matrices import is_of_pairs

if TYPE_CHECKING:
    from simplugins.activations.activations import Activations
    from simplugins.activations.preparation import Center, Normalize, Preparation
    from simplugins.compute.job import Operation
    from simplugins.matching.matcher import Matcher
    from simplugins.measures.measure import Measure
    from simplugins.rsm.kernels import Sigma
    from simplugins.rsm.rsm import RSM

_MATCHING = ("matching", "matching_options", "sigma", "engine", "precision")
_COMPUTING = (*_MATCHING, "measure_options", "threads", "memory", "scheduler", "progress")


@dataclass(frozen=True, kw_only=True)
class RsmOptions:
    """A measure, and how to read activations and compute their RSMs: see `compute_rsm`.

    Its methods import the compute engines, which comparing RSMs does not need, when they are first called.
    """

    measure: Any = "semantic-cosine"
    measure_options: Mapping[str, Any] | None = None
    layout: str = "auto"
    mask: Any = None
    labels: Any = None
    drop_tokens: int | Sequence[int] = 0
    dtype: DTypeLike | None = None
    center: Center | None = None
    normalize: Normalize | None = None
    matching: str | Matcher | None = None
    matching_options: Mapping[str, Any] | None = None
    sigma: Sigma = "median"
    engine: str = "auto"
    precision: str | None = None
    threads: int | None = None
    subset: int | Sequence[int] | None = None
    seed: int = 0
    memory: int | str | None = None
    scheduler: Any = None
    progress: bool | str = False

    @classmethod
    def among(cls, arguments: Mapping[str, Any]) -> RsmOptions:
        """Return the options among the arguments of a function, its ``locals()`` on entry."""
        options = {field.name: arguments[field.name] for field in fields(cls) if field.name in arguments}
        if isinstance(options.get("labels"), Iterator):  # read once, for several layers
            options["labels"] = list(options["labels"])
        return cls(**options)

    def changed(self) -> dict[str, Any]:
        """Return the options, except the measure, that differ from their defaults."""
        options = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        return {
            name: value for name, (value, default) in options.items() if name != "measure" and _differ(value, default)
        }

    def resolved(self) -> Measure:
        """Return the measure, after checking the options that do not depend on activations.

        Raises
        ------
        TypeError, ValueError
            As `compute_rsm`.
        """
        return self._resolved()[0]

    def operation(self) -> Operation:
        """Return the operation of the measure on pairs of inputs; raises the errors of `resolved`."""
        operation: Operation = self._resolved()[1]
        return operation

    def effects(self) -> Mapping[str, str]:
        """Return the effects of changes of the activations on RSMs, as far as measure and matching declare them."""
        from simplugins.measures.prepared_effects import effects_after

        measure, operation = self._resolved()
        effects = measure.effects_with(getattr(operation, "matcher", None), self.sigma)
        return effects_after(self._preparation(), effects)

    def _resolved(self) -> tuple[Measure, Any]:
        from simplugins.measures.measure import Options, resolve_measure
        from simplugins.rsm.kernels import check_sigma

        check_sigma(self.sigma)
        measure, of_sets = resolve_measure(self.measure, self.measure_options), self._preparation().of_sets
        if of_sets is not None:
            measure = measure.normalized(of_sets)
        return measure, measure.operation(Options(**{name: getattr(self, name) for name in _MATCHING}))

    def _preparation(self) -> Preparation:
        from simplugins.activations.preparation import Preparation

        return Preparation.checked(self.center, self.normalize)

    def read(self, activations: Any) -> Activations:
        """Read and check the activations of one network or layer.

        Raises
        ------
        TypeError, ValueError
            As `compute_rsm`; also if, without a layout, an array looks like an RSM or RDM of three inputs or more.
        """
        from simplugins.activations.activations import Activations
        from simplugins.activations.reading import read
        from simplugins.rsm.rsm import RSM

        array = read(activations)
        if self.layout == "auto" and not isinstance(array, Activations | RSM) and is_of_pairs(array):
            raise ValueError(
                f"expected activations, got a symmetric {len(array)} x {len(array)} matrix, as of similarities or "
                f"distances of {len(array)} inputs: pass RSM.from_similarities(…) or RSM.from_distances(…), or "
                f"layout='nd' if these are activations"
            )
        result = Activations.from_array(
            array,
            layout=self.layout,
            mask=self.mask,
            labels=self.labels,
            drop_tokens=self.drop_tokens,
            dtype=self.dtype,
            subset=self.subset,
            seed=self.seed,
        )
        return self._preparation().of_vectors().apply(result)[0]

    def compute(self, activations: Activations) -> RSM:
        """Compute the RSM of activations that `read` returned."""
        from simplugins.measures.computation import compute_rsm

        options = {name: getattr(self, name) for name in _COMPUTING}
        return compute_rsm(activations, self.measure, normalize=self._preparation().of_sets, **options)


def _differ(value: Any, default: Any) -> bool:
    return value is not default and not (isinstance(value, str | int | float) and value == default)
