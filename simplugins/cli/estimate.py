# SPDX-License-Identifier: Apache-2.0
"""`simplugins estimate`: what an RSM will cost, before it is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from simplugins.cli.shared import (
    Certify,
    DropTokens,
    Dtype,
    Key,
    Layout,
    Matching,
    MatchingOptions,
    Threads,
    read_matcher,
)
from simplugins.cli.terminal import one_line_errors, print_table

_SIZE = "--inputs, --positions and --channels"


@one_line_errors
def estimate(
    activations: Annotated[
        Path | None,
        typer.Argument(help="A .npy, .npz, .pt, .pth or .safetensors file, of which a few inputs are tried."),
    ] = None,
    key: Key = None,
    inputs: Annotated[
        int | None, typer.Option(help="How many inputs.  [default: as many as the file has]", min=1)
    ] = None,
    positions: Annotated[int | None, typer.Option(help="Of an input, where there is no file.", min=1)] = None,
    channels: Annotated[int | None, typer.Option(help="Of a position, where there is no file.", min=1)] = None,
    others: Annotated[
        int | None, typer.Option(help="Compare with so many others, not the inputs with each other.", min=1)
    ] = None,
    measure: Annotated[str, typer.Option("-m", "--measure", help="One of ours.")] = "semantic-cosine",
    layout: Layout = "auto",
    drop_tokens: DropTokens = 0,
    dtype: Dtype = None,
    matching: Matching = None,
    option: MatchingOptions = None,
    certify: Certify = False,
    engine: Annotated[str, typer.Option(help="cpu, cuda, or auto (a GPU if CuPy sees one).")] = "cpu",
    threads: Threads = None,
    seconds: Annotated[float, typer.Option(help="How long to try.")] = 3.0,
) -> None:
    """Estimate what an RSM will cost on this machine: of the activations in a file, or of some of a size."""
    from simplugins.activations.reading import read
    from simplugins.measures.cost import estimates as estimating

    how: dict[str, Any] = {
        "others": others,
        "measure": measure,
        "dtype": dtype,
        "matching": read_matcher(matching, option or []),
        "certify": certify,
        "engine": engine,
        "threads": threads,
        "seconds": seconds,
    }
    if activations is not None:
        _refuse("a file of activations", {"--positions": positions is not None, "--channels": channels is not None})
        how |= {"inputs": inputs, "layout": layout, "drop_tokens": drop_tokens}
        found = estimating.estimate_for(read(activations, key), **how)
    else:
        given = {"--key": key is not None, "--layout": layout != "auto", "--drop-tokens": drop_tokens > 0}
        _refuse(f"{_SIZE}, without a file", given)
        if inputs is None or positions is None or channels is None:
            raise ValueError(f"expected a file of activations, or {_SIZE}")
        found = estimating.estimate(inputs, positions, channels, **how)
    told = found.summary()
    print_table(["", "estimate"], [[name, text] for name, text in told.items()])


def _refuse(what: str, given: dict[str, bool]) -> None:
    for name, was_given in given.items():
        if was_given:
            raise ValueError(f"{name} does not go with {what}")
