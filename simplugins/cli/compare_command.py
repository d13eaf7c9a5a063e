# SPDX-License-Identifier: Apache-2.0
"""`simplugins compare`: layers of one or two networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from simplugins.cli.command_options import (
    CenterName,
    DropTokens,
    Dtype,
    Engine,
    Force,
    Layout,
    MatchingName,
    MatchingOption,
    MeasureName,
    MeasureOption,
    MethodOption,
    NormalizeNames,
    Quiet,
    Threads,
    check_output,
    read_matching,
    read_measures,
    read_normalize,
    read_options,
)
from simplugins.cli.terminal import one_line_errors, print_table, say

_A = Annotated[Path, typer.Argument(help="RSMs or activations: a file, or a folder or file of layers.")]
_B = Annotated[Path | None, typer.Argument(help="The same for another network.", show_default="A itself")]
_Method = Annotated[
    str, typer.Option(help="A comparison; `simplugins plugins` lists them under simplugins.comparisons.")
]
_Layers = Annotated[
    list[str] | None, typer.Option("--layer", help="Only layers with this name or pattern (block*). May be repeated.")
]
_Out = Annotated[
    list[Path] | None,
    typer.Option("-o", "--out", help="A .npz, .csv or .json file, or a figure (.png, .pdf …). May be repeated."),
]
_Align = Annotated[bool, typer.Option("--align", help="Bring inputs into the same order by their labels.")]
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
    align: _Align = False,
    missing: _Missing = "raise",
    layout: Layout = "auto",
    drop_tokens: DropTokens = 0,
    dtype: Dtype = None,
    center: CenterName = None,
    normalize: NormalizeNames = None,
    matching: MatchingName = None,
    matching_option: MatchingOption = None,
    engine: Engine = "auto",
    threads: Threads = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Compare the layers of two networks, or of one network with each other, by their RSMs."""
    from simplugins.comparisons.layer_files import read_layers
    from simplugins.comparisons.layers import TABLES, compare_layers
    from simplugins.comparisons.method import method_label
    from simplugins.plotting.heatmaps import check_format, comparison_figure, save_figure

    for path in out or []:
        check_output(path, force=force)
        if path.suffix not in TABLES:
            check_format(path)
    comparison = compare_layers(
        measure=read_measures([measure], measure_option)[0],
        matching=read_matching(matching, matching_option),
        a=read_layers(a, layer or []),
        b=None if b is None else read_layers(b, layer or []),
        method=method,
        method_options=read_options("--method-option", method_option),
        align=align,
        missing=missing,
        layout=layout,
        drop_tokens=drop_tokens,
        dtype=dtype,
        center=center,
        normalize=read_normalize(normalize),
        engine=engine,
        threads=threads,
        progress=not quiet,
    )
    label = method_label(comparison.method, comparison.metadata["method_options"])
    if comparison.values.size == 1:
        say(f"{label}: {comparison.values.item():.10g}")
    else:
        rows = zip(comparison.rows, comparison.values.tolist(), strict=True)
        cells = [[name, *(f"{value:.4f}" for value in values)] for name, values in rows]
        print_table([label, *comparison.columns], cells)
    for path in out or []:
        if path.suffix in TABLES:
            comparison.save(path, overwrite=force)
        else:
            save_figure(comparison_figure(comparison), path, overwrite=force)
        say(f"written: {path}")
