# SPDX-License-Identifier: Apache-2.0
"""The cost of an RSM, estimated from some of its pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from simplugins._common.formatting import counted, human_bytes, human_count, human_time
from simplugins._common.validation import check_count, error_prefix
from simplugins.activations.activations import Activations
from simplugins.activations.preparation import Center, Normalize
from simplugins.compute.memory import peak_bytes, result_bytes
from simplugins.matching.matcher import Matcher
from simplugins.measures.cost.calibration import MOST_POSITIONS, Speed, calibrate, extrapolated
from simplugins.measures.cost.planned import Counts, Opener, PlannedCall
from simplugins.measures.cost.samples import Source
from simplugins.measures.cost.synthetic import synthetic_activations


@dataclass(frozen=True, repr=False)
class Estimate:
    """The estimated cost of an RSM.

    Attributes
    ----------
    seconds : float
        Time of the whole call, without imports and compilation.
    pairs : int
        Pairs that are matched: ``N (N - 1) / 2``, or ``N M`` with other inputs.
    seconds_per_pair : float
        Time of each further pair with all threads at work; a call with few pairs also has fixed
        costs.
    result_bytes : int
        Size of the RSM.
    memory_bytes : int
        Peak memory of the process, including activations and RSM; see `simplugins.compute.memory`.
    threads : int
    metadata : mapping
        The call: "inputs", "other_inputs" (or None), "positions", "channels", "measure", "matching",
        "matching_options", "dtype", "certify", "center", "normalize", "engine"; and its sample: "sampled" ("synthetic
        activations" or "activations") and "sampled_pairs".

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
    metadata: Mapping[str, Any]

    def __repr__(self) -> str:
        return (
            f"Estimate: about {human_time(self.seconds)} for {human_count(self.pairs)} pairs "
            f"({human_time(self.seconds_per_pair)} each, {counted(self.threads, 'thread')}); the RSM takes "
            f"{human_bytes(self.result_bytes)}; memory about {human_bytes(self.memory_bytes)}"
        )

    def summary(self) -> dict[str, str]:
        """Return a human-readable summary as a dict of strings."""
        metadata = self.metadata
        other = metadata["other_inputs"]
        options = ", ".join(f"{name} {value}" for name, value in metadata["matching_options"].items())
        matching = metadata["matching"] or "none"
        return {
            "inputs": f"{metadata['inputs']:,}" + ("" if other is None else f" with {other:,} other inputs"),
            "pairs": f"{self.pairs:,}",
            "positions, channels": f"{metadata['positions']:,}, {metadata['channels']:,} ({metadata['dtype']})",
            "measure": metadata["measure"] + (", certified" if metadata["certify"] else ""),
            "matching": matching + (f" ({options})" if options else ""),
            "time": f"about {human_time(self.seconds)}",
            "time per pair": f"{human_time(self.seconds_per_pair)}, {counted(self.threads, 'thread')}",
            "size of the RSM": human_bytes(self.result_bytes),
            "memory": f"about {human_bytes(self.memory_bytes)}, including activations and RSM",
            "estimated from": f"{counted(metadata['sampled_pairs'], 'pair')} of {metadata['sampled']}",
        }


def estimate(
    inputs: int,
    positions: int,
    channels: int,
    *,
    other_inputs: int | None = None,
    measure: Any = "semantic-cosine",
    measure_options: Mapping[str, Any] | None = None,
    matching: str | Matcher | None = None,
    matching_options: Mapping[str, Any] | None = None,
    dtype: DTypeLike | None = None,
    center: Center | None = None,
    normalize: Normalize | None = None,
    certify: bool = False,
    engine: str = "auto",
    threads: int | None = None,
    seconds: float = 3.0,
) -> Estimate:
    """Estimate the cost of the RSM of activations of a given size on this machine.

    Synthetic activations of that size, made from the bundled ones, are compared for a few seconds. The time of a
    matching depends on the data, so `estimate_for` is more accurate once there are activations.

    Parameters
    ----------
    inputs, positions, channels : int
        N inputs, each a set of S positions with C channels.
    other_inputs : int, optional
        M other inputs to compare with; by default the inputs are compared with each other.
    measure, measure_options, center, normalize, matching, matching_options, certify, engine, threads
        As for `compute_rsm`.
    dtype : float32 or float64, optional
        Type of the activations in memory and of the computation; by default float32.
    seconds : float, default 3
        Time to spend. At least three pairs per thread are matched, which takes longer for very large sets.

    Returns
    -------
    Estimate
        Mostly within a fifth of the time measured on real activations of 25 to 2,304 positions, and within a factor of
        1.8 at 3,136 (docs/cost.md). Beyond 4,096 positions it is extrapolated from sets of 1,024 and of 4,096.

    Raises
    ------
    ValueError
        If there are fewer than two inputs (one, with other inputs), a number or name is invalid, or the measure is not
        computed pair by pair.
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
    counts = Counts.checked(inputs, other_inputs)
    call = PlannedCall.resolved(
        measure,
        measure_options,
        matching,
        matching_options,
        certify=certify,
        engine=engine,
        threads=threads,
        center=center,
        normalize=normalize,
    )
    computed_in = Activations.from_array(np.ones((1, 1), np.float32), dtype=dtype).dtype

    def sample(size: int, count: int) -> Opener:
        array = synthetic_activations(count, size, channels).astype(computed_in, copy=False)
        return partial(Activations.from_array, array)

    def speed_at(size: int, seconds: float) -> Speed:
        opener = call.prepared(partial(sample, size))
        return calibrate(call, opener, opener, counts, size * channels * computed_in.itemsize, seconds)

    if positions <= MOST_POSITIONS:
        speed = speed_at(positions, seconds)
    else:
        smaller = MOST_POSITIONS // 4
        speed = extrapolated(speed_at(smaller, seconds / 2), smaller, speed_at(MOST_POSITIONS, seconds / 2), positions)
    one = Activations.from_array(np.broadcast_to(computed_in.type(1), (1, positions, channels)))
    activations_bytes = counts.total * one.input_bytes
    return _estimate(call, counts, one, one, speed, activations_bytes, "synthetic activations")


def estimate_for(
    activations: Any,
    *,
    other: Any = None,
    inputs: int | None = None,
    other_inputs: int | None = None,
    measure: Any = "semantic-cosine",
    measure_options: Mapping[str, Any] | None = None,
    layout: str = "auto",
    mask: Any = None,
    other_mask: Any = None,
    drop_tokens: int | Sequence[int] = 0,
    matching: str | Matcher | None = None,
    matching_options: Mapping[str, Any] | None = None,
    dtype: DTypeLike | None = None,
    center: Center | None = None,
    normalize: Normalize | None = None,
    certify: bool = False,
    engine: str = "auto",
    threads: int | None = None,
    seconds: float = 3.0,
) -> Estimate:
    """Estimate the cost of the RSM of given activations on this machine, from a sample of their pairs.

    Only the inputs of the sample are read.

    Parameters
    ----------
    activations, other : array, path, list of arrays, or Activations
        As for `compute_rsm`.
    inputs, other_inputs : int, optional
        Numbers of inputs to estimate for; by default those of the activations. Without `other`, other inputs are like
        these.
    layout, mask, other_mask, drop_tokens, measure, measure_options, matching, matching_options, dtype, certify, engine
        As for `compute_rsm`.
    center, normalize
        As for `compute_rsm`; the sample is centred by its own mean, which takes as long.
    threads : int, optional
        As for `compute_rsm`.
    seconds : float, default 3
        Time to spend. At least three pairs per thread are matched, which takes longer for very large sets.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError, TypeError
        As for `compute_rsm`, for the inputs that are read; or if a number is invalid.

    Examples
    --------
    >>> import simplugins
    >>> from simplugins.data import load_photos
    >>> simplugins.estimate_for(load_photos()["block15"], seconds=0.1).pairs
    276
    """
    _check_seconds(seconds)
    options: dict[str, Any] = {"layout": layout, "dtype": dtype, "drop_tokens": drop_tokens}
    rows = columns = Source.open(activations, {"mask": mask, **options})
    x = y = rows.probe()
    if other is not None:
        with error_prefix("other"):
            columns = Source.open(other, {"mask": other_mask, **options})
            y = columns.probe()
        other_inputs = columns.count if other_inputs is None else other_inputs
    elif other_mask is not None:
        raise ValueError("other_mask needs other=, which is missing")
    counts = Counts.checked(rows.count if inputs is None else inputs, other_inputs)
    call = PlannedCall.resolved(
        measure,
        measure_options,
        matching,
        matching_options,
        certify=certify,
        engine=engine,
        threads=threads,
        center=center,
        normalize=normalize,
    )
    call.job(x, y).operation.check(x, y)
    samples = call.prepared(rows.sample), call.prepared(columns.sample)
    speed = calibrate(call, *samples, counts, max(x.input_bytes, y.input_bytes), seconds)
    activations_bytes = rows.bytes_in_memory(counts.inputs, x) + columns.bytes_in_memory(counts.other_inputs or 0, y)
    return _estimate(call, counts, x, y, speed, activations_bytes, "activations")


def _estimate(
    call: PlannedCall,
    counts: Counts,
    x: Activations,
    y: Activations,
    speed: Speed,
    activations_bytes: int,
    sampled: str,
) -> Estimate:
    job = call.job(x, None if counts.other_inputs is None else y)
    description = job.operation.describe()
    peak = peak_bytes(job, counts.inputs, counts.columns, call.measure.kernel, threads=call.threads)
    return Estimate(
        seconds=speed.seconds(counts.total, counts.pairs),
        pairs=counts.pairs,
        seconds_per_pair=speed.per_pair,
        result_bytes=result_bytes(counts.inputs, counts.columns),
        memory_bytes=activations_bytes + peak,
        threads=call.threads,
        metadata={
            "inputs": counts.inputs,
            "other_inputs": counts.other_inputs,
            "positions": max(int(x.positions.max()), int(y.positions.max())),
            "channels": x.channels,
            "measure": call.measure.name,
            "matching": description["matching"],
            "matching_options": description["matching_options"],
            "dtype": str(np.result_type(x.dtype, y.dtype)),
            "certify": call.options.certify,
            **call.preparation.describe(),
            "engine": call.options.engine,
            "sampled": sampled,
            "sampled_pairs": speed.pairs,
        },
    )


def _check_seconds(seconds: float) -> None:
    if not 0 < seconds < math.inf:
        raise ValueError(f"seconds must be a positive number, got {seconds!r}")
