# SPDX-License-Identifier: Apache-2.0
"""Measures on a page: how the RSM of each is computed, and how it pairs the positions of two inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from simplugins.matching.identity import Identity
from simplugins.matching.matcher import Matcher
from simplugins.matching.matcher_options import resolve_matcher
from simplugins.matching.optimal import Optimal
from simplugins.matching.partial import Partial
from simplugins.rsm.rsm import RSM

DEFAULTS = ("semantic-cosine", "spatio-semantic-cosine", "shift-cosine", "partial-semantic-cosine")
_PARTIAL = "partial-"

Pairing = Matcher | Literal["shift"] | None
"""How positions are paired: by a matcher, by the best circular shift, or not at all."""


@dataclass(frozen=True)
class ExploredMeasure:
    """A measure on a page.

    Attributes
    ----------
    name : str
        The name on the page.
    measure : str
        The name of the measure.
    pairing : Matcher, "shift" or None
    options : mapping
        Further options of `compute_rsm`.
    """

    name: str
    measure: str
    pairing: Pairing
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_name(cls, name: str, share: float) -> ExploredMeasure:
        """Return the measure with a name of the registry, or such a name after "partial-"."""
        if not isinstance(name, str):
            raise TypeError(f"measures: expected names of measures, got {name!r}")
        if not name.startswith(_PARTIAL):
            return cls(name, name, _pairing(name))
        measure, matcher = name.removeprefix(_PARTIAL), Partial(share=share)
        if not measure.startswith("semantic-"):
            raise ValueError(f"measures: only semantic measures can be partial, such as {DEFAULTS[3]}; got {name!r}")
        options: dict[str, Any] = {"matching": matcher}
        if measure == "semantic-cosine":
            options["normalize"] = "matched"
        return cls(name, measure, matcher, options)

    @classmethod
    def from_rsm(cls, rsm: RSM) -> ExploredMeasure:
        """Return the measure of an RSM that is already computed."""
        pairing = _pairing(rsm.measure)
        if isinstance(pairing, Matcher) and rsm.matching is not None:
            pairing = resolve_matcher(rsm.matching, rsm.metadata.get("matching_options") or {})
        partial = isinstance(pairing, Partial)
        return cls(f"{_PARTIAL}{rsm.measure}" if partial else rsm.measure, rsm.measure, pairing)

    @property
    def note(self) -> str:
        """What a reader of the page should know about the measure."""
        if isinstance(self.pairing, Partial):
            share, threshold = self.pairing.share, self.pairing.threshold
            rule = f"affinities above {threshold:g}" if share is None else f"{share:.0%} of the positions"
            norms = "; norms of the matched positions" if "normalize" in self.options else ""
            return f"best matching of {rule}{norms}"
        if isinstance(self.pairing, Optimal):
            return "best matching of all positions"
        if isinstance(self.pairing, Identity):
            return "each position with the same position"
        if self.pairing == "shift":
            return "best circular shift of the grid"
        return f"matching: {self.pairing.name}" if isinstance(self.pairing, Matcher) else "pairs no positions"


def read_measures(measures: str | Sequence[str] | None, share: float) -> list[ExploredMeasure]:
    """Return the measures with some names, or the default ones.

    Raises
    ------
    TypeError, ValueError
        If there is none, one occurs twice, or one cannot be partial.
    """
    names = [measures] if isinstance(measures, str) else list(DEFAULTS if measures is None else measures)
    if not names:
        raise ValueError("measures: expected at least one, such as semantic-cosine")
    if len({*names}) < len(names):
        raise ValueError(f"measures: a name occurs twice in {', '.join(map(str, names))}")
    return [ExploredMeasure.from_name(name, share) for name in names]


def _pairing(measure: str) -> Pairing:
    if measure.startswith("semantic-"):
        return Optimal()
    if measure.startswith("spatio-semantic-"):
        return Identity()
    return "shift" if measure.startswith("shift-") else None
