# SPDX-License-Identifier: Apache-2.0
"""`simplugins estimate`: the cost of an RSM before it is computed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from simplugins.cli.command_options import (
    CenterNames,
    Certify,
    DropTokens,
    Dtype,
    Engine,
    Key,
    Layout,
    MatchingName,
    MatchingOption,
    MeasureName,
    MeasureOption,
    NormalizeNames,
    Threads,
    key_option,
    read_matching,
    read_measures,
    read_preparation,
)
from simplugins.cli.terminal import one_line_errors, print_table

_SIZE = "--inputs, --positions and --channels"

_Source = Annotated[
    Path | None, typer.Argument(help="A file of activations, some of whose inputs are compared.", metavar="IN")
]
_Inputs = Annotated[int | None, typer.Option(help="Number of inputs.", show_default="that of the file", min=1)]
_Positions = Annotated[int | None, typer.Option(help="Positions per input, without a file.", min=1)]
_Channels = Annotated[int | None, typer.Option(help="Channels, without a file.", min=1)]
_OtherInputs = Annotated[
    int | None, typer.Option(help="Number of other inputs.", show_default="compare the inputs with each other", min=1)
]
_Seconds = Annotated[float, typer.Option(help="Seconds to spend on it.")]


@one_line_errors
def estimate(
    activations: _Source = None,
    key: Key = None,
    inputs: _Inputs = None,
    positions: _Positions = None,
    channels: _Channels = None,
    other_inputs: _OtherInputs = None,
    measure: MeasureName = "semantic-cosine",
    measure_option: MeasureOption = None,
    layout: Layout = "auto",
    drop_tokens: DropTokens = 0,
    dtype: Dtype = None,
    center: CenterNames = None,
    normalize: NormalizeNames = None,
    matching: MatchingName = None,
    matching_option: MatchingOption = None,
    certify: Certify = False,
    engine: Engine = "auto",
    threads: Threads = None,
    seconds: _Seconds = 3.0,
) -> None:
    """Estimate the cost of an RSM on this machine, for the activations in a file or for activations of a given size."""
    from simplugins.activations.reading import read
    from simplugins.measures.cost import estimates

    options: dict[str, Any] = {
        "other_inputs": other_inputs,
        "measure": read_measures([measure], measure_option)[0],
        "dtype": dtype,
        **read_preparation(center, normalize),
        "matching": read_matching(matching, matching_option),
        "certify": certify,
        "engine": engine,
        "threads": threads,
        "seconds": seconds,
    }
    if activations is not None:
        _reject(
            "with a file of activations", {"--positions": positions is not None, "--channels": channels is not None}
        )
        options |= {"inputs": inputs, "layout": layout, "drop_tokens": drop_tokens}
        with key_option("--key"):
            array = read(activations, key)
        result = estimates.estimate_for(array, **options)
    else:
        flags = {"--key": key is not None, "--layout": layout != "auto", "--drop-tokens": drop_tokens > 0}
        _reject("without a file of activations", flags)
        if inputs is None or positions is None or channels is None:
            raise ValueError(f"expected a file of activations, or {_SIZE}")
        result = estimates.estimate(inputs, positions, channels, **options)
    print_table(["", "estimate"], [[name, text] for name, text in result.summary().items()])


def _reject(case: str, flags: Mapping[str, bool]) -> None:
    for flag, is_set in flags.items():
        if is_set:
            raise ValueError(f"{flag} does not apply {case}")
