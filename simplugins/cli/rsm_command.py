# SPDX-License-Identifier: Apache-2.0
"""`simplugins rsm`: RSMs of activations in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simplugins.cli.command_options import (
    CenterNames,
    Certify,
    DropTokens,
    Dtype,
    Engine,
    Force,
    Key,
    LabelsKey,
    Layout,
    MaskFile,
    MaskKey,
    MatchingName,
    MatchingOption,
    MeasureOption,
    NormalizeNames,
    OtherLabelsKey,
    PartialLabels,
    Quiet,
    Threads,
    check_output,
    read_array,
    read_labels,
    read_matching,
    read_measures,
    read_preparation,
)
from simplugins.cli.terminal import one_line_errors, say

if TYPE_CHECKING:
    from simplugins.rsm.kernels import Sigma
    from simplugins.rsm.rsm import RSM

_SOURCE_HELP = "A .npy, .npz, .pt, .pth, .safetensors, .h5, .mat or .zarr file, or the folder of a recording."
_OUT_HELP = "A new .npz file; for several measures, a folder with one file per measure."
_STORE_HELP = "A .zarr folder for finished tiles; the same command continues from it."
_SCHEDULER_HELP = "The address of a Dask scheduler whose workers compute, such as tcp://10.0.0.1:8786."

_Source = Annotated[Path, typer.Argument(help=_SOURCE_HELP, metavar="IN")]
_Out = Annotated[Path | None, typer.Option("-o", "--out", help=_OUT_HELP)]
_Measures = Annotated[
    list[str] | None,
    typer.Option(
        "-m",
        "--measure",
        metavar="NAME",
        help="A measure; `simplugins plugins` lists them under simplugins.measures. May be repeated.",
        show_default="semantic-cosine",
    ),
]
_Other = Annotated[Path | None, typer.Option(help="Other inputs to compare IN with.")]
_OtherKey = Annotated[str | None, typer.Option(help="Name of the array in the file of other inputs.")]
_Labels = Annotated[
    Path | None, typer.Option(help="A text file with a line per input, its label; or a file of arrays, as IN.")
]
_OtherLabels = Annotated[Path | None, typer.Option(help="Labels of the other inputs.")]
_OtherMask = Annotated[Path | None, typer.Option(help="Mask of the other inputs.")]
_OtherMaskKey = Annotated[str | None, typer.Option(help="Name of the array in the file of the other mask.")]
_File = tuple[Path | None, str | None]
_Sigma = Annotated[str, typer.Option(help="Bandwidth of the RBF kernel: median, or a number.")]
_Precision = Annotated[str | None, typer.Option(help="On a GPU: float32 or float16x3.")]
_Subset = Annotated[int | None, typer.Option(help="Use only N inputs, drawn at random.", min=2)]
_Seed = Annotated[int, typer.Option(help="Seed of the random draw.")]
_Store = Annotated[Path | None, typer.Option(help=_STORE_HELP)]
_Memory = Annotated[str | None, typer.Option(help="Memory limit of the process, such as 2GB.")]
_Scheduler = Annotated[str | None, typer.Option(help=_SCHEDULER_HELP)]


@one_line_errors
def rsm(
    activations: _Source,
    out: _Out = None,
    measure: _Measures = None,
    measure_option: MeasureOption = None,
    key: Key = None,
    other: _Other = None,
    other_key: _OtherKey = None,
    labels: _Labels = None,
    labels_key: LabelsKey = None,
    other_labels: _OtherLabels = None,
    other_labels_key: OtherLabelsKey = None,
    partial_labels: PartialLabels = False,
    mask: MaskFile = None,
    mask_key: MaskKey = None,
    other_mask: _OtherMask = None,
    other_mask_key: _OtherMaskKey = None,
    layout: Layout = "auto",
    drop_tokens: DropTokens = 0,
    dtype: Dtype = None,
    center: CenterNames = None,
    normalize: NormalizeNames = None,
    matching: MatchingName = None,
    matching_option: MatchingOption = None,
    certify: Certify = False,
    sigma: _Sigma = "median",
    engine: Engine = "auto",
    precision: _Precision = None,
    threads: Threads = None,
    subset: _Subset = None,
    seed: _Seed = 0,
    store: _Store = None,
    memory: _Memory = None,
    scheduler: _Scheduler = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Compute the RSM of activations in a file, under one or several measures."""
    from simplugins.measures.several_measures import compute_rsms

    paths = _output_paths(out, store, names := list(dict.fromkeys(measure or ["semantic-cosine"])), force=force)
    side = (activations, key), (mask, mask_key), (labels, labels_key)
    other_side = (other, other_key), (other_mask, other_mask_key), (other_labels, other_labels_key)
    resources: dict[str, Any] = {"threads": threads, "store": store, "memory": memory, "scheduler": scheduler}
    resources |= {"engine": engine, "precision": precision}
    preparation: dict[str, Any] = {"dtype": dtype, **read_preparation(center, normalize)}
    rsms = compute_rsms(
        measures=read_measures(names, measure_option),
        matching=read_matching(matching, matching_option),
        sigma=_read_sigma(sigma),
        layout=layout,
        drop_tokens=drop_tokens,
        **preparation,
        certify=certify,
        subset=subset,
        seed=seed,
        **resources,
        progress=not quiet,
        **_read_sides(side, other_side, partial=partial_labels),  # last, as options are checked before files are read
    )
    _save(rsms, paths, out, store, force=force)


def _save(rsms: dict[str, RSM], paths: dict[str, Path], out: Path | None, store: Path | None, *, force: bool) -> None:
    for result in rsms.values() if store is not None else ():
        say(repr(result))
    for name, path in paths.items():
        if path.parent == out:
            path.parent.mkdir(exist_ok=True)
        rsms[name].save(path, overwrite=force)
        say(f"{path}: {rsms[name]!r}")


def _read_sides(*sides: tuple[_File, _File, _File], partial: bool) -> dict[str, Any]:
    """Read the activations, mask and labels of the inputs, and of the other inputs."""
    return _read_side("", *sides[0], partial=partial) | _read_side("other_", *sides[1], partial=partial)


def _read_side(side: str, array: _File, mask: _File, labels: _File, *, partial: bool) -> dict[str, Any]:
    """Read the activations, mask and labels of the inputs, or of the "other_" inputs; None for missing files."""
    from simplugins.activations import label_files

    readers = label_files.read_labels, label_files.read_partial_labels
    option = f"--{side.replace('_', '-')}labels"
    return {
        side.removesuffix("_") or "activations": read_array(f"{side}key", *array),
        f"{side}mask": read_array(f"{side}mask_key", *mask),
        f"{side}labels": read_labels(option, labels, readers, partial=partial),
    }


def _output_paths(out: Path | None, store: Path | None, names: list[str], *, force: bool) -> dict[str, Path]:
    """Return one file per measure, `out` itself or in the folder `out`, after checking that they can be written."""
    if out is None:
        if store is None:
            raise ValueError("the RSM needs a destination: --out, --store, or both")
        return {}
    if len(names) == 1 and out.suffix == ".npz":
        check_output(out, force=force)
        return {names[0]: out}
    if out.suffix or (out.exists() and not out.is_dir()):
        expected = "a folder, for several measures" if len(names) > 1 else "a name ending in .npz, or a folder"
        raise ValueError(f"--out {out}: expected {expected}")
    if not out.resolve().parent.is_dir():
        raise FileNotFoundError(f"--out {out}: there is no folder {out.resolve().parent}")
    paths = {name: out / f"{name}.npz" for name in names}
    if out.is_dir():
        for path in paths.values():
            check_output(path, force=force)
    return paths


def _read_sigma(text: str) -> Sigma:
    if text == "median":
        return "median"
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--sigma must be median or a number, got {text!r}") from None
