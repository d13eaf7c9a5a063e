# SPDX-License-Identifier: Apache-2.0
"""`report`: what a network represents, or how two relate, on one HTML page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from simplugins.comparisons.comparing import AnyMethod
from simplugins.reporting.report_call import Report, ReportCall

if TYPE_CHECKING:
    from simplugins.activations.preparation import Center, Normalize
    from simplugins.matching.matcher import Matcher


__all__ = ["Report", "report"]


def report(
    model: Any,
    inputs: Any,
    out: str | os.PathLike[str],
    *,
    layers: str | Sequence[str] | None = None,
    other: Any = None,
    other_layers: str | Sequence[str] | None = None,
    labels: Any = None,
    images: Any = None,
    names: Sequence[str] | None = None,
    title: str | None = None,
    kernel: Literal["linear", "cosine", "rbf"] = "cosine",
    method: AnyMethod = "cka-debiased",
    permutations: int = 200,
    alpha: float = 0.05,
    resamples: int = 200,
    confidence: float = 0.95,
    groups: Any = None,
    k: int = 1,
    seed: int = 0,
    layout: str | Mapping[str, str] = "auto",
    mask: Any = None,
    drop_tokens: int | Sequence[int] | Literal["special"] = 0,
    input_key: str | int | None = None,
    batch_size: int = 32,
    device: Any = None,
    center: Center | None = None,
    normalize: Normalize | None = None,
    matching: str | Matcher | None = None,
    matching_options: Mapping[str, Any] | None = None,
    engine: str = "auto",
    threads: int | None = None,
    memory: int | str | None = None,
    work: str | os.PathLike[str] | None = None,
    explorer_megabytes: float = 8,
    overwrite: bool = False,
    progress: bool = True,
) -> Report:
    """Write a report on a network, or on two: one HTML page with tables, pictures, and what was done.

    The page needs neither network nor other files. It has the RSMs of all layers, semantic and spatio-semantic, with
    two controls; where these differ; the layers compared with each other, calibrated and with intervals; retrieval, if
    inputs share labels; nearest neighbours, if there are images; the comparison of two networks, and how much of it
    depends on locations; an explorer of RSMs and matched positions; all warnings; and a paragraph on the methods with
    what to cite.

    Parameters
    ----------
    model : torch.nn.Module, mapping of str to activations, or path
        A model, whose layers are recorded; or layers that have been recorded: by name, or a file or folder of layers,
        such as `record` writes.
    inputs : tensor, array, mapping, DataLoader, iterable of batches, or None
        As for `record`; None if `model` is no model.
    out : path
        The page, whose name ends in .html.
    layers : str or sequence of str, optional
        Names or patterns of layers; by default those that `record` chooses, or all.
    other : torch.nn.Module, mapping of str to activations, or path, optional
        Another network, for the same inputs.
    other_layers : str or sequence of str, optional
        Its layers; by default chosen as those of the first.
    labels : sequence, str or int, optional
        Labels of the inputs, such as their classes; for models also as for `record`. Retrieval is evaluated if some
        inputs have the same label.
    images : sequence of N arrays, Pillow images or paths, or array, optional
        The inputs as people see them, for thumbnails and the explorer; as for `explore`.
    names : sequence of str, optional
        Names of the networks; by default the classes of the models, or the names of the files.
    title : str, optional
        By default the names of the networks.
    kernel : {"linear", "cosine", "rbf"}, default "cosine"
        The kernel of all RSMs.
    method : str or callable, default "cka-debiased"
        Compares RSMs; as for `compare`.
    permutations, alpha
        As for `compare_layers` with ``calibrate="max"``, which calibrates the tables of layers.
    resamples, confidence
        For all intervals; those of retrieval come from 1,000 resamples.
    groups : sequence or "labels", optional
        As for `compare_layers`: inputs with equal entries, such as the crops of one photograph, are drawn and permuted
        together. Leave it out if inputs are independent, even if they share a class.
    k : int, default 1
        Number of neighbours for which retrieval is evaluated.
    seed : int, default 0
        Seed of permutations and resamples.
    layout, mask, drop_tokens
        As for `record`, or `Activations.from_array` if layers are given.
    input_key, batch_size, device
        As for `record`.
    center, normalize
        As for `compute_rsm`, for all measures.
    matching, matching_options
        As for `compute_rsm`, for the semantic measure.
    engine, threads, memory
        As for `compute_rsm`.
    work : path, optional
        A folder for recordings, RSMs and tables, which stays; the same call goes on with what it holds. By default
        `out` with the ending ``.work``, which is removed when the page is complete.
    explorer_megabytes : float, default 8
        The size of the explorer (see `explore`) in the page; 0 leaves it out.
    overwrite : bool, default False
        Whether an existing page may be replaced.
    progress : bool, default True
        Show progress bars on standard error: a report takes minutes rather than seconds.

    Returns
    -------
    Report

    Raises
    ------
    FileExistsError
        If the page exists and may not be replaced, or the work folder is that of something else.
    BlockingIOError
        If another call is using the work folder.
    TypeError, ValueError
        If the work folder belongs to a call with other networks, inputs or options (the error says which); or as
        `record`, `compute_rsm`, `compare_layers` and `evaluation.retrieval`.

    Notes
    -----
    The page is written whole or not at all. After an interrupt, the same call goes on after the last complete step: a
    recording, an RSM, or a table. Models are recognised by their weights, the code and attributes of their modules, and
    hooks; arrays by their values; files by their names, sizes and times; a DataLoader by the attributes of its data
    set, not by what its files contain. One call at a time uses a work folder.

    The matching of the semantic RSMs takes most of the time; `estimate` predicts it.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import simplugins
    >>> rng = np.random.default_rng(0)
    >>> layers = {"early": rng.normal(size=(20, 8, 4, 4)), "late": rng.normal(size=(20, 16, 2, 2))}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = simplugins.report(layers, None, f"{folder}/report.html", resamples=50, explorer_megabytes=0)
    >>> result.path.name, result.analysis.within["semantic"].columns
    ('report.html', ('early', 'late'))
    """
    return ReportCall.among(locals()).run()
