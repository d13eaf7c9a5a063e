# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

import simplugins
from simplugins.activations.activations import Activations
from simplugins.matching.matcher import Matcher
from simplugins.measures.cost import calibration, estimates, planned
from simplugins.measures.cost import synthetic as stand_ins

MATCHINGS = {
    "optimal": {},
    "auction": {"tolerance": 0.05},
    "batch-optimal": {"window": 4},
    "greedy": {},
    "topk-greedy": {"k": 3},
    "identity": {},
}
QUICK = 0.02


class Reversed(Matcher):
    """Someone else's matching, in plain Python."""

    name = "reversed"

    def match(self, affinity):
        return np.arange(len(affinity))[::-1]


@pytest.fixture
def measured(monkeypatch):
    """Pretend that 2 s were measured for a run, 3 s for an input and 5 s for a pair."""
    speed = calibration.Speed(fixed=2.0, per_input=3.0, per_pair=5.0, pairs=6)
    monkeypatch.setattr(estimates, "calibrate", lambda *arguments: speed)
    return speed


@pytest.mark.parametrize(
    ("inputs", "others", "pairs", "entries"), [(2, None, 1, 4), (24, None, 276, 576), (3, 1, 3, 3), (5, 7, 35, 35)]
)
def test_pairs_and_bytes_are_those_of_the_rsm(inputs, others, pairs, entries):
    found = simplugins.estimate(inputs, 9, 4, others=others, seconds=QUICK)
    x, y = np.ones((inputs, 9, 4), np.float32), None if others is None else np.ones((others, 9, 4), np.float32)
    assert found.pairs == pairs
    assert found.result_bytes == 8 * entries == simplugins.compute_rsm(x, other=y).values.nbytes
    assert found.memory_bytes > found.result_bytes
    assert found.seconds > 0
    assert simplugins.estimate_for(x, other=y, seconds=QUICK).pairs == pairs


def test_time_is_that_of_a_run_its_inputs_and_its_pairs(measured):
    assert simplugins.estimate(10, 4, 3).seconds == 2 + 3 * 10 + 5 * 45
    assert simplugins.estimate(10, 4, 3, others=4).seconds == 2 + 3 * 14 + 5 * 40
    assert simplugins.estimate_for(np.ones((10, 4, 3)), inputs=1000).seconds == 2 + 3 * 1000 + 5 * 499_500
    assert simplugins.estimate(10, 4, 3).seconds_per_pair == 5


def test_time_beyond_what_is_measured_grows_by_the_same_power(monkeypatch):
    asked = []

    def calibrate(run, rows, columns, counts, input_bytes, seconds):
        positions = input_bytes // (3 * 4)
        asked.append((positions, seconds))
        return calibration.Speed(0.0, 0.0, positions**2.5, 6)

    monkeypatch.setattr(estimates, "calibrate", calibrate)
    found = simplugins.estimate(3, 10_000, 3, seconds=4)
    assert found.seconds_per_pair == pytest.approx(10_000**2.5)
    assert asked == [(1024, 2), (4096, 2)]
    steep = calibration.extrapolated(
        calibration.Speed(0.0, 1.0, 1.0, 6), 1024, calibration.Speed(0.0, 1.0, 4.0**5, 6), 2 * 4096
    )
    assert steep.per_pair == pytest.approx(4.0**5 * 2**3)  # no matching of ours is worse than the third power
    assert steep.per_input == 2


@pytest.fixture
def clock(monkeypatch):
    """A clock that only `calibrate`'s pretended runs move."""
    now = [0.0]
    monkeypatch.setattr(calibration, "perf_counter", lambda: now[0])
    monkeypatch.setattr(calibration, "fixed_cost", lambda run, dtype: 1.0)
    return now


class Pretended:
    """A run that takes 1 s and 0.5 s for each pair, by the clock."""

    threads = 2

    def __init__(self, clock):
        self.clock, self.pairs = clock, []

    def __call__(self, x, y):
        pairs = len(x) * (len(x) - 1) // 2 if y is None else len(x) * len(y)
        self.pairs.append(pairs)
        self.clock[0] += 1 + 0.5 * pairs


def sample(count):
    return lambda: Activations.from_array(np.ones((count, 1, 1), np.float32))


@pytest.mark.parametrize(("inputs", "others"), [(1000, None), (1000, 5), (1, 1000)])
def test_samples_tell_what_a_run_and_what_a_pair_takes(clock, inputs, others):
    run = Pretended(clock)
    speed = calibration.calibrate(run, sample, sample, planned.Counts.of(inputs, others), 4, 100.0)
    assert speed.fixed == pytest.approx(1)
    assert speed.per_pair == pytest.approx(0.5)
    assert speed.pairs == max(run.pairs)
    assert clock[0] <= 100


def test_a_sample_of_everything_is_the_run(clock):
    run = Pretended(clock)
    speed = calibration.calibrate(run, sample, sample, planned.Counts.of(7, None), 4, 100.0)
    assert max(run.pairs) == speed.pairs == 21
    assert speed.seconds(7, 21) == pytest.approx(1 + 0.5 * 21)


def test_without_time_the_least_sample_is_compared(clock):
    run = Pretended(clock)
    speed = calibration.calibrate(run, sample, sample, planned.Counts.of(1000, None), 4, 0.001)
    assert run.pairs == [6]  # 3 for each thread
    assert speed.per_pair == pytest.approx(0.5)


def test_samples_are_doubled_up_to_all_or_to_what_memory_they_may_take():
    counts = planned.Counts(100, None)
    assert [some.inputs for some in calibration.sample_sizes(counts, 2, 1)] == [4, 8, 16, 32, 64, 100]
    large = calibration.SAMPLE_BYTES // 10
    assert [some.inputs for some in calibration.sample_sizes(counts, 2, large)] == [4, 8, 10]
    assert [some.inputs for some in calibration.sample_sizes(counts, 2, 10 * large)] == [4]
    beside = planned.Counts(100, 5)
    assert list(calibration.sample_sizes(beside, 2, large)) == [(4, 4), (8, 5), (10, 5)]
    assert [some.inputs for some in calibration.sample_sizes(planned.Counts(2, None), 2, 1)] == [2]


@pytest.mark.parametrize("matching", MATCHINGS)
@pytest.mark.parametrize("certify", [False, True])
def test_every_matching_and_certificates(matching, certify):
    options = MATCHINGS[matching]
    found = simplugins.estimate(6, 9, 4, matching=matching, certify=certify, seconds=QUICK, **options)
    assert found.pairs == 15
    assert found.matching == matching
    assert found.metadata["matching_options"] == MATCHINGS[matching]
    assert found.metadata["certify"] == certify


@pytest.mark.parametrize("kernel", ["linear", "cosine", "rbf"])
def test_spatio_semantic_measures(kernel):
    found = simplugins.estimate(6, 9, 4, measure=f"spatio-semantic-{kernel}", seconds=QUICK)
    assert (found.measure, found.matching) == (f"spatio-semantic-{kernel}", "identity")


def test_matchings_of_others():
    assert simplugins.estimate(4, 6, 2, matching=Reversed(), seconds=QUICK).metadata["matching"] == "reversed"


def test_a_memmap_is_read_in_parts(tmp_path, monkeypatch):
    values = np.random.default_rng(0).random((500, 20, 6), np.float32)
    np.save(tmp_path / "many.npy", values)
    read = []
    of = Activations.of

    def counting(source, **how):
        found = of(source, **how)
        read.append((source, len(found)))
        return found

    monkeypatch.setattr(Activations, "of", staticmethod(counting))
    found = simplugins.estimate_for(tmp_path / "many.npy", seconds=QUICK)
    of_file = [count for source, count in read if isinstance(source, np.memmap)]
    assert found.pairs == 500 * 499 // 2
    assert 0 < sum(of_file) < 250
    in_memory = simplugins.estimate_for(values, seconds=QUICK)
    assert in_memory.memory_bytes - found.memory_bytes == values.nbytes


def test_few_inputs_stand_for_many(photos):
    found = simplugins.estimate_for(photos["block15"][:3], inputs=50_000, others=10, seconds=QUICK)
    assert found.pairs == 500_000
    assert found.metadata["sampled"] == "activations"


def test_sets_masks_tokens_and_layouts():
    rng = np.random.default_rng(0)
    sets = [rng.random((size, 3)) for size in (2, 5, 4)]
    found = simplugins.estimate_for(sets, seconds=QUICK)
    assert (found.metadata["positions"], found.metadata["channels"], found.metadata["dtype"]) == (5, 3, "float64")
    maps = rng.random((4, 2, 3, 5), np.float32)
    assert simplugins.estimate_for(maps, layout="nhwc", seconds=QUICK).metadata["positions"] == 6
    mask = np.ones((4, 3, 5), bool)
    mask[:, 0] = False
    assert simplugins.estimate_for(maps, mask=mask, seconds=QUICK).metadata["positions"] == 10
    tokens = rng.random((4, 7, 2), np.float32)
    assert simplugins.estimate_for(tokens, drop_tokens=1, dtype="float64", seconds=QUICK).metadata["positions"] == 6
    ready = Activations.from_array(tokens)
    assert simplugins.estimate_for(ready, seconds=QUICK).pairs == 6


def test_stand_ins_have_the_size_asked_for_and_are_the_same_again():
    for count, positions, channels in ((1, 1, 1), (30, 7, 200), (3, 50, 112)):
        made = stand_ins.stand_ins(count, positions, channels)
        assert made.shape == (count, positions, channels)
        assert made.dtype == np.float32
        np.testing.assert_array_equal(made, stand_ins.stand_ins(count, positions, channels))
    repeated = stand_ins.stand_ins(48, 49, 8)
    assert np.abs(repeated[0] - repeated[24]).max() > 0


def test_stand_ins_are_the_bundled_maps_and_noise(photos, monkeypatch):
    monkeypatch.setattr(stand_ins, "DETAIL", 0.0)
    real = photos["block10"].astype(np.float32).reshape(24, 112, 196).swapaxes(1, 2)
    made = stand_ins.stand_ins(24, 196, 112)
    np.testing.assert_array_equal(made[:6], real[::4])  # a crop of each photograph first
    mixed = stand_ins.stand_ins(24, 196, 2000)
    products = np.einsum("nsc,ntc->nst", mixed, mixed, dtype=np.float64)
    expected = np.einsum("nsc,ntc->nst", made, made, dtype=np.float64)
    assert np.corrcoef(products.ravel(), expected.ravel())[0, 1] > 0.95


def test_memory_grows_with_what_is_kept(measured):
    def memory(*size, **how):
        return simplugins.estimate(*size, threads=1, **how).memory_bytes

    matrix = 8 * 20_000**2
    linear = memory(20_000, 4, 1, measure="semantic-linear")
    assert memory(20_000, 4, 1, measure="semantic-rbf") - linear == 2 * matrix
    assert memory(20_000, 4, 1, measure="semantic-linear", certify=True) - linear == matrix
    assert memory(2, 4000, 1) - memory(2, 3000, 1) == pytest.approx(2 * 4 * (4000**2 - 3000**2), rel=0.01)
    pair = 2 * 4 * 4000**2
    assert memory(2, 4000, 1) - memory(2, 4000, 1, matching="batch-optimal", window=8) > 0.9 * (pair - 8 * 2**20)
    two = simplugins.estimate(2, 4000, 1, threads=2).memory_bytes
    assert two - memory(2, 4000, 1) == pair


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((1, 4, 3), {}, ValueError, "an RSM needs at least 2 inputs, got 1"),
        ((0, 4, 3), {"others": 3}, ValueError, "inputs must be a whole number of at least 1, got 0"),
        ((3, 4, 3), {"others": 0}, ValueError, "others must be a whole number of at least 1, got 0"),
        ((3, 0, 3), {}, ValueError, "positions must be a whole number of at least 1, got 0"),
        ((3, 4, 2.5), {}, ValueError, "channels must be a whole number of at least 1, got 2.5"),
        ((3, 4, 3), {"seconds": 0}, ValueError, "seconds must be a number above 0, got 0"),
        ((3, 4, 3), {"seconds": float("nan")}, ValueError, "seconds must be a number above 0, got nan"),
        ((3, 4, 3), {"measure": "semantic-cosin"}, ValueError, "semantic-cosine"),
        ((3, 4, 3), {"matching": "nothing"}, ValueError, "nothing"),
        ((3, 4, 3), {"window": 4}, TypeError, "no option 'window'"),
        ((3, 4, 3), {"threads": 0}, ValueError, "threads must be"),
        ((3, 4, 3), {"dtype": "int8"}, TypeError, "dtype must be float32 or float64"),
        ((3, 4, 3), {"engine": "abacus"}, ValueError, "unknown engine 'abacus'"),
        ((3, 4, 3), {"measure": "spatio-semantic-linear", "matching": "greedy"}, ValueError, "spatio-semantic"),
    ],
)
def test_errors(arguments, options, error, message):
    with pytest.raises(error, match=message):
        simplugins.estimate(*arguments, **options)


def test_errors_of_activations():
    with pytest.raises(ValueError, match="equal channels"):
        simplugins.estimate_for(np.ones((3, 4, 2)), other=np.ones((3, 4, 5)))
    with pytest.raises(ValueError, match=r"other: .*NaN"):
        simplugins.estimate_for(np.ones((3, 4, 2)), other=np.full((3, 4, 2), np.nan))
    with pytest.raises(ValueError, match="other_mask goes with other"):
        simplugins.estimate_for(np.ones((3, 4, 2)), other_mask=np.ones((3, 4), bool))
    with pytest.raises(TypeError, match="expected activations, got int"):
        simplugins.estimate_for(3)
    with pytest.raises(ValueError, match="at least one input"):
        simplugins.estimate_for([])


def test_it_can_be_read():
    found = estimates.Estimate(2.0, 3, 1e-3, 48, 10**9, 1, {})
    assert repr(found) == (
        "Estimate: about 2 s for 3 pairs (1 ms each, 1 thread); the RSM takes 48 bytes; memory about 1 GB"
    )
    told = simplugins.estimate(3, 4, 2, others=1000, matching="batch-optimal", window=2, seconds=QUICK).summary()
    assert told["inputs"] == "3 with 1,000 others"
    assert told["pairs"] == "3,000"
    assert told["matching"] == "batch-optimal (window 2)"


def test_a_measure_of_others_is_refused(monkeypatch):
    monkeypatch.setattr(planned.plugins, "load", lambda group, name: lambda activations, **options: None)
    with pytest.raises(ValueError, match="estimates are for measures of ours, got 'mine'"):
        simplugins.estimate(3, 4, 3, measure="mine")
