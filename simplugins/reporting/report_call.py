# SPDX-License-Identifier: Apache-2.0
"""One call of `report`: reads the networks, computes the numbers step by step, and writes the page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from simplugins import __version__
from simplugins._common import filesystem
from simplugins._common.formatting import counted
from simplugins._common.progress import step_bar
from simplugins._common.validation import check_megabytes
from simplugins.comparisons.groups import check_exchangeable
from simplugins.reporting.report_analysis import Analysis, analyse, count_steps
from simplugins.reporting.report_explorer import read_explorer
from simplugins.reporting.report_images import Thumbnails, read_thumbnails
from simplugins.reporting.report_networks import Network, check_sources, read_network, with_paths
from simplugins.reporting.report_options import ReportOptions
from simplugins.reporting.report_page import Parts, page
from simplugins.reporting.request_digests import describe
from simplugins.reporting.work_folder import WorkFolder

_READING = ("layout", "mask", "drop_tokens", "labels")
_RECORDING = (*_READING, "input_key", "batch_size", "device")


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """A report that has been written; `report` returns it.

    Attributes
    ----------
    path : Path
        The page.
    analysis : Analysis
        All numbers: RSMs, comparisons, retrieval.
    warnings : tuple of str
        The warnings on the page.
    """

    path: Path
    analysis: Analysis
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        layers = " and ".join(
            f"{network.name} ({counted(len(network.layers), 'layer')})" for network in self.analysis.networks
        )
        inputs = counted(self.analysis.networks[0].inputs, "input")
        return f"Report on {layers}, {inputs}, {counted(len(self.warnings), 'warning')}: {self.path}"


@dataclass(frozen=True, kw_only=True)
class ReportCall:
    """The arguments of `report`, which documents them."""

    model: Any
    inputs: Any
    out: str | os.PathLike[str]
    layers: str | Sequence[str] | None
    other: Any
    other_layers: str | Sequence[str] | None
    labels: Any
    images: Any
    names: Sequence[str] | None
    title: str | None
    layout: str | Mapping[str, str]
    mask: Any
    drop_tokens: Any
    input_key: str | int | None
    batch_size: int
    device: Any
    work: str | os.PathLike[str] | None
    explorer_megabytes: float
    overwrite: bool
    progress: bool
    options: ReportOptions

    @classmethod
    def among(cls, arguments: Mapping[str, Any]) -> ReportCall:
        """Return the call with the arguments of `report`, its ``locals()`` on entry."""
        values = {field.name: arguments[field.name] for field in fields(cls) if field.name != "options"}
        return cls(**values, options=ReportOptions.among(arguments))

    def run(self) -> Report:
        """Write the report."""
        path = self._checked_path()
        thumbnails = read_thumbnails(self.images)
        folder = path.with_suffix(".work") if self.work is None else Path(self.work)
        with step_bar(self.progress) as bar:
            work = WorkFolder(folder, self._request(), bar.begin)
            try:
                networks = self._networks(work)
                self._check(networks, thumbnails)
                bar.plan(count_steps(networks))
                analysis = analyse(networks, self.options, work)
                explorer = read_explorer(analysis, self.options, work, self.images, self.explorer_megabytes)
                bar.finish()
                result = Report(path, analysis, tuple(work.warnings))
                text = page(analysis, self.options, Parts(thumbnails, explorer, result.warnings), title=self.title)
                filesystem.write_text(path, text, overwrite=self.overwrite)
            except BaseException as error:
                work.abandon()
                if isinstance(error, KeyboardInterrupt) and folder.exists():
                    raise KeyboardInterrupt(
                        f"{folder} holds what was computed; the same call goes on with it"
                    ) from None
                raise
        if self.work is None:
            work.remove()
        else:
            work.release()
        return result

    def _checked_path(self) -> Path:
        path = Path(self.out)
        if path.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"out: expected a name that ends in .html, got {path.name!r}")
        filesystem.check_writable(path, overwrite=self.overwrite)
        check_sources({parameter: source for parameter, source, _ in self._sources()}, self.inputs)
        if self.names is not None:
            _check_names(self.names, len(self._sources()))
        check_megabytes("explorer_megabytes", self.explorer_megabytes, least=0)
        return path

    def _sources(self) -> list[tuple[str, Any, Any]]:
        sources = [("model", self.model, self.layers)]
        return sources if self.other is None else [*sources, ("other", self.other, self.other_layers)]

    def _networks(self, work: WorkFolder) -> tuple[Network, ...]:
        recording: dict[str, Any] = {name: getattr(self, name) for name in _RECORDING}
        reading = {name: getattr(self, name) for name in _READING}
        names: Sequence[str | None] = self.names or [None] * len(self._sources())
        return tuple(
            read_network(
                parameter,
                source,
                self.inputs,
                layers,
                work,
                recording={**recording, "progress": self.progress and f"recording {name or parameter}"},
                reading=reading,
                name=name,
            )
            for (parameter, source, layers), name in zip(self._sources(), names, strict=True)
        )

    def _request(self) -> dict[str, str]:
        """Return what decides the numbers, as texts."""
        parts: dict[str, Any] = {"simplugins": __version__}
        for parameter, source, layers in self._sources():
            source = with_paths(source)
            parts |= {parameter: source, f"layers of {parameter}": layers}
        parts |= {"inputs": self.inputs, **{name: getattr(self, name) for name in _READING}}
        parts |= {"input_key": self.input_key, **self.options.deciding()}
        return {name: describe(value) for name, value in parts.items()}

    def _check(self, networks: Sequence[Network], thumbnails: Thumbnails | None) -> None:
        """Check that there are enough inputs, as many in both networks, and one image for each."""
        counts = [network.inputs for network in networks]
        least = max(4, self.options.resolved_method().least_inputs)
        if min(counts) < least:
            raise ValueError(f"inputs: a report needs at least {least} inputs, got {min(counts)}")
        if len(set(counts)) > 1:
            raise ValueError(f"other: expected the same {counts[0]} inputs as of model, got {counts[1]}")
        if len(networks) > 1:
            _check_same_labels(*(network.labels for network in networks))
        if thumbnails is not None and len(thumbnails) != counts[0]:
            raise ValueError(f"images: expected {counts[0]} (one per input), got {len(thumbnails)}")
        if self.options.k >= counts[0]:
            raise ValueError(
                f"k: expected fewer than {counts[0]} neighbours, the number of inputs, got {self.options.k}"
            )
        check_exchangeable(self.options.groups, networks[0].labels, counts[0])


def _check_names(names: Any, count: int) -> None:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"names: expected a list of {count} texts, one per network, got {names!r}")
    if len(names) != count:
        raise ValueError(f"names: expected {count}, one per network, got {len(names)}")


def _check_same_labels(a: Any, b: Any) -> None:
    """Check that inputs of two networks have the same labels, if both have some."""
    if a is None or b is None:
        return
    for number, (one, two) in enumerate(zip(a, b, strict=True)):
        if str(one) != str(two):
            raise ValueError(
                f"other: expected the inputs of model in the same order, but input {number} is {str(two)!r} there and "
                f"{str(one)!r} in model"
            )
