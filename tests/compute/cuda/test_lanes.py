# SPDX-License-Identifier: Apache-2.0
"""Tiles that take turns in two lanes, on a device whose streams advance in random orders."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
from emulation.device import EmulatedDevice
from emulation.unordered import UnorderedDevice

from simplugins import BatchOptimal, Identity, Optimal, Partial, TopKGreedy
from simplugins.activations.activations import Activations
from simplugins.compute.best_affinities import BestAffinities
from simplugins.compute.engines.cuda import best_matches_engine, device_blocks, engine, lanes, squares_engine, tile_run
from simplugins.compute.engines.cuda.device import DeviceMemoryError
from simplugins.compute.engines.cuda.lanes import LANES, Lanes, lanes_and_size

FLOAT = np.dtype(np.float32)


@pytest.fixture(autouse=True)
def in_lanes(monkeypatch):
    monkeypatch.setattr(tile_run.TileRun, "in_lanes", True)


def sets_of(sizes, channels=8, seed=0):
    rng = np.random.default_rng(seed)
    return [np.maximum(rng.normal(size=(size, channels)), 0).astype(np.float32) for size in sizes]


def equal_sets(count, positions, seed=0):
    return Activations.from_array(np.stack(sets_of([positions] * count, seed=seed)))


def small_tiles(monkeypatch, most=4, capacity=None):
    monkeypatch.setattr(tile_run, "block_size", lambda *_: most)
    make = tile_run.DeviceBlocks
    if capacity is not None:
        limited = lambda *given, **options: make(*given, **{**options, "capacity": capacity})  # noqa: E731
        monkeypatch.setattr(tile_run, "DeviceBlocks", limited)


class Recording(EmulatedDevice):
    """Notes the lane of each product; None outside of lanes."""

    def __init__(self, **options):
        super().__init__(**options)
        self.products, self.current, self.most_bytes, self.waits = [], None, 0, 0

    def retire(self):
        self.waits += 1

    @contextmanager
    def lane(self, number):
        assert self.current is None
        self.current = number
        try:
            yield
        finally:
            self.current = None

    def empty(self, shape, dtype):
        array = super().empty(shape, dtype)
        self.most_bytes = max(self.most_bytes, self.memory - self.free_bytes())
        return array

    def multiply(self, *arguments):
        self.products.append(self.current)
        super().multiply(*arguments)


TILES = pytest.mark.parametrize(
    ("most", "capacity"), [(4, None), (4, 1), (2, 4)], ids=["kept", "evicted", "evicted late"]
)


@pytest.mark.parametrize(
    ("matcher", "precision"),
    [
        (Optimal(), "float16x3"),
        (TopKGreedy(k=5), "float32"),
        (Partial(share=0.5), "float32"),
        (BatchOptimal(window=4), "float16x3"),
    ],
    ids=str,
)
@TILES
def test_matchings_do_not_depend_on_the_order_of_streams(matcher, precision, most, capacity, monkeypatch):
    small_tiles(monkeypatch, most, capacity)
    x, y = equal_sets(13, 9), Activations.from_array(sets_of(range(5, 16), seed=1))
    for other in (None, y):
        options = {"precision": precision, "certify": other is None}
        expected = engine.aligned_products(x, other, matcher, device=EmulatedDevice(), **options)
        for seed in range(3):
            products = engine.aligned_products(x, other, matcher, device=UnorderedDevice(seed=seed), **options)
            np.testing.assert_array_equal(products.values, expected.values)
            np.testing.assert_array_equal(products.gap, expected.gap)


@TILES
def test_other_operations_do_not_depend_on_the_order_of_streams(most, capacity, monkeypatch):
    small_tiles(monkeypatch, most, capacity)
    x, y = equal_sets(11, 6), equal_sets(10, 6, seed=1)
    best = BestAffinities("cosine", both=True)
    computations = [
        lambda device: engine.aligned_products(x, y, Identity(), device=device, certify=True),
        lambda device: squares_engine.summed_squares(x, y, device=device),
        lambda device: best_matches_engine.best_matches(x, y, best, device=device),
    ]
    for compute in computations:
        expected = compute(EmulatedDevice()).values
        for seed in range(4):
            np.testing.assert_array_equal(compute(UnorderedDevice(seed=seed)).values, expected)


def test_evicting_blocks_waits_for_running_tiles_only_if_these_may_use_them(monkeypatch):
    waits = []
    for capacity in (None, 4, 3):
        with monkeypatch.context() as patch:
            small_tiles(patch, most=2, capacity=capacity)
            device = Recording()
            engine.aligned_products(equal_sets(12, 5), None, Optimal(), device=device)
            waits.append(device.waits)
    assert waits[0] == waits[1] < waits[2]


def test_regions_do_not_depend_on_the_order_of_streams(monkeypatch):
    """Results of a region are downloaded before those of the next one use their memory."""
    small_tiles(monkeypatch, most=3)
    monkeypatch.setattr(tile_run, "RESULTS_SHARE", 6 * 11 * 8 / 2**30)
    x, y = equal_sets(20, 6), equal_sets(11, 6, seed=1)
    expected = engine.aligned_products(x, y, Optimal(), device=EmulatedDevice()).values
    for seed in range(4):
        values = engine.aligned_products(x, y, Optimal(), device=UnorderedDevice(seed=seed)).values
        np.testing.assert_array_equal(values, expected)


def test_tiles_take_turns(monkeypatch):
    small_tiles(monkeypatch)
    device = Recording()
    engine.aligned_products(equal_sets(12, 9), None, Optimal(), device=device)
    assert device.products == [1, 0, 1, 0, 1, 0]


@pytest.mark.parametrize("matcher", [Optimal(), Identity()], ids=str)
def test_one_tile_or_mere_products_need_no_lanes(matcher, monkeypatch):
    if matcher.positionwise:
        small_tiles(monkeypatch)
    device = Recording()
    engine.aligned_products(equal_sets(12, 9), None, matcher, device=device)
    assert set(device.products) == {None}


@pytest.mark.parametrize("matcher", [Optimal(), TopKGreedy(k=5), Identity(), Partial(threshold=0.5)], ids=str)
@pytest.mark.parametrize("precision", ["float32", "float16x3"])
def test_operands_that_tiles_share_are_made_outside_of_lanes(matcher, precision, monkeypatch):
    """Memory of a lane's arrays is used again without waiting for the other lane."""
    if not matcher.invariant_to_scaling and precision == "float16x3":
        precision = "float32"
    small_tiles(monkeypatch)
    device, made = Recording(), []
    operand = device_blocks.operand
    monkeypatch.setattr(
        device_blocks, "operand", lambda *given, **options: made.append(device.current) or operand(*given, **options)
    )
    x, y = equal_sets(9, 9), Activations.from_array(sets_of([9, 9, 5, 5, 5, 12, 12, 12], seed=1))
    for other in (None, x if matcher.positionwise else y):
        engine.aligned_products(x, other, matcher, device=device, precision=precision, certify=True)
    assert made
    assert set(made) == {None}


def test_affinities_of_both_lanes_stay_within_their_share_of_the_memory():
    x, memory = equal_sets(60, 20), 2**19
    device = Recording(memory=memory)
    products = engine.aligned_products(x, None, Optimal(), device=device)
    np.testing.assert_allclose(
        products.values, engine.aligned_products(x, None, Optimal(), device=EmulatedDevice()).values, rtol=1e-6
    )
    assert set(device.products) == {0, 1}
    shares = tile_run.PRODUCTS_SHARE + tile_run.INPUTS_SHARE + tile_run.RESULTS_SHARE
    assert device.most_bytes <= (shares + 0.05) * memory


class OneLane(Recording):
    """A device without memory for the affinities of a second tile."""

    def empty(self, shape, dtype):
        if self.current == 0 and dtype == FLOAT:
            raise MemoryError("no memory for another lane")
        return super().empty(shape, dtype)


def test_a_single_lane_remains_if_memory_runs_out(monkeypatch):
    small_tiles(monkeypatch)
    x, device = equal_sets(12, 30), OneLane()
    products = engine.aligned_products(x, None, Optimal(), device=device, precision="float32")
    np.testing.assert_allclose(
        products.values, engine.aligned_products(x, None, Optimal(), device=EmulatedDevice()).values, rtol=1e-6
    )
    assert device.products == [1, *[None] * 6]  # the first tile is computed again, of the same size
    assert device.free_bytes() == device.memory


def test_interrupts_leave_lanes_and_free_the_memory(monkeypatch):
    small_tiles(monkeypatch)

    class Interrupted(Recording):
        def launch(self, *arguments, **options):
            if len(self.products) == 3:
                raise KeyboardInterrupt
            super().launch(*arguments, **options)

    device = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        engine.aligned_products(equal_sets(12, 9), None, Optimal(), device=device)
    assert device.current is None
    assert device.free_bytes() == device.memory
    device.products.clear()
    with pytest.raises(KeyboardInterrupt):
        engine.aligned_products(equal_sets(12, 9), None, Optimal(), device=device)


def test_a_pair_that_does_not_fit_is_reported_with_lanes(monkeypatch):
    small_tiles(monkeypatch)
    device = Recording(memory=2**15)
    with pytest.raises(DeviceMemoryError, match=r"one pair.*engine='cpu'"):
        engine.aligned_products(equal_sets(6, 100), None, Optimal(), device=device)
    assert device.free_bytes() == device.memory


@pytest.mark.parametrize(
    ("size", "inputs", "pair_bytes", "free", "expected"),
    [
        (256, 256, 49**2 * 4, 2**37, (1, 256)),  # a single tile
        (256, 257, 49**2 * 4, 2**37, (2, 256)),
        (256, 4000, 196**2 * 4, 2**37, (2, 181)),  # two of 256 would exceed what is kept between calls
        (140, 4000, 784**2 * 4, 2**37, (2, 98)),
        (2, 4000, 7000**2 * 4, 2**30, (2, 1)),
        (1, 4000, 7000**2 * 4, 2**30, (1, 1)),
    ],
)
def test_two_tiles_take_no_more_memory_than_one_unless_both_are_small(size, inputs, pair_bytes, free, expected):
    count, half = lanes_and_size(size, inputs, pair_bytes, free)
    assert (count, half) == expected
    assert count * half**2 * pair_bytes <= max(size**2 * pair_bytes, lanes._WHOLE_SHARE * free)


def test_each_lane_has_memory_of_its_own_and_keeps_it():
    device = EmulatedDevice()
    turns = Lanes(device, FLOAT, LANES)
    addresses = []
    for shape in [(3, 4), (3, 4), (2, 5), (3, 4)]:
        with turns.next():
            addresses.append(turns.affinities(shape).ctypes.data)
    assert addresses[0] != addresses[1]
    assert addresses[2:] == addresses[:2]
    assert device.memory - device.free_bytes() == 2 * 48
    turns.merge()
    assert device.free_bytes() == device.memory
    with turns.next():
        assert turns.affinities((4, 4)).shape == (4, 4)
    assert device.memory - device.free_bytes() == 64
