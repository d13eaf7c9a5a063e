# SPDX-License-Identifier: Apache-2.0
"""`explore`: RSMs and the matched positions behind them, as one interactive HTML file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins import __version__
from simplugins._common.filesystem import check_writable, write_text
from simplugins._common.formatting import counted
from simplugins._common.validation import check_count, check_megabytes
from simplugins.activations.preparation import Preparation
from simplugins.comparisons.comparing import resolve_method
from simplugins.comparisons.rsm_options import RsmOptions
from simplugins.plotting.explorer import explored_layers, explorer_page, nearest_inputs, pair_matchings
from simplugins.plotting.explorer.explored_layers import ExploredLayer, ReadingOptions
from simplugins.plotting.explorer.explored_measures import ExploredMeasure, read_measures
from simplugins.plotting.explorer.input_content import InputContent, read_content
from simplugins.plotting.explorer.nearest_inputs import NearestInputs
from simplugins.plotting.explorer.packed_maps import pack_rsms
from simplugins.plotting.explorer.packed_sections import Sections
from simplugins.plotting.explorer.pair_selection import nearest, ranked_pairs, read_pairs

if TYPE_CHECKING:
    from simplugins.activations.preparation import Center, Normalize
    from simplugins.comparisons.comparing import AnyMethod
    from simplugins.rsm.rsm import RSM

_MEGABYTE = 10**6
_ASSETS = 100_000
"""Bytes of the page without any data, rounded up."""
_IMAGE_SHARE = 0.2
"""Share of the file that images take at most."""
_BASE64 = 4 / 3


def explore(
    path: str | os.PathLike[str],
    layers: Any,
    *,
    images: Any = None,
    tokens: Sequence[Sequence[str]] | None = None,
    labels: Any = None,
    measures: str | Sequence[str] | None = None,
    comparison: AnyMethod = "cka-debiased",
    rsms: Mapping[str, RSM] | None = None,
    grid: tuple[int, int] | None = None,
    share: float = 0.5,
    pairs: Iterable[tuple[int, int]] = (),
    neighbours: int = 10,
    title: str | None = None,
    layout: str = "auto",
    mask: Any = None,
    drop_tokens: int | Sequence[int] = 0,
    dtype: DTypeLike | None = None,
    center: Center | None = None,
    normalize: Normalize | None = None,
    engine: str = "auto",
    threads: int | None = None,
    megabytes: float = 25,
    overwrite: bool = False,
    progress: bool | str = True,
) -> Path:
    """Write a page to explore RSMs with: one HTML file that needs neither a server nor a network.

    The page shows an RSM as a map to zoom, reorder and compare with another one, the images or tokens of two inputs
    with their matched positions, the nearest neighbours of an input, and a table that compares all layers and measures.

    Parameters
    ----------
    path : path
        The new file, which is written whole or not at all.
    layers : activations, or mapping
        Activations of N inputs (see `simplugins.compute_rsm`) by the name of the layer, as `simplugins.record` returns
        them, or those of a single layer. RSMs may take the place of activations; they have no matched positions. For
        several networks, a mapping of their names to such mappings.
    images : sequence of N arrays, Pillow images or paths, or array, optional
        The images, as the network saw them: after cropping, but in their original colours. (N, H, W), (N, H, W, 3) or
        (N, 3, H, W); bytes, or numbers from 0 to 1.
    tokens : sequence of N sequences of str, optional
        The tokens of texts, one per position of each input (masked positions may be left out).
    labels : sequence of N str or int, optional
        By default those of the activations.
    measures : str or sequence of str, optional
        Names of measures; "partial-" in front of a semantic one matches a share of the positions. By default
        "semantic-cosine", "spatio-semantic-cosine", "shift-cosine" and "partial-semantic-cosine", of which those that
        do not apply to a layer are left out, and the page says why.
    comparison : str or callable, default "cka-debiased"
        How layers are compared; as for `simplugins.compare`.
    rsms : mapping of str to RSM, optional
        RSMs that are already computed, by layer; each takes the place of its measure, and is added to `measures`.
    grid : (int, int), optional
        Height and width of the positions, for tokens of images. Maps know theirs.
    share : float, default 0.5
        Share of the positions that partial measures match.
    pairs : iterable of pairs of int, optional
        Pairs of inputs whose matched positions must be in the file. Further pairs follow as the size permits: nearest
        neighbours first.
    neighbours : int, default 10
        Number of nearest neighbours of each input, for more than 500 inputs: the page then has these instead of whole
        RSMs, and compares layers by the neighbours that they share.
    title : str, optional
    layout, mask, drop_tokens, dtype, center, normalize, engine, threads
        As for `simplugins.compute_rsm`.
    megabytes : float, default 25
        Size of the file. It decides how large images are, whether similarities have 16 or 8 bits, and how many pairs
        have their matched positions in the file; the page says which.
    overwrite : bool, default False
        Whether to replace an existing file.
    progress : bool, default True
        Show progress bars on standard error. Layers with more than about 1,000 positions take long: all pairs are
        matched, under each measure.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    FileExistsError, FileNotFoundError, PermissionError
        If the file cannot be written; nothing is computed then.
    TypeError, ValueError
        For invalid activations, as for `simplugins.compute_rsm`; if images, tokens, labels or layers do not fit each
        other; or if the RSMs and the requested pairs alone exceed `megabytes`.

    Examples
    --------
    >>> import tempfile
    >>> from simplugins.data import load_photos
    >>> photos = load_photos()
    >>> layers = {"block15": photos["block15"][:6]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = explore(f"{folder}/page.html", layers, images=photos["thumbnails"][:6])
    ...     page.name, page.stat().st_size < 300_000
    ('page.html', True)
    """
    check_writable(path, overwrite=overwrite)
    check_count("neighbours", neighbours)
    check_megabytes("megabytes", megabytes, least=0)
    options = ReadingOptions(
        layout, mask, drop_tokens, dtype, Preparation.checked(center, normalize), engine, threads, progress
    )
    chosen = read_measures(measures, share)
    resolve_method(comparison)
    for one in chosen:
        RsmOptions(measure=one.measure).resolved()
    required = {one.name for one in (chosen[:1] if measures is None else chosen)}
    explored = explored_layers.read_layers(layers, options)
    chosen = _with_rsms(explored, chosen, rsms or {})
    if measures is None:
        chosen = _applicable(explored, chosen)
    content = read_content(explored, images, tokens, labels, grid, int(megabytes * _MEGABYTE * _IMAGE_SHARE))
    requested = read_pairs(pairs, len(explored[0]))
    sections, room = Sections(), megabytes * _MEGABYTE - _ASSETS - content.size
    lists = None
    if len(explored[0]) <= nearest_inputs.MOST_INPUTS:
        explored_layers.compute_rsms(explored, chosen, options, required=required)
        table = explored_layers.comparison_table(explored, chosen, comparison)
    else:
        lists = nearest_inputs.compute_neighbours(explored, chosen, options, required=required, k=neighbours)
        table = nearest_inputs.neighbour_table(explored, chosen, lists)
    data = _data(sections, explored, chosen, lists, content, requested, room, options)
    text = explorer_page.page(str(title or _title(explored)), {**data, "table": table}, sections)
    _check_size(text, megabytes)
    write_text(path, text, overwrite=overwrite)
    return Path(path)


def explore_rsm(
    rsm: RSM, path: str | os.PathLike[str], *, layers: Any = None, layer: str | None = None, **options: Any
) -> Path:
    """Write a page to explore an RSM with; see `explore`.

    Parameters
    ----------
    rsm : RSM
    path : path
        The new file.
    layers : activations, or mapping of names to these, optional
        The activations that the RSM was computed from, by the name of the layer, and those of further layers. Without
        them, the page has no matched positions and no other measures.
    layer : str, optional
        The layer that the RSM belongs to, required if there are several.
    **options
        As for `explore`: ``images``, ``tokens``, ``labels``, ``measures`` … By default, `center` and `normalize` are
        those of the RSM.

    Raises
    ------
    TypeError, ValueError, OSError
        As `explore`; and if the layer is unknown.
    """
    explored_layers.checked_rsm(rsm)
    if layers is None:
        if layer is not None:
            raise ValueError(f"layer={layer!r} names one of the layers, which are missing")
        return explore(path, {"RSM": rsm}, **options)
    named = dict(layers) if isinstance(layers, Mapping) else {"layer" if layer is None else layer: layers}
    if layer is None and len(named) == 1:
        (layer,) = named
    if layer not in named:
        raise ValueError(f"layer: expected the layer of the RSM, one of {', '.join(map(str, named))}; got {layer!r}")
    for option in ("center", "normalize"):
        options.setdefault(option, rsm.metadata.get(option))
    return explore(path, named, rsms={str(layer): rsm}, **options)


def _with_rsms(
    layers: list[ExploredLayer], measures: list[ExploredMeasure], rsms: Mapping[str, RSM]
) -> list[ExploredMeasure]:
    """Give layers the RSMs that are already computed, and return all measures, theirs first."""
    if not isinstance(rsms, Mapping):
        raise TypeError(f"rsms: expected a mapping of names of layers to RSMs, got {type(rsms).__name__}")
    by_name = {layer.name: layer for layer in layers}
    for name, rsm in rsms.items():
        if name not in by_name:
            raise ValueError(f"rsms: there is no layer {name!r}, only {', '.join(by_name)}")
        checked = explored_layers.checked_rsm(rsm)
        if len(checked) != len(by_name[name]):
            raise ValueError(f"rsms: {name!r} has {len(by_name[name])} inputs, and its RSM has {len(checked)}")
        by_name[name].rsms[ExploredMeasure.from_rsm(checked).name] = checked
    known: dict[str, ExploredMeasure] = {}
    for layer in layers:
        for rsm in layer.rsms.values():
            measure = ExploredMeasure.from_rsm(rsm)
            known.setdefault(measure.name, measure)
    return [*known.values(), *(measure for measure in measures if measure.name not in known)]


def _applicable(layers: Sequence[ExploredLayer], measures: Sequence[ExploredMeasure]) -> list[ExploredMeasure]:
    """Return the measures of which there is an RSM, if there are no activations to compute more from."""
    if any(layer.activations is not None for layer in layers):
        return list(measures)
    return [measure for measure in measures if any(measure.name in layer.rsms for layer in layers)]


def _data(
    sections: Sections,
    layers: Sequence[ExploredLayer],
    measures: Sequence[ExploredMeasure],
    lists: dict[tuple[str, str], NearestInputs] | None,
    content: InputContent,
    requested: NDArray[np.int64],
    room: float,
    options: ReadingOptions,
) -> dict[str, Any]:
    """Store RSMs and matchings in sections, as far as there is room, and return what the page needs to know of them."""
    if lists is None:
        maps, bits = pack_rsms(sections, layers, measures, room)
        ranks = [nearest(rsm.values, len(rsm)) for layer in layers for rsm in layer.rsms.values()]
    else:
        maps, bits = nearest_inputs.pack_neighbours(sections, layers, measures, lists), 16
        ranks = [one.indices for one in lists.values()]
    pairs, contribution_bits = _selected_pairs(layers, measures, requested, ranks, room - sections.size)
    entries = [
        {"name": layer.name, **place, "measures": stored}
        for layer, place, stored in zip(layers, content.positions, maps, strict=True)
    ]
    data = {
        "version": __version__,
        "count": len(layers[0]),
        "labels": content.labels,
        "images": content.images,
        "tokens": content.tokens,
        "measures": [{"name": one.name, "note": one.note, "pairs": one.pairing is not None} for one in measures],
        "layers": entries,
        "pairs": {"count": len(pairs), **sections.add({"pairs": pairs.ravel().astype(np.uint32)})},
        "bits": bits,
        "neighbours": None if lists is None else min(one.indices.shape[1] for one in lists.values()),
    }
    _add_matchings(sections, layers, measures, pairs, contribution_bits, entries, options)
    return data


def _check_size(text: str, megabytes: float) -> None:
    if len(text) > megabytes * _MEGABYTE:
        raise ValueError(
            f"megabytes: the page takes {len(text) / _MEGABYTE:.1f} MB even with small images and without matched "
            f"positions; allow more than {megabytes:g}, or choose fewer layers or measures"
        )


def _title(layers: Sequence[ExploredLayer]) -> str:
    name = layers[0].name if len(layers) == 1 else counted(len(layers), "layer")
    return f"{name}, {counted(len(layers[0]), 'input')}"


def _selected_pairs(
    layers: Sequence[ExploredLayer],
    measures: Sequence[ExploredMeasure],
    requested: NDArray[np.int64],
    ranks: Sequence[NDArray[np.int64]],
    room: float,
) -> tuple[NDArray[np.int64], int]:
    """Return the (P, 2) pairs whose matchings fit, sorted by their numbers, and the bits of a contribution."""
    count = len(layers[0])
    cost = {
        bits: sum(pair_matchings.pair_bytes(layer, measures, bits) for layer in layers) * _BASE64 for bits in (8, 16)
    }
    if cost[8] == 0:
        return np.empty((0, 2), np.int64), 8
    all_pairs = count * (count - 1) // 2
    bits = 16 if all_pairs * cost[16] <= room else 8
    most = max(0, int(room / cost[bits]))
    if len(requested) > most:
        raise ValueError(
            f"pairs: {len(requested)} pairs take {len(requested) * cost[bits] / _MEGABYTE:.1f} MB, and there is room "
            f"for {most}: ask for fewer pairs or measures, or for more megabytes"
        )
    if most >= all_pairs:
        return np.stack(np.triu_indices(count, 1), 1), bits
    ranked = np.concatenate([requested, ranked_pairs(ranks, count)])
    first = np.sort(np.unique(ranked, axis=0, return_index=True)[1])[:most]
    return np.unique(ranked[first], axis=0), bits


def _add_matchings(
    sections: Sections,
    layers: Sequence[ExploredLayer],
    measures: Sequence[ExploredMeasure],
    pairs: NDArray[np.int64],
    bits: int,
    entries: Sequence[dict[str, Any]],
    options: ReadingOptions,
) -> None:
    for layer, entry in zip(layers, entries, strict=True):
        x = layer.activations
        if x is None or len(pairs) == 0:
            continue
        x = x.on_cpu()
        for name, pairing in pair_matchings.pairings(layer, measures).items():
            progress = f"{layer.name}, {name}" if options.progress else False
            matchings = pair_matchings.matched_pairs(x, pairs, pairing, threads=options.threads, progress=progress)
            place = next(number for number, one in enumerate(measures) if one.name == name)
            packed = pair_matchings.pack_matchings(sections, x, matchings, pairing, bits)
            entry["measures"][place]["matchings"] = packed
