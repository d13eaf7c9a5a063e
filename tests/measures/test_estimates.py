# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

import simplugins
from simplugins.activations.activations import Activations
from simplugins.compute.memory import SOLVER_BYTES
from simplugins.matching.matcher import Matcher
from simplugins.measures.cost import calibration, estimates, planned, synthetic
from simplugins.measures.cost.synthetic import synthetic_activations

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
    """A third-party matching, in plain Python."""

    name = "reversed"

    def match(self, affinity):
        return np.arange(len(affinity))[::-1]


@pytest.fixture
def measured(monkeypatch):
    """Pretend to have measured 2 s per call, 3 s per input and 5 s per pair."""
    speed = calibration.Speed(fixed=2.0, per_input=3.0, per_pair=5.0, pairs=6)
    monkeypatch.setattr(estimates, "calibrate", lambda *arguments: speed)
    return speed


@pytest.mark.parametrize(
    ("inputs", "other_inputs", "pairs", "entries"),
    [(2, None, 1, 4), (24, None, 276, 576), (3, 1, 3, 3), (5, 7, 35, 35)],
)
def test_pairs_and_bytes_are_those_of_the_rsm(inputs, other_inputs, pairs, entries):
    cost = simplugins.estimate(inputs, 9, 4, other_inputs=other_inputs, seconds=QUICK)
    x = np.ones((inputs, 9, 4), np.float32)
    y = None if other_inputs is None else np.ones((other_inputs, 9, 4), np.float32)
    assert cost.pairs == pairs
    assert cost.result_bytes == 8 * entries == simplugins.compute_rsm(x, other=y).values.nbytes
    assert cost.memory_bytes > cost.result_bytes
    assert cost.seconds > 0
    assert simplugins.estimate_for(x, other=y, seconds=QUICK).pairs == pairs


def test_time_grows_with_inputs_and_pairs(measured):
    assert simplugins.estimate(10, 4, 3).seconds == 2 + 3 * 10 + 5 * 45
    assert simplugins.estimate(10, 4, 3, other_inputs=4).seconds == 2 + 3 * 14 + 5 * 40
    assert simplugins.estimate_for(np.ones((10, 4, 3)), inputs=1000).seconds == 2 + 3 * 1000 + 5 * 499_500
    assert simplugins.estimate(10, 4, 3).seconds_per_pair == 5


def test_times_are_extrapolated_by_a_power_law(monkeypatch):
    calls = []

    def calibrate(call, rows, columns, counts, input_bytes, seconds):
        positions = input_bytes // (3 * 4)
        calls.append((positions, seconds))
        return calibration.Speed(0.0, 0.0, positions**2.5, 6)

    monkeypatch.setattr(estimates, "calibrate", calibrate)
    cost = simplugins.estimate(3, 10_000, 3, seconds=4)
    assert cost.seconds_per_pair == pytest.approx(10_000**2.5)
    assert calls == [(1024, 2), (4096, 2)]
    steep = calibration.extrapolated(
        calibration.Speed(0.0, 1.0, 1.0, 6), 1024, calibration.Speed(0.0, 1.0, 4.0**5, 6), 2 * 4096
    )
    assert steep.per_pair == pytest.approx(4.0**5 * 2**3)  # no matching of ours is worse than cubic
    assert steep.per_input == 2


@pytest.fixture
def clock(monkeypatch):
    """A clock that only fake calls advance."""
    now = [0.0]
    monkeypatch.setattr(calibration, "perf_counter", lambda: now[0])
    monkeypatch.setattr(calibration, "fixed_cost", lambda call, two: 1.0)
    return now


class FakeCall:
    """A call that takes 1 s and 0.5 s per pair, by the clock."""

    threads = 2

    def __init__(self, clock):
        self.clock, self.pairs = clock, []

    def __call__(self, x, y):
        pairs = len(x) * (len(x) - 1) // 2 if y is None else len(x) * len(y)
        self.pairs.append(pairs)
        self.clock[0] += 1 + 0.5 * pairs


def sample(count):
    return lambda: Activations.from_array(np.ones((count, 1, 1), np.float32))


@pytest.mark.parametrize(("inputs", "other_inputs"), [(1000, None), (1000, 5), (1, 1000)])
def test_fixed_time_and_time_per_pair_follow_from_samples(clock, inputs, other_inputs):
    call = FakeCall(clock)
    speed = calibration.calibrate(call, sample, sample, planned.Counts.checked(inputs, other_inputs), 4, 100.0)
    assert speed.fixed == pytest.approx(1)
    assert speed.per_pair == pytest.approx(0.5)
    assert speed.pairs == max(call.pairs)
    assert clock[0] <= 100


def test_a_sample_of_all_inputs_gives_the_time_of_the_call(clock):
    call = FakeCall(clock)
    speed = calibration.calibrate(call, sample, sample, planned.Counts.checked(7, None), 4, 100.0)
    assert max(call.pairs) == speed.pairs == 21
    assert speed.seconds(7, 21) == pytest.approx(1 + 0.5 * 21)


def test_without_time_the_smallest_sample_is_compared(clock):
    call = FakeCall(clock)
    speed = calibration.calibrate(call, sample, sample, planned.Counts.checked(1000, None), 4, 0.001)
    assert call.pairs == [6]  # 3 for each thread
    assert speed.per_pair == pytest.approx(0.5)


def test_samples_double_up_to_all_inputs_or_the_memory_limit():
    counts = planned.Counts(100, None)
    assert [some.inputs for some in calibration.sample_sizes(counts, 2, 1)] == [4, 8, 16, 32, 64, 100]
    large = calibration.SAMPLE_BYTES // 10
    assert [some.inputs for some in calibration.sample_sizes(counts, 2, large)] == [4, 8, 10]
    assert [some.inputs for some in calibration.sample_sizes(counts, 2, 10 * large)] == [4]
    with_other = planned.Counts(100, 5)
    assert list(calibration.sample_sizes(with_other, 2, large)) == [(4, 4), (8, 5), (10, 5)]
    assert [some.inputs for some in calibration.sample_sizes(planned.Counts(2, None), 2, 1)] == [2]


@pytest.mark.parametrize("matching", MATCHINGS)
@pytest.mark.parametrize("certify", [False, True])
def test_every_matching_and_certificates(matching, certify):
    options = MATCHINGS[matching]
    cost = simplugins.estimate(6, 9, 4, matching=matching, matching_options=options, certify=certify, seconds=QUICK)
    assert cost.pairs == 15
    assert cost.metadata["matching"] == matching
    assert cost.metadata["matching_options"] == options
    assert cost.metadata["certify"] == certify


@pytest.mark.parametrize("kernel", ["linear", "cosine", "rbf"])
def test_spatio_semantic_measures(kernel):
    cost = simplugins.estimate(6, 9, 4, measure=f"spatio-semantic-{kernel}", seconds=QUICK)
    assert (cost.metadata["measure"], cost.metadata["matching"]) == (f"spatio-semantic-{kernel}", "identity")


def test_third_party_matchings():
    assert simplugins.estimate(4, 6, 2, matching=Reversed(), seconds=QUICK).metadata["matching"] == "reversed"


def test_only_samples_of_a_memmap_are_read(tmp_path, monkeypatch):
    values = np.random.default_rng(0).random((500, 20, 6), np.float32)
    np.save(tmp_path / "many.npy", values)
    read = []
    from_array = Activations.from_array

    def counting(source, **options):
        activations = from_array(source, **options)
        read.append((source, len(activations)))
        return activations

    monkeypatch.setattr(Activations, "from_array", staticmethod(counting))
    cost = simplugins.estimate_for(tmp_path / "many.npy", seconds=QUICK)
    counts = [count for source, count in read if isinstance(source, np.memmap)]
    assert cost.pairs == 500 * 499 // 2
    assert 0 < sum(counts) < 250
    in_memory = simplugins.estimate_for(values, seconds=QUICK)
    assert in_memory.memory_bytes - cost.memory_bytes == values.nbytes


def test_a_few_inputs_can_represent_many(photos):
    cost = simplugins.estimate_for(photos["block15"][:3], inputs=50_000, other_inputs=10, seconds=QUICK)
    assert cost.pairs == 500_000
    assert cost.metadata["sampled"] == "activations"


def test_sets_masks_tokens_and_layouts():
    rng = np.random.default_rng(0)
    sets = [rng.random((size, 3)) for size in (2, 5, 4)]
    cost = simplugins.estimate_for(sets, seconds=QUICK)
    assert (cost.metadata["positions"], cost.metadata["channels"], cost.metadata["dtype"]) == (5, 3, "float64")
    maps = rng.random((4, 2, 3, 5), np.float32)
    assert simplugins.estimate_for(maps, layout="nhwc", seconds=QUICK).metadata["positions"] == 6
    mask = np.ones((4, 3, 5), bool)
    mask[:, 0] = False
    assert simplugins.estimate_for(maps, mask=mask, seconds=QUICK).metadata["positions"] == 10
    tokens = rng.random((4, 7, 2), np.float32)
    assert simplugins.estimate_for(tokens, drop_tokens=1, dtype="float64", seconds=QUICK).metadata["positions"] == 6
    ready = Activations.from_array(tokens)
    assert simplugins.estimate_for(ready, seconds=QUICK).pairs == 6


def test_synthetic_activations_have_the_requested_size_and_are_reproducible():
    for count, positions, channels in ((1, 1, 1), (30, 7, 200), (3, 50, 112)):
        activations = synthetic_activations(count, positions, channels)
        assert activations.shape == (count, positions, channels)
        assert activations.dtype == np.float32
        np.testing.assert_array_equal(activations, synthetic_activations(count, positions, channels))
    repeated = synthetic_activations(48, 49, 8)
    assert np.abs(repeated[0] - repeated[24]).max() > 0


def test_synthetic_activations_are_the_bundled_maps_and_noise(photos, monkeypatch):
    monkeypatch.setattr(synthetic, "DETAIL", 0.0)
    real = photos["block10"].astype(np.float32).reshape(24, 112, 196).swapaxes(1, 2)
    activations = synthetic_activations(24, 196, 112)
    np.testing.assert_array_equal(activations[:6], real[::4])  # a crop of each photograph first
    mixed = synthetic_activations(24, 196, 2000)
    products = np.einsum("nsc,ntc->nst", mixed, mixed, dtype=np.float64)
    expected = np.einsum("nsc,ntc->nst", activations, activations, dtype=np.float64)
    assert np.corrcoef(products.ravel(), expected.ravel())[0, 1] > 0.95


def test_memory_includes_matrices_and_affinities(measured):
    def memory(*size, **options):
        return simplugins.estimate(*size, threads=1, **options).memory_bytes

    matrix = 8 * 20_000**2
    linear = memory(20_000, 4, 1, measure="semantic-linear")
    assert memory(20_000, 4, 1, measure="semantic-rbf") - linear == 2 * matrix
    assert memory(20_000, 4, 1, measure="semantic-linear", certify=True) - linear == matrix
    entry = 4 + SOLVER_BYTES
    assert memory(2, 4000, 1) - memory(2, 3000, 1) == pytest.approx(entry * (4000**2 - 3000**2), rel=0.01)
    pair = entry * 4000**2
    assert memory(2, 4000, 1) - memory(2, 4000, 1, matching="batch-optimal", matching_options={"window": 8}) > 0.9 * (
        pair - 8 * 2**20
    )
    two = simplugins.estimate(2, 4000, 1, threads=2).memory_bytes
    assert two - memory(2, 4000, 1) == pair


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((1, 4, 3), {}, ValueError, r"\b2 inputs.*\b1$"),
        ((0, 4, 3), {"other_inputs": 3}, ValueError, r"^inputs.*\b0$"),
        ((3, 4, 3), {"other_inputs": 0}, ValueError, r"^other_inputs.*\b0$"),
        ((3, 0, 3), {}, ValueError, r"^positions.*\b0$"),
        ((3, 4, 2.5), {}, ValueError, r"^channels.*\b2\.5$"),
        ((3, 4, 3), {"seconds": 0}, ValueError, r"^seconds.*\b0$"),
        ((3, 4, 3), {"seconds": float("nan")}, ValueError, r"^seconds.*\bnan$"),
        ((3, 4, 3), {"measure": "semantic-cosin"}, ValueError, "semantic-cosine"),
        ((3, 4, 3), {"matching": "nothing"}, ValueError, "nothing"),
        ((3, 4, 3), {"matching_options": {"window": 4}}, TypeError, "window"),
        ((3, 4, 3), {"threads": 0}, ValueError, r"threads.*\b0$"),
        ((3, 4, 3), {"dtype": "int8"}, TypeError, r"dtype.*int8"),
        ((3, 4, 3), {"engine": "abacus"}, ValueError, "engine 'abacus'"),
        (
            (3, 4, 3),
            {"measure": "spatio-semantic-linear", "matching": "greedy"},
            ValueError,
            r"'spatio-semantic-linear'.*'greedy'",
        ),
    ],
)
def test_invalid_options_raise(arguments, options, error, message):
    with pytest.raises(error, match=message):
        simplugins.estimate(*arguments, **options)


def test_invalid_activations_raise():
    with pytest.raises(ValueError, match=r"channels.*\b2 and 5\b"):
        simplugins.estimate_for(np.ones((3, 4, 2)), other=np.ones((3, 4, 5)))
    with pytest.raises(ValueError, match=r"other: .*NaN"):
        simplugins.estimate_for(np.ones((3, 4, 2)), other=np.full((3, 4, 2), np.nan))
    with pytest.raises(ValueError, match=r"other_mask.*other"):
        simplugins.estimate_for(np.ones((3, 4, 2)), other_mask=np.ones((3, 4), bool))
    with pytest.raises(TypeError, match=r"number 3\b"):
        simplugins.estimate_for(3)
    with pytest.raises(ValueError, match="one input"):
        simplugins.estimate_for([])


def test_estimates_have_a_repr_and_a_summary():
    cost = estimates.Estimate(2.0, 3, 1e-3, 48, 10**9, 1, {})
    assert repr(cost) == (
        "Estimate: about 2 s for 3 pairs (1 ms each, 1 thread); the RSM takes 48 bytes; memory about 1 GB"
    )
    summary = simplugins.estimate(
        3, 4, 2, other_inputs=1000, matching="batch-optimal", matching_options={"window": 2}, seconds=QUICK
    ).summary()
    assert summary["inputs"] == "3 with 1,000 other inputs"
    assert summary["pairs"] == "3,000"
    assert summary["matching"] == "batch-optimal (window 2)"


def correlations(x, y=None):
    """Pearson correlations of flattened responses: undefined for a single channel."""
    rows, columns = (np.stack([response.ravel() for response in side.sets()]) for side in (x, y))
    return np.corrcoef(rows, columns)[: len(rows), len(rows) :]


def test_third_party_measures_are_estimated_from_their_own_inputs():
    cost = simplugins.estimate(5, 9, 4, measure=correlations, seconds=QUICK)
    assert (cost.metadata["measure"], cost.metadata["matching"]) == ("correlations", None)
    assert "none" in cost.summary()["matching"]
    maps = np.random.default_rng(0).random((5, 4, 3, 3))
    assert simplugins.estimate_for(maps, measure=correlations, seconds=QUICK).pairs == 10


def test_measures_of_all_inputs_cannot_be_estimated_from_a_sample():
    def whitened(x, y=None):
        return correlations(x, y)

    whitened.pairwise = False
    with pytest.raises(ValueError, match=r"'whitened'.*pairwise"):
        simplugins.estimate(5, 9, 4, measure=whitened, seconds=QUICK)
