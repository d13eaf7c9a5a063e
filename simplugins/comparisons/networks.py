# SPDX-License-Identifier: Apache-2.0
"""The similarity of two networks as one number: a measure makes their RSMs, a method compares these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from simplugins import plugins
from simplugins._common.validation import error_prefix
from simplugins.comparisons import compare, resolve_method
from simplugins.matching.matcher import Matcher
from simplugins.matching.options import resolve_matcher
from simplugins.measures.computation import compute_rsm
from simplugins.measures.measure import GROUP as MEASURES
from simplugins.measures.measure import resolve_measure

GROUP = "simplugins.similarities"

_UNMOVED = ("optimal", "identity")
"""Matchings that stay the same if one vector is added to all concept vectors of an input."""

_UNORDERED = ("optimal", "auction", "batch-optimal", "greedy", "topk-greedy")
"""Matchings to which the order of positions means nothing, but for ties."""


@dataclass(frozen=True, eq=False)
class NetworkSimilarity:
    """How similar two networks' responses to the same inputs are; made by `similarity`.

    Called with the activations of both, it returns a number. So it is a plugin of the group
    ``simplugins.comparisons.networks``, and it has the attributes that registries of such measures ask for.

    Attributes
    ----------
    measure : str
        Of the RSMs: a plugin of the group ``simplugins.measures``.
    method : str
        Of comparing them: a plugin of the group ``simplugins.comparisons``.
    options : mapping
        For the measure, as of `simplugins.compute_rsm`.

    Notes
    -----
    What it is invariant to is told of maps of one network's responses, that are the same for all inputs and positions,
    where all inputs have equally many of these. Attributes are None where a plugin of others does not tell.
    """

    measure: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.measure, self.method, dict(self.options))

    def __call__(self, one: Any, other: Any, shape: str = "auto") -> float:
        """Compare two networks' responses.

        Parameters
        ----------
        one, other : arrays, paths, lists of arrays, or Activations
            Responses of the two networks to the same N inputs, in the same order; see `simplugins.compute_rsm`.
            Channels and positions may differ.
        shape : {"auto", "nd", "ntd", "nchw", "nhwc"}
            The layout of both.

        Returns
        -------
        float

        Raises
        ------
        TypeError, ValueError
            For bad input, as `simplugins.compute_rsm`; and if the inputs differ in number.
        """
        rsms = []
        for which, responses in (("first network", one), ("second network", other)):
            with error_prefix(which):
                rsms.append(compute_rsm(responses, self.measure, layout=shape, **self.options))
        return compare(rsms[0], rsms[1], self.method)

    def to(self, tool: str, **options: Any) -> Any:
        """Return the similarity as a measure of another tool; see `simplugins.to_tool`."""
        from simplugins_adapters.contract import to_tool

        return to_tool(tool, self, **options)

    @property
    def name(self) -> str:
        """The names of measure and method, joined."""
        return f"{self.measure}-{self.method}"

    @cached_property
    def _method(self) -> Any:
        return resolve_method(self.method)

    @cached_property
    def _kernel(self) -> str | None:
        """The kernel of one of our own measures."""
        return resolve_measure(self.measure).kernel

    @cached_property
    def _matcher(self) -> Matcher:
        """What matches positions, of one of our own measures."""
        asked = self.options.get("matching")
        return resolve_measure(self.measure).matcher if asked is None else resolve_matcher(asked)

    def _undone(self, change: str) -> bool | None:
        """Whether the method does not see a change of one RSM."""
        invariances = getattr(self._method, "invariances", None)
        return None if invariances is None else change in invariances

    @property
    def larger_is_more_similar(self) -> bool | None:
        """Whether larger numbers mean more similar."""
        return getattr(self._method, "larger_is_more_similar", None)

    @property
    def is_symmetric(self) -> bool | None:
        """Whether it does not matter which network comes first."""
        return getattr(self._method, "is_symmetric", None)

    @property
    def is_metric(self) -> bool | None:
        """Whether it is a distance that obeys the triangle inequality, on RSMs."""
        return getattr(self._method, "is_metric", None)

    @property
    def invariant_to_ortho(self) -> bool | None:
        """Invariance to orthogonal maps of channels, which keep all inner products of concept vectors."""
        return None if self._kernel is None else True

    @property
    def invariant_to_permutation(self) -> bool | None:
        """Invariance to permutations of channels."""
        return self.invariant_to_ortho

    @property
    def invariant_to_isotropic_scaling(self) -> bool | None:
        """Invariance to scaling: of cosines, of RBF unless sigma is given, and of what the method scales itself."""
        if self._kernel == "linear":
            return self._undone("scaling")
        if self._kernel == "rbf":
            return bool(self.options.get("sigma", "median") == "median")
        return None if self._kernel is None else True

    @property
    def invariant_to_translation(self) -> bool | None:
        """Invariance to adding a vector to all concept vectors: of distances, so of RBF; of what the method centres.

        It adds to affinities what changes no optimal matching; of others, nothing is told.
        """
        if self._kernel is not None and self._kernel != "cosine" and self._matcher.name not in _UNMOVED:
            return None
        if self._kernel == "linear":
            return self._undone("translation")
        return None if self._kernel is None else self._kernel == "rbf"

    @property
    def invariant_to_invertible_linear(self) -> bool | None:
        """Invariance to all invertible linear maps of channels."""
        return None if self._kernel is None else False

    @property
    def invariant_to_affine(self) -> bool | None:
        """Invariance to all invertible affine maps of channels."""
        return self.invariant_to_invertible_linear

    @property
    def invariant_to_position(self) -> bool | None:
        """Invariance to permutations of positions, another for each input and network, where these are matched.

        Matchings of others do not tell.
        """
        if self._kernel is None or not (self._matcher.positionwise or self._matcher.name in _UNORDERED):
            return None
        return not self._matcher.positionwise


def similarity(measure: str = "semantic-cosine", method: str = "cka", **options: Any) -> NetworkSimilarity:
    """Return a similarity of networks: a measure for their RSMs, and a method to compare these.

    Parameters
    ----------
    measure : str, default "semantic-cosine"
        A plugin of the group ``simplugins.measures``.
    method : str, default "cka"
        A plugin of the group ``simplugins.comparisons``.
    **options
        For the measure, as of `simplugins.compute_rsm`.

    Returns
    -------
    NetworkSimilarity

    Raises
    ------
    ValueError
        If there is no plugin of such a name.

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> rng = np.random.default_rng(0)
    >>> one = rng.normal(size=(10, 8, 5, 5))  # 10 inputs, 8 channels, 5 x 5 positions
    >>> same = simplugins.similarity("semantic-cosine", "cka")
    >>> same.name, same.larger_is_more_similar, same.invariant_to_position
    ('semantic-cosine-cka', True, True)
    >>> bool(same(one, one[:, :, ::-1, :]) > 0.999999)  # the same things at other places
    True
    >>> 0 < same(one, rng.normal(size=(10, 16, 3, 3))) < 0.99
    True
    """
    found = NetworkSimilarity(measure, method, options)
    plugins.load(MEASURES, measure)
    resolve_method(method)
    return found


semantic_linear_cka = NetworkSimilarity("semantic-linear", "cka")
semantic_linear_rsa_spearman = NetworkSimilarity("semantic-linear", "rsa-spearman")
semantic_cosine_cka = NetworkSimilarity("semantic-cosine", "cka")
semantic_cosine_rsa_spearman = NetworkSimilarity("semantic-cosine", "rsa-spearman")
semantic_rbf_cka = NetworkSimilarity("semantic-rbf", "cka")
semantic_rbf_rsa_spearman = NetworkSimilarity("semantic-rbf", "rsa-spearman")
spatio_semantic_linear_cka = NetworkSimilarity("spatio-semantic-linear", "cka")
spatio_semantic_linear_rsa_spearman = NetworkSimilarity("spatio-semantic-linear", "rsa-spearman")
spatio_semantic_cosine_cka = NetworkSimilarity("spatio-semantic-cosine", "cka")
spatio_semantic_cosine_rsa_spearman = NetworkSimilarity("spatio-semantic-cosine", "rsa-spearman")
spatio_semantic_rbf_cka = NetworkSimilarity("spatio-semantic-rbf", "cka")
spatio_semantic_rbf_rsa_spearman = NetworkSimilarity("spatio-semantic-rbf", "rsa-spearman")
