# SPDX-License-Identifier: Apache-2.0
"""Count the instructions per problem of the assignment kernels: ``python benchmarks/kernel_instructions.py``.

Needs no GPU. The emulator of the tests counts events, such as bids, in problems from the bundled activations; NVIDIA's
compiler and disassembler (``pip install nvidia-cuda-nvdisasm``) show the instructions per event. Each instruction
belongs to the innermost ``COUNT(event)`` of the block of source code that it stems from. Loops that the compiler
unrolls are recognised by instructions that each event has a known number of; what no event contains is counted once.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
from inputs import load_layer
from numpy.typing import NDArray
from on_gpu.inputs import Case, load

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from emulation.device import EmulatedDevice
from nvrtc import machine_code

from simplugins.compute.engines import cuda
from simplugins.compute.engines.cuda.programs import Program, capacity_for, program_for

EVENTS = (
    *("staged_row", "sampled_row", "summed_pair", "bid", "exact_bid", "slow_bid", "tie", "search", "step", "flip"),
    *("turn", "look", "listed_bid", "checked_list", "scanned_part", "list", "bounded_pair", "bounded_row"),
)
OF_ONE_WARP = "look", "listed_bid", "checked_list", "scanned_part", "list"
READING = "staged_row", "sampled_row", "bid", "exact_bid", "slow_bid", "tie", "search", "step", "list"
"""Events that read a row of the affinities, as do those of `bounded_row`, in each warp."""

LIMITS = {49: 18_000, 196: 200_000, 784: 4_500_000}
LAYERS = {49: "block15", 196: "block10", 784: "block4", 1369: "block4"}
"""Those of 1,369 positions are interpolated."""

LEAST_PAIRS = 10
"""They differ: the augmenting paths of some take many steps."""

FLOAT = np.dtype(np.float32)


@dataclass
class Counting:
    """A program for the emulator, that counts events, with a function to read the counts."""

    source: str
    functions: tuple[str, ...]


def counting(program: Program) -> Counting:
    """Return a program with counters."""
    names, count = ", ".join(f"counted_{event}" for event in EVENTS), len(EVENTS)
    source = (
        f"enum {{{names}}};\nstatic long long counts[{count}];\n"
        "#define COUNT(event) (threadIdx.x ? void() : void(++counts[counted_##event]))\n"
        "#define COUNT_WARP(event) (threadIdx.x % 32 ? void() : void(++counts[counted_##event]))\n"
        f"{program.source}\n"
        'extern "C" __global__ void read_counts(long long *out) {\n'
        f"    for (int k = 0; threadIdx.x == 0 && k < {count}; k++) out[k] = counts[k], counts[k] = 0;\n}}\n"
    )
    return Counting(source, (*program.functions, "read_counts"))


def count_events(affinities: list[NDArray[np.float32]]) -> Counter[str]:
    """Return the number of events per problem."""
    device, size, number = EmulatedDevice(), len(affinities[0]), len(affinities)
    program = program_for("assignment", size, FLOAT, FLOAT)
    rows = np.arange(number) * size
    problems = np.stack([rows, rows + size, np.zeros_like(rows), np.full_like(rows, size)], 1)
    results = [device.empty(number, np.float64) for _ in range(3)]
    matrices = device.upload(np.concatenate(affinities)), np.int64(size), device.upload(problems)
    options = np.uintp(0), np.int64(0), np.float64(-np.inf)
    arguments = [*matrices, np.int32(capacity_for(size)), *results, *options]
    counted = counting(program)
    device.launch(counted, "assign", number, program.threads, arguments, shared=program.shared_bytes(size))
    counts = device.empty(len(EVENTS), np.int64)
    device.launch(counted, "read_counts", 1, 32, [counts])
    events = Counter({name: count / number for name, count in zip(EVENTS, counts.tolist(), strict=True)})
    return events


class Frame(NamedTuple):
    """A line of a source file."""

    file: str
    line: int


def disassemble(code: bytes) -> Iterator[tuple[str, list[Frame]]]:
    """Yield each instruction with the lines that it stems from, innermost first."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(code)
        text = subprocess.run([disassembler(), "-c", "-gi", path], capture_output=True, text=True, check=True).stdout
    frames: list[Frame] = []
    new = True
    for line in text.splitlines():
        if found := re.search(r'//## File "([^"]*)", line (\d+)', line):
            if new:
                frames, new = [], False
            frames.append(Frame(Path(found[1]).name, int(found[2])))
        elif found := re.match(r"\s+/\*[0-9a-f]+\*/\s+(.*?);", line):
            new = True
            yield found[1].strip(), frames


def disassembler() -> str:
    """Return the path of nvdisasm."""
    spec = importlib.util.find_spec("nvidia.cu13")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder, "bin", "nvdisasm")).exists():
            path.chmod(0o755)
            return str(path)
    if path_of := shutil.which("nvdisasm"):
        return path_of
    raise FileNotFoundError("nvdisasm is not installed: pip install nvidia-cuda-nvdisasm")


class Region(NamedTuple):
    """The block of source code that contains a ``COUNT(event)``."""

    event: str
    first: int
    last: int


def regions_of(text: str) -> list[Region]:
    """Return the regions of a file, inner ones first."""
    lines = text.splitlines()
    found = []
    for number, line in enumerate(lines, start=1):
        if match := re.search(r"^\s+COUNT(?:_WARP)?\((\w+)", line):
            found.append(Region(match[1], _edge(lines, number, -1), _edge(lines, number, 1)))
    return sorted(found, key=lambda region: region.last - region.first)


def _edge(lines: list[str], number: int, step: int) -> int:
    """Return the line where the block of a line begins (step -1) or ends (1)."""
    depth = 0
    while True:
        number += step
        for sign in re.sub(r"//.*|[^{}]", "", lines[number - 1])[::step]:
            depth += step if sign == "{" else -step
            if depth == -1:
                return number


def event_of(frames: list[Frame], texts: Mapping[str, list[str]], regions: Mapping[str, list[Region]]) -> str | None:
    """Return the event that an instruction belongs to, "" if to none, and None if it never runs for whole problems."""
    calls = [texts[frame.file][frame.line - 1] for frame in frames if frame.file in texts]
    if any("<EXACT, false>" in call or "read_row<false>" in call for call in calls):
        return None
    exact = any(re.search(r"run_(packed|auction)<true>", call) for call in calls)
    for frame in frames:
        for region in regions.get(frame.file, ()):
            if region.first <= frame.line <= region.last:
                return "exact_bid" if region.event == "bid" and exact else region.event
    return ""


def anchors_of(program: Program) -> Mapping[str, tuple[str, int]]:
    """Return instructions of which each event has a known number."""
    exchanged = 1 if program.warps == 1 else 2
    common = {"bid": ("REDUX", 2 * exchanged), "exact_bid": ("REDUX", 2 * exchanged)}
    common |= {"turn": ("BAR", 1), "look": ("REDUX", 2), "listed_bid": ("I2F", 1), "checked_list": ("REDUX", 1)}
    common |= {"scanned_part": ("LDG", program.slots), "list": ("REDUX", 5)}
    common |= {"search": ("REDUX", exchanged), "step": ("REDUX", 2 * exchanged)}
    if program.kernel == "small_assignment":
        own = {
            "staged_row": ("LDG", 2),
            "sampled_row": ("LDS.64", 1),
            "summed_pair": ("LDS", 1),
            "bounded_pair": ("LDS", 3),
        }
    else:
        own = {"sampled_row": ("LDG", program.slots), "bounded_row": ("REDUX", 1)}
    return common | own


def instructions(program: Program, architecture: str, cuda_version: str) -> Counter[str]:
    """Return the instructions of a warp per event; "" is what is executed once."""
    folder = files(cuda)
    names = [entry.name for entry in folder.iterdir() if entry.name.endswith(".cu")]
    texts = {name: folder.joinpath(name).read_text("utf-8").splitlines() for name in names}
    regions = {name: regions_of("\n".join(lines)) for name, lines in texts.items()}
    anchors, sizes, found = anchors_of(program), Counter[str](), Counter[str]()
    code = machine_code(program.source, architecture, cuda_version, "--generate-line-info")
    listing = list(disassemble(code))
    end = max(k for k, (instruction, _) in enumerate(listing) if instruction.split()[-1] == "EXIT")
    for instruction, frames in listing[:end]:  # what follows runs if threads of a warp have diverged
        event = event_of(frames, texts, regions)
        if event is None:
            continue
        sizes[event] += 1
        found[event] += event in anchors and anchors[event][0] in instruction
    return Counter(
        {event: size / max(1, found[event] / anchors.get(event, ("", 1))[1]) for event, size in sizes.items()}
    )


def affinities_of(size: int, pairs: int) -> list[NDArray[np.float32]]:
    """Return affinities of pairs of the bundled activations."""
    layer = load_layer(LAYERS[size])
    sets = load(Case(LAYERS[size], size, layer.shape[2], len(layer)))
    return [sets[k] @ sets[k + 1].T for k in range(min(pairs, len(sets) - 1))]


def main() -> None:
    """Print the instructions per problem for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(LAYERS), choices=LAYERS)
    parser.add_argument("--architecture", default="sm_90")
    parser.add_argument("--cuda", default="CUDA 13", choices=["CUDA 12", "CUDA 13"])
    parser.add_argument(
        "--pairs", type=int, default=20, help="pairs of 49 positions; fewer if there are more positions"
    )
    options = parser.parse_args()
    for size in options.sizes:
        program = program_for("assignment", size, FLOAT, FLOAT)
        events = count_events(affinities_of(size, max(LEAST_PAIRS, options.pairs * 49 // size)))
        costs = instructions(program, options.architecture, options.cuda)
        counts = {name: events[name] if name else 1 for name in ("", *EVENTS)}
        warps = {name: 1 if name in OF_ONE_WARP else program.warps for name in counts}
        shares = {name: warps[name] * count * costs[name] for name, count in counts.items()}
        rows = sum(events[name] for name in READING) + program.warps * events["bounded_row"]
        total = sum(shares.values())
        limit = f" (at most {LIMITS[size]:,})" if size in LIMITS else ""
        print(f"{size} positions: {total:,.0f} instructions{limit}, {program.warps} warps, {rows:,.0f} rows read")
        for name, share in shares.items():
            if share:
                count = f"{counts[name]:10,.1f} x {costs[name]:7,.1f}"
                print(f"  {name or 'once':12} {count} = {share:12,.0f}  {share / total:4.0%}")


if __name__ == "__main__":
    main()
