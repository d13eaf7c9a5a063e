# SPDX-License-Identifier: Apache-2.0
"""similarity-repository: similarities of networks among its measures, under ids of its scheme."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.util import find_spec
from typing import Any

from simplugins import Adapter, NetworkSimilarity
from simplugins_adapters.similarities import Similarity, all_similarities, compare_networks

TOOL = "similarity-repository"
INSTALL = "pip install git+https://github.com/nacloos/similarity-repository.git"

_STANDARD = {
    "cka": "cka-kernel={}-hsic=gretton-score",
    "cka-debiased": "cka-kernel={}-hsic=song-score",
    "angular-cka": "cka-kernel={}-hsic=gretton-distance=angular",
    "rsa-pearson": "rsa-rdm={}-compare=pearson",
    "rsa-spearman": "rsa-rdm={}-compare=spearman",
    "rsa-kendall": "rsa-rdm={}-compare=tau_b",
    "rsa-kendall-tau-a": "rsa-rdm={}-compare=tau_a",
    "rsa-kendall-tau-b": "rsa-rdm={}-compare=tau_b",
}
"""The repository's names of comparisons. "rsa-cosine" is missing: the cosine of similarities is not that of RDMs."""


@dataclass(frozen=True)
class Function:
    """A similarity of networks as a function of two arrays.

    Attributes
    ----------
    similarity : NetworkSimilarity or callable
    transform : callable
        Applied to the value.
    """

    similarity: Similarity
    transform: Callable[[float], float] = float

    def __call__(self, X: Any, Y: Any) -> float:  # noqa: N803
        """Compare responses to the same N inputs.

        Parameters
        ----------
        X, Y : arrays
            (N, channels), (N, tokens, channels) or (N, channels, height, width); channels and positions may differ.

        Returns
        -------
        float
        """
        return self.transform(compare_networks(self.similarity, X, Y))


def to_function(similarity: Similarity) -> Function:
    """Return a similarity of networks as a function of two arrays, for ``similarity.register``."""
    return Function(similarity)


def register() -> list[str]:
    """Register all similarities of networks with the repository.

    Each gets the id ``simplugins/<name>`` and a standard id, such as
    ``measure/simplugins/cka-kernel=semantic_cosine-hsic=gretton-score``. Scores of CKA also get an id for their angle,
    ``...-distance=angular``, because the repository derives such forms only while it is imported. If several
    similarities have the same measure, method and options, the first gets the standard id.

    Returns
    -------
    list of str
        All ids.

    Raises
    ------
    ValueError
        If an id is taken by something else. None is registered then.
    """
    import similarity as repository

    functions = _by_id(all_similarities())
    present = set(repository.match("*"))
    for id_ in functions:
        if id_ in present and not isinstance(repository.make(id_), Function):
            raise ValueError(f"{TOOL} has something else under the id {id_!r}: register that under another id")
    for id_, function in functions.items():
        repository.register(id_, function)
    return list(functions)


def standard_name(name: str, similarity: Similarity) -> str:
    """Return the repository's name of a similarity, made from its measure and method, or the plugin's own name.

    Parameters
    ----------
    name : str
        Name of the plugin.
    similarity : NetworkSimilarity or callable

    Returns
    -------
    str
        Parts ``key=value``, joined by hyphens; or the plugin's name, for methods that have no name in the repository
        and for similarities that are not made of a measure and a comparison.

    Examples
    --------
    >>> from simplugins import similarity
    >>> standard_name("mine", similarity("semantic-rbf", "rsa-spearman", sigma=2.0))
    'rsa-rdm=(semantic_rbf-sigma=2.0)-compare=spearman'
    """
    if not isinstance(similarity, NetworkSimilarity) or similarity.method not in _STANDARD:
        return name
    options: dict[str, Any] = {}
    for option, value in similarity.options.items():
        options.update(value if isinstance(value, Mapping) else {option: value})
    measure = _joined(similarity.measure) + "".join(f"-{option}={_joined(value)}" for option, value in options.items())
    return _STANDARD[similarity.method].format(f"({measure})" if options else measure)


def _joined(value: Any) -> str:
    """Return a name, or a value, as one part of an id."""
    name = getattr(value, "name", value)
    return name.replace("-", "_") if isinstance(name, str) else str(name)


def _by_id(similarities: Mapping[str, Similarity]) -> dict[str, Function]:
    """Return all functions by id: each similarity, and the angles of scores that have none yet."""
    functions = {f"simplugins/{name}": Function(similarity) for name, similarity in similarities.items()}
    for name, similarity in similarities.items():
        functions.setdefault(f"measure/simplugins/{standard_name(name, similarity)}", Function(similarity))
    for id_, function in [*functions.items()]:
        if id_.startswith("measure/simplugins/cka-kernel="):
            functions.setdefault(id_.replace("-score", "-distance=angular"), Function(function.similarity, _angle))
    return functions


def _angle(score: float) -> float:
    return math.acos(min(max(score, -1.0), 1.0))


def _check() -> str | None:
    """Return why the package named similarity is not the repository, or None if it is."""
    spec = find_spec("similarity")
    if spec and PathFinder.find_spec("similarity.registration", spec.submodule_search_locations or []):
        return None
    return "the installed package similarity is another one of that name"


adapter = Adapter(
    tool=TOOL,
    modules=("similarity",),
    install=INSTALL,
    similarity=to_function,
    registry=register,
    check=_check,
)
