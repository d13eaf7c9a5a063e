# SPDX-License-Identifier: Apache-2.0
"""Measure the overhead of stores and clusters: ``python benchmarks/long_runs.py``.

Real activations, repeated with noise, are compared in memory, into a store, and by two Dask workers with one thread
each. They take turns, and ratios compare times of the same turn. Writes ``<machine>-long-runs.md`` and ``.json`` to
``benchmarks/results``. ``--quick`` tries each once on few inputs, and writes nothing.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from distributed import Client, LocalCluster
from inputs import load_layer
from machine import environment
from numpy.typing import NDArray
from runs import FOLDER, ratio, write_report

import simplugins

TURNS = 3
REPEATS = {"block15": 40, "block10": 14}
"""Number of copies of the 24 inputs of a layer."""

ONE, TWO, STORE, DASK = (
    "1 thread",
    "2 threads",
    "2 threads, into a store",
    "2 Dask workers of 1 thread, into a store",
)
VARIANTS = ONE, TWO, STORE, DASK


def repeat(maps: NDArray[Any], times: int) -> NDArray[np.float16]:
    """Return copies of (N, S, C) activations, each with different multiplicative noise of a tenth."""
    rng = np.random.default_rng(0)
    noisy = [maps * (1 + 0.1 * rng.standard_normal(maps.shape, np.float32)) for _ in range(times)]
    return np.concatenate(noisy).astype(np.float16)


def measure(layer: str, client: Client, copies: int, turns: int) -> dict[str, Any]:
    """Time all variants of computing the RSM of a layer, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        path, store = Path(folder) / "responses.npy", Path(folder) / "run.zarr"
        responses = repeat(load_layer(layer), copies)
        np.save(path, responses)
        variants: dict[str, Callable[[], Any]] = {
            ONE: lambda: simplugins.compute_rsm(path, threads=1),
            TWO: lambda: simplugins.compute_rsm(path, threads=2),
            STORE: lambda: simplugins.compute_rsm(path, threads=2, store=store),
            DASK: lambda: simplugins.compute_rsm(path, scheduler=client, store=store),
        }
        seconds: dict[str, list[float]] = {name: [] for name in variants}
        for _ in range(turns):
            rsms = {}
            for name, variant in variants.items():
                start = time.perf_counter()
                rsms[name] = np.asarray(variant())
                seconds[name].append(time.perf_counter() - start)
                shutil.rmtree(store, ignore_errors=True)
            np.testing.assert_allclose(rsms[DASK], rsms[ONE], rtol=1e-6, atol=1e-7)
            np.testing.assert_array_equal(rsms[DASK], rsms[STORE])
    inputs, positions, channels = responses.shape
    return {"inputs": inputs, "positions": positions, "channels": channels, "seconds": seconds}


def make_table(summary: dict[str, Any]) -> str:
    """Return a summary as Markdown."""
    lines = [
        f"# Long runs on {summary['cpu']}, {summary['cores']} cores",
        "",
        f"Seconds (median of {TURNS} turns), and ratios of the same turn (median [lowest–highest]). Cosine, optimal.",
        "",
        "| inputs, positions, channels | "
        + " | ".join((ONE, TWO, STORE, DASK))
        + " | store / memory | 1 thread / Dask |",
        "|---|" + "---:|" * 6,
    ]
    for layer in summary["layers"].values():
        seconds = layer["seconds"]
        cells = [f"{median(seconds[name]):.1f}" for name in VARIANTS]
        for numerator, denominator in ((STORE, TWO), (ONE, DASK)):
            turns = ratio(seconds[numerator], seconds[denominator])
            cells.append(f"{turns['median']:.2f} [{turns['lowest']:.2f}–{turns['highest']:.2f}]")
        lines.append(f"| {layer['inputs']}, {layer['positions']}, {layer['channels']} | " + " | ".join(cells) + " |")
    versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    return "\n".join([*lines, "", f"{summary['date']}; {versions}. Measured by `{summary['command']}`.", ""])


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one turn on few inputs; writes nothing")
    quick = parser.parse_args().quick
    options: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**options) as cluster, Client(cluster) as client:  # type: ignore[no-untyped-call]
        simplugins.compute_rsm(repeat(load_layer("block15"), 2), scheduler=client)  # compiles before timing
        layers = {
            layer: measure(layer, client, 2 if quick else copies, 1 if quick else TURNS)
            for layer, copies in REPEATS.items()
        }
    origin = {"command": "python benchmarks/long_runs.py", "date": date.today().isoformat(), **environment(2)}
    summary = {**origin, "layers": layers}
    if quick:
        print(make_table(summary))
        return
    path = write_report(make_table(summary), summary, FOLDER / "results", suffix="-long-runs")
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
