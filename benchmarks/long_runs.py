# SPDX-License-Identifier: Apache-2.0
"""What stores and clusters cost: ``python benchmarks/long_runs.py``.

Real activations, repeated with noise, are compared in memory, into a store, and by two Dask workers of one thread each;
turn by turn, so that ratios are of runs beside each other. Writes ``<machine>-long-runs.md`` and ``.json`` to
``benchmarks/results``.
"""

from __future__ import annotations

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
from machine import surroundings
from numpy.typing import NDArray
from runs import FOLDER, ratio, write_report

import simplugins

TURNS = 3
REPEATS = {"block15": 40, "block10": 14}
"""How many times the 24 inputs of a layer are repeated."""

ONE, TWO, STORE, DASK = "1 thread", "2 threads", "2 threads, into a store", "2 Dask workers of 1 thread, into a store"
WAYS = ONE, TWO, STORE, DASK


def repeat(maps: NDArray[Any], times: int) -> NDArray[np.float16]:
    """Return (N, S, C) activations several times over, each time with other noise of a tenth."""
    rng = np.random.default_rng(0)
    noisy = [maps * (1 + 0.1 * rng.standard_normal(maps.shape, np.float32)) for _ in range(times)]
    return np.concatenate(noisy).astype(np.float16)


def measure(layer: str, client: Client) -> dict[str, Any]:
    """Time all ways to compute the RSM of a layer, several turns."""
    with tempfile.TemporaryDirectory() as folder:
        path, store = Path(folder) / "responses.npy", Path(folder) / "run.zarr"
        responses = repeat(load_layer(layer), REPEATS[layer])
        np.save(path, responses)
        ways: dict[str, Callable[[], Any]] = {
            ONE: lambda: simplugins.compute_rsm(path, threads=1),
            TWO: lambda: simplugins.compute_rsm(path, threads=2),
            STORE: lambda: simplugins.compute_rsm(path, threads=2, store=store),
            DASK: lambda: simplugins.compute_rsm(path, scheduler=client, store=store),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(TURNS):
            found = {}
            for name, way in ways.items():
                start = time.perf_counter()
                found[name] = np.asarray(way())
                seconds[name].append(time.perf_counter() - start)
                shutil.rmtree(store, ignore_errors=True)
            np.testing.assert_allclose(found[DASK], found[ONE], rtol=1e-6, atol=1e-7)
            np.testing.assert_array_equal(found[DASK], found[STORE])
    inputs, positions, channels = responses.shape
    return {"inputs": inputs, "positions": positions, "channels": channels, "seconds": seconds}


def make_table(summary: dict[str, Any]) -> str:
    """Write a summary as Markdown."""
    lines = [
        f"# Long runs on {summary['cpu']}, {summary['cores']} cores",
        "",
        f"Seconds, the median of {TURNS} turns, and the ratios of turns [lowest–highest]. Optimal matching, cosine.",
        "",
        "| inputs, positions, channels | "
        + " | ".join((ONE, TWO, STORE, DASK))
        + " | store / memory | 1 thread / Dask |",
        "|---|" + "---:|" * 6,
    ]
    for found in summary["layers"].values():
        seconds = found["seconds"]
        cells = [f"{median(seconds[name]):.1f}" for name in WAYS]
        for above, below in ((STORE, TWO), (ONE, DASK)):
            compared = ratio(seconds[above], seconds[below])
            cells.append(f"{compared['median']:.2f} [{compared['lowest']:.2f}–{compared['highest']:.2f}]")
        lines.append(f"| {found['inputs']}, {found['positions']}, {found['channels']} | " + " | ".join(cells) + " |")
    versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    return "\n".join([*lines, "", f"{summary['date']}; {versions}. Made by `{summary['command']}`.", ""])


def main() -> None:
    """Measure, and write the table."""
    options: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**options) as cluster, Client(cluster) as client:  # type: ignore[no-untyped-call]
        simplugins.compute_rsm(repeat(load_layer("block15"), 2), scheduler=client)  # workers load what is compiled
        layers = {layer: measure(layer, client) for layer in REPEATS}
    told = {"command": "python benchmarks/long_runs.py", "date": date.today().isoformat(), **surroundings(2)}
    summary = {**told, "layers": layers}
    path = write_report(make_table(summary), summary, FOLDER / "results", suffix="-long-runs")
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
