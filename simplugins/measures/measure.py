# SPDX-License-Identifier: Apache-2.0
"""The contract of measures: which plugins are accepted, what they declare, and how they are called."""

from __future__ import annotations

import dataclasses
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins import plugins
from simplugins._common.instantiation import instantiate
from simplugins._common.plugin_objects import as_json, calling, returned_array, settings_of
from simplugins.activations.activations import Activations
from simplugins.activations.preparation import Normalisation
from simplugins.compute.job import Job, Operation, TileResult
from simplugins.compute.run import Resources
from simplugins.compute.tiling import mirror
from simplugins.matching.matcher import Matcher
from simplugins.rsm.kernels import Sigma

GROUP = "simplugins.measures"

CHANGES = ("rotation", "channels", "scaling", "translation", "linear", "positions")
"""Changes of the activations of all inputs whose effect a measure may declare: an orthogonal map of the channels, a
permutation of the channels, a positive factor, one vector added to all concept vectors, an invertible map of the
channels, and a permutation of the positions of each input. Rotations include permutations of the channels."""

EFFECTS = ("none", "scaling", "translation", "other")
"""Effects on an RSM: none, a positive factor, ``r_i + r_j`` added to entry (i, j), or any other."""


@dataclass(frozen=True)
class Options:
    """Options of `simplugins.compute_rsm` that only some measures have.

    Attributes
    ----------
    matching, matching_options, certify, sigma, engine, precision
        As for `simplugins.compute_rsm`.
    other : bool
        Whether the columns of the RSM are other inputs.
    """

    matching: str | Matcher | None = None
    matching_options: Mapping[str, Any] | None = None
    certify: bool = False
    sigma: Sigma = "median"
    engine: str = "auto"
    precision: str | None = None
    other: bool = False


def refuse_options(measure: str, options: Options, *names: str, reason: str) -> None:
    """Raise a ValueError if one of these options is set, with the reason why it does not apply to the measure."""
    for name in names:
        value = getattr(options, name)
        if value not in (getattr(Options(), name), {}):
            raise ValueError(f"{name}={value!r} does not apply to measure {measure!r}, which {reason}")


@dataclass(frozen=True)
class Similarities:
    """The values of an RSM, with the kernel that produced them.

    Attributes
    ----------
    values : (N, M) float64 array
    kernel : {"linear", "cosine", "rbf"} or None
    sigma : float or None
        Bandwidth of the RBF kernel.
    sigma_rule : {"median", "given"} or None
    """

    values: NDArray[np.float64]
    kernel: str | None = None
    sigma: float | None = None
    sigma_rule: str | None = None


class Measure(ABC):
    """A measure as simplugins uses it: our own, or a plugin of the group ``simplugins.measures``.

    A plugin is a function ``f(x, y=None)`` of two `simplugins.Activations` that returns an (N, M) array, or a dataclass
    with such a ``__call__`` whose fields are its options. It declares facts about itself as attributes with the names
    below.

    Attributes
    ----------
    name : str
    symmetric : bool
        Whether value (j, i) equals value (i, j), so that half of the pairs suffice.
    pairwise : bool
        Whether a value depends on its two inputs alone, so that it can be computed tile by tile.
    positive_semidefinite : bool or None
        None if unknown.
    effects : mapping of str to str
        For a change of the activations (`CHANGES`), its effect on the RSM (`EFFECTS`); missing ones are unknown.
    kernel : {"linear", "cosine", "rbf"} or None
    """

    name: str
    symmetric: bool
    pairwise: bool
    positive_semidefinite: bool | None
    effects: Mapping[str, str]
    kernel: str | None

    @abstractmethod
    def operation(self, options: Options) -> Operation:
        """Return the operation on pairs of inputs.

        Raises
        ------
        TypeError, ValueError
            If an option does not apply to the measure.
        """

    def job(
        self, x: Activations, y: Activations | None, operation: Operation, resources: Resources | None = None
    ) -> Job:
        """Return the job of an operation on x and y, or on what a measure computes from them with some resources."""
        return Job(x, y, operation)

    @abstractmethod
    def similarities(self, result: TileResult, x: Activations, y: Activations | None, sigma: Sigma) -> Similarities:
        """Return the values of the RSM, given the result of the operation and the inputs that have its norms."""

    def effects_with(self, matcher: Matcher | None, sigma: Sigma) -> Mapping[str, str]:
        """Return the effects under the given options."""
        return self.effects

    def normalized(self, normalize: Normalisation) -> Measure:
        """Return the measure with the normalisation "matched" or "mass" of sets of unequal size.

        Raises
        ------
        ValueError
            If the measure does not have it.
        """
        raise ValueError(
            f"normalize={normalize!r} applies to semantic and spatio-semantic measures (normalize='matched' to their "
            f"cosine), not to measure {self.name!r}"
        )


_ASYMMETRY = 1e-4
"""Largest difference of values (i, j) and (j, i) of a symmetric measure, relative to the largest value: rounding."""


@dataclass(frozen=True)
class MeasuredPairs:
    """Call a measure that computes its own values.

    Attributes
    ----------
    measure : callable(Activations, Activations) -> (n, m) array
    name : str
    options : mapping
    symmetric : bool
        Whether value (j, i) equals value (i, j).
    pairwise : bool
        Whether a value depends on its two inputs alone.
    """

    measure: Callable[[Activations, Activations], Any]
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    symmetric: bool = False
    pairwise: bool = True
    certify = False

    def check(self, x: Activations, y: Activations) -> None:
        """Raise a ValueError if channels differ."""
        if x.channels != y.channels:
            raise ValueError(f"other: expected {x.channels} channels, as in activations, got {y.channels}")

    def compute(
        self, x: Activations, y: Activations | None, *, threads: int | None, progress: bool | str = False
    ) -> TileResult:
        """Call the measure, and check what it returns.

        Raises
        ------
        TypeError
            If the measure does not return real numbers.
        ValueError
            If it does not return one finite value per pair, or is not symmetric as declared.
        """
        columns = x if y is None else y
        with calling(f"measure {self.name!r}"):
            returned = self.measure(x, columns)
        values = returned_array(returned, f"measure {self.name!r}", "real numbers")
        if values.shape != (len(x), len(columns)):
            raise ValueError(
                f"measure {self.name!r} must return one value per pair, shape {(len(x), len(columns))}, got shape "
                f"{values.shape}"
            )
        if not np.isfinite(values).all():
            i, j = np.argwhere(~np.isfinite(values))[0]
            raise ValueError(f"measure {self.name!r} returned {values[i, j]} for row {i}, column {j}")
        values = np.array(values, np.float64)
        if self.symmetric and y is None:
            self._check_symmetry(values)
            mirror(values)
        return TileResult(values, metadata={"engine": "cpu"})

    def _check_symmetry(self, values: NDArray[np.float64]) -> None:
        differences = np.abs(values - values.T)
        if differences.max() > _ASYMMETRY * np.abs(values).max():
            i, j = np.unravel_index(differences.argmax(), values.shape)
            raise ValueError(
                f"measure {self.name!r} declares symmetric=True, but its value for row {i}, column {j} is "
                f"{values[i, j]:.6g}, and for row {j}, column {i} {values[j, i]:.6g}"
            )

    def warm_up(self) -> None:
        """Do nothing: the measure may not accept any other inputs than those of the job."""

    def pair_bytes(self, x: Activations, y: Activations) -> tuple[int, int]:
        """Return zeros: the memory that the measure needs is unknown."""
        return 0, 0

    def copies(self, x: Activations, y: Activations) -> int:
        """Return 2: the measure receives its own arrays of both blocks."""
        return 2

    def check_tiles(self) -> None:
        """Raise a ValueError if a value depends on more than its two inputs."""
        if not self.pairwise:
            raise ValueError(
                f"measure {self.name!r} declares pairwise=False: its values depend on all inputs, so they can neither "
                f"be computed in parts (memory, store, scheduler, tile_size) nor estimated from a sample"
            )

    def describe(self) -> dict[str, Any]:
        """Return everything that the values depend on except the activations."""
        return {
            "measure": self.name,
            "measure_options": as_json(self.options),
            "matching": None,
            "matching_options": {},
            "certify": False,
        }


@dataclass(frozen=True)
class PluginMeasure(Measure):
    """A measure that computes its own values.

    Attributes
    ----------
    function : callable(Activations, Activations) -> (N, M) array
    name : str
    options : mapping
    symmetric, pairwise, positive_semidefinite, effects
        See `Measure`.
    """

    function: Any
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    symmetric: bool = False
    pairwise: bool = True
    positive_semidefinite: bool | None = None
    effects: Mapping[str, str] = field(default_factory=dict)
    kernel: None = field(default=None, init=False, repr=False)

    def operation(self, options: Options) -> Operation:
        """Return the call of the measure.

        Raises
        ------
        ValueError
            If an option of semantic measures is set.
        """
        applicable = {"other", "engine"} if options.engine == "cpu" else {"other"}
        names = [option.name for option in dataclasses.fields(Options) if option.name not in applicable]
        reason = "computes its own values on the CPU: it has no matching, kernel or GPU code that simplugins knows of"
        refuse_options(self.name, options, *names, reason=reason)
        return MeasuredPairs(self.function, self.name, self.options, self.symmetric, self.pairwise)

    def similarities(self, result: TileResult, x: Activations, y: Activations | None, sigma: Sigma) -> Similarities:
        """Return the values as the measure computed them."""
        return Similarities(result.values)


def resolve_measure(measure: Any, options: Mapping[str, Any] | None = None) -> Measure:
    """Return a measure by its name, or a plugin object as a measure.

    Parameters
    ----------
    measure : str, Measure, or plugin object
        The name of a plugin of the group ``simplugins.measures``, a function ``f(x, y=None)`` of two `Activations`, a
        dataclass of options, or an instance of one.
    options : mapping, optional
        Values for the fields of the dataclass.

    Returns
    -------
    Measure

    Raises
    ------
    ValueError
        If no plugin has that name.
    TypeError
        If the object is not a measure, or an option is unknown to it.
    """
    plugin = plugins.load(GROUP, measure) if isinstance(measure, str) else measure
    if isinstance(plugin, Measure):
        if options:
            raise TypeError(f"measure {plugin.name!r} has no options of its own, got {', '.join(map(repr, options))}")
        return plugin
    name = measure if isinstance(measure, str) else getattr(measure, "name", None) or _name_of(measure)
    if isinstance(plugin, type):
        plugin = instantiate(plugin, f"measure {name!r}", options or {})
        if isinstance(plugin, Measure):
            return plugin
    elif options:
        raise TypeError(
            f"measure {name!r} takes no options, got {', '.join(map(repr, options))}; options are the fields of a "
            f"dataclass that is not instantiated yet"
        )
    if not callable(plugin):
        expected = "a function f(x, y) of two Activations, or a dataclass with such a __call__"
        if isinstance(measure, str):
            raise TypeError(f"measure {measure!r}: the plugin must be {expected}, got {type(plugin).__name__}")
        raise TypeError(
            f"measure must be a name, {expected}, got {type(plugin).__name__} (other inputs are passed as other=)"
        )
    return _described(plugin, str(name))


@plugins.cached
def named_measure(name: str) -> Measure:
    """Return the measure of a plugin; see `resolve_measure`."""
    return resolve_measure(name)


def _name_of(plugin: Any) -> str:
    return str(getattr(plugin, "__name__", type(plugin).__name__))


def _described(plugin: Any, name: str) -> PluginMeasure:
    """Return a plugin object with the facts that it declares."""
    parameters = _parameters(plugin, name)
    if len(parameters) < 2:
        raise TypeError(f"measure {name!r} must take two Activations, f(x, y=None); it takes {', '.join(parameters)}")
    effects = dict(getattr(plugin, "effects", {}))
    for change, effect in effects.items():
        if change not in CHANGES or effect not in EFFECTS:
            raise ValueError(
                f"measure {name!r} declares the effect {effect!r} of {change!r}: expected one of {', '.join(EFFECTS)} "
                f"of one of {', '.join(CHANGES)}"
            )
    return PluginMeasure(
        plugin,
        name,
        options=settings_of(plugin),
        symmetric=bool(getattr(plugin, "symmetric", False)),
        pairwise=bool(getattr(plugin, "pairwise", True)),
        positive_semidefinite=getattr(plugin, "positive_semidefinite", None),
        effects=effects,
    )


def _parameters(plugin: Any, name: str) -> list[str]:
    """Return the names of the positional parameters; raises a TypeError if more than two are required."""
    try:
        parameters = inspect.signature(plugin).parameters.values()
    except (TypeError, ValueError):  # a compiled function without a signature
        return ["x", "y"]
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p.name for p in parameters if p.default is p.empty and p.kind is p.KEYWORD_ONLY]
    required += [p.name for p in positional[2:] if p.default is p.empty]
    if required:
        raise TypeError(
            f"measure {name!r} must take two Activations, f(x, y=None); it also requires {', '.join(required)}"
        )
    return ["x", "y"] if any(p.kind is p.VAR_POSITIONAL for p in parameters) else [p.name for p in positional]
