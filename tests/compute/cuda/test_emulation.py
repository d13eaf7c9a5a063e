# SPDX-License-Identifier: Apache-2.0
"""The CUDA language in the emulator: blocks, warps, scalars and atomics."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from emulation import compiler
from emulation.device import EmulatedDevice
from emulation.kernels import INTEGERS, KERNELS, NUMBERS, REDUCTIONS, outputs

LANES = np.arange(32)


@pytest.fixture(params=[900, 750])
def arch(request):
    return request.param


@pytest.fixture(params=[0, 1, 2])
def device(arch, request):
    """Devices of both kinds, whose threads take turns or run in random orders."""
    return EmulatedDevice(seed=request.param, arch=arch)


def random_numbers(dtype, shape, low=-1000):
    rng = np.random.default_rng(0)
    low = low if np.issubdtype(dtype, np.signedinteger) or np.issubdtype(dtype, np.floating) else 0
    return rng.integers(low, 1000, shape).astype(dtype)


class TestBlocks:
    @pytest.mark.parametrize("warps", [1, 2, 8])
    def test_reductions(self, device, warps):
        values = np.random.default_rng(0).normal(size=(5, 32 * warps)).astype(np.float32)
        sums, squares = outputs(device, np.float32, 2, values.shape)
        device.launch(KERNELS, "block_sums", 5, 32 * warps, [device.upload(values), sums, squares], shared=4 * warps)
        np.testing.assert_allclose(sums, np.broadcast_to(values.sum(1, keepdims=True), values.shape), rtol=1e-4)
        np.testing.assert_allclose(squares, np.broadcast_to((values**2).sum(1, keepdims=True), values.shape), rtol=1e-4)

    def test_shared_variables_of_templates(self, device):
        values = random_numbers(np.int32, (3, 64))
        as_int, as_double = device.empty((3, 64), np.int32), device.empty((3, 64), np.float64)
        device.launch(KERNELS, "lasts", 3, 64, [device.upload(values), as_int, as_double])
        np.testing.assert_array_equal(as_int, np.broadcast_to(values[:, -1:], (3, 64)))
        np.testing.assert_array_equal(as_double, as_int)

    @pytest.mark.parametrize("share", [0, 0.5, 1])
    def test_votes(self, device, share):
        values = (np.random.default_rng(0).random(96) < share).astype(np.int32)
        results = outputs(device, np.int32, 3, 96)
        device.launch(KERNELS, "block_votes", 1, 96, [device.upload(values), *results])
        for array, expected in zip(results, (values.any(), values.all(), values.sum()), strict=True):
            np.testing.assert_array_equal(array, np.full(96, expected))

    def test_threads_that_left_count_as_arrived(self, device):
        counts, ballots = device.empty(64, np.int32), device.empty(64, np.uint32)
        device.launch(KERNELS, "leavers", 1, 64, [counts, ballots])
        np.testing.assert_array_equal(counts, 64 - np.arange(64))
        np.testing.assert_array_equal(ballots, (0xFFFFFFFF << np.arange(64) % 32) & 0xFFFFFFFF)

    def test_a_thread_may_wait_for_another(self, device):
        flag, value, seen = (device.upload(np.zeros(1, np.int32)) for _ in range(3))
        device.launch(KERNELS, "spin", 1, 64, [flag, value, seen])
        assert seen == 42


class TestWarps:
    @pytest.mark.parametrize("name", NUMBERS)
    @pytest.mark.parametrize("width", [32, 8])
    def test_shuffles(self, device, name, width):
        values, distance = random_numbers(NUMBERS[name], 32), 5
        sources = random_numbers(np.int32, 32, low=-50)
        results = outputs(device, NUMBERS[name], 4, 32)
        arguments = [device.upload(values), device.upload(sources), np.int32(distance), np.int32(width), *results]
        device.launch(KERNELS, f"shuffles_{name}", 1, 32, arguments)
        first = LANES // width * width
        last = first + width - 1
        expected = (
            first + sources % width,
            np.where(LANES - distance >= first, LANES - distance, LANES),
            np.where(LANES + distance <= last, LANES + distance, LANES),
            np.where(LANES ^ distance <= last, LANES ^ distance, LANES),
        )
        for array, lanes in zip(results, expected, strict=True):
            np.testing.assert_array_equal(array, values[lanes])

    @pytest.mark.parametrize("mask", [0xFFFFFFFF, 0x0000FFFF, 0xA0F01234])
    @pytest.mark.parametrize("share", [0, 0.5, 1])
    def test_votes(self, device, mask, share):
        values = np.random.default_rng(0).random(32) < share
        ballots, any_, all_ = device.empty(32, np.uint32), *outputs(device, np.int32, 2, 32)
        arguments = [device.upload(values.astype(np.int32)), np.uint32(mask), ballots, any_, all_]
        device.launch(KERNELS, "votes", 1, 32, arguments)
        inside = mask >> LANES & 1 == 1
        for part in (inside, ~inside):
            np.testing.assert_array_equal(ballots[part], ((values & part) << LANES).sum())
            np.testing.assert_array_equal(any_[part], values[part].any())
            np.testing.assert_array_equal(all_[part], values[part].all())

    @pytest.mark.parametrize("name", ["int", "uint32"])
    @pytest.mark.parametrize("mask", [0xFFFFFFFF, 0xA0F01234])
    @pytest.mark.parametrize("seed", [0, 1])
    def test_reductions(self, name, mask, seed):
        device = EmulatedDevice(seed=seed)
        values = random_numbers(NUMBERS[name], 32)
        least, most, sums = outputs(device, NUMBERS[name], 3, 32)
        arguments = [device.upload(values), np.uint32(mask), least, most, sums]
        device.launch(REDUCTIONS, f"reductions_{name}", 1, 32, arguments)
        inside = mask >> LANES & 1 == 1
        for part in (inside, ~inside):
            if part.any():
                np.testing.assert_array_equal(least[part], values[part].min())
                np.testing.assert_array_equal(most[part], values[part].max())
                np.testing.assert_array_equal(sums[part], values[part].sum())

    def test_old_devices_have_no_reductions(self):
        device = EmulatedDevice(arch=750)
        with pytest.raises(compiler.CompilationError, match="reductions_int"):
            device.launch(REDUCTIONS, "reductions_int", 1, 32, [])

    def test_parts_of_a_warp_go_their_own_ways(self, device):
        sums = device.empty(32, np.int32)
        device.launch(KERNELS, "parts_of_warp", 1, 32, [sums])
        values = np.concatenate([np.full(16, LANES[:16].sum()), np.full(8, LANES[16:24].sum()), LANES[24:]])
        np.testing.assert_array_equal(sums, values + np.concatenate([values[16:], values[16:]]))

    def test_a_lane_that_left_gives_nan(self, device):
        values = device.empty(16, np.float32)
        device.launch(KERNELS, "absent_lane", 1, 32, [values])
        np.testing.assert_array_equal(values, np.append(np.ones(15), np.nan))


class TestScalars:
    def test_bits(self, device):
        narrow = (0x80000001 >> LANES) & np.where(LANES % 3, 0xFFFFFFFF, 0xFFFF)
        wide = narrow << LANES
        results = device.empty((6, 32), np.int32)
        arguments = [device.upload(narrow.astype(np.uint32)), device.upload(wide.astype(np.uint64)), results]
        device.launch(KERNELS, "bits", 1, 32, arguments)
        for rows, numbers, size in ((results[:3], narrow, 32), (results[3:], wide, 64)):
            for lowest, ones, zeros, number in zip(*rows, map(int, numbers), strict=True):
                assert lowest == (number & -number).bit_length()
                assert ones == number.bit_count()
                assert zeros == size - number.bit_length()

    def test_casts(self, device):
        narrow, wide = (random_numbers(dtype, 32) / dtype(7) for dtype in (np.float32, np.float64))
        results = [device.empty(32, dtype) for dtype in (np.uint32, np.int32, np.int64, np.int32)]
        device.launch(KERNELS, "casts", 1, 32, [device.upload(narrow), device.upload(wide), *results])
        np.testing.assert_array_equal(results[0], narrow.view(np.uint32))
        np.testing.assert_array_equal(results[1], narrow.view(np.int32))
        np.testing.assert_array_equal(results[2], wide.view(np.int64))
        assert results[3].all()

    @pytest.mark.parametrize("name", ["float", "double"])
    def test_roundings(self, device, name):
        a, b = np.random.default_rng(0).normal(size=(2, 32)).astype(NUMBERS[name])
        results = device.empty((3, 4, 32), NUMBERS[name])
        device.launch(KERNELS, f"roundings_{name}", 1, 32, [device.upload(a), device.upload(b), results])
        np.testing.assert_array_equal(results[:, 0], [a + b, a - b, a * b])
        for lane in LANES:
            x, y = Fraction(float(a[lane])), Fraction(float(b[lane]))
            for exact, (nearest, up, down, inward) in zip((x + y, x - y, x * y), results[:, :, lane], strict=True):
                assert Fraction(float(down)) <= exact <= Fraction(float(up))
                assert nearest in (up, down)
                assert up in (down, np.nextafter(down, NUMBERS[name](np.inf)))
                assert inward == (down if exact > 0 else up)

    def test_vectors(self, device):
        quads = random_numbers(np.float32, (32, 4))
        pairs, wide = device.empty((32, 2), np.float32), device.empty((32, 2), np.float64)
        counts, threads = device.empty((32, 4), np.int32), device.empty((32, 2), np.uint32)
        device.launch(KERNELS, "vectors", 3, 32, [device.upload(quads), pairs, wide, counts, threads])
        np.testing.assert_array_equal(pairs, np.stack([quads[:, :2].min(1), quads[:, 2:].max(1)], axis=1))
        np.testing.assert_array_equal(wide, pairs)
        np.testing.assert_array_equal(counts, np.tile([-1, 1, 1, 2], (32, 1)))
        np.testing.assert_array_equal(threads, np.tile([32, 3], (32, 1)))


class TestAtomics:
    @pytest.mark.parametrize("name", INTEGERS)
    def test_integers(self, device, name):
        values = random_numbers(INTEGERS[name], 128)
        start = np.array([7], INTEGERS[name])
        total, least, most, last, swapped = results = [device.upload(start) for _ in range(5)]
        device.launch(KERNELS, f"atomics_{name}", 2, 64, [device.upload(values), *results])
        assert total == 7 + values.sum()
        assert least == min(7, values.min())
        assert most == max(7, values.max())
        assert last in values
        assert swapped == 7 + 128

    def test_floats(self, device):
        values = random_numbers(np.float32, 128)
        narrow, wide = device.upload(np.zeros(1, np.float32)), device.upload(np.zeros(1))
        device.launch(KERNELS, "atomic_sums", 2, 64, [device.upload(values), narrow, wide])
        assert narrow == wide == values.sum()
