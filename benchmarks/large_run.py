# SPDX-License-Identifier: Apache-2.0
"""Whether memory is kept to: ``python benchmarks/large_run.py FOLDER``, on a disk with room for 21 GB.

20 GB of float16 activations are written to the folder first, and compared with four of them in a process that may take
600 MB; what it took is what the system says. Writes ``<machine>-large-run.md`` and ``.json`` to ``benchmarks/results``.
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
from machine import surroundings
from runs import FOLDER, format_origin, write_report

INPUTS, OTHERS, LIMIT = 640_000, 4, "600MB"

IN_LITTLE_MEMORY = """
import json, re, sys, time
import numpy as np
import simplugins
path, store, limit, others = sys.argv[1:]
other = np.array(np.load(path, mmap_mode="r")[: int(others)])
start = time.perf_counter()
rsm = simplugins.compute_rsm(path, other=other, memory=limit, store=store, progress=True)
most = int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
print(json.dumps({"peak_bytes": most, "seconds": time.perf_counter() - start, "pairs": rsm.shape[0] * rsm.shape[1]}))
"""


def write_large(path: Path) -> None:
    """Write 20 GB of float16 activations: those of block 15 over and over, with noise."""
    maps = load_layer("block15").astype(np.float16)
    noise = (1 + 0.1 * np.random.default_rng(0).standard_normal((2400, *maps.shape[1:]), np.float32)).astype(np.float16)
    part = noise * np.tile(maps, (len(noise) // len(maps), 1, 1))
    shape = INPUTS, *maps.shape[1:]
    with path.open("wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, INPUTS, len(part)):
            shift = start // len(part)  # no two parts are alike
            file.write(np.roll(part, shift, axis=2)[: INPUTS - start].tobytes())


def measure_large(folder: Path) -> dict[str, Any]:
    """Compare 20 GB of activations with a few, in a process of little memory."""
    with tempfile.TemporaryDirectory(dir=folder) as within:
        path = Path(within) / "large.npy"
        write_large(path)
        command = [sys.executable, "-c", IN_LITTLE_MEMORY, path, Path(within) / "run.zarr", LIMIT, OTHERS]
        done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=True)
        told: dict[str, Any] = json.loads(done.stdout)
        return {**told, "bytes": path.stat().st_size, "inputs": INPUTS, "limit": LIMIT}


def make_table(summary: dict[str, Any]) -> str:
    """Write a summary as Markdown."""
    lines = [
        f"# A large run on {summary['cpu']}, {summary['cores']} cores",
        "",
        f"{summary['bytes'] / 1e9:.1f} GB of float16 activations ({summary['inputs']:,} inputs of 49 positions and 320 "
        f"channels) with {OTHERS} others, into a store, under memory={summary['limit']!r}: at most "
        f"{summary['peak_bytes'] / 1e6:.0f} MB resident, {summary['seconds']:.0f} s.",
        "",
        format_origin(summary),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, and write what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where there is room for 21 GB, on a disk")
    measured = measure_large(parser.parse_args().folder)
    told = {"command": "python benchmarks/large_run.py FOLDER", "date": date.today().isoformat(), **surroundings(2)}
    summary = {**told, **measured}
    path = write_report(make_table(summary), summary, FOLDER / "results", suffix="-large-run")
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
