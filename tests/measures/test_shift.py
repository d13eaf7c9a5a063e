# SPDX-License-Identifier: Apache-2.0
"""Measures under the best translation of the grid, against all shifts by ``np.roll`` in float64."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import aligned_product, shifted_products

import simplugins
from simplugins import Activations, best_shift, compute_rsm, compute_rsms
from simplugins.compute.engines import translations
from simplugins.measures.shift import ShiftCosine, ShiftLinear, ShiftRbf
from simplugins.testing import check_measure

MEASURES = {"linear": ShiftLinear, "cosine": ShiftCosine, "rbf": ShiftRbf}
PADDINGS = ["circular", "zeros"]
SIGMA = 3.0


def products_of(xs, ys, padding):
    """The largest inner products of (N, C, *grid) and (M, C, *grid) responses."""
    rows, columns = (np.moveaxis(side, 1, -1) for side in (xs, ys))
    return np.array([[max(shifted_products(x, y, padding).values()) for y in columns] for x in rows])


def kernel_of(kernel, products, xs, ys):
    norms = [(np.asarray(side, np.float64) ** 2).reshape(len(side), -1).sum(1) for side in (xs, ys)]
    if kernel == "linear":
        return products
    if kernel == "cosine":
        return products / np.sqrt(np.outer(*norms))
    return np.exp(-(np.add.outer(*norms) - 2 * products) / (2 * SIGMA**2))


@pytest.mark.parametrize("kernel", MEASURES)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("grid", "layout"), [((4, 5), "nchw"), ((7, 1), "nchw"), ((6,), "nct"), ((2, 3, 4), "ncdhw"), ((), "nd")]
)
def test_values_equal_the_oracle(kernel, padding, dtype, grid, layout):
    rng = np.random.default_rng(0)
    xs, ys = (rng.normal(size=(count, 3, *grid)).astype(dtype) for count in (5, 4))
    options = {"layout": layout, "sigma": SIGMA, "measure_options": {"padding": padding}}
    for other in (None, ys):
        rsm = compute_rsm(xs, f"shift-{kernel}", other=other, **options)
        columns = xs if other is None else ys
        truth = kernel_of(
            kernel, products_of(xs, columns, padding) if grid else xs @ columns.T.astype(float), xs, columns
        )
        np.testing.assert_allclose(rsm.values, truth, rtol=1e-6, atol=1e-12)
        assert (rsm.metadata["precision"], rsm.matching, rsm.kernel) == ("float64", "shift", kernel)
        assert rsm.metadata["measure_options"] == {"padding": padding}


grids = st.one_of(
    st.tuples(st.integers(1, 7)),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
)
LAYOUTS = {1: "nct", 2: "nchw", 3: "ncdhw"}


@settings(max_examples=60, deadline=None)
@given(grid=grids, channels=st.integers(1, 4), seed=st.integers(0, 2**32 - 1), rectified=st.booleans())
def test_a_shift_is_between_the_identity_and_a_permutation(grid, channels, seed, rectified):
    values = np.random.default_rng(seed).normal(size=(3, channels, *grid))
    xs = np.maximum(values, 0) if rectified else values
    measures = ["spatio-semantic-linear", "semantic-linear", "shift-linear"]
    rsms = compute_rsms(xs, measures, layout=LAYOUTS[len(grid)])
    zeros = compute_rsm(xs, ShiftLinear("zeros"), layout=LAYOUTS[len(grid)]).values
    identity, permutation, circular = (rsms[name].values for name in measures)
    rounding = 1e-9 * max(1.0, np.abs(permutation).max())
    assert (identity <= circular + rounding).all()
    assert (circular <= permutation + rounding).all()
    assert (identity <= zeros + rounding).all()
    if rectified:
        assert (zeros <= permutation + rounding).all()


def test_zeros_may_exceed_a_permutation_if_affinities_are_negative():
    x, y = np.array([[[1.0], [-1.0]]]), np.array([[[1.0], [1.0]]])
    assert aligned_product(x[0], y[0]) == 0
    assert compute_rsm(x, ShiftLinear("zeros"), other=y)[0, 0] == pytest.approx(1)


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(2, 9),
    tile_size=st.integers(1, 9),
    threads=st.integers(1, 3),
    padding=st.sampled_from(PADDINGS),
    tile_bytes=st.sampled_from([1, 50_000]),
    with_other=st.booleans(),
)
def test_results_do_not_depend_on_tiles_strips_and_threads(count, tile_size, threads, padding, tile_bytes, with_other):
    rng = np.random.default_rng(count)
    xs, ys = rng.normal(size=(count, 3, 4, 5)), rng.normal(size=(6, 3, 4, 5)) if with_other else None
    measure = ShiftLinear(padding)
    whole = compute_rsm(xs, measure, other=ys, threads=1).values
    for memory in (None, "16GB"):
        tiled = compute_rsm(xs, measure, other=ys, tile_size=tile_size, threads=threads, memory=memory).values
        np.testing.assert_allclose(tiled, whole, rtol=1e-10, atol=1e-10)
    sides = Activations.from_array(xs), None if ys is None else Activations.from_array(ys)
    strips = translations.best_translations(*sides, padding, tile_bytes=tile_bytes, threads=threads)
    np.testing.assert_allclose(strips.values, whole, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("padding", PADDINGS)
def test_a_store_serves_all_kernels(padding, tmp_path):
    xs = np.random.default_rng(0).normal(size=(7, 3, 4, 5))
    stored = compute_rsm(xs, ShiftCosine(padding), store=tmp_path / "rsm.zarr", tile_size=3)
    np.testing.assert_allclose(stored.values, compute_rsm(xs, ShiftCosine(padding)).values, rtol=1e-10)
    for kernel, measure in MEASURES.items():
        rsm = simplugins.load_rsm(tmp_path / "rsm.zarr", measure=f"shift-{kernel}")
        np.testing.assert_allclose(rsm.values, compute_rsm(xs, measure(padding)).values, rtol=1e-9)
        assert rsm.metadata["measure_options"] == {"padding": padding}
    for other in ("semantic-cosine", "spatio-semantic-cosine", "shift"):
        with pytest.raises(ValueError, match=other):
            simplugins.load_rsm(tmp_path / "rsm.zarr", measure=other)
    another = "zeros" if padding == "circular" else "circular"
    with pytest.raises(ValueError, match="padding"):
        compute_rsm(xs, ShiftCosine(another), store=tmp_path / "rsm.zarr")
    compute_rsm(xs, "semantic-linear", store=tmp_path / "semantic.zarr")
    with pytest.raises(ValueError, match="shift-linear"):
        simplugins.load_rsm(tmp_path / "semantic.zarr", measure="shift-linear")


def test_memory_is_freed_with_the_computation():
    gc.collect()
    gc.disable()
    try:
        compute_rsm(np.random.default_rng(0).normal(size=(4, 3, 4, 5)), "shift-cosine")
        assert not any(type(each) is translations._Run for each in gc.get_objects())
    finally:
        gc.enable()


def test_kernels_share_one_computation(monkeypatch):
    calls, compute = [], translations.best_translations
    monkeypatch.setattr(translations, "best_translations", lambda *a, **k: calls.append(1) or compute(*a, **k))
    xs = np.random.default_rng(0).normal(size=(4, 3, 4, 5))
    rsms = compute_rsms(xs, [f"shift-{kernel}" for kernel in MEASURES])
    assert len(calls) == 1
    for kernel in MEASURES:
        np.testing.assert_array_equal(rsms[f"shift-{kernel}"].values, compute_rsm(xs, f"shift-{kernel}").values)


@pytest.mark.parametrize("padding", PADDINGS)
def test_moved_maps_are_equal_under_circular_shifts_only(layers, padding):
    maps = layers["block15"][:4].astype(np.float32)
    moved = np.roll(maps, (2, -1), axis=(2, 3))
    diagonal = np.diag(compute_rsm(maps, ShiftCosine(padding), other=moved))
    identity = np.diag(compute_rsm(maps, "spatio-semantic-cosine", other=moved))
    assert (diagonal > identity).all()
    np.testing.assert_allclose(diagonal, 1, rtol=1e-12 if padding == "circular" else 0.6)
    assert (diagonal < 0.999).all() == (padding == "zeros")


@pytest.mark.parametrize("padding", PADDINGS)
def test_extreme_inputs_are_scaled(padding):
    factors = np.array([1e-25, 1.0, 1e25, 1e-20])[:, None, None, None]
    xs = factors * np.random.default_rng(0).normal(size=(4, 3, 4, 2))
    rsm = compute_rsm(xs, ShiftLinear(padding), dtype=np.float32)
    np.testing.assert_allclose(rsm.values, products_of(xs, xs, padding), rtol=1e-5)


def test_masks_that_leave_out_nothing_leave_the_grid_whole():
    xs = np.random.default_rng(0).normal(size=(4, 3, 4, 5))
    whole = np.ones((4, 4, 5), bool)
    expected = compute_rsm(xs, "shift-cosine").values
    np.testing.assert_array_equal(compute_rsm(xs, "shift-cosine", mask=whole), expected)
    np.testing.assert_array_equal(compute_rsm(Activations.from_array(xs), "shift-cosine", mask=whole), expected)


def test_only_whole_equal_grids_are_accepted():
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(4, 3, 4, 5))
    sets = [rng.normal(size=(size, 3)) for size in (3, 4, 3)]
    same = np.broadcast_to(np.arange(20).reshape(4, 5) < 16, (4, 4, 5))
    cases = [
        ("mask", lambda: compute_rsm(xs, "shift-cosine", mask=same)),
        ("drop_tokens", lambda: compute_rsm(rng.normal(size=(4, 5, 3)), "shift-cosine", drop_tokens=1)),
        ("lists of sets", lambda: compute_rsm(sets, "shift-cosine")),
        (r"\(4, 5\).*\(5, 4\)", lambda: compute_rsm(xs, "shift-cosine", other=xs.transpose(0, 1, 3, 2))),
        (r"\(4, 5\).*\(20,\)", lambda: compute_rsm(xs, "shift-cosine", other=xs.reshape(4, 3, 20).transpose(0, 2, 1))),
        ("3 and 2", lambda: compute_rsm(xs, "shift-cosine", other=xs[:, :2])),
    ]
    for message, call in cases:
        with pytest.raises(ValueError, match=message):
            call()


def test_options_that_do_not_apply_are_refused():
    xs = np.random.default_rng(0).normal(size=(4, 3, 4, 5)).astype(np.float32)
    for options in ({"matching": "greedy"}, {"certify": True}, {"precision": "float32"}):
        (name,) = options
        with pytest.raises(ValueError, match=f"{name}.*shift-cosine"):
            compute_rsm(xs, "shift-cosine", **options)
    with pytest.raises(ValueError, match=r"padding.*'reflect'"):
        compute_rsm(xs, "shift-cosine", measure_options={"padding": "reflect"})
    with pytest.raises(ValueError, match=r"padding.*'reflect'"):
        best_shift(xs[0], xs[1], padding="reflect")


def test_a_gpu_is_refused_and_not_chosen(monkeypatch):
    xs = np.random.default_rng(0).normal(size=(4, 3, 4, 5))
    monkeypatch.setattr("simplugins._common.gpu.why_unusable", lambda: None)
    with pytest.raises(ValueError, match=r"engine='cuda'.*shift-cosine.*CPU"):
        compute_rsm(xs, "shift-cosine", engine="cuda")
    assert compute_rsm(xs, "shift-cosine").metadata["engine"] == "cpu"


@pytest.mark.parametrize("kernel", MEASURES)
@pytest.mark.parametrize("padding", PADDINGS)
def test_measures_pass_the_checks_with_each_option(kernel, padding):
    check_measure(MEASURES[kernel], {"padding": padding})


def test_calling_a_measure_returns_its_values():
    x, y = (Activations.from_array(np.random.default_rng(seed).normal(size=(3, 4, 5))) for seed in (0, 1))
    for measure in (ShiftLinear(), ShiftCosine("zeros"), ShiftRbf()):
        np.testing.assert_array_equal(measure(x), compute_rsm(x, measure).values)
        np.testing.assert_array_equal(measure(x, y), compute_rsm(x, measure, other=y).values)


@settings(max_examples=60, deadline=None)
@given(grid=grids, seed=st.integers(0, 2**32 - 1), padding=st.sampled_from(PADDINGS))
def test_the_best_shift_of_a_pair_equals_the_oracle(grid, seed, padding):
    x, y = np.random.default_rng(seed).normal(size=(2, 3, *grid))
    result = best_shift(x, y, padding=padding, layout=LAYOUTS[len(grid)][1:])
    products = shifted_products(np.moveaxis(x, 0, -1), np.moveaxis(y, 0, -1), padding)
    at = result.shift if padding == "zeros" else tuple(s % size for s, size in zip(result.shift, grid, strict=True))
    assert result.value == pytest.approx(max(products.values()))
    assert products[at] == pytest.approx(result.value)
    assert result.grid == grid
    assert all(-size // 2 <= s <= size // 2 for s, size in zip(result.shift, grid, strict=True)) or padding == "zeros"


def test_the_shortest_of_equal_shifts_is_returned():
    row = np.tile([1.0, 0.0, 0.0], 4)[:, None]  # repeats after 3 positions
    assert best_shift(row, np.roll(row, 5, axis=0)).shift == (-1,)
    assert best_shift(np.ones((3, 2)), np.ones((3, 2))).shift == (0,)
    assert best_shift(np.zeros((3, 2)), np.ones((3, 2))).shift == (0,)


def test_the_best_shift_describes_itself():
    x = np.random.default_rng(0).normal(size=(3, 4, 5))
    assert repr(best_shift(x, np.roll(x, 1, axis=2))).startswith(
        "BestShift of 4 x 5 positions: (0, 1), circular, value "
    )
    with pytest.raises(ValueError, match=r"\(4, 5\).*\(5, 4\)"):
        best_shift(x, x.transpose(0, 2, 1))
    tiny = best_shift(1e-30 * x, 1e-30 * x, dtype=np.float32)
    assert tiny.value == pytest.approx(1e-60 * (x**2).sum(), rel=1e-6)
