# SPDX-License-Identifier: Apache-2.0
"""The command line. The only room that prints; it imports the others when a command runs.

`evaluate` has the commands of that group, `terminal` what all of them share.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simplugins import __version__
from simplugins.cli.estimate import estimate
from simplugins.cli.evaluate import app as evaluate
from simplugins.cli.shared import (
    Certify,
    DropTokens,
    Dtype,
    Key,
    Layout,
    Matching,
    MatchingOptions,
    Threads,
    read_matcher,
)
from simplugins.cli.terminal import one_line_errors, print_table

if TYPE_CHECKING:
    from simplugins_adapters.contract import Adapter

    from simplugins.rsm.rsm import RSM

app = typer.Typer(
    name="simplugins",
    help="Semantic representational similarity: exact, fast, at home in the tools you already use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(evaluate, name="evaluate")
app.command()(estimate)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"simplugins {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
@one_line_errors
def rsm(
    activations: Annotated[
        Path,
        typer.Argument(
            help="A .npy, .npz, .pt, .pth, .safetensors, .h5 or .zarr file, or a folder of a recording.", metavar="IN"
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="A new .npz file; for several measures a folder, with a file for each."),
    ] = None,
    measure: Annotated[
        list[str] | None, typer.Option("-m", "--measure", help="May be repeated.  [default: semantic-cosine]")
    ] = None,
    key: Key = None,
    other: Annotated[Path | None, typer.Option(help="Other inputs: compare IN with these.")] = None,
    other_key: Annotated[str | None, typer.Option(help="Which array, in the file of other inputs.")] = None,
    labels: Annotated[Path | None, typer.Option(help="A text file with a label a line, one for each input.")] = None,
    other_labels: Annotated[Path | None, typer.Option(help="Labels of the other inputs.")] = None,
    mask: Annotated[
        Path | None, typer.Option(help="A .npy or .npz file of booleans (inputs, positions): True where one counts.")
    ] = None,
    other_mask: Annotated[Path | None, typer.Option(help="The mask of the other inputs.")] = None,
    layout: Layout = "auto",
    drop_tokens: DropTokens = 0,
    dtype: Dtype = None,
    matching: Matching = None,
    option: MatchingOptions = None,
    certify: Certify = False,
    sigma: Annotated[str, typer.Option(help="RBF's bandwidth: median, or a number.")] = "median",
    engine: Annotated[str, typer.Option(help="auto (a GPU if CuPy sees one), cpu or cuda.")] = "auto",
    precision: Annotated[str | None, typer.Option(help="On a GPU: float32, float16x3 or tf32.")] = None,
    threads: Threads = None,
    subset: Annotated[int | None, typer.Option(help="Only so many inputs, drawn at random.", min=2)] = None,
    seed: Annotated[int, typer.Option(help="Of the random draw.")] = 0,
    store: Annotated[
        Path | None, typer.Option(help="A .zarr folder for finished parts, from which the same command goes on.")
    ] = None,
    memory: Annotated[str | None, typer.Option(help="The most that the process may take, as 2GB.")] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="The address of a Dask scheduler whose workers compute, as tcp://10.0.0.1:8786.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Compute the RSM of activations in a file, under one or several measures."""
    from simplugins._common.filesystem import check_writable
    from simplugins.activations.formats import read_activations
    from simplugins.activations.labels import read_labels
    from simplugins.activations.reading import read
    from simplugins.measures.computation import compute_rsms

    measures = list(dict.fromkeys(measure or ["semantic-cosine"]))
    if out is None and store is None:
        raise ValueError("say where the RSM is to be written: --out, --store, or both")
    paths = {} if out is None else _output_paths(out, measures)
    for path in paths.values():
        if path.parent != out or path.parent.is_dir():
            check_writable(path, overwrite=force)
    computed = compute_rsms(
        read(activations, key),
        measures,
        other=None if other is None else read(other, other_key),
        mask=None if mask is None else read_activations(mask),
        other_mask=None if other_mask is None else read_activations(other_mask),
        labels=None if labels is None else read_labels(labels),
        other_labels=None if other_labels is None else read_labels(other_labels),
        layout=layout,
        drop_tokens=drop_tokens,
        dtype=dtype,
        matching=read_matcher(matching, option or []),
        certify=certify,
        sigma=sigma if sigma == "median" else _number(sigma, "sigma"),
        engine=engine,
        precision=precision,
        threads=threads,
        subset=subset,
        seed=seed,
        store=store,
        memory=memory,
        scheduler=scheduler,
        progress=not quiet,
    )
    if store is not None:
        for rsm in computed.values():
            typer.echo(f"{rsm!r}")
    for name, path in paths.items():
        if path.parent == out:
            path.parent.mkdir(exist_ok=True)
        computed[name].save(path, overwrite=force)
        typer.echo(f"{path}: {computed[name]!r}")


def _output_paths(out: Path, measures: list[str]) -> dict[str, Path]:
    """Return a file for each measure: the one named, or files named after the measures in the folder named."""
    if len(measures) == 1 and out.suffix == ".npz":
        return {measures[0]: out}
    if out.suffix or (out.exists() and not out.is_dir()):
        expected = "a folder, for several measures" if len(measures) > 1 else "a name ending in .npz, or a folder"
        raise ValueError(f"--out {out}: expected {expected}")
    if not out.resolve().parent.is_dir():
        raise FileNotFoundError(f"--out {out}: there is no folder {out.resolve().parent}")
    return {name: out / f"{name}.npz" for name in measures}


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--{name} must be median or a number, got {text!r}") from None


@app.command()
@one_line_errors
def compare(
    a: Annotated[Path, typer.Argument(help="RSMs or activations: a file, or a folder or .npz file of layers.")],
    b: Annotated[Path | None, typer.Argument(help="The same of another network.  [default: A itself]")] = None,
    method: Annotated[str, typer.Option(help="`simplugins plugins` lists them under simplugins.comparisons.")] = "cka",
    measure: Annotated[str, typer.Option("-m", "--measure", help="Of activations' RSMs.")] = "semantic-cosine",
    layer: Annotated[
        list[str] | None, typer.Option("--layer", help="Only layers of this name, or like block*. May be repeated.")
    ] = None,
    out: Annotated[
        list[Path] | None,
        typer.Option("-o", "--out", help="A .npz, .csv or .json file, or a picture. May be repeated."),
    ] = None,
    align: Annotated[bool, typer.Option("--align", help="Bring inputs into one order by their labels.")] = False,
    layout: Layout = "auto",
    engine: Annotated[str, typer.Option(help="auto (a GPU if CuPy sees one), cpu or cuda.")] = "auto",
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Compare the layers of two networks, or of one with each other: the table of all, or one number."""
    from simplugins._common.filesystem import check_writable
    from simplugins.comparisons.layer_files import read_layers
    from simplugins.comparisons.layers import TABLES, compare_layers
    from simplugins.plotting.heatmaps import comparison_figure, save_figure

    for path in out or []:
        check_writable(path, overwrite=force)
    layers, others = read_layers(a, layer or []), None if b is None else read_layers(b, layer or [])
    how: dict[str, Any] = {"measure": measure, "layout": layout, "engine": engine}
    compared = compare_layers(layers, others, method, align=align, progress=not quiet, **how)
    if compared.values.size == 1:
        typer.echo(f"{compared.method}: {compared.values.item():.10g}")
    else:
        rows = zip(compared.rows, compared.values.tolist(), strict=True)
        print_table([compared.method, *compared.columns], [[name, *(f"{v:.4f}" for v in row)] for name, row in rows])
    for path in out or []:
        if path.suffix in TABLES:
            compared.save(path, overwrite=force)
        else:
            save_figure(comparison_figure(compared), path, overwrite=force)
        typer.echo(f"written: {path}")


@app.command()
@one_line_errors
def show(
    path: Annotated[Path, typer.Argument(help="An RSM that simplugins saved.", metavar="RSM")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The picture; by default beside the RSM, ending in .png.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing picture.")] = False,
) -> None:
    """Draw an RSM, and summarise it in the terminal."""
    from simplugins._common.filesystem import check_writable
    from simplugins.plotting.heatmaps import rsm_figure, save_figure
    from simplugins.rsm.archive import load_rsm

    loaded = load_rsm(path)
    picture = path.with_suffix(".png") if out is None else out
    check_writable(picture, overwrite=force)
    print_table(["", str(path)], [[name, text] for name, text in loaded.summary().items()])
    save_figure(rsm_figure(loaded), picture, overwrite=force)
    typer.echo(f"picture: {picture}")


@app.command()
@one_line_errors
def plugins() -> None:
    """List the measures, matchings and other plugins that are installed, and what is broken; exit code 1 if any is."""
    from simplugins.plugins import GROUPS, status

    broken = 0
    for group in GROUPS:
        found = status(group)
        rows = [[s.plugin.name, s.plugin.distribution, s.plugin.target, s.error or s.missing or "ok"] for s in found]
        print_table([group, "distribution", "target", "state"], rows)
        broken += sum(s.error is not None for s in found)
    if broken:
        typer.secho(f"{broken} broken", err=True, fg="red")
        raise typer.Exit(1)


@app.command(context_settings={"ignore_unknown_options": True})
def resi(
    arguments: Annotated[list[str], typer.Argument(help="As of `python -m repsim.run`, such as -- -c config.yaml.")],
) -> None:
    """Run ReSi's benchmark with all similarities of networks that are registered here."""
    _installed("resi").run(arguments)  # whose errors are ReSi's, and are shown whole


@one_line_errors
def _installed(tool: str) -> Adapter:
    """Return the adapter of a tool that is there."""
    from simplugins_adapters.contract import adapter

    found = adapter(tool)
    if not (available := found.available()):
        raise ImportError(str(available))
    return found


@app.command()
@one_line_errors
def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="A folder for the two pictures.")] = Path("simplugins-demo"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing pictures.")] = False,
) -> None:
    """Compute both kinds of RSM on bundled activations of a pretrained network, and draw them."""
    from simplugins._common.filesystem import check_writable
    from simplugins.cli import demo as tour
    from simplugins.plotting.heatmaps import save_figure

    pictures = out / "rsms.png", out / "match.png"
    out.mkdir(exist_ok=True)
    for picture in pictures:
        check_writable(picture, overwrite=force)
    typer.echo("EfficientNet-Lite0's responses to 4 overlapping crops of each of 6 photographs.")
    rsms = tour.photo_rsms(progress=True)
    typer.echo("Crops whose nearest neighbour is a crop of the same photograph:")
    print_table(["kernel", *(f"{layer}, {kind}" for layer in tour.LAYERS for kind in tour.KINDS)], _hits(rsms))
    save_figure(tour.rsms_figure(rsms), pictures[0], overwrite=force)
    save_figure(tour.match_figure(tour.match_crops()), pictures[1], overwrite=force)
    typer.echo(f"pictures: {pictures[0]} (the RSMs), {pictures[1]} (two crops and how they match)")


def _hits(rsms: dict[tuple[str, str], RSM]) -> list[list[str]]:
    from simplugins.cli import demo as tour

    def hits(kernel: str, layer: str, kind: str) -> str:
        rsm = rsms[layer, f"{kind}-{kernel}"]
        return f"{tour.nearest_neighbour_hits(rsm)} of {len(rsm)}"

    return [
        [kernel, *(hits(kernel, layer, kind) for layer in tour.LAYERS for kind in tour.KINDS)]
        for kernel in tour.KERNELS
    ]


if __name__ == "__main__":
    app()
