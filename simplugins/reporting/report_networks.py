# SPDX-License-Identifier: Apache-2.0
"""The networks of a report: their layers as activations, recorded or read, and how to describe them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common.formatting import human_count
from simplugins._common.validation import check_names, error_prefix
from simplugins.activations.activations import Activations
from simplugins.activations.layer_names import select
from simplugins.comparisons.layer_files import read_layers
from simplugins.reporting.work_folder import WorkFolder
from simplugins.rsm.rsm import RSM


@dataclass(frozen=True, eq=False)
class Network:
    """A network of a report.

    Attributes
    ----------
    name : str
    layers : mapping of str to Activations
        In the order of the network; all of the same inputs.
    origin : str
        How the activations were obtained, as a sentence.
    """

    name: str
    layers: Mapping[str, Activations]
    origin: str
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return len(next(iter(self.layers.values())))

    @property
    def labels(self) -> NDArray[Any] | None:
        """Labels of the inputs, None if they have none."""
        return next(iter(self.layers.values())).labels


def is_model(value: Any) -> bool:
    """Return whether a value is a Torch module, without importing Torch."""
    return any(
        f"{base.__module__}.{base.__qualname__}" == "torch.nn.modules.module.Module" for base in type(value).__mro__
    )


def check_sources(sources: Mapping[str, Any], inputs: Any) -> None:
    """Check what networks are given as, by parameter.

    Raises
    ------
    TypeError
        If one is no model, mapping of layers or path; or a model comes without inputs, or layers alone with some.
    """
    for parameter, value in sources.items():
        if not isinstance(value, Mapping | str | os.PathLike) and not is_model(value):
            raise TypeError(
                f"{parameter}: expected a torch.nn.Module, a mapping of names to activations, or the path of a "
                f"recording or file of layers, got {type(value).__name__}"
            )
        if is_model(value) and inputs is None:
            raise TypeError(f"inputs: expected the inputs to record {parameter} on, got None")
    if inputs is not None and not any(map(is_model, sources.values())):
        raise TypeError(
            "inputs: expected None, because model is not a torch.nn.Module that could be recorded on them; for "
            "pictures of the inputs, pass images="
        )


def with_paths(source: Any) -> Any:
    """Return a source whose texts, which are names of files, are paths."""
    if isinstance(source, Mapping):
        return {name: with_paths(value) if isinstance(value, str) else value for name, value in source.items()}
    return Path(source) if isinstance(source, str) else source


def read_network(
    parameter: str,
    source: Any,
    inputs: Any,
    layers: str | Sequence[str] | None,
    work: WorkFolder,
    *,
    recording: Mapping[str, Any],
    reading: Mapping[str, Any],
    name: str | None = None,
) -> Network:
    """Record a model's layers into the work folder, or read layers that are given as activations or files.

    Parameters
    ----------
    parameter : {"model", "other"}
    source : torch.nn.Module, mapping of str to activations, or path
    inputs
        As for `record`; only for models.
    layers : str or sequence of str, optional
        Names or patterns.
    work : WorkFolder
    recording, reading : mapping
        Options of `record` and of `Activations.from_array`.
    name : str, optional
        By default the class of the model, or the name of the file.

    Raises
    ------
    TypeError, ValueError
        As `record` and `Activations.from_array`; or if layers are given as RSMs.
    """
    if is_model(source):
        return _recorded(parameter, source, inputs, layers, work, recording, name)
    if isinstance(source, Mapping):
        values, origin = dict(source), "The activations were passed as arrays."
        if layers is not None:
            values = {key: values[key] for key in select(values, layers, owner=parameter)}
    else:
        values = read_layers(source, [layers] if isinstance(layers, str) else layers or ())
        origin = f"The activations were read from {Path(source).name}."
        name = name or Path(source).stem
    if not values:
        raise ValueError(f"{parameter}: expected at least one layer, got none")
    check_names(parameter, values)
    result = {str(key): _activations(f"{parameter}[{key!r}]", value, reading) for key, value in values.items()}
    _check_inputs(parameter, result)
    return Network(name or _DEFAULT_NAMES[parameter], result, origin)


_DEFAULT_NAMES = {"model": "network", "other": "other network"}


def _recorded(
    parameter: str,
    model: Any,
    inputs: Any,
    layers: str | Sequence[str] | None,
    work: WorkFolder,
    options: Mapping[str, Any],
    name: str | None,
) -> Network:
    from simplugins.recording.recorder import record

    def recording(folder: Path) -> object:
        with error_prefix(parameter):
            return record(model, inputs, layers, to=folder, **options)

    kind = type(model).__name__
    result = work.recording(f"recording of {parameter}", recording)
    count = sum(int(parameter.numel()) for parameter in model.parameters())
    facts = {"class": kind, "parameters": human_count(count)}
    return Network(name or kind, result, f"Torch ran {kind} in evaluation mode, without gradients.", facts)


def _activations(parameter: str, value: Any, options: Mapping[str, Any]) -> Activations:
    if isinstance(value, RSM):
        raise TypeError(f"{parameter}: a report starts from activations, got an RSM, of which positions are unknown")
    with error_prefix(parameter):
        return Activations.from_array(value, **options)


def _check_inputs(parameter: str, layers: Mapping[str, Activations]) -> None:
    counts = {name: len(layer) for name, layer in layers.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise ValueError(f"{parameter}: expected the same inputs in all layers: {listed}")
    labelled = {name: layer.labels for name, layer in layers.items() if layer.labels is not None}
    for name, labels in labelled.items():
        first, expected = next(iter(labelled.items()))
        if differing := [k for k, (a, b) in enumerate(zip(labels, expected, strict=True)) if str(a) != str(b)]:
            k = differing[0]
            raise ValueError(
                f"{parameter}: expected the same inputs in the same order in all layers, but input {k} is "
                f"{str(expected[k])!r} in {first} and {str(labels[k])!r} in {name}"
            )


def classes_of(labels: NDArray[Any] | None) -> NDArray[Any] | None:
    """Return labels if some inputs share one, so that they are classes; None otherwise."""
    if labels is None or len(np.unique(labels)) == len(labels):
        return None
    return labels


Begin = Callable[[str], object]
