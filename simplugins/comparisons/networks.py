# SPDX-License-Identifier: Apache-2.0
"""The similarity of two networks as one number: a measure computes their RSMs, a method compares these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from textwrap import shorten
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from numpy.typing import DTypeLike

from simplugins import plugins
from simplugins._common.instantiation import instantiate
from simplugins._common.validation import error_prefix
from simplugins.comparisons.comparing import AnyMethod, resolve_method
from simplugins.comparisons.method import ComparisonMethod
from simplugins.comparisons.rsm_options import RsmOptions

if TYPE_CHECKING:
    from simplugins.activations.preparation import Center, Normalize
    from simplugins.matching.matcher import Matcher
    from simplugins.rsm.kernels import Sigma

GROUP = "simplugins.similarities"


@dataclass(frozen=True, eq=False, repr=False)
class NetworkSimilarity:
    """The similarity of two networks' responses to the same inputs; `similarity` makes one.

    Called with the activations of both networks, it returns a number. It is a plugin of the group
    ``simplugins.similarities``, like any function of two activations and a layout, and has the attributes that
    registries of such measures require.

    Attributes
    ----------
    measure : str or measure
        Computes the RSMs; see `simplugins.compute_rsm`.
    method : str or callable
        Compares the RSMs; see `simplugins.compare`.
    options : mapping
        Options of `simplugins.compute_rsm` that differ from its defaults.

    Notes
    -----
    Invariances are those to changes of one network's responses: the same change for all inputs and positions (except
    for permutations of positions), where all inputs have the same number of positions. They follow from the facts that
    measure, matching and method declare, and are None if one of these declares nothing.
    """

    measure: Any = "semantic-cosine"
    method: AnyMethod = "cka-debiased"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))
        if "layout" in self.options:
            raise TypeError("layout is not an option of a similarity: pass it when calling the similarity")
        instantiate(RsmOptions, "similarity", self.options)

    def __reduce__(self) -> tuple[Any, ...]:
        if not isinstance(self.options.get("scheduler"), str | None):
            raise TypeError("a similarity whose scheduler= is a client cannot be pickled: give the scheduler's address")
        return type(self), (self.measure, self.method, dict(self.options))

    def __call__(self, a: Any, b: Any, layout: str = "auto") -> float:
        """Compare the responses of two networks.

        Parameters
        ----------
        a, b : arrays, paths, lists of arrays, or Activations
            Responses of the two networks to the same N inputs, in the same order; see `simplugins.compute_rsm`.
            Channels and positions may differ.
        layout : str, default "auto"
            The layout of both, as for `simplugins.compute_rsm`.

        Returns
        -------
        float

        Raises
        ------
        TypeError, ValueError
            For bad input, as `simplugins.compute_rsm`; also if the inputs differ in number or labels.
        """
        options = replace(self._rsm_options, layout=layout)
        rsms = {}
        for name, which, activations in (("a", "first", a), ("b", "second", b)):
            with error_prefix(f"{which} network ({name})"):
                rsms[name] = options.compute(options.read(activations))
        return self._method(rsms["a"], rsms["b"])

    def __repr__(self) -> str:
        options = {**self._method.options, **self.options}
        texts = ", ".join(f"{name}={shorten(repr(value), 40)}" for name, value in options.items())
        return f"NetworkSimilarity {self.name}" + (f" ({texts})" if texts else "")

    def to(self, tool: Any, **options: Any) -> Any:
        """Return the similarity as a measure of another tool; see `simplugins.to_tool`."""
        return plugins.adapter(tool).to(self, **options)

    @property
    def name(self) -> str:
        """The names of measure and method, joined."""
        measure = self.measure if isinstance(self.measure, str) else self._rsm_options.resolved().name
        return f"{measure}-{self.method if isinstance(self.method, str) else self._method.name}"

    @cached_property
    def _method(self) -> ComparisonMethod:
        return resolve_method(self.method)

    @cached_property
    def _rsm_options(self) -> RsmOptions:
        return RsmOptions(**{**self.options, "measure": self.measure})

    @property
    def array_dimensions(self) -> tuple[int, ...]:
        """The numbers of dimensions of arrays that can be compared: with one, several or a grid of positions."""
        return 2, 3, 4

    @property
    def range(self) -> tuple[float, float] | None:
        """The smallest and the largest possible number; None if the method does not declare it."""
        return self._method.range

    @property
    def minimum_inputs(self) -> int:
        """The smallest number of inputs that can be compared."""
        return self._method.least_inputs

    @property
    def larger_is_more_similar(self) -> bool | None:
        """Whether larger numbers mean more similar."""
        return self._method.larger_is_more_similar

    @property
    def is_symmetric(self) -> bool | None:
        """Whether the order of the two networks does not matter."""
        return self._method.is_symmetric

    @property
    def is_metric(self) -> bool | None:
        """Whether the method is a distance between RSMs that obeys the triangle inequality."""
        return self._method.is_metric

    def _invariant_to(self, change: str) -> bool | None:
        """Whether a change of the activations has no effect on RSMs, or one to which the method is invariant."""
        effect = self._effects.get(change)
        if effect in (None, "none", "other"):
            return None if effect is None else effect == "none"
        invariances = self._method.invariances
        return None if invariances is None else effect in invariances

    @cached_property
    def _effects(self) -> Mapping[str, str]:
        return self._rsm_options.effects()

    @property
    def invariant_to_ortho(self) -> bool | None:
        """Invariance to orthogonal maps of the channels."""
        return self._invariant_to("rotation")

    @property
    def invariant_to_permutation(self) -> bool | None:
        """Invariance to permutations of the channels."""
        return self._invariant_to("channels")

    @property
    def invariant_to_isotropic_scaling(self) -> bool | None:
        """Invariance to multiplication by a positive factor."""
        return self._invariant_to("scaling")

    @property
    def invariant_to_translation(self) -> bool | None:
        """Invariance to adding one vector to all concept vectors."""
        return self._invariant_to("translation")

    @property
    def invariant_to_invertible_linear(self) -> bool | None:
        """Invariance to all invertible linear maps of the channels."""
        return self._invariant_to("linear")

    @property
    def invariant_to_affine(self) -> bool | None:
        """Invariance to all invertible affine maps of the channels."""
        facts = {self._invariant_to("linear"), self._invariant_to("translation")}
        return False if False in facts else None if None in facts else True

    @property
    def invariant_to_position(self) -> bool | None:
        """Invariance to permutations of positions, which may differ between inputs and networks."""
        return self._invariant_to("positions")


def similarity(
    measure: Any = "semantic-cosine",
    method: AnyMethod = "cka-debiased",
    *,
    method_options: Mapping[str, Any] | None = None,
    measure_options: Mapping[str, Any] | None = None,
    mask: Any = None,
    drop_tokens: int | Sequence[int] = 0,
    dtype: DTypeLike | None = None,
    center: Center | None = None,
    normalize: Normalize | None = None,
    matching: str | Matcher | None = None,
    matching_options: Mapping[str, Any] | None = None,
    sigma: Sigma = "median",
    engine: str = "auto",
    precision: str | None = None,
    threads: int | None = None,
    subset: int | Sequence[int] | None = None,
    seed: int = 0,
    memory: int | str | None = None,
    scheduler: Any = None,
    progress: bool | str = False,
) -> NetworkSimilarity:
    """Return a similarity of networks: a measure that computes their RSMs, and a method that compares these.

    Parameters
    ----------
    measure : str or measure, default "semantic-cosine"
        As for `compute_rsm`.
    method : str or callable, default "cka-debiased"
        As for `compare`.
    method_options : mapping, optional
        As for `compare`.
    measure_options, mask, drop_tokens, dtype, center, normalize, matching, matching_options, sigma, engine, precision
        As for `compute_rsm`; they apply to each of the networks, which are centred separately.
    threads, subset, seed, memory, scheduler, progress
        As for `compute_rsm`.

    Returns
    -------
    NetworkSimilarity

    Raises
    ------
    ValueError
        If no plugin has that name, or an option does not apply to the measure.
    TypeError
        If a measure or matching does not have an option.

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> rng = np.random.default_rng(0)
    >>> maps = rng.normal(size=(10, 8, 5, 5))  # 10 inputs, 8 channels, 5 x 5 positions
    >>> semantic = simplugins.similarity("semantic-cosine", "cka-debiased")
    >>> semantic, semantic.larger_is_more_similar
    (NetworkSimilarity semantic-cosine-cka-debiased, True)
    >>> semantic(maps, maps[:, :, ::-1, :]) > 0.999999  # the same content at other positions
    True
    >>> abs(semantic(maps, rng.normal(size=(10, 16, 3, 3)))) < 0.5
    True
    """
    options = RsmOptions.among(locals())
    options.resolved()
    resolved = resolve_method(method, method_options)
    return NetworkSimilarity(measure, resolved if method_options else method, options.changed())


def resolve_similarity(similarity: str | Callable[..., Any]) -> Callable[..., Any]:
    """Return a similarity of networks by its name, or as it is.

    Parameters
    ----------
    similarity : str or callable
        The name of a plugin of the group ``simplugins.similarities``, a `NetworkSimilarity`, a function
        ``f(a, b, layout)`` of two networks' activations that returns a number, or a class of such with defaults for all
        its options.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        If no plugin has that name.
    TypeError
        If the object cannot be called.

    Examples
    --------
    >>> resolve_similarity("semantic-cosine-cka-debiased")
    NetworkSimilarity semantic-cosine-cka-debiased
    """
    plugin: Any = plugins.load(GROUP, similarity) if isinstance(similarity, str) else similarity
    if isinstance(plugin, type):
        plugin = instantiate(plugin, f"similarity {similarity!r}", {})
    if not callable(plugin):
        raise TypeError(
            f"similarity must be the name of a plugin, or a callable (a, b, layout) -> float, got "
            f"{type(plugin).__name__}"
        )
    return plugin  # type: ignore[no-any-return]


semantic_cosine_cka_debiased = NetworkSimilarity("semantic-cosine", "cka-debiased")
semantic_cosine_rsa_spearman = NetworkSimilarity("semantic-cosine", "rsa-spearman")
semantic_cosine_mutual_knn = NetworkSimilarity("semantic-cosine", "mutual-knn")
spatio_semantic_cosine_cka_debiased = NetworkSimilarity("spatio-semantic-cosine", "cka-debiased")
spatio_semantic_cosine_rsa_spearman = NetworkSimilarity("spatio-semantic-cosine", "rsa-spearman")
spatio_semantic_cosine_mutual_knn = NetworkSimilarity("spatio-semantic-cosine", "mutual-knn")
second_order_cosine_cka_debiased = NetworkSimilarity("second-order-cosine", "cka-debiased")
second_order_cosine_rsa_spearman = NetworkSimilarity("second-order-cosine", "rsa-spearman")
second_order_cosine_mutual_knn = NetworkSimilarity("second-order-cosine", "mutual-knn")
mean_pooled_cosine_cka_debiased = NetworkSimilarity("mean-pooled-cosine", "cka-debiased")
mean_pooled_cosine_rsa_spearman = NetworkSimilarity("mean-pooled-cosine", "rsa-spearman")
mean_pooled_cosine_mutual_knn = NetworkSimilarity("mean-pooled-cosine", "mutual-knn")
