# SPDX-License-Identifier: Apache-2.0
"""`simplugins controls`: the semantic RSM of activations in a file, and its controls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from simplugins.cli.command_options import (
    CenterNames,
    DropTokens,
    Dtype,
    Engine,
    Figure,
    Force,
    Key,
    Layout,
    MatchingName,
    MatchingOption,
    MethodOption,
    NormalizeNames,
    Quiet,
    Threads,
    check_figure,
    key_option,
    read_matching,
    read_options,
    read_preparation,
)
from simplugins.cli.terminal import one_line_errors, print_table, say

if TYPE_CHECKING:
    from simplugins.comparisons.controls import Controls

_Source = Annotated[
    Path, typer.Argument(help="Activations: a file, or the folder of a recording of one layer.", metavar="IN")
]
_Kernel = Annotated[Literal["linear", "cosine", "rbf"], typer.Option(help="The kernel of all measures.")]
_Method = Annotated[str, typer.Option(help="The comparison with the semantic RSM.")]
_Out = Annotated[Path | None, typer.Option("-o", "--out", help="A new folder for one .npz file per RSM.")]
_Subset = Annotated[int | None, typer.Option(help="Use only N inputs, drawn at random.", min=2)]
_Seed = Annotated[int, typer.Option(help="Seed of the random draw.")]


@one_line_errors
def controls(
    activations: _Source,
    out: _Out = None,
    figure: Figure = None,
    kernel: _Kernel = "cosine",
    method: _Method = "cka-debiased",
    method_option: MethodOption = None,
    key: Key = None,
    layout: Layout = "auto",
    drop_tokens: DropTokens = 0,
    dtype: Dtype = None,
    center: CenterNames = None,
    normalize: NormalizeNames = None,
    matching: MatchingName = None,
    matching_option: MatchingOption = None,
    engine: Engine = "auto",
    threads: Threads = None,
    subset: _Subset = None,
    seed: _Seed = 0,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Compute the semantic RSM and cheaper controls: spatio-semantic, pooled, second-order, MaxSim and shift RSMs."""
    from simplugins.activations.reading import read
    from simplugins.comparisons import controls as module

    _check_outputs(out, figure, force=force)
    with key_option("--key"):
        array = read(activations, key)
    result = module.controls(
        array,
        kernel=kernel,
        method=method,
        method_options=read_options("--method-option", method_option),
        layout=layout,
        drop_tokens=drop_tokens,
        dtype=dtype,
        **read_preparation(center, normalize),
        matching=read_matching(matching, matching_option),
        engine=engine,
        threads=threads,
        subset=subset,
        seed=seed,
        progress=not quiet,
    )
    _print(result)
    _write(result, out, figure, force=force)


def _check_outputs(out: Path | None, figure: Path | None, *, force: bool) -> None:
    check_figure(figure, force=force)
    if out is not None:
        if out.suffix or (out.exists() and not out.is_dir()):
            raise ValueError(f"--out {out}: expected a folder, for several RSMs")
        if not out.resolve().parent.is_dir():
            raise FileNotFoundError(f"--out {out}: there is no folder {out.resolve().parent}")
        if out.is_dir() and any(out.glob("*.npz")) and not force:
            raise FileExistsError(f"--out {out} has RSMs: choose another folder, or overwrite them with --force")


def _print(result: Controls) -> None:
    from simplugins._common.formatting import human_time

    rows = [[str(row["measure"]), human_time(row["seconds_per_pair"]), f"{row['value']:.3f}"] for row in result.table()]
    print_table(["measure", "time per pair", f"{result.method} with semantic"], rows)
    for name, reason in result.unavailable.items():
        say(f"no {name}: {reason}")


def _write(result: Controls, out: Path | None, figure: Path | None, *, force: bool) -> None:
    from simplugins.plotting.control_heatmaps import controls_figure
    from simplugins.plotting.heatmaps import save_figure

    if out is not None:
        out.mkdir(exist_ok=True)
        for name, rsm in result.items():
            rsm.save(out / f"{name}.npz", overwrite=force)
        say(f"{out}: {', '.join(f'{name}.npz' for name in result)}")
    if figure is not None:
        save_figure(controls_figure(result), figure, overwrite=force)
        say(f"written: {figure}")
