# SPDX-License-Identifier: Apache-2.0
"""The sections of a report's page, as HTML; a section that does not apply is empty."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from simplugins.comparisons.layer_comparison import Comparison
from simplugins.plotting import heatmaps
from simplugins.plotting.trend_figures import trend_figure
from simplugins.reporting.html_elements import curve_colors, element, figure_html, heatmap, ink, paragraph, table, text
from simplugins.reporting.report_analysis import Analysis, nearest, of_kind
from simplugins.reporting.report_images import Thumbnails
from simplugins.reporting.report_networks import Network
from simplugins.reporting.report_options import KINDS, SEMANTIC, SPATIO_SEMANTIC, ReportOptions
from simplugins.reporting.report_tables import (
    color_limits,
    interval,
    map_of_layers,
    number,
    p_value,
    scale,
    significance,
    table_of_rows,
)

MOST_QUERIES, SHOWN = 8, 5
"""Inputs whose neighbours are shown, and neighbours of each."""


def layers_section(analysis: Analysis) -> str:
    """Return tables of the layers."""
    return "".join(_layers(network) for network in analysis.networks)


def _layers(network: Network) -> str:
    rows = [
        [name, f"{_range(layer.positions)}", f"{layer.channels}", layer.layout, str(layer.dtype)]
        for name, layer in network.layers.items()
    ]
    header = ["layer", "positions", "channels", "layout", "computed in"]
    return table(f"{network.name}: layers, for {network.inputs} inputs", header, rows)


def _range(values: np.ndarray) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low}" if low == high else f"{low} to {high}"


def rsms_section(analysis: Analysis, options: ReportOptions) -> str:
    """Return heat maps of the RSMs of each layer; those of a layer share a scale."""
    order = _order(analysis)
    parts = [paragraph(_ORDERED)] if analysis.classes is not None else []
    for number_of_network, network in enumerate(analysis.networks):
        for name in network.layers:
            title = name if len(analysis.networks) == 1 else f"{network.name}: {name}"
            parts.append(element("h3", text(title)) + _maps(analysis, number_of_network, name, order, options))
    return "".join(parts)


_ORDERED = "Inputs are sorted by label, so that classes are blocks along the diagonal."


def _order(analysis: Analysis) -> np.ndarray:
    classes = analysis.classes
    count = analysis.networks[0].inputs
    return np.arange(count) if classes is None else np.argsort(np.asarray(classes), kind="stable")


def _maps(analysis: Analysis, number_of_network: int, layer: str, order: np.ndarray, options: ReportOptions) -> str:
    rsms = {kind: rsm for kind in KINDS if (rsm := analysis.rsms.get((number_of_network, layer, kind))) is not None}
    ends = [heatmaps.color_limits(rsm) for rsm in rsms.values()]
    limits = min(low for low, _ in ends), max(high for _, high in ends)
    figures = []
    for kind, rsm in rsms.items():
        low, high = heatmaps.color_limits(rsm)
        description = f"RSM {options.measure(kind)} of layer {layer}: {len(rsm)} inputs, values {low:.2f} to {high:.2f}"
        picture = heatmap(rsm.values[np.ix_(order, order)], limits, description)
        figures.append(element("figure", picture + element("figcaption", text(kind))))
    missing = [
        paragraph(f"No {kind} RSM: {reason}")
        for (where, name, kind), reason in analysis.unavailable.items()
        if (where, name) == (number_of_network, layer)
    ]
    grid = element("div", "".join(figures), **{"class": "pairs"})
    return grid + scale(limits, f"similarity ({options.kernel})") + "".join(missing)


def kinds_section(analysis: Analysis, options: ReportOptions) -> str:
    """Return how much the semantic RSMs differ from the other kinds, layer by layer."""
    parts = []
    for network, comparison in zip(analysis.networks, analysis.kinds, strict=True):
        if comparison is None:
            continue
        caption = (
            f"{network.name}: {comparison.label} of the semantic RSM of each layer with its other RSMs, with "
            f"{100 * options.confidence:g} % intervals"
        )
        parts.append(map_of_layers(comparison, caption, color_limits([comparison])))
        if len(comparison.rows) > 1:
            parts.append(_trend(comparison, caption))
    return "".join([paragraph(_KINDS), *parts]) if parts else ""


_KINDS = (
    "A low value next to “spatio-semantic” means that locations matter in this layer: similarities change if positions "
    "may be matched. A high value next to a control means that matching adds little to what the control, which costs "
    "next to nothing, already shows."
)


def _trend(comparison: Comparison, caption: str) -> str:
    from matplotlib import rc_context

    with rc_context(ink()):
        figure = trend_figure(comparison, title="", colors=curve_colors(len(comparison.columns)))
        return figure_html(figure, f"Curves over the layers: {caption}", "The same numbers over the layers.")


def within_section(analysis: Analysis) -> str:
    """Return tables of the first network's layers with each other."""
    name = analysis.networks[0].name
    return _tables(analysis.within, f"{name}, layers with each other")


def between_section(analysis: Analysis) -> str:
    """Return tables of the layers of two networks."""
    if not analysis.between:
        return ""
    rows, columns = (network.name for network in analysis.networks)
    return _tables(analysis.between, f"layers of {rows} (rows) with those of {columns} (columns)")


def _tables(tables: Mapping[str, Comparison], what: str) -> str:
    if not tables:
        return ""
    limits = color_limits(list(tables.values()))
    parts = []
    for kind, comparison in tables.items():
        caption = f"{kind} RSMs: {what}, {comparison.label} with intervals"
        parts.append(element("h3", text(f"{kind} RSMs")) + map_of_layers(comparison, caption, limits))
        parts.append(paragraph(significance(comparison)))
    return "".join(parts) + scale(limits, next(iter(tables.values())).label)


def retrieval_section(analysis: Analysis, options: ReportOptions) -> str:
    """Return how well each RSM finds inputs of the same label."""
    if not analysis.retrievals:
        return ""
    parts = []
    for number_of_network, network in enumerate(analysis.networks):
        for metric in (f"precision@{options.k}", "mAP"):
            rows = []
            for layer in network.layers:
                row = {"layer": layer}
                for kind in KINDS:
                    result = analysis.retrievals.get((number_of_network, layer, kind))
                    value = None if result is None else result.metrics[metric]
                    row[kind] = "–" if value is None else interval(value.value, value.low, value.high)
                rows.append(row)
            caption = (
                f"{network.name}: {metric} of inputs with the same label, with {100 * options.confidence:g} % intervals"
            )
            parts.append(table_of_rows(caption, rows))
    return "".join(parts)


def neighbours_section(analysis: Analysis, thumbnails: Thumbnails | None) -> str:
    """Return pictures of the nearest neighbours of some inputs under both kinds of RSM."""
    if thumbnails is None:
        return ""
    note = _FRAMES if analysis.classes is not None else ""
    parts = [paragraph(f"Nearest first. {note}".strip())]
    for number_of_network, network in enumerate(analysis.networks):
        for place, layer in enumerate(network.layers):
            title = layer if len(analysis.networks) == 1 else f"{network.name}: {layer}"
            content = _neighbours(analysis, number_of_network, layer, thumbnails, title)
            is_open = {"open": ""} if number_of_network == 0 and place == len(network.layers) // 2 else {}
            parts.append(element("details", element("summary", text(title)) + content, **is_open))
    return "".join(parts)


_FRAMES = "Neighbours with the label of the query have a solid frame, others a dashed one."


def _neighbours(analysis: Analysis, number_of_network: int, layer: str, thumbnails: Thumbnails, title: str) -> str:
    kinds = [kind for kind in (SEMANTIC, SPATIO_SEMANTIC) if (number_of_network, layer, kind) in analysis.rsms]
    count = analysis.networks[0].inputs
    queries = np.unique(np.linspace(0, count - 1, min(count, MOST_QUERIES)).round().astype(int))
    found = {kind: nearest(analysis.rsms[number_of_network, layer, kind], min(SHOWN, count - 1)) for kind in kinds}
    labels = analysis.networks[0].labels

    def name(number_of_input: int) -> str:
        return f"input {number_of_input}" if labels is None else f"input {number_of_input}: {labels[number_of_input]}"

    def style(query: int, neighbour: int) -> str:
        if analysis.classes is None:
            return ""
        return "same" if analysis.classes[query] == analysis.classes[neighbour] else "different"

    rows = []
    for query in queries.tolist():
        cells = [element("td", thumbnails.show(query, f"query, {name(query)}", "query"))]
        for kind in kinds:
            pictures = [thumbnails.show(n, name(n), style(query, n)) for n in found[kind][query].tolist()]
            cells.append(element("td", "".join(pictures)))
        rows.append([name(query), *cells])
    return table(
        f"{title}: neighbours of {len(queries)} inputs", ["query", "", *kinds], rows, are_html=True, style="neighbours"
    )


def decoupling_section(analysis: Analysis) -> str:
    """Return by what, and by where, layers of two networks are similar."""
    parts = []
    for decoupled in analysis.decouplings:
        rows = [
            {
                "": str(row["name"]),
                "value": interval(row["value"], row["low"], row["high"]),
                "calibrated": number(row["score"]),
                "p": p_value(row["p_value"], 0.0),
            }
            for row in decoupled.rows
        ]
        layers = " and ".join(decoupled.layers)
        parts += [table_of_rows(layers, rows)] if rows else []
        parts += [paragraph(f"{layers}: no {name}: {reason}.") for name, reason in decoupled.unavailable.items()]
    return "".join([paragraph(_DECOUPLING), *parts]) if parts else ""


_DECOUPLING = (
    "Pairs of layers at the same relative depth. “Semantic”, “shift” and “spatio-semantic” compare RSMs whose "
    "positions are matched freely, by the best shift of the grid, and not at all; their differences show how much of "
    "what both networks share depends on locations. “Structure” compares, within each input, which positions are alike."
)


def warnings_section(warnings: Sequence[str]) -> str:
    """Return the warnings as a list."""
    return element("ul", "".join(element("li", text(warning)) for warning in warnings)) if warnings else ""


def findings(analysis: Analysis, options: ReportOptions) -> Iterator[str]:
    """Yield the main numbers as sentences."""
    for network, comparison in zip(analysis.networks, analysis.kinds, strict=True):
        if comparison is not None and SPATIO_SEMANTIC in comparison.columns:
            column = comparison.values[:, comparison.columns.index(SPATIO_SEMANTIC)]
            if np.isnan(column).all():
                continue
            least, most = int(np.nanargmin(column)), int(np.nanargmax(column))
            yield (
                f"{network.name}: semantic and spatio-semantic RSMs agree least in {comparison.rows[least]} "
                f"({comparison.label} {number(column[least])}) and most in {comparison.rows[most]} "
                f"({number(column[most])})."
            )
    for number_of_network, network in enumerate(analysis.networks if analysis.retrievals else ()):
        yield _best_retrieval(analysis, number_of_network, network, options)
    if SEMANTIC in analysis.between:
        names = " and ".join(network.name for network in analysis.networks)
        yield f"{names}, by their semantic RSMs: {significance(analysis.between[SEMANTIC])}"


def _best_retrieval(analysis: Analysis, number_of_network: int, network: Network, options: ReportOptions) -> str:
    metric = f"precision@{options.k}"
    best = []
    for kind in KINDS:
        values = {
            layer: analysis.retrievals[number_of_network, layer, kind].metrics[metric].value
            for layer in of_kind(analysis.rsms, number_of_network, kind)
        }
        if values:
            layer = max(values, key=lambda name: values[name])
            best.append(f"{number(values[layer])} by the {kind} RSM of {layer}")
    return f"{network.name}: the best {metric} of inputs with the same label is {', '.join(best)}."
