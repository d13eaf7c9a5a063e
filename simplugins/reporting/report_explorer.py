# SPDX-License-Identifier: Apache-2.0
"""The explorer in a report: its page in a frame, so that the report stays one file."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from simplugins.plotting.explorer.exploring import explore
from simplugins.reporting.html_elements import paragraph
from simplugins.reporting.report_analysis import Analysis, of_kind
from simplugins.reporting.report_options import SEMANTIC, SPATIO_SEMANTIC, ReportOptions
from simplugins.reporting.request_digests import describe
from simplugins.reporting.work_folder import WorkFolder


@dataclass(frozen=True)
class Explorer:
    """The page of an explorer, or the reason why there is none; both empty if none was asked for."""

    page: str = ""
    reason: str = ""


def read_explorer(
    analysis: Analysis, options: ReportOptions, work: WorkFolder, images: Any, megabytes: float
) -> Explorer:
    """Write the page of an explorer in the work folder, or read the one that is there.

    Parameters
    ----------
    analysis, options, work
    images
        As for `simplugins.explore`.
    megabytes : float
        Its size; none is written for 0.
    """
    if megabytes == 0:
        return Explorer()
    title = " and ".join(network.name for network in analysis.networks)
    several = len(analysis.networks) > 1
    layers: Any = {network.name: dict(network.layers) for network in analysis.networks}
    measures = [options.measure(SEMANTIC), options.measure(SPATIO_SEMANTIC)]

    def write(path: Path) -> None:
        explore(
            path,
            layers if several else dict(analysis.networks[0].layers),
            images=images,
            labels=analysis.networks[0].labels,
            measures=measures,
            comparison=options.resolved_method(),
            rsms=None if several else of_kind(analysis.rsms, 0, SEMANTIC),
            center=options.center or None,
            normalize=options.normalize or None,
            engine=options.engine,
            threads=options.threads,
            title=title,
            megabytes=megabytes,
        )

    try:
        return Explorer(page=work.text(f"explorer {describe([_described(images), megabytes, title])}", write))
    except ValueError as error:  # such as more similarities than fit
        return Explorer(reason=str(error))


def _described(images: Any) -> str:
    """Return a text that differs if images do; texts among them are names of files."""
    are_listed = isinstance(images, list | tuple)
    return describe([Path(one) if isinstance(one, str) else one for one in images] if are_listed else images)


def explorer_section(explorer: Explorer) -> str:
    """Return the explorer in a frame, which the browser fills when it comes into view."""
    if explorer.reason:
        return paragraph(f"No explorer: {explorer.reason}.")
    if not explorer.page:
        return ""
    frame = f'<iframe class="explorer" title="Explorer" loading="lazy" srcdoc="{escape(explorer.page)}"></iframe>'
    return paragraph(_GUIDE) + frame


_GUIDE = (
    "Point at a cell of the map to see both inputs; select it to see which positions are matched. It needs JavaScript, "
    "and nothing from the network."
)
