# SPDX-License-Identifier: Apache-2.0
"""similarity-repository: similarities of networks among its measures, by ids of its scheme."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.util import find_spec
from typing import Any

from simplugins import Adapter, NetworkSimilarity
from simplugins_adapters.shared import all_similarities

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
"""What comparisons are called in the repository. Cosines of similarities are missing: they are not those of an RDM."""


@dataclass(frozen=True)
class Function:
    """A similarity of networks as a function of two arrays.

    Attributes
    ----------
    similarity : callable
        Of the activations of two networks, and their layout.
    after : callable
        What is done to the number.
    """

    similarity: Callable[..., float]
    after: Callable[[float], float] = float

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
        return self.after(self.similarity(X, Y, "auto"))


def to_function(similarity: NetworkSimilarity) -> Function:
    """Return a similarity of networks as a function of two arrays, as `similarity.register` takes it."""
    return Function(similarity)


def register() -> list[str]:
    """Enter all registered similarities.

    Each is entered as ``simplugins/<name>`` and by its standard id, such as
    ``measure/simplugins/cka-kernel=semantic_cosine-hsic=gretton-score``; where that ends in "-score", its angle is,
    too, as ``...-distance=angular``: the repository derives such forms only while it is imported. Of similarities with
    the same measure, method and options, the first has the standard id.

    Returns
    -------
    list of str
        All ids.

    Raises
    ------
    ValueError
        If something else has such an id. Then none is entered.
    """
    import similarity as repository

    found = _by_id(all_similarities())
    present = set(repository.match("*"))
    for id_ in found:
        if id_ in present and not isinstance(repository.make(id_), Function):
            raise ValueError(f"{TOOL} has something else by the id {id_!r}: register that by another id")
    for id_, function in found.items():
        repository.register(id_, function)
    return list(found)


def standard_name(name: str, similarity: Callable[..., float]) -> str:
    """Return what a similarity is called in the repository: from measure and method, or the name itself.

    Parameters
    ----------
    name : str
        Of the plugin.
    similarity : callable

    Returns
    -------
    str
        Parts ``key=value``, joined by hyphens; or the plugin's name, for methods that the repository has no name for,
        and similarities that tell no measure and method.

    Examples
    --------
    >>> from simplugins import similarity
    >>> standard_name("mine", similarity("semantic-rbf", "rsa-spearman", sigma=2.0))
    'rsa-rdm=(semantic_rbf-sigma=2.0)-compare=spearman'
    """
    if not isinstance(similarity, NetworkSimilarity) or similarity.method not in _STANDARD:
        return name
    options = "".join(f"-{option}={_joined(value)}" for option, value in similarity.options.items())
    measure = _joined(similarity.measure) + options
    return _STANDARD[similarity.method].format(f"({measure})" if options else measure)


def _joined(value: Any) -> str:
    """Return a name, or a value, as one part of an id."""
    name = getattr(value, "name", value)
    return name.replace("-", "_") if isinstance(name, str) else str(name)


def _by_id(similarities: Mapping[str, Callable[..., float]]) -> dict[str, Function]:
    """Return what is entered, by id: each similarity, and the angles of those that have no angle yet."""
    found = {f"simplugins/{name}": Function(similarity) for name, similarity in similarities.items()}
    for name, similarity in similarities.items():
        found.setdefault(f"measure/simplugins/{standard_name(name, similarity)}", Function(similarity))
    for id_, function in [*found.items()]:
        if id_.startswith("measure/simplugins/cka-kernel="):
            found.setdefault(id_.replace("-score", "-distance=angular"), Function(function.similarity, _angle))
    return found


def _angle(score: float) -> float:
    return math.acos(min(max(score, -1.0), 1.0))


def _check() -> str | None:
    """Return why the package named similarity is not the repository, or None."""
    found = find_spec("similarity")
    if found and PathFinder.find_spec("similarity.registration", found.submodule_search_locations or []):
        return None
    return "the package similarity that is installed is another one of that name"


adapter = Adapter(
    tool=TOOL,
    modules=("similarity",),
    install=INSTALL,
    similarity=to_function,
    registry=register,
    check=_check,
)
