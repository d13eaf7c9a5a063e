# SPDX-License-Identifier: Apache-2.0
"""`simplugins compare`: layers of one or two networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from simplugins.cli.command_options import (
    CenterNames,
    Confidence,
    DropTokens,
    Dtype,
    Engine,
    Figure,
    Force,
    GroupsFile,
    GroupsKey,
    Layout,
    MaskFile,
    MaskKey,
    MatchingName,
    MatchingOption,
    MeasureName,
    MeasureOption,
    MethodOption,
    NormalizeNames,
    Quiet,
    Resamples,
    Threads,
    check_results,
    read_array,
    read_groups_file,
    read_matching,
    read_measures,
    read_options,
    read_preparation,
)
from simplugins.cli.comparison_output import report_comparison
from simplugins.cli.terminal import one_line_errors

_A = Annotated[Path, typer.Argument(help="RSMs or activations: a file, or a folder or file of layers.", metavar="A")]
_B = Annotated[Path | None, typer.Argument(help="The same for another network.", metavar="B", show_default="A itself")]
_Method = Annotated[
    str, typer.Option(help="A comparison; `simplugins plugins` lists them under simplugins.comparisons.")
]
_Layers = Annotated[
    list[str] | None,
    typer.Option("--layer", metavar="NAME", help="Only layers with this name or pattern (block*). May be repeated."),
]
_Out = Annotated[
    list[Path] | None,
    typer.Option("-o", "--out", metavar="FILE", help="A .npz, .csv or .json file. May be repeated."),
]
_Align = Annotated[bool, typer.Option("--align", help="Bring inputs into the same order by their labels.")]
_Calibrate = Annotated[
    Literal["each", "max", "mean"] | None,
    typer.Option(
        help="Calibrate by permuting the inputs of B: each cell by itself, by the maximum of the table (which accounts "
        "for the search over layers), or with the mean. Prints scores: 0 is chance, 1 the best value."
    ),
]
_Permutations = Annotated[int, typer.Option(help="Number of permutations, with --calibrate.", min=1)]
_Alpha = Annotated[float, typer.Option(help="Level of significance, with --calibrate.")]
_Seed = Annotated[int, typer.Option(help="Seed of permutations and resamples.")]
_Intervals = Annotated[
    bool, typer.Option("--intervals", help="Estimate an interval of each value from resamples of the inputs.")
]
_Yardsticks = Annotated[
    list[str] | None,
    typer.Option(
        "--yardstick",
        metavar="NAME=FILE",
        help="Layers to read B's values against, such as those of an untrained copy of it. May be repeated.",
    ),
]
_Missing = Annotated[
    Literal["raise", "omit"],
    typer.Option(help="Pairs of inputs that are NaN in an RSM: an error, or left out (not by all comparisons)."),
]


@one_line_errors
def compare(
    a: _A,
    b: _B = None,
    method: _Method = "cka-debiased",
    method_option: MethodOption = None,
    measure: MeasureName = "semantic-cosine",
    measure_option: MeasureOption = None,
    layer: _Layers = None,
    out: _Out = None,
    figure: Figure = None,
    align: _Align = False,
    missing: _Missing = "raise",
    calibrate: _Calibrate = None,
    permutations: _Permutations = 200,
    alpha: _Alpha = 0.05,
    intervals: _Intervals = False,
    resamples: Resamples = 200,
    confidence: Confidence = 0.95,
    groups: GroupsFile = None,
    groups_key: GroupsKey = None,
    seed: _Seed = 0,
    yardstick: _Yardsticks = None,
    layout: Layout = "auto",
    mask: MaskFile = None,
    mask_key: MaskKey = None,
    drop_tokens: DropTokens = 0,
    dtype: Dtype = None,
    center: CenterNames = None,
    normalize: NormalizeNames = None,
    matching: MatchingName = None,
    matching_option: MatchingOption = None,
    engine: Engine = "auto",
    threads: Threads = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Compare the layers of two networks, or of one network with each other, by their RSMs."""
    from simplugins.comparisons.comparison_files import TABLES
    from simplugins.comparisons.layers import compare_layers

    check_results(out or [], figure, TABLES, force=force)
    inference: dict[str, Any] = {"calibrate": calibrate, "permutations": permutations, "alpha": alpha, "seed": seed}
    inference |= {"intervals": intervals, "resamples": resamples, "confidence": confidence}
    options: dict[str, Any] = {"layout": layout, "drop_tokens": drop_tokens, "dtype": dtype, "engine": engine}
    options |= {"mask": read_array("mask_key", mask, mask_key), "threads": threads}
    comparison = compare_layers(
        measure=read_measures([measure], measure_option)[0],
        matching=read_matching(matching, matching_option),
        **_read_sides(a, b, layer or []),
        method=method,
        align=align,
        missing=missing,
        method_options=read_options("--method-option", method_option),
        **inference,
        groups=read_groups_file(groups, groups_key),
        yardsticks=_read_yardsticks(yardstick, layer or []),
        **options,
        **read_preparation(center, normalize),
        progress=not quiet,
    )
    report_comparison(comparison, out or [], figure, force=force)


def _read_sides(a: Path, b: Path | None, patterns: list[str]) -> dict[str, Any]:
    from simplugins.comparisons.layer_files import read_layers

    return {"a": read_layers(a, patterns), "b": None if b is None else read_layers(b, patterns)}


def _read_yardsticks(options: list[str] | None, patterns: list[str]) -> dict[str, Any]:
    from simplugins.comparisons.layer_files import read_layers

    yardsticks: dict[str, Any] = {}
    for option in options or []:
        name, _, path = option.partition("=")
        if not (name and path):
            raise ValueError(f"--yardstick: expected NAME=FILE, such as untrained=untrained.npz, got {option!r}")
        if name in yardsticks:
            raise ValueError(f"--yardstick: {name} occurs twice")
        yardsticks[name] = read_layers(path, patterns)
    return yardsticks
