# SPDX-License-Identifier: Apache-2.0
"""`simplugins report`: one HTML page about one or two networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from simplugins.cli.command_options import (
    CenterNames,
    Confidence,
    DropTokens,
    Engine,
    Force,
    GroupsFile,
    GroupsKey,
    LabelsKey,
    Layout,
    MatchingName,
    MatchingOption,
    NormalizeNames,
    Quiet,
    Resamples,
    Threads,
    check_output,
    read_groups_file,
    read_images,
    read_labels,
    read_matching,
    read_preparation,
)
from simplugins.cli.terminal import one_line_errors, say

_A = Annotated[Path, typer.Argument(help="Activations: a recording, or a folder or file of layers.")]
_B = Annotated[Path | None, typer.Argument(help="The same for another network.", show_default="one network")]
_Out = Annotated[Path, typer.Option("-o", "--out", help="The page, a .html file.")]
_Layers = Annotated[
    list[str] | None, typer.Option("--layer", help="Only layers with this name or pattern (block*). May be repeated.")
]
_Labels = Annotated[
    Path | None, typer.Option(help="A text file with the label of each input, one per line; or a file of arrays.")
]
_Images = Annotated[
    Path | None,
    typer.Option(help="For thumbnails: a folder of images, sorted by name as the inputs are; or a file of arrays."),
]
_ImagesKey = Annotated[str | None, typer.Option(help="Name of the array, if the file of images holds several.")]
_Names = Annotated[
    list[str] | None, typer.Option("--name", help="The name of a network; repeated, that of the other network.")
]
_Title = Annotated[str | None, typer.Option(help="The title of the page.", show_default="the names of the networks")]
_Kernel = Annotated[str, typer.Option(help="linear, cosine or rbf.")]
_Method = Annotated[
    str, typer.Option(help="A comparison; `simplugins plugins` lists them under simplugins.comparisons.")
]
_Permutations = Annotated[int, typer.Option(help="Number of permutations of the calibration.", min=1)]
_Alpha = Annotated[float, typer.Option(help="Level of significance.")]
_Seed = Annotated[int, typer.Option(help="Seed of permutations and resamples.")]
_Neighbours = Annotated[int, typer.Option("-k", help="Number of neighbours per query in the evaluation.", min=1)]
_Explorer = Annotated[float, typer.Option(help="Size of the explorer in the page; 0 leaves it out.", min=0)]
_Work = Annotated[
    Path | None,
    typer.Option(
        help="A folder for RSMs and tables, which stays; the same command goes on with what it holds.",
        show_default="beside the page, until it is complete",
    ),
]


@one_line_errors
def report(
    a: _A,
    b: _B = None,
    *,
    out: _Out,
    layer: _Layers = None,
    labels: _Labels = None,
    labels_key: LabelsKey = None,
    images: _Images = None,
    images_key: _ImagesKey = None,
    name: _Names = None,
    title: _Title = None,
    kernel: _Kernel = "cosine",
    method: _Method = "cka-debiased",
    permutations: _Permutations = 200,
    alpha: _Alpha = 0.05,
    resamples: Resamples = 200,
    confidence: Confidence = 0.95,
    groups: GroupsFile = None,
    groups_key: GroupsKey = None,
    k: _Neighbours = 1,
    seed: _Seed = 0,
    layout: Layout = "auto",
    drop_tokens: DropTokens = 0,
    center: CenterNames = None,
    normalize: NormalizeNames = None,
    matching: MatchingName = None,
    matching_option: MatchingOption = None,
    engine: Engine = "auto",
    threads: Threads = None,
    explorer_megabytes: _Explorer = 8.0,
    work: _Work = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Write a report on the layers of one or two networks: one HTML page with tables, pictures, and what was done.

    The layers are files: in Python, simplugins.record(model, inputs, to="folder") writes those of a model, and
    simplugins.report(model, inputs, "report.html") does both.
    """
    from simplugins.reporting.model_report import report as write

    _check_exist(a, b)
    check_output(out, force=force)
    options: dict[str, Any] = {"permutations": permutations, "alpha": alpha, "resamples": resamples, "seed": seed}
    options |= {"confidence": confidence, "groups": read_groups_file(groups, groups_key), "k": k}
    options |= {"kernel": kernel, "method": method, "layout": layout, "drop_tokens": drop_tokens}
    options |= {"names": name, "title": title, "engine": engine, "threads": threads, "work": work}
    result = write(
        a,
        None,
        out,
        other=b,
        layers=layer,
        other_layers=layer,
        labels=_read_labels(labels, labels_key),
        images=read_images(images, images_key),
        **options,
        **read_preparation(center, normalize),
        matching=read_matching(matching, matching_option),
        explorer_megabytes=explorer_megabytes,
        overwrite=force,
        progress=not quiet,
    )
    say(f"written: {result.path}")


def _read_labels(path: Path | None, key: str | None) -> Any:
    from simplugins.activations import label_files

    return read_labels("--labels", (path, key), (label_files.read_labels, label_files.read_labels), partial=False)


def _check_exist(*paths: Path | None) -> None:
    """Raise a FileNotFoundError for a missing file; a network that is not recorded yet is none."""
    for path in paths:
        if path is not None and not path.exists():
            raise FileNotFoundError(
                f"{path}: no such file or folder. This command reads activations: record those of a model in Python, "
                f"simplugins.record(model, inputs, to='folder'), or call simplugins.report(model, inputs, "
                f"'report.html') there"
            )
