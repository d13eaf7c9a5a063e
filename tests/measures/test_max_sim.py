# SPDX-License-Identifier: Apache-2.0
"""MaxSim against plain NumPy in float64, and against the tools that define it."""

from __future__ import annotations

import gc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import aligned_product, max_sim
from scipy.spatial import cKDTree

import simplugins
from simplugins import Activations, compute_rsm, compute_rsms
from simplugins.compute.best_affinities import BestAffinities
from simplugins.compute.engines import best_matches
from simplugins.measures.max_sim import MaxSimCosine, MaxSimLinear, MaxSimRbf
from simplugins.testing import check_measure

MEASURES = {"linear": MaxSimLinear, "cosine": MaxSimCosine, "rbf": MaxSimRbf}
SIGMA = 3.0


def sets_of(sizes, channels=6, seed=0, *, rectified=False):
    rng = np.random.default_rng(seed)
    sets = [rng.normal(size=(size, channels)) for size in sizes]
    return [np.maximum(vectors, 0) for vectors in sets] if rectified else sets


def expected(kernel, xs, ys, direction):
    values = np.array([[max_sim(kernel, x, y) for y in ys] for x in xs])
    if direction == "both":
        values = (values + np.array([[max_sim(kernel, y, x) for y in ys] for x in xs])) / 2
    return np.exp(-values / (2 * SIGMA**2)) if kernel == "rbf" else values


@pytest.mark.parametrize("kernel", MEASURES)
@pytest.mark.parametrize("direction", ["both", "queries"])
@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 2e-6), ("float64", 1e-12)])
@pytest.mark.parametrize("rectified", [False, True])
def test_values_equal_the_oracle_on_sets_of_unequal_size(kernel, direction, dtype, rtol, rectified):
    xs = sets_of([1, 7, 40, 17, 16, 33], rectified=rectified)
    ys = sets_of([20, 1, 3, 50], seed=1, rectified=rectified)
    options = {"dtype": dtype, "sigma": SIGMA, "measure_options": {"direction": direction}}
    for other in (None, ys):
        rsm = compute_rsm(xs, f"max-sim-{kernel}", other=other, **options)
        truth = expected(kernel, xs, xs if other is None else ys, direction)
        np.testing.assert_allclose(rsm.values, truth, rtol=rtol, atol=rtol * np.abs(truth).max())
        assert (rsm.values == rsm.values.T).all() if other is None and direction == "both" else True


@pytest.mark.parametrize("kernel", MEASURES)
def test_rsms_average_both_directions_and_other_inputs_are_searched_by_queries(kernel):
    xs, ys = sets_of([4, 9, 2]), sets_of([5, 3], seed=1)
    for other, direction in ((None, "both"), (ys, "queries")):
        default = compute_rsm(xs, f"max-sim-{kernel}", other=other)
        stated = compute_rsm(xs, f"max-sim-{kernel}", other=other, measure_options={"direction": direction})
        np.testing.assert_array_equal(default.values, stated.values)
        assert default.metadata["measure_options"] == {"direction": direction}


def test_the_diagonal_follows_the_definition():
    sets = [np.array([[1.0, 0.0], [3.0, 0.0]])]
    linear = compute_rsm([*sets, *sets], "max-sim-linear").values
    np.testing.assert_array_equal(linear, 12)  # 3 + 9 exceeds the squared norm, 10
    zeros = [np.array([[0.0, 0.0], [1.0, 0.0]]), np.zeros((3, 2))]
    np.testing.assert_allclose(np.diag(compute_rsm(zeros, "max-sim-cosine")), [0.5, 0])
    np.testing.assert_array_equal(np.diag(compute_rsm(zeros, "max-sim-rbf")), 1)


def test_repeated_concept_vectors_are_at_distance_zero():
    a, b = np.eye(2)
    sets = [np.stack([a, b]), np.stack([a, a, b]), np.stack([a, a])]
    rsm = compute_rsm([*sets, 5 * sets[0]], "max-sim-rbf", sigma=1.0)
    assert rsm[0, 1] == 1
    assert rsm[0, 2] == pytest.approx(np.exp(-0.5))  # b is at distance 2 of a; the other direction is 0
    assert rsm.kernel == "rbf"
    assert rsm.sigma == 1


@pytest.mark.parametrize("kernel", MEASURES)
@pytest.mark.parametrize("direction", ["auto", "queries"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_masked_positions_are_ignored(kernel, direction, dtype):
    rng = np.random.default_rng(3)
    maps, mask = rng.normal(size=(6, 4, 3, 5)), rng.random((6, 3, 5)) < 0.6
    sets = [m.reshape(4, -1).T[use.ravel()] for m, use in zip(maps, mask, strict=True)]
    masked = np.where(mask[:, None], maps, np.nan)
    options = {"measure_options": {"direction": direction}, "dtype": dtype}
    rsm = compute_rsm(masked, f"max-sim-{kernel}", mask=mask, **options)
    np.testing.assert_allclose(rsm.values, compute_rsm(sets, f"max-sim-{kernel}", **options).values, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 20), min_size=2, max_size=7),
    tile_size=st.integers(1, 7),
    threads=st.integers(1, 3),
    kernel=st.sampled_from(list(MEASURES)),
    direction=st.sampled_from(["both", "queries"]),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_results_do_not_depend_on_tiles_and_threads(sizes, tile_size, threads, kernel, direction, dtype):
    sets, options = sets_of(sizes), {"dtype": dtype, "sigma": SIGMA, "measure_options": {"direction": direction}}
    whole = compute_rsm(sets, f"max-sim-{kernel}", threads=1, **options)
    for memory in (None, "16GB"):
        tiled = compute_rsm(sets, f"max-sim-{kernel}", tile_size=tile_size, threads=threads, memory=memory, **options)
        np.testing.assert_allclose(tiled.values, whole.values, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("affinity", ["product", "cosine", "distance"])
def test_results_do_not_depend_on_strips(affinity):
    x = Activations.from_array(np.random.default_rng(0).normal(size=(70, 20, 5)).astype(np.float32))
    best = BestAffinities(affinity, both=True)
    whole = best_matches.best_matches(x, None, best)
    for tile_bytes in (1, 5000):
        strips = best_matches.best_matches(x, None, best, tile_bytes=tile_bytes, threads=2)
        np.testing.assert_allclose(strips.values, whole.values, rtol=1e-5)


@pytest.mark.parametrize("kernel", MEASURES)
@pytest.mark.parametrize("direction", ["auto", "both", "queries"])
@pytest.mark.parametrize("with_other", [False, True])
def test_stores_hold_the_same_values(kernel, direction, with_other, tmp_path):
    sets, other = sets_of([5, 9, 1, 12, 4]), sets_of([3, 8], seed=1) if with_other else None
    options = {"other": other, "measure_options": {"direction": direction}, "tile_size": 2}
    expected = compute_rsm(sets, f"max-sim-{kernel}", **{**options, "tile_size": None})
    stored = compute_rsm(sets, f"max-sim-{kernel}", store=tmp_path / "rsm.zarr", **options)
    for rsm in (stored, simplugins.load_rsm(tmp_path / "rsm.zarr")):
        np.testing.assert_allclose(rsm.values, expected.values, rtol=1e-6, atol=1e-7)
        assert (rsm.measure, rsm.kernel, rsm.matching) == (expected.measure, expected.kernel, None)
        assert rsm.metadata["measure_options"] == expected.metadata["measure_options"]
        if kernel == "rbf":
            assert rsm.sigma == pytest.approx(expected.sigma, rel=1e-5)
    if kernel == "rbf":
        narrow = simplugins.load_rsm(tmp_path / "rsm.zarr", sigma=1.5)
        again = compute_rsm(sets, "max-sim-rbf", sigma=1.5, **{**options, "tile_size": None})
        np.testing.assert_allclose(narrow.values, again.values, rtol=1e-6, atol=1e-7)
    with pytest.raises(ValueError, match="semantic-cosine"):
        simplugins.load_rsm(tmp_path / "rsm.zarr", measure="semantic-cosine")


def test_a_store_of_one_direction_is_not_continued_in_the_other(tmp_path):
    sets = sets_of([5, 9, 1])
    compute_rsm(sets, "max-sim-linear", store=tmp_path / "rsm.zarr")
    with pytest.raises(ValueError, match=r"direction"):
        compute_rsm(sets, MaxSimLinear("queries"), store=tmp_path / "rsm.zarr")


def test_the_median_bandwidth_is_that_of_all_directed_pairs():
    xs = sets_of([4, 7, 5])
    distances = np.array([[max_sim("rbf", x, y) for y in xs] for x in xs])
    off = np.sort(distances[~np.eye(3, dtype=bool)])
    assert compute_rsm(xs, MaxSimRbf("queries")).sigma ** 2 == pytest.approx(off[2])
    both = np.sort(((distances + distances.T) / 2)[np.tril_indices(3, -1)])
    assert compute_rsm(xs, MaxSimRbf()).sigma ** 2 == pytest.approx(both[1])


@pytest.mark.parametrize("kernel", MEASURES)
@pytest.mark.parametrize("factors", [(1e-25, 1.0, 1e25, 1e25), (1e-30, 1e-30, 1e-30, 1e-29)])
def test_extreme_inputs_are_scaled(kernel, factors):
    sets = [factor * vectors for factor, vectors in zip(factors, sets_of([5, 8, 3, 6]), strict=True)]
    sigma = 1e25 if max(factors) > 1 else 1e-30
    for direction in ("both", "queries"):
        options = {"dtype": "float32", "sigma": sigma, "measure_options": {"direction": direction}}
        values = compute_rsm(sets, f"max-sim-{kernel}", **options).values
        truth = np.array([[max_sim(kernel, x, y) for y in sets] for x in sets])
        truth = (truth + truth.T) / 2 if direction == "both" else truth
        truth = np.exp(-truth / 2 / sigma / sigma) if kernel == "rbf" else truth
        np.testing.assert_allclose(values, truth, rtol=1e-5)


@pytest.mark.parametrize("kernel", MEASURES)
def test_measures_pass_the_checks_with_each_option(kernel):
    for direction in ("auto", "both", "queries"):
        check_measure(MEASURES[kernel], {"direction": direction})
    assert MEASURES[kernel]("queries").symmetric is False
    assert MEASURES[kernel]("both").symmetric is True


def test_calling_a_measure_returns_its_values():
    x, y = (Activations.from_array(np.random.default_rng(seed).normal(size=(3, 4, 5))) for seed in (0, 1))
    for measure in (MaxSimLinear(), MaxSimCosine("queries"), MaxSimRbf()):
        np.testing.assert_array_equal(measure(x), compute_rsm(x, measure).values)
        np.testing.assert_array_equal(measure(x, y), compute_rsm(x, measure, other=y).values)


def test_options_that_do_not_apply_are_refused():
    x = np.random.default_rng(0).normal(size=(3, 4, 5))
    for options in ({"matching": "greedy"}, {"certify": True}, {"matching_options": {"k": 3}}):
        (name,) = options
        with pytest.raises(ValueError, match=f"{name}.*max-sim-linear"):
            compute_rsm(x, "max-sim-linear", **options)
    with pytest.raises(ValueError, match=r"direction.*'documents'"):
        compute_rsm(x, "max-sim-linear", measure_options={"direction": "documents"})
    with pytest.raises(TypeError, match=r"'directon'.*'direction'"):
        compute_rsm(x, "max-sim-linear", measure_options={"directon": "both"})
    with pytest.raises(ValueError, match="5 and 2"):
        compute_rsm(x, "max-sim-linear", other=x[..., :2])
    with pytest.raises(ValueError, match="precision='float16x3'"):
        compute_rsm(x.astype(np.float32), "max-sim-linear", precision="float16x3", engine="cpu")


def test_rounding_that_hides_distances_is_warned_of():
    rng = np.random.default_rng(0)
    orders = rng.permuted(np.tile(np.arange(30), (6, 1)), axis=1)
    x = rng.normal(size=(30, 40))[orders] + 1e-8 * rng.normal(size=(6, 30, 40))
    with pytest.warns(RuntimeWarning, match="rounding"):
        compute_rsm(x, "max-sim-rbf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compute_rsm(rng.normal(size=(6, 30, 40)), "max-sim-rbf")


def test_chamfer_distances_equal_those_of_a_search_tree(layers):
    sets = layers["block15"][:5].reshape(5, layers["block15"].shape[1], -1).transpose(0, 2, 1).astype(np.float64)
    nearest = np.array([[(cKDTree(y).query(x)[0] ** 2).sum() for y in sets] for x in sets])
    rsm = compute_rsm(sets.astype(np.float32), MaxSimRbf("queries"))
    np.testing.assert_allclose(-2 * rsm.sigma**2 * np.log(rsm.values), nearest, rtol=1e-4, atol=1e-6 * nearest.max())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 8), channels=st.integers(1, 4))
def test_the_value_is_at_least_that_of_any_matching(seed, size, channels):
    x, y = np.random.default_rng(seed).normal(size=(2, size, channels))
    value = compute_rsm(x[None], "max-sim-linear", other=y[None])[0, 0]
    assert value >= aligned_product(x, y) - 1e-9


@pytest.mark.parametrize(
    ("module", "name"), [("mteb.similarity_functions", "max_sim"), ("pylate.scores", "colbert_scores")]
)
def test_values_equal_those_of_late_interaction_tools(module, name):
    torch = pytest.importorskip("torch")
    peer = getattr(pytest.importorskip(module, exc_type=ImportError), name)
    queries, documents = (np.random.default_rng(seed).normal(size=(4, 9, 16)).astype(np.float32) for seed in (0, 1))
    rsm = compute_rsm(queries, "max-sim-linear", other=documents)
    theirs = peer(torch.tensor(queries), torch.tensor(documents)).numpy()
    np.testing.assert_allclose(rsm.values, theirs, rtol=1e-5)


def test_memory_is_freed_with_the_computation():
    gc.collect()
    gc.disable()
    try:
        compute_rsm(np.random.default_rng(0).normal(size=(4, 5, 3)), "max-sim-rbf")
        assert not any(type(each) is best_matches._Run for each in gc.get_objects())
    finally:
        gc.enable()


def test_several_measures_are_computed_together():
    x = np.random.default_rng(0).normal(size=(4, 5, 3))
    rsms = compute_rsms(x, ["max-sim-linear", MaxSimCosine("queries"), "semantic-linear"])
    assert list(rsms) == ["max-sim-linear", "max-sim-cosine", "semantic-linear"]
    assert (rsms["max-sim-linear"].values >= rsms["semantic-linear"].values - 1e-9).all()
