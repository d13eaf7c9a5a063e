# SPDX-License-Identifier: Apache-2.0
"""Emulated devices: schedules, errors, memory, asynchronous work, and the compiler."""

from __future__ import annotations

import re
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
from emulation import compiler
from emulation.device import EmulatedDevice, EmulationError, LateDevice
from emulation.kernels import KERNELS, SOURCE, Program, outputs, program
from emulation.unordered import UnorderedDevice

RANDOM_SEEDS = (1, 2, 3, 4, 5)


def line_of(text):
    """The first line of the kernels that has this text."""
    return next(number for number, line in enumerate(SOURCE.splitlines(), start=1) if text in line)


@pytest.fixture(params=[900, 750])
def arch(request):
    return request.param


@pytest.fixture(params=[0, 1, 2])
def device(arch, request):
    """Devices of both kinds, whose threads take turns or run in random orders."""
    return EmulatedDevice(seed=request.param, arch=arch)


class TestSchedules:
    def arrivals(self, seed):
        device = EmulatedDevice(seed=seed)
        places = device.empty((8, 96), np.int32)
        device.launch(KERNELS, "arrivals", 8, 96, [device.upload(np.zeros(1, np.int32)), places])
        np.testing.assert_array_equal(np.sort(places, axis=None), np.arange(8 * 96))
        return places

    def test_threads_take_turns(self):
        np.testing.assert_array_equal(self.arrivals(0), np.arange(8 * 96).reshape(8, 96))

    def test_seeds_determine_the_order_of_threads_and_blocks(self):
        orders = {seed: self.arrivals(seed) for seed in (0, *RANDOM_SEEDS)}
        for seed in RANDOM_SEEDS:
            np.testing.assert_array_equal(orders[seed], self.arrivals(seed))
        assert len({places.tobytes() for places in orders.values()}) == len(orders)
        assert len({places.min(1).argsort().tobytes() for places in orders.values()}) == len(orders)

    @pytest.mark.parametrize("barrier", ["FIRST_BARRIER", "SECOND_BARRIER"])
    @pytest.mark.parametrize("seed", [0, *RANDOM_SEEDS])
    def test_a_missing_barrier_shows(self, barrier, seed):
        values = np.random.default_rng(0).normal(size=(5, 256)).astype(np.float32)
        defective = program("block_sums", definitions=f"#define {barrier}")

        def is_right(program):
            device = EmulatedDevice(seed=seed)
            sums, squares = outputs(device, np.float32, 2, (5, 256))
            device.launch(program, "block_sums", 5, 256, [device.upload(values), sums, squares], shared=32)
            expected = [np.broadcast_to(v.sum(1, keepdims=True), v.shape) for v in (values, values**2)]
            return np.allclose([sums, squares], expected, rtol=1e-4)

        assert is_right(KERNELS)
        assert not is_right(defective)


class TestErrors:
    def fails(self, device, function, *arguments, block=64):
        with pytest.raises(EmulationError) as error:
            device.launch(KERNELS, function, 1, block, arguments)
        assert self.works(device)
        return str(error.value)

    def works(self, device):
        ballots, any_, all_ = device.empty(32, np.uint32), *outputs(device, np.int32, 2, 32)
        values = device.upload(np.ones(32, np.int32))
        device.launch(KERNELS, "votes", 1, 32, [values, np.uint32(0xFFFFFFFF), ballots, any_, all_])
        return (ballots == 0xFFFFFFFF).all()

    def test_deadlock(self, device):
        barrier = f"__syncthreads at line {line_of('__syncthreads();  // all others')}"
        assert self.fails(device, "deadlock", device.empty(1, np.int32)).splitlines() == [
            "deadlock: deadlock in block 0",
            f"  threads 0 to 30: {barrier}",
            f"  thread 31: __shfl_sync(0xffffffff) at line {line_of('== 31')}",
            f"  threads 32 to 39: {barrier}",
            "  thread 40 exited",
            f"  threads 41 to 63: {barrier}",
        ]

    @pytest.mark.parametrize(
        ("function", "calls"),
        [
            ("divergent_warp", {"__shfl_sync(0xffffffff)", "__ballot_sync(0xffffffff)"}),
            ("divergent_masks", {"__shfl_sync(0xffffffff)", "__shfl_sync(0xfffffffe)"}),
        ],
    )
    def test_divergent_warps(self, device, function, calls):
        message = self.fails(device, function, device.empty(1, np.uint32))
        called, awaited = re.search(r"(__\w+\(\w+\)) at .*: others wait in (__\w+\(\w+\)) at", message).groups()
        assert {called, awaited} == calls

    def test_divergent_barriers(self, device):
        message = self.fails(device, "divergent_barriers")
        lines = {int(line) for line in re.findall(r"__syncthreads at line (\d+)", message)}
        first = line_of("// of the first warp")
        assert lines == {first, first + 2}

    def test_calls_of_a_lane(self, device):
        assert re.search(r"lane \d+ is not in the mask", self.fails(device, "lane_not_in_mask", block=32))
        assert "width 12" in self.fails(device, "odd_width", device.empty(1, np.int32))

    def test_assumptions_are_checked(self, device):
        values = device.upload(np.where(np.arange(64) == 7, 0, 1).astype(np.int32))
        message = self.fails(device, "assumption", values)
        assert "thread 7" in message
        assert "values[threadIdx.x] > 0 is false" in message

    @pytest.mark.parametrize("position", [-1024, -1, 101, 300])
    def test_shared_memory_out_of_bounds(self, device, position):
        device.launch(KERNELS, "write_shared", 2, 32, [np.int32(100)], shared=101)
        with pytest.raises(EmulationError, match="outside of its 101 bytes of shared memory"):
            device.launch(KERNELS, "write_shared", 2, 32, [np.int32(position)], shared=101)
        assert self.works(device)

    @pytest.mark.parametrize(
        ("position", "shared", "error"),
        [
            (0, 128, None),
            (127, 128, None),
            (128, 128, "read: 1 bytes at 128, outside of the block's 128 bytes"),
            (-1, 128, "read: 1 bytes at -1, outside"),
            (50_000, 128, "read: 1 bytes at 50000, outside"),
            (128, 140, "read: 1 bytes at 128 of shared memory that no thread has written"),
            (0, 127, "write: 4 bytes at 124, outside of the block's 127 bytes"),
        ],
    )
    def test_checked_devices_find_wrong_accesses_to_dynamic_shared_memory(self, position, shared, error):
        device = EmulatedDevice(checked=True)
        value = device.empty(1, np.int32)
        arguments = [np.int32(position), value]
        if error is None:
            device.launch(KERNELS, "read_shared", 2, 32, arguments, shared=shared)
            assert value == (position // 4 if position % 4 == 0 else 0)
        else:
            with pytest.raises(EmulationError, match=error):
                device.launch(KERNELS, "read_shared", 2, 32, arguments, shared=shared)
            assert self.works(device)

    def test_checked_devices_find_reads_of_static_shared_memory_that_was_never_written(self):
        device = EmulatedDevice(checked=True)
        value = device.empty(1, np.int32)
        device.launch(KERNELS, "read_static", 2, 32, [np.int32(31), value])
        assert value == 31
        with pytest.raises(EmulationError, match=r"thread 7: read: 4 bytes at \d+ of shared memory that no thread"):
            device.launch(KERNELS, "read_static", 2, 32, [np.int32(32), value])

    @pytest.mark.parametrize(
        ("offset", "count", "error"),
        [
            (0, 32, None),
            (33, 31, None),
            (2, 31, r"read: 4 bytes at \d+ of the array of argument 0 that nothing has written"),
            (40, 31, r"read: 4 bytes at \d+, outside of the 256 bytes of the array of argument 0"),
            (-4, 31, r"read: 4 bytes at -\d+, outside of the 256 bytes of the array of argument 0"),
            (2**40, 31, "read: 4 bytes at an illegal address"),
        ],
    )
    @pytest.mark.parametrize("through_cache", [0, 1])
    def test_checked_devices_find_wrong_reads_of_global_memory(self, offset, count, error, through_cache):
        device = EmulatedDevice(checked=True)
        values, copies = device.empty(64, np.int32), device.upload(np.full(64, -1, np.int32))
        values[:32], values[33:] = 1, 2
        arguments = [values, np.int64(offset), np.int32(count), np.int32(through_cache), copies]
        if error is None:
            device.launch(KERNELS, "copy_global", 1, 32, arguments)
            assert (copies[:count] == (1 if offset == 0 else 2)).all()
        else:
            with pytest.raises(EmulationError, match=error):
                device.launch(KERNELS, "copy_global", 1, 32, arguments)
            assert self.works(device)

    def test_checked_devices_know_what_was_uploaded_or_written_by_kernels(self):
        device = EmulatedDevice(checked=True)
        ones, copies, again = device.upload(np.full(32, -1, np.int32)), *outputs(device, np.int32, 2, 32)
        for source, target in ((ones, copies), (copies, again)):
            arguments = [source, np.int64(0), np.int32(32), np.int32(0), target]
            device.launch(KERNELS, "copy_global", 1, 32, arguments)
        assert (again == -1).all()
        with pytest.raises(EmulationError, match=r"write_global: .*: write: 4 bytes at 128, outside of the 128 bytes"):
            device.launch(KERNELS, "write_global", 1, 32, [device.empty(32, np.float32), np.int32(32)])

    def test_checked_devices_check_atomics(self):
        device = EmulatedDevice(checked=True)
        values, unwritten = device.upload(np.ones(32, np.float32)), device.empty(1, np.float32)
        with pytest.raises(EmulationError, match="argument 1 that nothing has written"):
            device.launch(KERNELS, "atomic_sums", 1, 32, [values, unwritten, device.upload(np.zeros(1))])

    @pytest.mark.parametrize(("position", "side"), [(-1, "before"), (-16, "before"), (10, "after"), (25, "after")])
    def test_global_memory_out_of_bounds(self, device, position, side):
        values = device.empty((5, 2), np.float32)
        device.launch(KERNELS, "write_global", 1, 32, [values[2:], np.int32(-4)])
        with pytest.raises(EmulationError, match=f"write_global: wrote {side} the array of argument 0"):
            device.launch(KERNELS, "write_global", 1, 32, [values, np.int32(position)])
        device.launch(KERNELS, "write_global", 1, 32, [values, np.int32(9)])

    def test_unwritten_shared_memory_is_nan(self, device):
        in_static, in_dynamic = outputs(device, np.float32, 2, (3, 32))
        device.launch(KERNELS, "find_in_shared", 3, 32, [in_static, in_dynamic], shared=128)
        assert np.isnan(in_static).all()
        assert np.isnan(in_dynamic).all()

    @pytest.mark.parametrize(
        ("grid", "block", "shared"),
        [(0, 32, 0), (-1, 32, 0), (2**31, 32, 0), (1, 0, 0), (1, 48, 0), (1, 1056, 0), (1, 32, 227 * 1024 + 1)],
    )
    def test_invalid_configurations(self, device, grid, block, shared):
        with pytest.raises(EmulationError, match="write_shared: invalid configuration"):
            device.launch(KERNELS, "write_shared", grid, block, [np.int32(0)], shared=shared)

    def test_too_much_static_and_dynamic_shared_memory(self, device):
        arrays = outputs(device, np.float32, 2, 32)
        with pytest.raises(EmulationError, match=r"too much shared memory: \d+ static and 232448 dynamic bytes"):
            device.launch(KERNELS, "find_in_shared", 1, 32, arrays, shared=device.shared_bytes)

    def test_arguments(self, device):
        values = device.empty(4, np.float32)
        with pytest.raises(TypeError, match=r"write_global takes \(uint64, int32\), got \(uint64, int64\)"):
            device.launch(KERNELS, "write_global", 1, 32, [values, np.int64(0)])
        with pytest.raises(TypeError, match=r"write_global takes \(uint64, int32\), got \(uint64\)"):
            device.launch(KERNELS, "write_global", 1, 32, [values])
        for foreign, kind in ((np.empty(4, np.float32), "ndarray"), (4, "int")):
            with pytest.raises(TypeError, match=f"must be arrays of this device or NumPy scalars, got {kind}"):
                device.launch(KERNELS, "write_global", 1, 32, [foreign, np.int32(0)])
        with pytest.raises(EmulationError, match="the program has no function 'nothing'"):
            device.launch(KERNELS, "nothing", 1, 32, [])


class TestMemory:
    def test_new_arrays_are_filled_with_ones(self):
        array = EmulatedDevice().empty((2, 3), np.int16)
        assert array.shape == (2, 3)
        assert (array == -1).all()

    def test_free_bytes(self):
        device = EmulatedDevice(memory=1000)
        first = device.empty((10, 10), np.float32)
        second = device.upload(np.zeros(50))
        view = first[2:]
        assert device.free_bytes() == 200
        del first, second
        assert device.free_bytes() == 600
        del view
        assert device.free_bytes() == 1000

    def test_out_of_memory(self):
        device = EmulatedDevice(memory=1000)
        array = device.empty(900, np.uint8)
        with pytest.raises(MemoryError, match="101 bytes do not fit: 100 of 1000 are free"):
            device.empty(101, np.uint8)
        assert device.empty(100, np.uint8).size == 100
        assert array.size == 900

    def test_upload_and_download_copy(self):
        device = EmulatedDevice()
        values = np.arange(12.0).reshape(3, 4)
        array = device.upload(values.T)
        assert array.flags.c_contiguous
        with device:
            download = device.download(array)
            array[:] = 0
            device.synchronize()
        np.testing.assert_array_equal(download(), values.T)
        np.testing.assert_array_equal(values, np.arange(12.0).reshape(3, 4))
        assert device.upload(array) is array


def test_products_are_added_up_as_tensor_cores_do():
    rng = np.random.default_rng(0)
    rows, columns = rng.normal(size=(20, 64)).astype(np.float16), rng.normal(size=(30, 64)).astype(np.float16)
    device = EmulatedDevice()
    out = device.empty((20, 30), np.float32)
    device.multiply(device.upload(rows), device.upload(columns), out, "float16x3")
    np.testing.assert_allclose(out, rows.astype(np.float64) @ columns.T.astype(np.float64), atol=1e-5)
    large, small = np.array([[2.0**24, *np.ones(15), 0.5]]), np.ones((1, 17))  # adds 7, 8 and a half
    out = device.empty((1, 1), np.float32)
    device.multiply(device.upload(large.astype(np.float32)), device.upload(small.astype(np.float32)), out, "float16x3")
    assert out[0, 0] == 2.0**24 + 14
    with pytest.raises(ValueError, match="unknown precision 'bfloat16'"):
        device.multiply(out, out, out, "bfloat16")


class TestLateDevice:
    def test_work_is_done_when_it_is_waited_for(self):
        device = LateDevice()
        out, one, zero = device.empty((2, 2), np.float32), device.upload(np.eye(2)), device.upload(np.zeros((2, 2)))
        device.multiply(one, one, out, "float32")
        fetch = device.download(out)
        device.multiply(zero, one, out, "float32")
        assert np.isnan(out).all()
        np.testing.assert_array_equal(fetch(), np.eye(2))
        device.release()
        np.testing.assert_array_equal(out, 0)

    @pytest.mark.parametrize("retired", [False, True])
    def test_memory_that_was_let_go_too_early_is_overwritten(self, retired):
        device = LateDevice()
        out, ones = device.empty((2, 2), np.float32), device.upload(np.ones((2, 2), np.float32))
        factor = device.upload(np.ones((2, 2), np.float32))
        device.multiply(factor[:], ones, out, "float32")
        fetch = device.download(out)
        del factor
        if retired:
            device.retire()
        device.upload(np.full((2, 2), 7, np.float32))
        np.testing.assert_array_equal(fetch(), 2 if retired else 14)


class TestUnorderedDevice:
    def product_after_a_second_upload(self, seed, retired):
        device = UnorderedDevice(seed=seed)
        out, ones = device.empty((2, 2), np.float32), device.upload(np.ones((2, 2), np.float32))
        factor = device.upload(np.ones((2, 2), np.float32))
        device.multiply(factor[:], ones, out, "float32")
        fetch = device.download(out)
        del factor
        if retired:
            device.retire()
        device.upload(np.full((2, 2), 7, np.float32))
        device.settle()
        return fetch()[0, 0]

    def test_streams_advance_in_many_orders(self):
        products = [self.product_after_a_second_upload(seed, False) for seed in range(30)]
        assert {2, 14} < set(products)
        assert np.isnan(products).any()  # the factor's memory has a new owner, who has not written to it yet
        assert {self.product_after_a_second_upload(seed, True) for seed in range(30)} == {2}

    def test_work_follows_the_uploads_before_it(self):
        for seed in range(10):
            device = UnorderedDevice(seed=seed)
            out = device.empty((3, 3), np.float32)
            for number in range(5):
                device.multiply(*(device.upload(np.full((3, 1), number, np.float32)) for _ in range(2)), out, "float32")
                assert (device.download(out)() == number**2).all()
            device.release()

    def run_in_lanes(self, seed, work):
        """Return the order in which numbered work outside of lanes and in two lanes is carried out."""
        device, order = UnorderedDevice(seed=seed), []
        for lane, number in work:
            with device.lane(lane) if lane is not None else nullcontext():
                device._later(partial(order.append, number))
        device.settle()
        return tuple(order)

    def test_lanes_are_independent_but_follow_earlier_work_outside(self):
        work = [(None, 0), (0, 1), (1, 2), (0, 3), (None, 4), (1, 5)]
        orders = {self.run_in_lanes(seed, work) for seed in range(100)}
        assert len(orders) > 10
        for order in orders:
            assert order[0] == 0
            assert order.index(1) < order.index(3)
            assert max(order.index(2), order.index(4)) < order.index(5)
        for before, after in ((1, 2), (3, 2), (3, 4), (2, 4)):
            assert {order.index(before) < order.index(after) for order in orders} == {False, True}

    def test_retiring_makes_later_work_outside_of_lanes_follow_them(self):
        for seed in range(30):
            device, order = UnorderedDevice(seed=seed), []
            for lane in (0, 1):
                with device.lane(lane):
                    device._later(partial(order.append, lane))
            device.retire()
            device._later(partial(order.append, 2))
            device.settle()
            assert order[-1] == 2

    def test_everything_is_complete_after_a_release(self):
        for seed in range(30):
            device, order = UnorderedDevice(seed=seed), []
            for lane in (0, 1):
                with device.lane(lane):
                    device._later(partial(order.append, lane))
            device.release()
            assert len(order) == 2

    def test_memory_is_used_again_by_the_same_lane_only(self):
        device = UnorderedDevice(seed=0)
        with device.lane(0):
            address = device.empty((4,), np.float32).ctypes.data
        with device.lane(1):
            assert device.empty((4,), np.float32).ctypes.data != address
        with device.lane(0):
            assert device.empty((4,), np.float32).ctypes.data == address

    def test_functions_of_numpy_follow_the_work_of_the_current_lane_only(self):
        totals = set()
        for seed in range(30):
            device = UnorderedDevice(seed=seed)
            ones, lane = device.upload(np.ones((2, 2), np.float32)), device.empty((2, 2), np.float32)
            with device.lane(0):
                device.multiply(ones, ones, lane, "float32")
                assert (np.square(lane) == 4).all()
            with device.lane(1):
                device.multiply(ones, lane, lane, "float32")
            totals.add(float(lane.sum()))
        assert totals == {8.0, 16.0}


class TestCompiler:
    def test_compilation_errors_show_the_place(self):
        with pytest.raises(compiler.CompilationError, match=r"kernel\.cu:2:"):
            EmulatedDevice().launch(Program("\nnonsense", ("f",)), "f", 1, 32, [])

    def test_no_warnings_and_no_need_of_a_known_processor(self, monkeypatch):
        strict = ("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-Wno-sign-compare", "-DPORTABLE_FIBRES")
        monkeypatch.setattr(compiler, "OPTIONS", (*compiler.OPTIONS, *strict))
        device = EmulatedDevice()
        portable = program(*KERNELS.functions, definitions="// with other options")
        counts, ballots = device.empty(64, np.int32), device.empty(64, np.uint32)
        device.launch(portable, "leavers", 1, 64, [counts, ballots])
        np.testing.assert_array_equal(counts, 64 - np.arange(64))

    def test_a_compiler_is_found(self, monkeypatch):
        monkeypatch.setenv("CXX", "some-c++ -m64")
        assert compiler.find_compiler() == ("some-c++", "-m64")
        monkeypatch.delenv("CXX")
        monkeypatch.setattr(compiler.shutil, "which", {"c++": "/bin/c++"}.get)
        assert compiler.find_compiler() == ("/bin/c++",)
        monkeypatch.setattr(compiler.shutil, "which", lambda name: None)
        monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda name: object())
        assert compiler.find_compiler()[1:] == ("-m", "ziglang", "c++", "-nostdlib++")
        monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(compiler.CompilationError, match="no C\\+\\+ compiler"):
            compiler.find_compiler()
