# SPDX-License-Identifier: Apache-2.0
"""`simplugins explore`: an interactive page of the layers of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simplugins.cli.command_options import (
    CenterNames,
    DropTokens,
    Dtype,
    Engine,
    Force,
    LabelsKey,
    Layout,
    NormalizeNames,
    PartialLabels,
    Quiet,
    Threads,
    check_output,
    read_images,
    read_labels,
    read_preparation,
)
from simplugins.cli.terminal import one_line_errors, say

_Source = Annotated[
    Path, typer.Argument(help="Activations or RSMs: a file, or a folder or file of layers.", metavar="IN")
]
_Out = Annotated[Path, typer.Option("-o", "--out", help="A new .html file.")]
_Layers = Annotated[
    list[str] | None,
    typer.Option("--layer", metavar="NAME", help="Only layers with this name or pattern (block*). May be repeated."),
]
_Images = Annotated[
    Path | None,
    typer.Option(help="A folder of images, sorted by name as the inputs are; or a file of arrays, (N, H, W, 3)."),
]
_ImagesKey = Annotated[str | None, typer.Option(help="Name of the array, if the file of images holds several.")]
_Tokens = Annotated[
    Path | None, typer.Option(help="A text file with a line per input, its tokens separated by single spaces.")
]
_Labels = Annotated[
    Path | None, typer.Option(help="A text file with a line per input, its label; or a file of arrays.")
]
_Measures = Annotated[
    list[str] | None,
    typer.Option(
        "-m",
        "--measure",
        metavar="NAME",
        help="A measure, or partial- and a semantic one. May be repeated.",
        show_default="semantic-, spatio-semantic-, shift- and partial-semantic-cosine",
    ),
]
_Comparison = Annotated[str, typer.Option("--method", help="The comparison of layers.")]
_Grid = Annotated[str | None, typer.Option(help="Height and width of the tokens of images, such as 14x14.")]
_Share = Annotated[float, typer.Option(help="Share of the positions that partial measures match.")]
_Title = Annotated[str | None, typer.Option(help="Title of the page.")]
_Megabytes = Annotated[float, typer.Option(help="Largest size of the file.")]


@one_line_errors
def explore(
    activations: _Source,
    out: _Out,
    layer: _Layers = None,
    images: _Images = None,
    images_key: _ImagesKey = None,
    tokens: _Tokens = None,
    labels: _Labels = None,
    labels_key: LabelsKey = None,
    partial_labels: PartialLabels = False,
    measure: _Measures = None,
    method: _Comparison = "cka-debiased",
    grid: _Grid = None,
    share: _Share = 0.5,
    title: _Title = None,
    layout: Layout = "auto",
    drop_tokens: DropTokens = 0,
    dtype: Dtype = None,
    center: CenterNames = None,
    normalize: NormalizeNames = None,
    engine: Engine = "auto",
    threads: Threads = None,
    megabytes: _Megabytes = 25,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Write an HTML page to explore RSMs, matched positions, neighbours and layers with."""
    from simplugins.activations import label_files
    from simplugins.comparisons.layer_files import read_layers
    from simplugins.plotting.explorer import exploring

    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out {out}: expected a name that ends in .html")
    check_output(out, force=force)
    readers = label_files.read_labels, label_files.read_partial_labels
    exploring.explore(
        out,
        read_layers(activations, layer or []),
        images=read_images(images, images_key),
        tokens=_read_tokens(tokens),
        labels=read_labels("--labels", (labels, labels_key), readers, partial=partial_labels),
        measures=measure,
        comparison=method,
        grid=_read_grid(grid),
        share=share,
        title=title,
        layout=layout,
        drop_tokens=drop_tokens,
        dtype=dtype,
        **read_preparation(center, normalize),
        engine=engine,
        threads=threads,
        megabytes=megabytes,
        overwrite=force,
        progress=not quiet,
    )
    say(f"written: {out} ({out.stat().st_size / 1e6:.1f} MB)")


def _read_tokens(path: Path | None) -> list[list[str]] | None:
    if path is None:
        return None
    from simplugins._common.validation import error_prefix
    from simplugins.activations.label_files import text_lines

    with error_prefix("--tokens"):
        return [line.split(" ") for line in text_lines(path)]


def _read_grid(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    sizes = text.lower().split("x")
    if len(sizes) != 2 or not all(size.strip().isdecimal() for size in sizes):
        raise ValueError(f"--grid: expected height and width, such as 14x14, got {text!r}")
    return int(sizes[0]), int(sizes[1])
