# SPDX-License-Identifier: Apache-2.0
"""`simplugins rank`: models against one or several targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from simplugins.cli.command_options import (
    Figure,
    Force,
    GroupsFile,
    GroupsKey,
    MethodOption,
    Quiet,
    check_results,
    read_groups_file,
    read_options,
)
from simplugins.cli.terminal import one_line_errors, print_table, say

if TYPE_CHECKING:
    from simplugins.rsm.rsm import RSM

_Targets = Annotated[
    list[Path], typer.Argument(help="Files of RSMs: the target, or several (subjects, seeds …).", metavar="TARGET")
]
_Candidates = Annotated[
    list[str],
    typer.Option(
        "-c",
        "--candidate",
        metavar="[NAME=]FILE",
        help="The RSM of a model, named after its file by default; or a folder of RSMs. May be repeated.",
    ),
]
_Method = Annotated[
    str, typer.Option(help="A comparison; `simplugins plugins` lists them under simplugins.comparisons.")
]
_Over = Annotated[
    Literal["inputs", "targets", "both"] | None,
    typer.Option(
        help="What intervals hold for: other inputs, targets, or both.", show_default="both, if several targets"
    ),
]
_Resamples = Annotated[int, typer.Option(help="Resamples of inputs and targets.", min=1)]
_Confidence = Annotated[float, typer.Option(help="Confidence level of the intervals, such as 0.95.")]
_Permutations = Annotated[int, typer.Option(help="Permutations of the inputs.", min=1)]
_Seed = Annotated[int, typer.Option(help="Seed of resamples and permutations.")]
_Align = Annotated[bool, typer.Option("--align", help="Bring inputs into the same order by their labels.")]
_Missing = Annotated[
    Literal["raise", "omit"],
    typer.Option(help="Pairs of inputs that are NaN in an RSM: an error, or left out (not by all comparisons)."),
]
_Out = Annotated[
    list[Path] | None,
    typer.Option("-o", "--out", metavar="FILE", help="A .csv or .json file. May be repeated."),
]


@one_line_errors
def rank(
    targets: _Targets,
    candidate: _Candidates,
    method: _Method = "cka-debiased",
    method_option: MethodOption = None,
    over: _Over = None,
    resamples: _Resamples = 1000,
    confidence: _Confidence = 0.95,
    permutations: _Permutations = 999,
    groups: GroupsFile = None,
    groups_key: GroupsKey = None,
    seed: _Seed = 0,
    align: _Align = False,
    missing: _Missing = "raise",
    out: _Out = None,
    figure: Figure = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Rank models by the similarity of their RSMs to a target, with intervals, tests and a noise ceiling."""
    from simplugins.comparisons.model_ranking import TABLES
    from simplugins.comparisons.ranking import rank_models
    from simplugins.plotting.heatmaps import save_figure
    from simplugins.plotting.rankings import ranking_figure

    check_results(out or [], figure, TABLES, force=force)
    ranking = rank_models(
        _read_named([(None, path) for path in targets], "target"),
        _read_named([_split(text) for text in candidate], "--candidate"),
        method,
        method_options=read_options("--method-option", method_option),
        over=over,
        resamples=resamples,
        confidence=confidence,
        permutations=permutations,
        groups=read_groups_file(groups, groups_key),
        seed=seed,
        align=align,
        missing=missing,
        progress=not quiet,
    )
    header, *rows = ranking.cells()
    print_table(header, rows)
    for line in ranking.notes():
        say(line)
    for path in out or []:
        ranking.save(path, overwrite=force)
        say(f"written: {path}")
    if figure is not None:
        save_figure(ranking_figure(ranking), figure, overwrite=force)
        say(f"written: {figure}")


def _split(text: str) -> tuple[str | None, Path]:
    """Return the name and the file of ``name=file``; a file without a name may have such a name itself."""
    name, equals, file = text.partition("=")
    return (None, Path(text)) if not equals or Path(text).exists() else (name, Path(file))


def _read_named(files: list[tuple[str | None, Path]], parameter: str) -> dict[str, RSM]:
    """Read RSMs, and those in folders, by name.

    Raises
    ------
    ValueError
        If a file holds no RSM, or two have the same name.
    """
    from simplugins.comparisons.layer_files import read_layers
    from simplugins.rsm.rsm import RSM

    result: dict[str, RSM] = {}
    for name, path in files:
        layers = read_layers(path)
        for layer, rsm in layers.items():
            full = layer if name is None else name if len(layers) == 1 else f"{name} {layer}"
            if not isinstance(rsm, RSM):
                raise ValueError(f"{path} holds activations, not an RSM: compute it first with `simplugins rsm`")
            if full in result:
                raise ValueError(f"{parameter}: two RSMs are named {full!r}; name them, as {full}-2={path}")
            result[full] = rsm
    return result
