# SPDX-License-Identifier: Apache-2.0
"""The page of a report: one HTML document with its style and pictures, which loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files

from simplugins import __version__
from simplugins._common.formatting import counted
from simplugins.reporting import report_sections as sections
from simplugins.reporting.html_elements import element, paragraph, text
from simplugins.reporting.methods_text import citations, methods, software
from simplugins.reporting.report_analysis import Analysis
from simplugins.reporting.report_explorer import Explorer, explorer_section
from simplugins.reporting.report_images import Thumbnails
from simplugins.reporting.report_options import ReportOptions

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-src 'self'"
"""What browsers may load: nothing but what is in the page."""


@dataclass(frozen=True, eq=False)
class Parts:
    """What a page shows in addition to numbers: pictures of inputs, the explorer, and warnings."""

    thumbnails: Thumbnails | None
    explorer: Explorer
    warnings: Sequence[str]


def page(analysis: Analysis, options: ReportOptions, parts: Parts, *, title: str | None) -> str:
    """Return the page of a report as an HTML document."""
    names = " and ".join(network.name for network in analysis.networks)
    title = f"Representations of {names}" if title is None else title
    contents = {
        "In short": element("ul", "".join(element("li", text(line)) for line in sections.findings(analysis, options))),
        "Warnings": sections.warnings_section(parts.warnings),
        "Layers": sections.layers_section(analysis),
        "RSMs": sections.rsms_section(analysis, options),
        "Does location matter?": sections.kinds_section(analysis, options),
        "Layers with each other": sections.within_section(analysis),
        "Two networks": sections.between_section(analysis),
        "Content and location": sections.decoupling_section(analysis),
        "Retrieval": sections.retrieval_section(analysis, options),
        "Neighbours": sections.neighbours_section(analysis, parts.thumbnails),
        "Explorer": explorer_section(parts.explorer),
        "Methods": "".join(map(paragraph, methods(analysis, options))) + paragraph(f"Versions: {software()}."),
        "How to cite": element("ul", "".join(element("li", text(each)) for each in citations())),
    }
    contents = {name: content for name, content in contents.items() if content and content != "<ul></ul>"}
    body = [
        element("a", "Skip to the content", href="#content", **{"class": "skip"}),
        _header(analysis, title),
        _navigation(list(contents)),
        element("main", "".join(_section(*each) for each in contents.items()), id="content"),
        element("footer", text(f"Written by simplugins {__version__}. This page loads nothing from elsewhere.")),
        "" if parts.thumbnails is None else parts.thumbnails.definitions(),
    ]
    return f"<!doctype html>\n{element('html', _head(title) + element('body', chr(10).join(body)), lang='en')}\n"


def _head(title: str) -> str:
    style = files(__package__).joinpath("report.css").read_text(encoding="utf-8")
    return element(
        "head",
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="generator" content="simplugins {__version__}"><meta name="color-scheme" content="light dark">'
        + element("title", text(title))
        + element("style", style),
    )


def _header(analysis: Analysis, title: str) -> str:
    layers = " and ".join(f"{counted(len(network.layers), 'layer')} of {network.name}" for network in analysis.networks)
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    lead = f"{layers}, {counted(analysis.networks[0].inputs, 'input')}, {when}"
    return element("header", element("h1", text(title)) + element("p", text(lead), **{"class": "lead"}))


def _name(title: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in title.lower()).strip("-")


def _navigation(titles: Sequence[str]) -> str:
    links = [element("li", element("a", text(title), href=f"#{_name(title)}")) for title in titles]
    return element("nav", element("ul", "".join(links)), aria_label="Contents")


def _section(title: str, content: str) -> str:
    name = _name(title)
    heading = element("h2", text(title), id=name)
    style = {"class": "warnings"} if title == "Warnings" else {}
    return element("section", heading + content, aria_labelledby=name, **style)
