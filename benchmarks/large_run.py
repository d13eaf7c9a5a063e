# SPDX-License-Identifier: Apache-2.0
"""Check a memory limit: ``python benchmarks/large_run.py FOLDER``, on a disk with 21 GB of free space.

Writes 20 GB of float16 activations to the folder, and compares them with four of their inputs in a process limited to
600 MB. The peak memory is that reported by Linux. Writes ``<machine>-large-run.md`` and ``.json`` to
``benchmarks/results``. ``--inputs`` sets a smaller size, for which nothing is written.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from inputs import load_layer
from machine import environment
from runs import FOLDER, format_origin, write_report

INPUTS, OTHERS, LIMIT = 640_000, 4, "600MB"

LIMITED_RUN = """
import json, re, sys, time
import numpy as np
import simplugins
path, store, limit, others = sys.argv[1:]
other = np.array(np.load(path, mmap_mode="r")[: int(others)])
start = time.perf_counter()
rsm = simplugins.compute_rsm(path, other=other, memory=limit, store=store, progress=True)
peak = int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
print(json.dumps({"peak_bytes": peak, "seconds": time.perf_counter() - start, "pairs": rsm.shape[0] * rsm.shape[1]}))
"""


def write_large(path: Path, inputs: int) -> None:
    """Write float16 activations: those of block 15 repeatedly, with noise."""
    maps = load_layer("block15").astype(np.float16)
    noise = (1 + 0.1 * np.random.default_rng(0).standard_normal((2400, *maps.shape[1:]), np.float32)).astype(np.float16)
    part = noise * np.tile(maps, (len(noise) // len(maps), 1, 1))
    shape = inputs, *maps.shape[1:]
    with path.open("wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, inputs, len(part)):
            shift = start // len(part)  # so that no two parts are equal
            file.write(np.roll(part, shift, axis=2)[: inputs - start].tobytes())


def measure_large(folder: Path, inputs: int) -> dict[str, Any]:
    """Compare the activations with a few inputs, in a process with limited memory."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        path = Path(temporary) / "large.npy"
        write_large(path, inputs)
        command = [sys.executable, "-c", LIMITED_RUN, path, Path(temporary) / "run.zarr", LIMIT, OTHERS]
        process = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=True)
        measured: dict[str, Any] = json.loads(process.stdout)
        return {**measured, "bytes": path.stat().st_size, "inputs": inputs, "limit": LIMIT}


def make_table(summary: dict[str, Any]) -> str:
    """Return a summary as Markdown."""
    lines = [
        f"# A large run on {summary['cpu']}, {summary['cores']} cores",
        "",
        f"{summary['bytes'] / 1e9:.1f} GB of float16 activations ({summary['inputs']:,} inputs of 49 positions and 320 "
        f"channels), compared with {OTHERS} others into a store, with memory={summary['limit']!r}: at most "
        f"{summary['peak_bytes'] / 1e6:.0f} MB resident, {summary['seconds']:.0f} s.",
        "",
        format_origin(summary),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="on a disk with 21 GB of free space")
    parser.add_argument("--inputs", type=int, default=INPUTS, help="number of inputs (default: %(default)s)")
    options = parser.parse_args()
    measured = measure_large(options.folder, options.inputs)
    origin = {"command": "python benchmarks/large_run.py FOLDER", "date": date.today().isoformat(), **environment(2)}
    summary = {**origin, **measured}
    if options.inputs != INPUTS:
        print(make_table(summary))
        return
    path = write_report(make_table(summary), summary, FOLDER / "results", suffix="-large-run")
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
