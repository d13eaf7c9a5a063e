# SPDX-License-Identifier: Apache-2.0
"""ReSi: similarities of networks as its measures, and its benchmark with these among them."""

from __future__ import annotations

import re
import runpy
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simplugins import Adapter, NetworkSimilarity
from simplugins_adapters.repsims import check
from simplugins_adapters.shared import all_similarities

if TYPE_CHECKING:
    from repsim.measures.utils import RepresentationalSimilarityMeasure

TOOL = "ReSi"

_ACRONYMS = ("cca", "cka", "rbf", "rsa")

_MAY_BE_UNKNOWN = (
    "is_metric",
    "invariant_to_affine",
    "invariant_to_invertible_linear",
    "invariant_to_ortho",
    "invariant_to_permutation",
    "invariant_to_isotropic_scaling",
    "invariant_to_translation",
)


def to_measure(
    similarity: NetworkSimilarity, *, name: str | None = None, larger_is_more_similar: bool | None = None
) -> RepresentationalSimilarityMeasure:
    """Return a similarity of networks as a measure.

    Parameters
    ----------
    similarity : NetworkSimilarity
    name : str, optional
        What ReSi's configurations and tables call it. By default that of `class_name`; one with options needs another.
    larger_is_more_similar : bool, optional
        Where the method does not tell.

    Returns
    -------
    repsim.measures.utils.RepresentationalSimilarityMeasure
        Of a class of that name. What is not known to be symmetric is computed both ways; what it is invariant to may be
        None.

    Raises
    ------
    ValueError
        If it has options and no name of its own; if it is not known whether larger numbers mean more similar, or the
        method tells otherwise.
    """
    if name is None and similarity.options:
        raise ValueError(
            f"{similarity.name} has options ({', '.join(similarity.options)}), and ReSi tells measures apart by name "
            f"alone: choose one with name="
        )
    return _measure(similarity, name or class_name(similarity.name), larger_is_more_similar)


def register() -> list[str]:
    """Enter all registered similarities into ``repsim.measures.ALL_MEASURES``, each under its `class_name`.

    Returns
    -------
    list of str
        What they are called there. Those of which it is not known whether larger numbers mean more similar are left
        out, with a warning.

    Raises
    ------
    ValueError
        If ReSi has another measure of such a name, or two similarities come to the same name. Then none is entered.
    """
    from repsim.measures import ALL_MEASURES

    from simplugins_adapters.subclasses.resi import NetworkMeasure

    found: dict[str, RepresentationalSimilarityMeasure] = {}
    for similarity_name, similarity in all_similarities().items():
        name = class_name(similarity_name)
        if name in found or not isinstance(ALL_MEASURES.get(name), NetworkMeasure | None):
            raise ValueError(
                f"ReSi tells measures apart by name, and two would be {name!r}; one of them is simplugins's "
                f"{similarity_name!r}: rename the other"
            )
        try:
            found[name] = _measure(similarity, name)
        except ValueError as error:
            warnings.warn(f"left out: {error}", RuntimeWarning, stacklevel=2)
    ALL_MEASURES.update(found)
    return list(found)


def run(arguments: list[str]) -> None:
    """Run ``python -m repsim.run`` in this process, with all registered similarities among its measures.

    Parameters
    ----------
    arguments : list of str
        Such as ``["-c", "config.yaml"]``.

    Warns
    -----
    RuntimeWarning
        At the end, if a similarity failed: ReSi goes on after any error, with NaN in its tables.
    """
    from repsim.measures import ALL_MEASURES

    names = register()
    with _command_line(["repsim.run", *arguments]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'repsim.run' found in sys.modules", RuntimeWarning)
        runpy.run_module("repsim.run", run_name="__main__", alter_sys=True)
    for name in names:
        if failures := ALL_MEASURES[name].failures:
            warnings.warn(
                f"{name} failed in {len(failures)} comparisons, which are NaN in ReSi's tables; the first time: "
                f"{failures[0]}",
                RuntimeWarning,
                stacklevel=2,
            )


def class_name(similarity: str) -> str:
    """Return the name of a similarity as that of a class: each word with a capital, and CCA, CKA, RBF, RSA throughout.

    Examples
    --------
    >>> class_name("spatio-semantic-rbf-rsa-spearman")
    'SpatioSemanticRBFRSASpearman'
    """
    words = re.findall(r"[^\W_]+", similarity)
    return "".join(word.upper() if word.lower() in _ACRONYMS else word[0].upper() + word[1:] for word in words)


def _measure(
    similarity: Callable[..., float], name: str, larger_is_more_similar: bool | None = None
) -> RepresentationalSimilarityMeasure:
    from simplugins_adapters.subclasses.resi import measure_of

    known = getattr(similarity, "larger_is_more_similar", None)
    if known is not None and larger_is_more_similar not in (None, known):
        raise ValueError(f"{name}: its larger_is_more_similar is {known}, got {larger_is_more_similar}")
    larger = larger_is_more_similar if known is None else known
    if larger is None:
        raise ValueError(
            f"{name}: it is not known whether larger numbers mean more similar, which ReSi has to know: "
            f"to('resi', larger_is_more_similar=...) says so"
        )
    told: dict[str, Any] = {name: getattr(similarity, name, None) for name in _MAY_BE_UNKNOWN}
    symmetric = bool(getattr(similarity, "is_symmetric", False))
    return measure_of(name, similarity, {"larger_is_more_similar": larger, "is_symmetric": symmetric, **told})


@contextmanager
def _command_line(arguments: list[str]) -> Iterator[None]:
    """Set what is on the command line, and let ReSi import ``graphs``, which an installation of it leaves out."""
    import repsim

    argv, path = sys.argv, sys.path
    sys.argv, sys.path = arguments, [*path, *(str(Path(folder).parent) for folder in repsim.__path__)]
    try:
        yield
    finally:
        sys.argv, sys.path = argv, path


adapter = Adapter(
    tool=TOOL,
    modules=("repsim",),
    install="git clone https://github.com/mklabunde/resi, put the clone on PYTHONPATH, and pip install "
    "'simplugins[torch]' scikit-learn einops loguru (docs/tools/resi.md: what its benchmark needs beside)",
    similarity=to_measure,
    registry=register,
    command=run,
    check=partial(check, "resi"),
)
