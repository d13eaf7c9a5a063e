# SPDX-License-Identifier: Apache-2.0
"""`simplugins evaluate`: the paper's evaluations, on files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simplugins.cli.terminal import one_line_errors, print_table

app = typer.Typer(help="Evaluate RSMs: retrieval, and correlation with what a network predicts.", no_args_is_help=True)

_RSM = Annotated[Path, typer.Argument(help="An RSM that simplugins saved.", metavar="RSM")]
_OUT = Annotated[Path | None, typer.Option("-o", "--out", help="A .json or .csv file for the result of each query.")]
_RESAMPLES = Annotated[int, typer.Option(help="For the intervals.", min=1)]
_FORCE = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]


@app.command()
@one_line_errors
def retrieval(
    path: _RSM,
    labels: Annotated[
        Path | None,
        typer.Option(help="A text file with a line an input: its label, or several with commas between them."),
    ] = None,
    gallery_labels: Annotated[
        Path | None, typer.Option(help="The same of the gallery, if it is not the queries.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many neighbours to look at.", min=1)] = 1,
    resamples: _RESAMPLES = 1000,
    out: _OUT = None,
    images: Annotated[
        Path | None, typer.Option(help="A .npy or .npz file of images, uint8 or 0..1, for the picture.")
    ] = None,
    images_key: Annotated[str | None, typer.Option(help="Which array, in a file of several.")] = None,
    picture: Annotated[Path | None, typer.Option(help="A picture of what was found for the first queries.")] = None,
    force: _FORCE = False,
) -> None:
    """Whether the inputs that an RSM finds most similar are of one kind, by their labels."""
    from simplugins import evaluation
    from simplugins._common.filesystem import check_writable
    from simplugins.activations.formats import read_activations
    from simplugins.activations.labels import read_label_sets
    from simplugins.plotting.evaluation_figures import neighbours_figure
    from simplugins.plotting.heatmaps import save_figure
    from simplugins.rsm.archive import load_rsm

    if (images is None) != (picture is None):
        raise ValueError("--images and --picture go together")
    for written in (out, picture):
        if written is not None:
            check_writable(written, overwrite=force)
    if out is not None and out.suffix not in evaluation.TABLES:
        raise ValueError(f"--out {out}: expected a name that ends in one of {', '.join(evaluation.TABLES)}")
    rsm = load_rsm(path)
    if images is not None and not rsm.symmetric:
        raise ValueError("--picture is of inputs that find each other; this RSM has others as columns")
    found = evaluation.retrieval(
        rsm,
        None if labels is None else read_label_sets(labels),
        gallery_labels=None if gallery_labels is None else read_label_sets(gallery_labels),
        k=k,
        resamples=resamples,
    )
    rows = [
        [name, f"{m.mean:.4f}", f"{m.low:.4f} to {m.high:.4f}", str(m.queries)] for name, m in found.metrics.items()
    ]
    print_table(["", "mean", "95 % interval", "queries"], rows)
    if out is not None:
        found.save(out, overwrite=force)
        typer.echo(f"written: {out}")
    if picture is not None and images is not None:
        drawn = neighbours_figure(
            read_activations(images, images_key), found.neighbours, relevant=found.relevant, title=rsm.measure
        )
        save_figure(drawn, picture, overwrite=force)
        typer.echo(f"written: {picture}")


@app.command(name="output-correlation")
@one_line_errors
def output_correlation(
    path: _RSM,
    probabilities: Annotated[Path, typer.Argument(help="A file of an array, inputs x classes.")],
    key: Annotated[str | None, typer.Option(help="Which array, in a file of several.")] = None,
    resamples: _RESAMPLES = 1000,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Whether inputs that an RSM finds similar are classified alike: negative, if they are."""
    from simplugins import evaluation
    from simplugins.activations.formats import read_activations
    from simplugins.rsm.archive import load_rsm

    predicted = read_activations(probabilities, key)
    found = evaluation.output_correlation(load_rsm(path), predicted, resamples=resamples, progress=not quiet)
    rows = [
        [name, f"{of.estimate:.4f}", f"{of.low:.4f} to {of.high:.4f}"]
        for name, of in (("Pearson", found.pearson), ("Spearman", found.spearman))
    ]
    print_table(["with the divergence of predictions", "correlation", "95 % interval"], rows)
