# SPDX-License-Identifier: Apache-2.0
"""`simplugins evaluate`: evaluations of saved RSMs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from simplugins.cli.command_options import (
    Confidence,
    Force,
    GroupsFile,
    GroupsKey,
    Key,
    LabelsKey,
    OtherLabelsKey,
    PartialLabels,
    Quiet,
    Resamples,
    check_results,
    key_option,
    read_groups_file,
    read_labels,
)
from simplugins.cli.terminal import one_line_errors, print_table, say

app = typer.Typer(
    help="Evaluate RSMs: retrieval, and correlation with the predictions of a network.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_Rsm = Annotated[Path, typer.Argument(help="An RSM that simplugins saved.", metavar="RSM")]
_Labels = Annotated[
    Path | None,
    typer.Option(
        help="A text file with one line per input, its label or several separated by commas; or a file of arrays."
    ),
]
_OtherLabels = Annotated[Path | None, typer.Option(help="The same for the gallery, if it is not the queries.")]
_Neighbours = Annotated[int, typer.Option("-k", help="Number of neighbours per query.", min=1)]
_Out = Annotated[
    list[Path] | None,
    typer.Option(
        "-o", "--out", metavar="FILE", help="A .json or .csv file for the result of each query. May be repeated."
    ),
]
_Images = Annotated[Path | None, typer.Option(help="A .npy or .npz file of images (uint8, or 0 to 1) for the figure.")]
_ImagesKey = Annotated[str | None, typer.Option(help="Name of the array, if the file of images holds several.")]
_Figure = Annotated[Path | None, typer.Option(help="A figure of the first queries and their neighbours.")]


@app.command(short_help="Measure how often the most similar inputs share a label.")
@one_line_errors
def retrieval(
    path: _Rsm,
    labels: _Labels = None,
    labels_key: LabelsKey = None,
    other_labels: _OtherLabels = None,
    other_labels_key: OtherLabelsKey = None,
    partial_labels: PartialLabels = False,
    k: _Neighbours = 1,
    resamples: Resamples = 1000,
    confidence: Confidence = 0.95,
    groups: GroupsFile = None,
    groups_key: GroupsKey = None,
    out: _Out = None,
    images: _Images = None,
    images_key: _ImagesKey = None,
    figure: _Figure = None,
    force: Force = False,
) -> None:
    """Measure how many of the inputs most similar to each query share its label."""
    from simplugins import evaluation
    from simplugins.activations.formats import read_activations
    from simplugins.evaluation.retrieval_metrics import TABLES
    from simplugins.plotting.evaluation_figures import neighbours_figure
    from simplugins.plotting.heatmaps import save_figure
    from simplugins.rsm.archive import load_rsm

    if (images is None) != (figure is None):
        raise ValueError("--images and --figure need each other")
    check_results(out or [], figure, TABLES, force=force)
    rsm = load_rsm(path)
    if images is not None and not rsm.symmetric:
        raise ValueError("--figure draws inputs that find each other, but this RSM compares them with other inputs")
    result = evaluation.retrieval(
        rsm,
        _read_label_sets("--labels", (labels, labels_key), partial=partial_labels),
        other_labels=_read_label_sets("--other-labels", (other_labels, other_labels_key), partial=partial_labels),
        k=k,
        resamples=resamples,
        confidence=confidence,
        groups=read_groups_file(groups, groups_key),
    )
    rows = [
        [name, f"{m.value:.4f}", f"{m.low:.4f} to {m.high:.4f}", str(m.queries)] for name, m in result.metrics.items()
    ]
    print_table(["", "mean", f"{100 * confidence:g} % interval", "queries"], rows)
    for table in out or []:
        result.save(table, overwrite=force)
        say(f"written: {table}")
    if figure is not None and images is not None:
        with key_option("--images-key"):
            thumbnails = read_activations(images, images_key)
        drawing = neighbours_figure(thumbnails, result.neighbours, relevant=result.relevant, title=rsm.measure)
        save_figure(drawing, figure, overwrite=force)
        say(f"written: {figure}")


def _read_label_sets(option: str, file: tuple[Path | None, str | None], *, partial: bool) -> Any:
    from simplugins.activations import label_files

    readers = label_files.read_label_sets, label_files.read_partial_label_sets
    return read_labels(option, file, readers, partial=partial)


@app.command(name="output-correlation", short_help="Correlate similarities with how predictions diverge.")
@one_line_errors
def output_correlation(
    path: _Rsm,
    probabilities: Annotated[
        Path, typer.Argument(help="A file of class probabilities, (inputs, classes).", metavar="PROBABILITIES")
    ],
    key: Key = None,
    resamples: Resamples = 1000,
    confidence: Confidence = 0.95,
    groups: GroupsFile = None,
    groups_key: GroupsKey = None,
    quiet: Quiet = False,
) -> None:
    """Correlate similarities with the divergence of predictions: negative if similar inputs are classified alike."""
    from simplugins import evaluation
    from simplugins.activations.formats import read_activations
    from simplugins.rsm.archive import load_rsm

    rsm = load_rsm(path)
    with key_option("--key"):
        outputs = read_activations(probabilities, key)
    result = evaluation.output_correlation(
        rsm,
        outputs,
        resamples=resamples,
        confidence=confidence,
        groups=read_groups_file(groups, groups_key),
        progress=not quiet,
    )
    rows = [
        [name, f"{interval.value:.4f}", f"{interval.low:.4f} to {interval.high:.4f}"]
        for name, interval in (("Pearson", result.pearson), ("Spearman", result.spearman))
    ]
    print_table(["with the divergence of predictions", "correlation", f"{100 * confidence:g} % interval"], rows)
