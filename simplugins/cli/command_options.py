# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share, and the objects that they name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from simplugins.matching.matcher import Matcher
    from simplugins.measures.measure import Measure

MeasureName = Annotated[
    str, typer.Option("-m", "--measure", help="A measure; `simplugins plugins` lists them under simplugins.measures.")
]
MeasureOption = Annotated[
    list[str] | None,
    typer.Option("--measure-option", metavar="NAME=VALUE", help="An option of the measure. May be repeated."),
]
MethodOption = Annotated[
    list[str] | None,
    typer.Option(
        "--method-option", metavar="NAME=VALUE", help="An option of the comparison, such as k=5. May be repeated."
    ),
]
MatchingName = Annotated[
    str | None,
    typer.Option("--matching", help="A matching in place of the optimal one; `simplugins plugins` lists them."),
]
MatchingOption = Annotated[
    list[str] | None,
    typer.Option(
        "-O",
        "--matching-option",
        metavar="NAME=VALUE",
        help="An option of the matching, such as window=64. May be repeated.",
    ),
]
Key = Annotated[str | None, typer.Option(help="Name of the array, if the file holds several.")]
LabelsKey = Annotated[str | None, typer.Option(help="Name of the array, if the file of labels holds several.")]
OtherLabelsKey = Annotated[str | None, typer.Option(help="Name of the array in the file of other labels.")]
MaskFile = Annotated[
    Path | None,
    typer.Option("--mask", help="A file of booleans (inputs, positions), True for positions that count."),
]
MaskKey = Annotated[str | None, typer.Option(help="Name of the array, if the file of the mask holds several.")]
GroupsFile = Annotated[
    Path | None,
    typer.Option(
        "--groups",
        help="A file with one label per input, equal for inputs that are resampled and permuted together, such as "
        "the crops of one photograph; 'labels' stands for the labels of the RSM.",
    ),
]
GroupsKey = Annotated[str | None, typer.Option(help="Name of the array, if the file of groups holds several.")]
Resamples = Annotated[int, typer.Option(help="Bootstrap resamples for the intervals.", min=1)]
Confidence = Annotated[float, typer.Option(help="Confidence level of the intervals, such as 0.95.")]
PartialLabels = Annotated[
    bool, typer.Option("--partial-labels", help="Inputs may lack a label (a blank line), and are then in no class.")
]
Layout = Annotated[str, typer.Option(help="auto, or a letter per dimension: nd, ntd, nchw, nhwc, nct, ...")]
DropTokens = Annotated[int, typer.Option(help="Leave out the first N tokens (1 for a class token).", min=0)]
Dtype = Annotated[str | None, typer.Option(help="Compute in float32 or float64.")]
CenterNames = Annotated[
    list[str] | None,
    typer.Option(
        "--center",
        metavar="NAME",
        help="Subtract the mean concept vector of all inputs (channel) or of each (input); each concept vector's own "
        "mean (position). May be repeated.",
    ),
]
NormalizeNames = Annotated[
    list[str] | None,
    typer.Option(
        "--normalize",
        metavar="NAME",
        help="Concept vectors of norm 1 (position); for sets of unequal size, norms of matched positions (matched) or "
        "sets that weigh 1 (mass). May be repeated.",
    ),
]
Figure = Annotated[Path | None, typer.Option(help="A figure of the result (.png, .pdf …).")]
Certify = Annotated[bool, typer.Option("--certify", help="Certify the optimality gap of each pair.")]
Engine = Annotated[str, typer.Option(help="auto (a GPU if CuPy finds one), cpu, cuda, or cuda:all (all GPUs).")]
Threads = Annotated[int | None, typer.Option(help="CPU threads.", show_default="one per core", min=1)]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress bar.")]


@contextmanager
def key_option(option: str) -> Iterator[None]:
    """Name the command's option for the key of an array in errors of functions that read a file."""
    from simplugins.activations.formats import ArrayKeyError

    try:
        yield
    except ArrayKeyError as error:
        raise error.with_option(option) from error


def read_labels(
    option: str,
    file: tuple[Path | None, str | None],
    readers: tuple[Callable[[Any], Any], Callable[[Any], Any]],
    *,
    partial: bool,
) -> Any:
    """Read the labels of a file, None if there is none.

    Parameters
    ----------
    option : str
        The option that names the file; that of its key ends in ``-key``.
    file : (path, str), or None in place of either
        The file, and the array in it.
    readers : pair of callables
        Read a text file, without and with inputs that lack a label.
    partial : bool
        Whether inputs may lack a label.
    """
    from simplugins.activations.label_arrays import read_label_file

    path, key = file
    if path is None and key is not None:
        raise ValueError(f"{option}-key selects an array of a file, which {option} must name")
    with key_option(f"{option}-key"):
        return None if path is None else read_label_file(path, key, read_text=readers[partial], partial=partial)


def read_array(parameter: str, path: Path | None, key: str | None) -> Any:
    """Read the array that a key (the value of the option of that name) selects in a file; None if there is no file."""
    from simplugins.activations.reading import read

    option = f"--{parameter.replace('_', '-')}"
    if path is None and key is not None:
        raise ValueError(f"{option} selects an array of a file, which {option.removesuffix('-key')} must name")
    with key_option(option):
        return None if path is None else read(path, key)


def read_groups_file(path: Path | None, key: str | None) -> Any:
    """Read the groups of a file, or return "labels" if that is its name; None if there is none."""
    from simplugins.activations.label_files import read_labels as read_text
    from simplugins.comparisons.groups import OWN_LABELS

    if path is not None and str(path) == OWN_LABELS and key is None:
        return OWN_LABELS
    return read_labels("--groups", (path, key), (read_text, read_text), partial=False)


def check_output(path: Path, *, force: bool) -> None:
    """Check that a file can be written, before the work that it will hold.

    Raises
    ------
    FileExistsError
        If it exists and `force` is False.
    OSError
        If its folder does not exist or is not writable.
    """
    from simplugins._common.filesystem import check_writable

    if path.exists() and not force:
        raise FileExistsError(f"{path} exists: choose another name, or overwrite it with --force")
    check_writable(path, overwrite=force)


def check_results(tables: Sequence[Path], figure: Path | None, endings: Sequence[str], *, force: bool) -> None:
    """Check that tables and a figure can be written, before the work that they will hold.

    Raises
    ------
    ValueError
        If a name has none of the endings.
    OSError
        As `check_output`.
    """
    for path in tables:
        check_output(path, force=force)
        if path.suffix not in endings:
            raise ValueError(
                f"--out {path}: expected a name that ends in one of {', '.join(endings)} (for a figure, use --figure)"
            )
    check_figure(figure, force=force)


def check_figure(path: Path | None, *, force: bool) -> None:
    """Check that a figure, if there is one, can be written."""
    from simplugins.plotting.heatmaps import check_format

    if path is not None:
        check_format(path)
        check_output(path, force=force)


def read_measures(names: list[str], options: list[str] | None) -> list[Measure]:
    """Create measures by name; options are for a single measure.

    Raises
    ------
    ValueError, TypeError
        If a name or an option is unknown or malformed, or options come with several measures.
    """
    from simplugins.measures.measure import resolve_measure

    values = read_options("--measure-option", options)
    if values and len(names) > 1:
        raise ValueError(f"--measure-option applies to a single measure, got {len(names)}: {', '.join(names)}")
    return [resolve_measure(name, values) for name in names]


def read_preparation(center: list[str] | None, normalize: list[str] | None) -> dict[str, Any]:
    """Return the options `center` and `normalize` of functions.

    Raises
    ------
    ValueError
        If a name is unknown, or two of them exclude each other.
    """
    from simplugins.activations.preparation import Preparation

    return asdict(Preparation.checked(center, normalize))


def read_matching(name: str | None, options: list[str] | None) -> Matcher | None:
    """Create a matcher by name, if there is one.

    Raises
    ------
    ValueError, TypeError
        If the name or an option is unknown or malformed, or options come without a name.
    """
    from simplugins.matching.matcher_options import resolve_matcher

    values = read_options("-O", options)
    if name is not None:
        return resolve_matcher(name, values)
    if values:
        raise ValueError("-O sets an option of the matching, so it needs --matching")
    return None


def read_options(flag: str, options: list[str] | None) -> dict[str, Any]:
    """Read texts such as "window=64"; numbers, true and false are read as such."""
    values: dict[str, Any] = {}
    for option in options or []:
        name, equals, text = option.partition("=")
        if not (name.isidentifier() and equals):
            raise ValueError(f"{flag}: expected NAME=VALUE, such as window=64, got {option!r}")
        if name in values:
            raise ValueError(f"{flag}: {name} was given twice")
        values[name] = _number_or_text(text)
    return values


def _number_or_text(text: str) -> Any:
    try:
        number = json.loads(text)
    except ValueError:
        return text
    return number if isinstance(number, int | float) else text


_IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")


def read_images(path: Path | None, key: str | None) -> Any:
    """Return the images in a file of arrays, or the paths of those in a folder, by name.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or the folder has no images.
    """
    from simplugins.activations.reading import read

    if path is None:
        return None
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in _IMAGE_ENDINGS)
        files = [file for file in files if not file.name.startswith(".")]  # such as those that macOS adds
        if not files:
            raise ValueError(f"--images {path}: expected files that end in one of {', '.join(_IMAGE_ENDINGS)}")
        return files
    with key_option("--images-key"):
        return read(path, key)
