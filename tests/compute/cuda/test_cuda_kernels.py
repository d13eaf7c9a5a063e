# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels against SciPy, on a GPU and emulated on the CPU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from emulation.device import EmulatedDevice, EmulationError
from oracle import greedy_columns, optimum

from simplugins.compute.engines.cuda import launcher
from simplugins.compute.engines.cuda.launcher import Batch
from simplugins.compute.engines.cuda.programs import Program

FLOAT, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
SMALL_SIZES = [(1, 1), (1, 7), (2, 2), (5, 5), (31, 31), (32, 40), (33, 33), (9, 62), (49, 49), (63, 63), (64, 64)]
"""These have an assignment kernel of their own in float32."""
SIZES = [(1, 1), (2, 2), (5, 64), (33, 33), (64, 66), (80, 80), (100, 131)]
LARGE_SIZES = [(196, 196), (260, 260), (250, 300), (520, 520)]

KINDS = {
    "normal": lambda rng, r, c: rng.normal(size=(r, c)),
    "ties": lambda rng, r, c: rng.integers(0, 3, (r, c)),
    "constant": lambda rng, r, c: np.full((r, c), -2.5),
    "zero": lambda rng, r, c: np.zeros((r, c)),
    "rank one": lambda rng, r, c: np.outer(rng.lognormal(0, 2, r), rng.lognormal(0, 2, c)),
    "rectified": lambda rng, r, c: np.maximum(rng.normal(size=(r, 8)), 0) @ np.maximum(rng.normal(size=(8, c)), 0),
    "sparse": lambda rng, r, c: rng.random((r, c)) < 0.1,
    "huge": lambda rng, r, c: 1e35 * rng.normal(size=(r, c)),
    "tiny": lambda rng, r, c: 1e-35 * rng.normal(size=(r, c)),
    "outlier": lambda rng, r, c: rng.random((r, c)) + 1e8 * (np.arange(r * c) == 0).reshape(r, c),
    "offset": lambda rng, r, c: 1e4 + rng.random((r, c)),
    "negative": lambda rng, r, c: -rng.lognormal(0, 3, (r, c)),
}


def lay_out(device, affinities, dtype):
    """Stack matrices in a wider one that is NaN elsewhere, as a batch."""
    width = max(a.shape[1] for a in affinities) + 3
    matrix = np.full((sum(len(a) for a in affinities), width), np.nan, dtype)
    problems, row = [], 0
    for k, affinity in enumerate(affinities):
        column = k % (width - affinity.shape[1] + 1)
        problems.append([row, row + len(affinity), column, column + affinity.shape[1]])
        matrix[row : row + len(affinity), column : column + affinity.shape[1]] = affinity
        row += len(affinity)
    largest = max(max(a.shape) for a in affinities)
    return Batch(device.upload(matrix), device.upload(np.array(problems)), len(problems), largest)


def solve(device, affinities, dtype, real):
    batch = lay_out(device, affinities, dtype)
    columns = device.empty((batch.count, max(len(a) for a in affinities)), np.dtype(np.int32))
    solved = launcher.solve(device, batch, real, columns)()
    return solved, [row[: len(a)] for row, a in zip(device.download(columns)(), affinities, strict=True)]


def check_solved(device, affinities, dtype, real):
    affinities = [np.asarray(a, dtype) for a in affinities]
    with device:
        solved, columns = solve(device, affinities, dtype, real)
    for k, (affinity, assignment) in enumerate(zip(affinities, columns, strict=True)):
        exact = affinity.astype(np.float64)
        assert len(set(assignment.tolist())) == len(assignment)
        matched = exact[np.arange(len(exact)), assignment]
        best, magnitude = optimum(exact), np.abs(matched).sum()
        rounding = 1e-13 * max(magnitude, abs(solved.upper[k]))
        assert solved.values[k] == pytest.approx(matched.sum(), abs=rounding)
        assert solved.magnitudes[k] == pytest.approx(magnitude, abs=rounding)
        assert solved.upper[k] >= best - rounding
        assert best - solved.values[k] <= solved.upper[k] - solved.values[k] + rounding
        # Prices span the same range as affinities, which limits how far rounding loosens the bound.
        span = len(exact) * max(np.ptp(exact), np.abs(exact).max()) * np.finfo(real).eps
        span += sum(exact.shape) * float(np.finfo(real).tiny) * bool(magnitude)
        assert solved.upper[k] - solved.values[k] <= 4 * span + rounding
        assert best - solved.values[k] <= 2 * span + rounding


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dtype", "real"), [(FLOAT, FLOAT), (FLOAT, DOUBLE), (DOUBLE, DOUBLE)], ids=str)
def test_assignments_are_optimal_with_tight_bounds(device, kind, dtype, real):
    rng = np.random.default_rng(len(kind))
    check_solved(device, [KINDS[kind](rng, *size) for size in SMALL_SIZES], dtype, real)
    check_solved(device, [KINDS[kind](rng, *size) for size in SIZES], dtype, real)


@pytest.mark.parametrize("sizes", [SMALL_SIZES, SIZES, [(240, 240), (250, 300)]], ids=["small", "middle", "large"])
@pytest.mark.parametrize("seed", [0, 1])
def test_shared_memory_is_read_only_where_it_was_written(sizes, seed):
    rng, device = np.random.default_rng(0), EmulatedDevice(seed=seed, checked=True)
    check_solved(device, [KINDS["ties" if seed else "rectified"](rng, *size) for size in sizes], FLOAT, FLOAT)


def not_finite(rng, rows, columns, dtype):
    """Yield matrices with some rows, columns or entries that are infinite or NaN, and such as overflow."""
    for value in (np.inf, -np.inf, np.nan):
        for part in (np.s_[:], np.s_[0], np.s_[:, -1], np.s_[::2], rng.random((rows, columns)) < 0.3):
            affinity = rng.normal(size=(rows, columns)).astype(dtype)
            affinity[part] = value
            yield affinity
    yield rng.choice([np.inf, -np.inf, np.nan, 1], (rows, columns)).astype(dtype)
    yield rng.choice([1, -1], (rows, columns)).astype(dtype) * np.finfo(dtype).max


def check_memory_alone(sizes, dtype, real, seed=0):
    rng, device = np.random.default_rng(seed), EmulatedDevice(seed=seed, checked=True)
    affinities = [affinity for size in sizes for affinity in not_finite(rng, *size, dtype)]
    _, columns = solve(device, affinities, dtype, real)
    batch = lay_out(device, affinities, dtype)
    if real == dtype:
        greedy = device.empty((batch.count, max(len(a) for a in affinities)), np.dtype(np.int32))
        launcher.match_greedily(device, batch, greedy)()
        columns += [row[: len(a)] for row, a in zip(greedy, affinities, strict=True)]
    for affinity, assignment in zip([*affinities, *affinities], columns, strict=False):
        matched = assignment[assignment >= 0]
        assert (matched < affinity.shape[1]).all()
        assert len(set(matched.tolist())) == len(matched)


@pytest.mark.parametrize("sizes", [[(1, 1), (5, 7), (64, 64)], [(100, 131)]], ids=["small", "middle"])
def test_affinities_that_are_not_finite_do_no_harm(sizes):
    """Their results mean nothing, but the CUDA kernels end, and do not touch memory that is not theirs."""
    check_memory_alone(sizes, FLOAT, FLOAT)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sizes", [SMALL_SIZES, SIZES, [(260, 260), (250, 300)], [(1100, 1100)]], ids=lambda s: str(s[0])
)
@pytest.mark.parametrize(("dtype", "real"), [(FLOAT, FLOAT), (FLOAT, DOUBLE), (DOUBLE, DOUBLE)], ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_affinities_of_any_size_and_type_that_are_not_finite_do_no_harm(sizes, dtype, real, seed):
    if len(sizes) > 1 or real == FLOAT:
        check_memory_alone(sizes, dtype, real, seed)


def test_affinities_near_the_limits_of_floats_have_no_bound(device):
    """So that they are solved again with float64 prices."""
    affinities = [np.where(np.random.default_rng(0).random((n, n)) < 0.5, 3e38, -3e38) for n in (5, 64)]
    with device:
        solved, columns = solve(device, [a.astype(np.float32) for a in affinities], FLOAT, FLOAT)
    assert not (solved.upper - solved.values <= 1e-5 * solved.magnitudes).any()
    assert all(set(assignment) == set(range(len(assignment))) for assignment in columns)


@pytest.mark.parametrize("kind", ["rectified", "ties", "normal"])
def test_large_assignments_are_optimal_with_tight_bounds(device, kind):
    rng = np.random.default_rng(1)
    check_solved(device, [KINDS[kind](rng, *size) for size in LARGE_SIZES], FLOAT, FLOAT)


def test_real_activations_are_matched_optimally(device, layers):
    for name, layer in layers.items():
        sets = np.asarray(layer[:4], np.float32).reshape(4, layer.shape[1], -1).transpose(0, 2, 1)
        pairs = [(0, 1), (2, 3)] if name == "block4" else [(0, 1), (1, 2), (3, 0), (2, 2)]
        check_solved(device, [sets[i] @ sets[j].T for i, j in pairs], FLOAT, FLOAT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [FLOAT, DOUBLE], ids=str)
def test_greedy_matching_equals_the_oracle(device, kind, dtype):
    rng = np.random.default_rng(len(kind))
    shapes = [*SIZES, *((c, r) for r, c in SIZES), (196, 196), (300, 260)]
    affinities = [np.asarray(KINDS[kind](rng, *size), dtype) for size in shapes]
    with device:
        batch = lay_out(device, affinities, dtype)
        columns = device.empty((batch.count, max(len(a) for a in affinities)), np.dtype(np.int32))
        values = launcher.match_greedily(device, batch, columns)()
        assignments = device.download(columns)()
    for affinity, assignment, value in zip(affinities, assignments, values, strict=True):
        expected = greedy_columns(affinity)
        np.testing.assert_array_equal(assignment[: len(affinity)], expected)
        rows = np.flatnonzero(expected >= 0)
        matched = affinity[rows, expected[rows]].astype(np.float64)
        assert value == pytest.approx(matched.sum(), abs=1e-13 * np.abs(matched).sum())


@pytest.mark.parametrize("arch", [750, 900])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_results_do_not_depend_on_the_order_of_threads(arch, seed):
    rng = np.random.default_rng(0)
    affinities = [np.asarray(KINDS["ties"](rng, *size), FLOAT) for size in [*SIZES, (280, 280)]]
    in_turn = solve(EmulatedDevice(), affinities, FLOAT, FLOAT)
    at_random = solve(EmulatedDevice(seed=seed, arch=arch), affinities, FLOAT, FLOAT)
    np.testing.assert_equal(at_random[1], in_turn[1])
    np.testing.assert_array_equal(at_random[0].upper, in_turn[0].upper)


PASSAGES = {
    "before the last assignment": ("assignment", (16, 4), "advance(i, next, evicted);\n        }\n        barrier();"),
    "before rows are read": ("assignment", (2, 3), "choose_rows(i = bid_from_lists(i));\n                barrier();"),
    "after lists are made": (
        "assignment",
        (2, 3),
        "read_row<false>(mine, outside);\n                }\n                barrier();",
    ),
    "of a sum": ("assignment", (2, 3), "return over_threads<double, warp_sum>(value, exchanges[turn].sum, 0.0);"),
    "after a path": ("assignment", (2, 3), "flip(source, sink);\n        barrier();"),
    "before ranking": ("greedy", (2, 3), "problem_columns[i] = -1;\n    barrier();"),
}
"""The numbers of warps and slots, and what ends in a barrier. Without it, threads read before others write."""

SUM_WITHOUT_BARRIER = """double *by_warp = exchanges[turn].sum;
        turn ^= 1;
        value = warp_sum(value);
        if (lane() == 0) by_warp[warp()] = value;
        return warp_sum(lane() < WARPS ? by_warp[lane()] : 0.0);"""


@dataclass(frozen=True)
class Shortened(Program):
    """A program without the barrier of a passage."""

    passage: str = ""

    @property
    def source(self):
        original = Program.source.func(self)
        assert original.count(self.passage) == 1
        without = self.passage.rsplit("\n", 1)[0] if "\n" in self.passage else SUM_WITHOUT_BARRIER
        return original.replace(self.passage, without)


@pytest.mark.parametrize("barrier", PASSAGES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_missing_barrier_is_detected(monkeypatch, barrier, seed):
    kernel, (warps, slots), passage = PASSAGES[barrier]
    shape = {"kernel": kernel, "warps": warps, "slots": slots, "staged": False, "affinity": FLOAT, "real": FLOAT}
    rng, device = np.random.default_rng(0), EmulatedDevice(seed=seed, checked=True)
    affinities = [np.asarray(KINDS[kind](rng, 150, 150), FLOAT) for kind in ("ties", "rectified", "normal")]

    def run(program):
        monkeypatch.setattr(launcher, "program_for", lambda *_: program)
        batch = lay_out(device, affinities, FLOAT)
        columns = device.empty((batch.count, 150), np.dtype(np.int32))
        if kernel == "greedy":
            return launcher.match_greedily(device, batch, columns)(), columns
        return launcher.solve(device, batch, FLOAT, columns)().upper, columns

    expected = run(Program(**shape))
    try:
        results = run(Shortened(**shape, passage=passage))
    except EmulationError:
        return
    assert any(not np.array_equal(a, b) for a, b in zip(results, expected, strict=True))
