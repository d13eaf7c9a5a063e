# SPDX-License-Identifier: Apache-2.0
"""Estimates: what an RSM will cost, in time and memory, before it is computed.

Some inputs are compared as the whole run would compare them, on this machine and with the same threads: a few of the
user's own, or stand-ins for real ones where there are none yet. What these took is extrapolated to all pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins import ondisk, plugins
from simplugins.activations import Activations, naming
from simplugins.data import load_photos
from simplugins.engines import check_engine
from simplugins.engines.cpu import BLOCK_INPUTS, CACHE_BYTES, TILE_BYTES
from simplugins.engines.pairs import check_pair
from simplugins.engines.threads import check_threads
from simplugins.matching.contract import Matcher
from simplugins.matching.options import check_count, matcher_options, resolve_matcher
from simplugins.measures import GROUP as MEASURES
from simplugins.measures import Measure, read

T = TypeVar("T")

Opener = Callable[[], Activations]
"""Reads and checks activations, which is timed too."""

DETAIL = 0.4
"""Noise that stand-ins get for the detail that resampled maps lack, as a share of each channel's deviation. With it,
matching them takes 0.8 to 1.1 times as long as matching real maps of 25 to 3,136 positions."""

MOST_POSITIONS = 4096
"""Stand-ins have so many positions at most; beyond, a power of the number of positions is extrapolated."""

SAMPLE_BYTES = 64 * 2**20
"""Sampled activations take so much memory at most, unless the least sample takes more."""

MATRICES = {"linear": 2, "cosine": 3, "rbf": 4}
"""How many matrices of the result's size there are at once, the result among them, when a kernel is applied."""

PROCESS_BYTES = 180 * 2**20
"""What Python takes with NumPy, SciPy and the compiled kernels, before there are any activations."""

TASK_BYTES = 360
"""What the engine's list of work takes for each tile."""

_ROUNDS = 5
"""The two largest samples are compared so many times at most."""

_PAIRS_A_THREAD = 3
"""The least sample gives each thread so many pairs, so that all are busy nearly all the time."""

_DEEP_POSITIONS, _SHALLOW_CHANNELS = 98, 112
"""Stand-ins of so many positions at most (midway between 49 and 196), and of more channels, are made of the deeper one
of the bundled layers."""

_LOOKED_AT = 8
"""So many inputs are looked at for what they are like."""


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
        Of the process at its peak, activations and RSM included; see `memory_of`.
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
            f"({human_time(self.seconds_per_pair)} each, {_counted(self.threads, 'thread')}); the RSM takes "
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
            "time for a pair": f"{human_time(self.seconds_per_pair)}, {_counted(self.threads, 'thread')}",
            "the RSM": human_bytes(self.result_bytes),
            "memory": f"about {human_bytes(self.memory_bytes)}, activations and RSM included",
            "estimated from": f"{_counted(made['sampled_pairs'], 'pair')} of {made['sampled']}",
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

    Stand-ins are made of the bundled activations, resampled to the size (see `stand_ins`), and compared for some
    seconds. How long a matching takes depends on what is matched, so `estimate_for` is the more exact once there are
    activations.

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
    counts = _Counts.of(inputs, others)
    run = _Run.of(measure, matching, certify=certify, engine=engine, threads=threads, **options)
    made_in = _computed_in(dtype)

    def speed_at(some: int, within: float) -> Speed:
        def sample(count: int) -> Opener:
            return partial(Activations.of, stand_ins(count, some, channels).astype(made_in, copy=False))

        return calibrate(run, sample, sample, counts, some * channels * made_in.itemsize, within)

    if positions <= MOST_POSITIONS:
        speed = speed_at(positions, seconds)
    else:
        fewer = MOST_POSITIONS // 4
        speed = extrapolated(speed_at(fewer, seconds / 2), fewer, speed_at(MOST_POSITIONS, seconds / 2), positions)
    size = _Size(counts, positions, channels, made_in)
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
    own = beside = _Source.of(activations, mask=mask, **how)
    x = y = own.some()
    if other is not None:
        with naming("other"):
            beside = _Source.of(other, mask=other_mask, **how)
            y = beside.some()
        others = beside.count if others is None else others
    elif other_mask is not None:
        raise ValueError("other_mask goes with other, which was not given")
    counts = _Counts.of(own.count if inputs is None else inputs, others)
    run = _Run.of(measure, matching, certify=certify, engine=engine, threads=threads, **options)
    _check_seconds(seconds)
    check_pair(x, y, run.matcher)
    largest = max(x.input_bytes, y.input_bytes)
    speed = calibrate(run, own.sample, beside.sample, counts, largest, seconds)
    positions = max(int(x.positions.max()), int(y.positions.max()))
    size = _Size(counts, positions, x.channels, np.result_type(x.dtype, y.dtype))
    given = own.bytes_in_memory(counts.inputs, x) + beside.bytes_in_memory(counts.others or 0, y)
    return _estimate(run, size, speed, given, "activations")


class _Counts(NamedTuple):
    """How many inputs are compared, and with how many others: None for each other."""

    inputs: int
    others: int | None

    @property
    def pairs(self) -> int:
        """How many pairs are matched."""
        return self.inputs * (self.inputs - 1) // 2 if self.others is None else self.inputs * self.others

    @property
    def total(self) -> int:
        """How many inputs and others there are."""
        return self.inputs + (self.others or 0)

    @property
    def largest(self) -> int:
        """The larger number."""
        return max(self.inputs, self.others or 0)

    def at_most(self, count: int) -> _Counts:
        """Return the same of no more than so many inputs, and others."""
        return _Counts(min(self.inputs, count), None if self.others is None else min(self.others, count))

    @classmethod
    def of(cls, inputs: int, others: int | None) -> _Counts:
        """Check that an RSM can have them; see `estimate`."""
        check_count("inputs", inputs)
        if others is not None:
            check_count("others", others)
        elif inputs < 2:
            raise ValueError(f"an RSM needs at least 2 inputs, got {inputs}")
        return cls(int(inputs), None if others is None else int(others))


class _Size(NamedTuple):
    """How large activations are."""

    counts: _Counts
    positions: int
    channels: int
    dtype: np.dtype[np.floating]

    @property
    def activations_bytes(self) -> int:
        """Bytes of all activations."""
        return self.counts.total * self.positions * self.channels * self.dtype.itemsize


@dataclass(frozen=True)
class _Run:
    """How an RSM is computed."""

    measure: Measure
    matcher: Matcher
    certify: bool
    engine: str
    threads: int

    @classmethod
    def of(
        cls,
        measure: str,
        matching: str | Matcher | None,
        *,
        certify: bool,
        engine: str,
        threads: int | None,
        **options: Any,
    ) -> _Run:
        """Find measure and matcher, and check that they fit; see `estimate`."""
        check_engine(engine)
        found = plugins.load(MEASURES, measure)
        if not isinstance(found, Measure):
            raise ValueError(f"estimates are for measures of ours, got {measure!r}")
        matcher = resolve_matcher(found.matching if matching is None else matching, **options)
        found.check_matcher(matcher)
        return cls(found, matcher, certify, engine, check_threads(threads))

    def __call__(self, x: Activations, y: Activations | None) -> None:
        """Compute the RSM of some inputs."""
        how: dict[str, Any] = {"certify": self.certify, "engine": self.engine, "threads": self.threads}
        self.measure(x, other=y, matching=self.matcher, **how)

    def fixed_cost(self, dtype: np.dtype[np.floating]) -> float:
        """Return the seconds of the smallest run there is, once everything is imported and compiled."""
        smallest = Activations.of(np.ones((2, 1, 1), dtype))
        self(smallest, None)
        return min(timed(lambda: self(smallest, None))[0] for _ in range(_ROUNDS))


@dataclass(frozen=True)
class Speed:
    """What was measured: a run takes ``fixed + per_input (N + M) + per_pair pairs`` seconds.

    Attributes
    ----------
    fixed, per_input, per_pair : float
        In seconds.
    pairs : int
        How many pairs the largest sample had.
    """

    fixed: float
    per_input: float
    per_pair: float
    pairs: int

    def seconds(self, inputs: int, pairs: int) -> float:
        """Return what so many inputs and pairs take."""
        return self.fixed + self.per_input * inputs + self.per_pair * pairs


def calibrate(
    run: _Run,
    rows: Callable[[int], Opener],
    columns: Callable[[int], Opener],
    counts: _Counts,
    input_bytes: int,
    seconds: float,
) -> Speed:
    """Measure how fast a run goes: samples are doubled while there is time for a larger one, or until they are all.

    Parameters
    ----------
    run : callable
        Computes the RSM of activations.
    rows, columns : callables
        Give what reads so many inputs, and so many others.
    counts : (int, int or None)
        How many there are of each in the run.
    input_bytes : int
        Of the largest input, converted.
    seconds : float
        How long to measure.

    Returns
    -------
    Speed
        What the last two samples tell. If the last is all that is to be compared, its time is the run's.
    """
    fixed = run.fixed_cost(rows(1)().dtype)
    started = perf_counter()

    def left() -> float:
        return seconds - (perf_counter() - started)

    samples: list[_Sample] = []
    for some in sample_sizes(counts, run.threads, input_bytes):
        if samples and fixed + (samples[-1].seconds - fixed) * some.pairs / samples[-1].counts.pairs > left():
            break
        opener = rows(some.inputs), None if some.others is None else columns(some.others)
        samples.append(_Sample.of(run, some, *opener))
    samples = samples[-2:]
    for _ in range(_ROUNDS - 1):
        if sum(sample.seconds for sample in samples) > left():
            break
        samples = [sample.timed_again(run) for sample in samples]
    largest = samples[-1]
    before = (samples[0].counts.pairs, samples[0].seconds) if len(samples) > 1 else (0, fixed)
    fixed, per_pair = line(before, (largest.counts.pairs, largest.seconds))
    return Speed(fixed, largest.reading / largest.counts.total, per_pair, largest.counts.pairs)


@dataclass(frozen=True)
class _Sample:
    """Some inputs, and what it took to read and to compare them: at the least, as all else only adds to it."""

    counts: _Counts
    x: Activations
    y: Activations | None
    reading: float
    seconds: float

    @classmethod
    def of(cls, run: _Run, counts: _Counts, rows: Opener, columns: Opener | None) -> _Sample:
        """Read a sample and compare it."""
        reading, (x, y) = timed(lambda: (rows(), None if columns is None else columns()))
        return cls(counts, x, y, reading, timed(lambda: run(x, y))[0])

    def timed_again(self, run: _Run) -> _Sample:
        """Compare the sample once more."""
        return replace(self, seconds=min(self.seconds, timed(lambda: run(self.x, self.y))[0]))


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Call, and return the seconds that took, and what came of it."""
    start = perf_counter()
    found = call()
    return perf_counter() - start, found


def sample_sizes(counts: _Counts, threads: int, input_bytes: int) -> Iterator[_Counts]:
    """Yield the sizes of samples, each twice the one before; the last is all, or as much as memory is given to."""
    least = math.isqrt(2 * _PAIRS_A_THREAD * threads) + 1
    most = min(counts.largest, max(least, SAMPLE_BYTES // input_bytes))
    while least < most:
        yield counts.at_most(least)
        least *= 2
    yield counts.at_most(most)


def line(fewer: tuple[int, float], more: tuple[int, float]) -> tuple[float, float]:
    """Return what a run takes once, and for each pair, by the pairs and seconds of two runs.

    Neither is below zero, and a pair takes a quarter of the larger run's mean at least, however noisy times are.

    Examples
    --------
    >>> line((10, 2.0), (30, 4.0))
    (1.0, 0.1)
    """
    pairs, seconds = more
    mean = seconds / pairs
    per_pair = min(max((seconds - fewer[1]) / (pairs - fewer[0]), mean / 4), mean)
    return seconds - per_pair * pairs, per_pair


def extrapolated(fewer: Speed, at: int, more: Speed, positions: int) -> Speed:
    """Return the speed for more positions than were measured: times go on growing by the same power, at most the third.

    Parameters
    ----------
    fewer, more : Speed
        For `at` and for `MOST_POSITIONS` positions.
    positions : int
    """
    power = min(3.0, math.log(more.per_pair / fewer.per_pair) / math.log(MOST_POSITIONS / at))
    times = positions / MOST_POSITIONS
    return replace(more, per_input=more.per_input * times, per_pair=more.per_pair * times**power)


@dataclass(frozen=True)
class _Source:
    """Activations of which some inputs are read, drawn at random."""

    array: Any
    how: Mapping[str, Any]
    count: int

    @classmethod
    def of(cls, activations: Any, **how: Any) -> _Source:
        """Open activations, without reading them if they are on disk."""
        found = read(activations)
        try:
            count = len(found)
        except TypeError as error:
            raise TypeError(f"expected activations, got {type(found).__name__}: {error}") from error
        if count == 0:
            raise ValueError("expected at least one input, got none")
        return cls(found, how, count)

    def sample(self, count: int) -> Opener:
        """Return what reads so many inputs; the same ones again, if there are not so many."""
        drawn = np.random.default_rng(0).permutation(self.count)[:count]

        def read_drawn() -> Activations:
            found = Activations.of(self.array, subset=drawn, **self.how)
            return found if count <= len(drawn) else found.chosen(np.resize(np.arange(len(drawn)), count))

        return read_drawn

    def some(self) -> Activations:
        """Read a few inputs, to see what they are like."""
        return self.sample(min(_LOOKED_AT, self.count))()

    def bytes_in_memory(self, count: int, some: Activations) -> int:
        """Return the bytes that so many inputs take as they are given, like some of them; none if they stay on disk."""
        if _stays_on_disk(self.array):
            return 0
        nbytes = getattr(self.array, "nbytes", None)
        return count * (some.input_bytes if nbytes is None else math.ceil(int(nbytes) / self.count))


def _stays_on_disk(array: Any) -> bool:
    """Whether the engine reads an array from disk, block by block."""
    if isinstance(array, Activations):
        return array.is_on_disk
    return ondisk.is_lazy(array) or ondisk.address_of(array) is not None


def stand_ins(count: int, positions: int, channels: int) -> NDArray[np.float32]:
    """Make activations that are about as hard to match as real ones of a size.

    The bundled responses of a network to photographs (112 channels, 14 × 14 positions; for small maps of more channels
    320 of 7 × 7) are resampled, bilinearly, to a map of so many positions, as square as these allow. Fewer channels
    are drawn from all, more are random mixtures of them. Noise of `DETAIL` of each channel's deviation, another for
    each input, stands for the detail that resampled maps do not have, and makes more inputs of the 24.

    Parameters
    ----------
    count, positions, channels : int
        N, S and C.

    Returns
    -------
    (N, S, C) float32 array
        A view of an array (N, C, S), as a network's maps are. The same for the same numbers.

    Examples
    --------
    >>> stand_ins(3, 50, 8).shape
    (3, 50, 8)
    """
    rng = np.random.default_rng(0)
    deep = positions <= _DEEP_POSITIONS and channels > _SHALLOW_CHANNELS
    maps = _channels(_photographs("block15" if deep else "block10"), channels, rng)
    height = math.isqrt(positions)
    width = math.ceil(positions / height)
    rows, columns = (_resampling(old, new) for old, new in zip(maps.shape[2:], (height, width), strict=True))
    resampled = (rows @ maps @ columns.T).reshape(*maps.shape[:2], -1)[:, :, :positions]
    deviations = maps.std((0, 2, 3))[:, None]
    noise = rng.standard_normal((count, channels, positions), np.float32)
    noise *= np.float32(DETAIL) * deviations
    noise += np.resize(resampled, noise.shape)
    return noise.transpose(0, 2, 1)


@cache
def _photographs(layer: str) -> NDArray[np.float32]:
    """Return the bundled maps of a layer, such that the first are of different photographs."""
    photos = load_photos()
    order = np.argsort(np.arange(len(photos["photo"])) % 4, kind="stable")  # 4 crops of each
    return photos[layer][order].astype(np.float32)


def _channels(maps: NDArray[np.float32], channels: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return some channels, or, where there are not so many, random mixtures of all."""
    there = maps.shape[1]
    if channels <= there:
        return maps[:, np.sort(rng.choice(there, channels, replace=False))]
    mixing = rng.standard_normal((channels, there), np.float32) / np.float32(math.sqrt(channels))
    mixed = mixing @ maps.reshape(len(maps), there, -1)
    return np.asarray(mixed.reshape(len(maps), channels, *maps.shape[2:]), np.float32)


def _resampling(old: int, new: int) -> NDArray[np.float32]:
    """Return the (new, old) weights of linear interpolation between the centres of cells.

    Examples
    --------
    >>> _resampling(2, 4)
    array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.25, 0.75],
           [0.  , 1.  ]], dtype=float32)
    """
    places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    distances = np.abs(places[:, None] - np.arange(old)[None, :])
    return np.asarray(np.maximum(0, 1 - distances), np.float32)


def memory_of(size: _Size, run: _Run, activations_bytes: int) -> int:
    """Return the bytes that a run takes at its peak, on the CPU.

    That is: the process, the activations as they are given, blocks of them converted (see `simplugins.engines.cpu`),
    for each thread a tile of affinities and the costs of a pair, and matrices of the result's size: while pairs are
    matched that of their products, and the list of work beside it; then those of the kernel. A certified run keeps
    one more.

    Parameters
    ----------
    size : _Size
    run : _Run
    activations_bytes : int
        What the given activations take in memory.
    """
    result = result_bytes(size.counts)
    width = size.positions if run.matcher.window is None or run.certify else min(size.positions, run.matcher.window)
    pair = size.positions * width * size.dtype.itemsize
    converted = min(CACHE_BYTES, size.activations_bytes)
    working = run.threads * (max(TILE_BYTES, pair) + pair)
    tiles = math.ceil(size.counts.pairs / min(BLOCK_INPUTS, max(1, TILE_BYTES // pair)))
    matrices = max(result + TASK_BYTES * tiles, MATRICES[run.measure.kernel] * result)
    return PROCESS_BYTES + activations_bytes + converted + working + matrices + (result if run.certify else 0)


def result_bytes(counts: _Counts) -> int:
    """Return the bytes of an RSM: float64, N × N or N × M."""
    return 8 * counts.inputs * (counts.inputs if counts.others is None else counts.others)


def _estimate(run: _Run, size: _Size, speed: Speed, activations_bytes: int, sampled: str) -> Estimate:
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
    """Return what activations are computed in; see `Activations.of`."""
    return Activations.of(np.ones((1, 1), np.float32), dtype=dtype).dtype


def _check_seconds(seconds: float) -> None:
    if not 0 < seconds < math.inf:
        raise ValueError(f"seconds must be a number above 0, got {seconds!r}")


def human_time(seconds: float) -> str:
    """Write a time in the unit that people would use, to two or three digits.

    Examples
    --------
    >>> [human_time(s) for s in (0.0000216, 0.126e-3, 0.0514, 1.5, 95, 600, 158_000, 1e6, 1e13)]
    ['21.6 µs', '0.126 ms', '51.4 ms', '1.5 s', '95 s', '10 minutes', '44 hours', '12 days', '320,000 years']
    """
    for limit, unit, name, digits in _TIMES:
        if seconds < limit:
            return f"{_rounded(seconds / unit, digits)} {name}"
    raise ValueError(f"expected a time in seconds, got {seconds!r}")


_HOUR, _DAY, _YEAR = 3600.0, 86400.0, 365.25 * 86400.0
_TIMES = (
    (1e-4, 1e-6, "µs", 3),
    (1.0, 1e-3, "ms", 3),
    (10.0, 1.0, "s", 2),
    (120.0, 1.0, "s", 2),
    (2 * _HOUR, 60.0, "minutes", 2),
    (2 * _DAY, _HOUR, "hours", 2),
    (2 * _YEAR, _DAY, "days", 2),
    (math.inf, _YEAR, "years", 2),
)
"""Up to which time to write it in which unit, and to how many digits."""


def human_bytes(count: float) -> str:
    """Write a number of bytes, in units of a thousand.

    Examples
    --------
    >>> [human_bytes(b) for b in (8, 80_000, 455e6, 20e9, 8e12)]
    ['8 bytes', '80 kB', '455 MB', '20 GB', '8 TB']
    """
    units = ("bytes", "kB", "MB", "GB", "TB", "PB")
    power = min(len(units) - 1, int(math.log10(max(1.0, count)) // 3))
    return f"{_rounded(count / 1000**power, 3)} {units[power]}"


def human_count(count: int) -> str:
    """Write a number, shortly where it is large.

    Examples
    --------
    >>> [human_count(n) for n in (276, 499_500, 1_249_975_000)]
    ['276', '499,500', '1.25e9']
    """
    if count < 10_000_000:
        return f"{count:,}"
    power = int(math.log10(count))
    return f"{count / 10**power:.3g}e{power}"


def _counted(count: int, thing: str) -> str:
    return f"{human_count(count)} {thing}" + ("" if count == 1 else "s")


def _rounded(number: float, digits: int) -> str:
    """Write a number to so many digits, and never with an exponent."""
    rounded = float(f"{number:.{digits}g}")
    return f"{rounded:,.0f}" if rounded >= 10 ** (digits - 1) else f"{rounded:g}"
