# SPDX-License-Identifier: Apache-2.0
"""What an RSM will cost, by what some of its pairs do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from simplugins._common.formatting import counted, human_bytes, human_count, human_time
from simplugins._common.validation import check_count, naming
from simplugins.activations.activations import Activations
from simplugins.compute.engines.pairs import check_pair
from simplugins.matching.matcher import Matcher
from simplugins.matching.options import matcher_options
from simplugins.measures.cost.calibration import MOST_POSITIONS, Opener, Speed, calibrate, extrapolated
from simplugins.measures.cost.peak_memory import memory_of, result_bytes
from simplugins.measures.cost.planned import Counts, PlannedRun, Size
from simplugins.measures.cost.samples import Source
from simplugins.measures.cost.synthetic import stand_ins


@dataclass(frozen=True, repr=False)
class Estimate:
    """What an RSM will cost.

    Attributes
    ----------
    seconds : float
        Of the whole run, without importing and compiling.
    pairs : int
        How many pairs are matched: ``N (N - 1) / 2``, or ``N M`` with others.
    seconds_per_pair : float
        What each further pair adds, all threads working: so a run of few pairs takes longer than their number times
        this.
    result_bytes : int
        Of the RSM.
    memory_bytes : int
        Of the process at its peak, activations and RSM included; see `simplugins.measures.cost.peak_memory`.
    threads : int
    made : mapping
        What it is for: "inputs", "others" (or None), "positions", "channels", "measure", "matching",
        "matching_options", "dtype", "certify", "engine"; and what it is from: "sampled" ("stand-ins" or "activations")
        and "sampled_pairs".

    Examples
    --------
    >>> Estimate(158_000.0, 1_249_975_000, 1.26e-4, 20_000_000_000, 60_000_000_000, 2, {})
    Estimate: about 44 hours for 1.25e9 pairs (0.126 ms each, 2 threads); the RSM takes 20 GB; memory about 60 GB
    """

    seconds: float
    pairs: int
    seconds_per_pair: float
    result_bytes: int
    memory_bytes: int
    threads: int
    made: Mapping[str, Any]

    def __repr__(self) -> str:
        return (
            f"Estimate: about {human_time(self.seconds)} for {human_count(self.pairs)} pairs "
            f"({human_time(self.seconds_per_pair)} each, {counted(self.threads, 'thread')}); the RSM takes "
            f"{human_bytes(self.result_bytes)}; memory about {human_bytes(self.memory_bytes)}"
        )

    def summary(self) -> dict[str, str]:
        """Return all there is to tell, as texts by name."""
        made = self.made
        others = "" if made["others"] is None else f" with {made['others']:,} others"
        options = ", ".join(f"{name} {value}" for name, value in made["matching_options"].items())
        return {
            "inputs": f"{made['inputs']:,}{others}",
            "pairs": f"{self.pairs:,}",
            "positions, channels": f"{made['positions']:,}, {made['channels']:,} ({made['dtype']})",
            "measure": made["measure"] + (", certified" if made["certify"] else ""),
            "matching": made["matching"] + (f" ({options})" if options else ""),
            "time": f"about {human_time(self.seconds)}",
            "time for a pair": f"{human_time(self.seconds_per_pair)}, {counted(self.threads, 'thread')}",
            "the RSM": human_bytes(self.result_bytes),
            "memory": f"about {human_bytes(self.memory_bytes)}, activations and RSM included",
            "estimated from": f"{counted(made['sampled_pairs'], 'pair')} of {made['sampled']}",
        }


def estimate(
    inputs: int,
    positions: int,
    channels: int,
    *,
    others: int | None = None,
    measure: str = "semantic-cosine",
    matching: str | Matcher | None = None,
    dtype: DTypeLike | None = None,
    certify: bool = False,
    engine: str = "cpu",
    threads: int | None = None,
    seconds: float = 3.0,
    **options: Any,
) -> Estimate:
    """Estimate what the RSM of activations of a size will cost on this machine.

    Stand-ins are made of the bundled activations, resampled to the size (`simplugins.measures.cost.synthetic`), and
    compared for some seconds. How long a matching takes depends on what is matched, so `estimate_for` is the more exact
    once there are activations.

    Parameters
    ----------
    inputs, positions, channels : int
        N inputs, each a set of S positions of C channels.
    others : int, optional
        M other inputs to compare with; without, the inputs are compared with each other.
    measure, matching, certify, engine, threads, **options
        As for `compute_rsm`; a measure of ours.
    dtype : float32 or float64, optional
        What to compute in, and what the activations in memory are; by default float32.
    seconds : float, default 3
        How long to try. At least three pairs a thread are matched, which takes longer for very large sets.

    Returns
    -------
    Estimate
        Mostly within a fifth of what was measured on real activations of 25 to 2,304 positions, and within a factor of
        1.8 at 3,136 (docs/cost.md). Beyond 4,096 positions the time is extrapolated from sets of 1,024 and of 4,096.

    Raises
    ------
    ValueError
        If there are fewer than two inputs (one, with others), or a number or name is impossible.
    TypeError
        If an option is unknown, or the dtype is neither float32 nor float64.

    Examples
    --------
    >>> import simplugins
    >>> cost = simplugins.estimate(1000, positions=49, channels=320, seconds=0.1)
    >>> cost.pairs, cost.result_bytes
    (499500, 8000000)
    """
    for name, count in (("positions", positions), ("channels", channels)):
        check_count(name, count)
    _check_seconds(seconds)
    counts = Counts.of(inputs, others)
    run = PlannedRun.of(measure, matching, certify=certify, engine=engine, threads=threads, **options)
    made_in = _computed_in(dtype)

    def speed_at(some: int, within: float) -> Speed:
        def sample(count: int) -> Opener:
            return partial(Activations.from_array, stand_ins(count, some, channels).astype(made_in, copy=False))

        return calibrate(run, sample, sample, counts, some * channels * made_in.itemsize, within)

    if positions <= MOST_POSITIONS:
        speed = speed_at(positions, seconds)
    else:
        fewer = MOST_POSITIONS // 4
        speed = extrapolated(speed_at(fewer, seconds / 2), fewer, speed_at(MOST_POSITIONS, seconds / 2), positions)
    size = Size(counts, positions, channels, made_in)
    return _estimate(run, size, speed, size.activations_bytes, "stand-ins")


def estimate_for(
    activations: Any,
    *,
    other: Any = None,
    inputs: int | None = None,
    others: int | None = None,
    measure: str = "semantic-cosine",
    layout: str = "auto",
    mask: Any = None,
    other_mask: Any = None,
    drop_tokens: int | Sequence[int] = 0,
    matching: str | Matcher | None = None,
    dtype: DTypeLike | None = None,
    certify: bool = False,
    engine: str = "cpu",
    threads: int | None = None,
    seconds: float = 3.0,
    **options: Any,
) -> Estimate:
    """Estimate what the RSM of given activations will cost on this machine, from some of their own pairs.

    Only the inputs that are tried are read.

    Parameters
    ----------
    activations, other : array, path, list of arrays, or Activations
        As for `compute_rsm`.
    inputs, others : int, optional
        For how many inputs, and how many others, in place of as many as there are. Without `other`, `others` are as
        these inputs.
    layout, mask, other_mask, drop_tokens, measure, matching, dtype, certify, engine, threads, **options
        As for `compute_rsm`; a measure of ours.
    seconds : float, default 3
        How long to try. At least three pairs a thread are matched, which takes longer for very large sets.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError, TypeError
        As `compute_rsm`, for the inputs that are read; or if a number is impossible.

    Examples
    --------
    >>> import simplugins
    >>> from simplugins.data import load_photos
    >>> simplugins.estimate_for(load_photos()["block15"], seconds=0.1).pairs
    276
    """
    how: dict[str, Any] = {"layout": layout, "dtype": dtype, "drop_tokens": drop_tokens}
    own = beside = Source.of(activations, mask=mask, **how)
    x = y = own.some()
    if other is not None:
        with naming("other"):
            beside = Source.of(other, mask=other_mask, **how)
            y = beside.some()
        others = beside.count if others is None else others
    elif other_mask is not None:
        raise ValueError("other_mask goes with other, which was not given")
    counts = Counts.of(own.count if inputs is None else inputs, others)
    run = PlannedRun.of(measure, matching, certify=certify, engine=engine, threads=threads, **options)
    _check_seconds(seconds)
    check_pair(x, y, run.matcher)
    largest = max(x.input_bytes, y.input_bytes)
    speed = calibrate(run, own.sample, beside.sample, counts, largest, seconds)
    positions = max(int(x.positions.max()), int(y.positions.max()))
    size = Size(counts, positions, x.channels, np.result_type(x.dtype, y.dtype))
    given = own.bytes_in_memory(counts.inputs, x) + beside.bytes_in_memory(counts.others or 0, y)
    return _estimate(run, size, speed, given, "activations")


def _estimate(run: PlannedRun, size: Size, speed: Speed, activations_bytes: int, sampled: str) -> Estimate:
    counts = size.counts
    return Estimate(
        seconds=speed.seconds(counts.total, counts.pairs),
        pairs=counts.pairs,
        seconds_per_pair=speed.per_pair,
        result_bytes=result_bytes(counts),
        memory_bytes=memory_of(size, run, activations_bytes),
        threads=run.threads,
        made={
            "inputs": counts.inputs,
            "others": counts.others,
            "positions": size.positions,
            "channels": size.channels,
            "measure": run.measure.name,
            "matching": run.matcher.name,
            "matching_options": matcher_options(run.matcher),
            "dtype": str(size.dtype),
            "certify": run.certify,
            "engine": run.engine,
            "sampled": sampled,
            "sampled_pairs": speed.pairs,
        },
    )


def _computed_in(dtype: DTypeLike | None) -> np.dtype[np.floating]:
    """Return what activations are computed in; see `Activations.from_array`."""
    return Activations.from_array(np.ones((1, 1), np.float32), dtype=dtype).dtype


def _check_seconds(seconds: float) -> None:
    if not 0 < seconds < math.inf:
        raise ValueError(f"seconds must be a number above 0, got {seconds!r}")
