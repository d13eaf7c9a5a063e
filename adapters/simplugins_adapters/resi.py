# SPDX-License-Identifier: Apache-2.0
"""ReSi: similarities of networks as its measures, and its benchmark with these measures registered."""

from __future__ import annotations

import re
import runpy
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from simplugins import Adapter
from simplugins_adapters.repsim_packages import check_repsim
from simplugins_adapters.similarities import Similarity, all_similarities, fact, name_of

if TYPE_CHECKING:
    from repsim.measures.utils import RepresentationalSimilarityMeasure

TOOL = "ReSi"

_ACRONYMS = ("cca", "cka", "knn", "rbf", "rsa")

_FACTS = (
    "is_metric",
    "invariant_to_affine",
    "invariant_to_invertible_linear",
    "invariant_to_ortho",
    "invariant_to_permutation",
    "invariant_to_isotropic_scaling",
    "invariant_to_translation",
)
"""Facts about measures that may be unknown to ReSi."""


def to_measure(
    similarity: Similarity, *, name: str | None = None, larger_is_more_similar: bool | None = None
) -> RepresentationalSimilarityMeasure:
    """Return a similarity of networks as a measure.

    Parameters
    ----------
    similarity : NetworkSimilarity or callable
    name : str, optional
        Name in ReSi's configurations and tables, by default that of `class_name`. Required if the similarity has
        options.
    larger_is_more_similar : bool, optional
        Required if the similarity does not declare it.

    Returns
    -------
    repsim.measures.utils.RepresentationalSimilarityMeasure
        Of a class with that name. Measures that are not known to be symmetric are computed in both directions;
        invariances may be None.

    Raises
    ------
    ValueError
        If the similarity has options and no `name` is given; if `larger_is_more_similar` is unknown, or differs from
        what the similarity declares.
    """
    if name is None and (options := getattr(similarity, "options", None)):
        raise ValueError(
            f"name is required: {name_of(similarity)} has options ({', '.join(options)}), and ReSi distinguishes "
            f"measures by name alone"
        )
    return _measure(similarity, name or class_name(name_of(similarity)), larger_is_more_similar)


def register() -> list[str]:
    """Add all registered similarities to ``repsim.measures.ALL_MEASURES``, each under its `class_name`.

    Returns
    -------
    list of str
        Their names there. Similarities that do not declare ``larger_is_more_similar`` are left out, with a warning.

    Raises
    ------
    ValueError
        If ReSi has another measure with the same name, or two similarities get the same name. None is added then.
    """
    from repsim.measures import ALL_MEASURES

    from simplugins_adapters.subclasses.resi_measure import NetworkMeasure

    measures: dict[str, RepresentationalSimilarityMeasure] = {}
    for plugin, similarity in all_similarities().items():
        name = class_name(plugin)
        if name in measures or not isinstance(ALL_MEASURES.get(name), NetworkMeasure | None):
            raise ValueError(
                f"ReSi distinguishes measures by name, and {name!r} is taken, so the similarity {plugin!r} cannot be "
                f"registered: rename one of them"
            )
        try:
            measures[name] = _measure(similarity, name)
        except ValueError as error:
            warnings.warn(f"left out: {error}", RuntimeWarning, stacklevel=2)
    ALL_MEASURES.update(measures)
    return list(measures)


def run(arguments: list[str]) -> None:
    """Run ``python -m repsim.run`` in this process, with all registered similarities among its measures.

    Parameters
    ----------
    arguments : list of str
        For example ``["-c", "config.yaml"]``.

    Warns
    -----
    RuntimeWarning
        At the end, if a similarity failed: ReSi continues after any error, with NaN in its tables.
    """
    from repsim.measures import ALL_MEASURES

    names = register()
    with _command_line(["repsim.run", *arguments]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'repsim.run' found in sys.modules", RuntimeWarning)
        runpy.run_module("repsim.run", run_name="__main__", alter_sys=True)
    for name in names:
        if failures := ALL_MEASURES[name].failures:
            warnings.warn(
                f"{name} failed in {len(failures)} comparisons, which are NaN in ReSi's tables; the first error: "
                f"{failures[0]}",
                RuntimeWarning,
                stacklevel=2,
            )


def class_name(similarity: str) -> str:
    """Return the name of a similarity as a class name: words capitalised, and CCA, CKA, KNN, RBF, RSA in capitals.

    Examples
    --------
    >>> class_name("spatio-semantic-rbf-rsa-spearman")
    'SpatioSemanticRBFRSASpearman'
    """
    words = re.findall(r"[^\W_]+", similarity)
    return "".join(word.upper() if word.lower() in _ACRONYMS else word[0].upper() + word[1:] for word in words)


def _measure(
    similarity: Similarity, name: str, larger_is_more_similar: bool | None = None
) -> RepresentationalSimilarityMeasure:
    from simplugins_adapters.subclasses.resi_measure import measure_of

    declared = fact(similarity, "larger_is_more_similar")
    if declared is not None and larger_is_more_similar not in (None, declared):
        raise ValueError(f"larger_is_more_similar: {name} declares {declared}, got {larger_is_more_similar}")
    larger = larger_is_more_similar if declared is None else declared
    if larger is None:
        raise ValueError(
            f"{name}: ReSi needs to know whether larger values mean more similar: declare the attribute "
            f"larger_is_more_similar, or pass it to to('resi', larger_is_more_similar=...)"
        )
    facts = {attribute: fact(similarity, attribute) for attribute in _FACTS}
    facts |= {"larger_is_more_similar": larger, "is_symmetric": bool(fact(similarity, "is_symmetric"))}
    return measure_of(name, similarity, facts)


@contextmanager
def _command_line(arguments: list[str]) -> Iterator[None]:
    """Set the command line, and let ReSi import ``graphs``, which an installation of it leaves out."""
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
    "'simplugins[torch]' scikit-learn einops loguru (its benchmark needs more: see docs/tools/resi.md)",
    similarity=to_measure,
    registry=register,
    command=run,
    check=partial(check_repsim, "resi"),
)
