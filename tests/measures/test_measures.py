# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simplugins
from simplugins.matching.optimal import Optimal
from simplugins.measures.measure import Measure

SEMANTIC = ["semantic-linear", "semantic-cosine", "semantic-rbf"]
SPATIO_SEMANTIC = [f"spatio-{name}" for name in SEMANTIC]
KERNELS = ["linear", "cosine", "rbf"]


@pytest.fixture(scope="module")
def sets():
    return np.random.default_rng(0).normal(size=(8, 15, 5))


def test_semantic_rsms_equal_the_oracle(sets):
    products, norms = oracle.aligned_products(sets, sets), oracle.norms(sets)
    rsms = simplugins.compute_rsms(sets, SEMANTIC, sigma=3.0)
    np.testing.assert_allclose(rsms["semantic-linear"], products, rtol=1e-12)
    np.testing.assert_allclose(rsms["semantic-cosine"], oracle.cosine(products, norms, norms), rtol=1e-12)
    np.testing.assert_allclose(rsms["semantic-rbf"], oracle.rbf(products, norms, norms, 3.0), rtol=1e-10)


def test_spatio_semantic_rsms_equal_flattened_products(sets):
    flat = sets.reshape(len(sets), -1)
    products, norms = flat @ flat.T, oracle.norms(sets)
    rsms = simplugins.compute_rsms(sets, SPATIO_SEMANTIC, sigma=3.0)
    np.testing.assert_allclose(rsms["spatio-semantic-linear"], products, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(
        rsms["spatio-semantic-cosine"], oracle.cosine(products, norms, norms), rtol=1e-11, atol=1e-12
    )
    np.testing.assert_allclose(
        rsms["spatio-semantic-rbf"], oracle.rbf(products, norms, norms, 3.0), rtol=1e-10, atol=1e-12
    )


def test_other_inputs_give_the_block_of_the_joint_rsm(sets):
    together = simplugins.compute_rsms(sets, [*SEMANTIC, *SPATIO_SEMANTIC], sigma=2.0)
    between = simplugins.compute_rsms(sets[:3], [*SEMANTIC, *SPATIO_SEMANTIC], other=sets[3:], sigma=2.0)
    for name, rsm in between.items():
        assert rsm.shape == (3, 5)
        assert not rsm.symmetric
        np.testing.assert_allclose(rsm.values, together[name].values[:3, 3:], rtol=1e-12, atol=1e-12)


@given(seed=st.integers(0, 2**32 - 1), positions=st.integers(2, 20), channels=st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_moving_content_does_not_change_semantic_rsms(seed, positions, channels):
    rng = np.random.default_rng(seed)
    still = rng.normal(size=(4, positions, channels))
    moved = np.stack([rng.permutation(response) for response in still])
    before, after = (simplugins.compute_rsms(s, [*SEMANTIC, *SPATIO_SEMANTIC], sigma=1.0) for s in (still, moved))
    for name in SEMANTIC:
        np.testing.assert_allclose(after[name].values, before[name].values, rtol=1e-9, atol=1e-9)


def test_moving_content_changes_spatio_semantic_rsms(photos):
    maps = photos["block15"].astype(np.float32)
    rng = np.random.default_rng(1)
    moved = np.stack([response[:, rng.permutation(49)] for response in maps.reshape(24, 320, 49)])
    before, after = (
        simplugins.compute_rsms(m.reshape(maps.shape), [*SEMANTIC, *SPATIO_SEMANTIC]) for m in (maps, moved)
    )
    for kernel in KERNELS:
        change = {
            kind: np.abs(after[f"{kind}-{kernel}"].values - before[f"{kind}-{kernel}"].values).max()
            / before[f"{kind}-{kernel}"].values.max()
            for kind in ("semantic", "spatio-semantic")
        }
        assert change["semantic"] < 1e-6
        assert change["spatio-semantic"] > 0.05


@given(seed=st.integers(0, 2**32 - 1), positions=st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_semantic_similarity_is_at_least_the_spatio_semantic_one(seed, positions):
    sets = np.random.default_rng(seed).normal(size=(4, positions, 3))
    rsms = simplugins.compute_rsms(sets, ["semantic-linear", "spatio-semantic-linear"])
    slack = 1e-12 * np.abs(rsms["semantic-linear"].values).max()
    assert (rsms["semantic-linear"].values >= rsms["spatio-semantic-linear"].values - slack).all()


def test_scaling_activations_does_not_change_cosine_and_median_rbf(sets):
    for factor in (1e-30, 2.0**20, 1e30):
        for name in ("semantic-cosine", "semantic-rbf", "spatio-semantic-cosine", "spatio-semantic-rbf"):
            scaled = simplugins.compute_rsm((sets * factor).astype(np.float32), name)
            plain = simplugins.compute_rsm(sets.astype(np.float32), name)
            np.testing.assert_allclose(scaled.values, plain.values, rtol=1e-5, atol=1e-6)


def test_one_position_makes_both_kinds_equal():
    vectors = np.random.default_rng(2).normal(size=(6, 9))
    for kernel in KERNELS:
        one, other = (simplugins.compute_rsm(vectors, f"{kind}-{kernel}") for kind in ("semantic", "spatio-semantic"))
        np.testing.assert_allclose(one.values, other.values, rtol=1e-10)


def test_unmatched_positions_count_as_matched_to_zero_vectors():
    rng = np.random.default_rng(3)
    sets = [rng.normal(size=(size, 4)) for size in (5, 9, 2, 9)]
    padded = np.stack([np.vstack([s, np.zeros((9 - len(s), 4))]) for s in sets])
    ragged = simplugins.compute_rsms(sets, SEMANTIC, sigma=2.0)
    # Padding adds the freedom to leave a position out, so it can only help; where all products are positive it does
    # not, and both agree.
    positive = [np.abs(s) for s in sets]
    np.testing.assert_allclose(
        simplugins.compute_rsm(positive, "semantic-linear").values,
        simplugins.compute_rsm(np.abs(padded), "semantic-linear").values,
        rtol=1e-12,
    )
    norms = oracle.norms(sets)
    np.testing.assert_allclose(
        ragged["semantic-cosine"].values, oracle.cosine(oracle.aligned_products(sets, sets), norms, norms), rtol=1e-11
    )


def test_masked_positions_are_ignored():
    rng = np.random.default_rng(4)
    sets = rng.normal(size=(6, 12, 4)).astype(np.float32)
    mask = rng.random((6, 12)) < 0.6
    mask[:, 0] = True
    spoiled = np.where(mask[:, :, None], sets, np.nan)
    masked = simplugins.compute_rsm(spoiled, "semantic-cosine", mask=mask)
    packed = simplugins.compute_rsm([s[m] for s, m in zip(sets, mask, strict=True)], "semantic-cosine")
    np.testing.assert_array_equal(masked.values, packed.values)
    between = simplugins.compute_rsm(spoiled[:2], other=spoiled[2:], mask=mask[:2], other_mask=mask[2:])
    np.testing.assert_allclose(between.values, packed.values[:2, 2:], rtol=1e-6)


def test_degenerate_responses_have_defined_similarities():
    zero_and_two = np.stack([np.zeros((3, 2)), np.ones((3, 2)), np.eye(3, 2)])
    cosine = simplugins.compute_rsm(zero_and_two, "semantic-cosine").values
    np.testing.assert_array_equal(cosine[0], 0)
    np.testing.assert_array_equal(cosine[:, 0], 0)
    equal = np.ones((4, 3, 2), np.float32)
    np.testing.assert_array_equal(simplugins.compute_rsm(equal, "semantic-rbf").values, 1)
    np.testing.assert_array_equal(simplugins.compute_rsm(np.zeros((3, 2, 2)), "semantic-rbf").values, 1)


def test_rsms_have_metadata(sets):
    rsm = simplugins.compute_rsm(sets.astype(np.float16), "semantic-rbf", labels=list("abcdefgh"))
    assert (rsm.measure, rsm.kernel, rsm.matching) == ("semantic-rbf", "rbf", "optimal")
    assert rsm.metadata == {
        "matching_options": {},
        "sigma_rule": "median",
        "dtype": "float32",
        "engine": "cpu",
        "precision": "float32",
        "rounding": 2.0**-21,
        "layout": "ntd",
        "channels": 5,
        "positions": 15,
        "simplugins": simplugins.__version__,
    }
    squared = (
        rsm.squared_norms[:, None] + rsm.squared_norms - 2 * simplugins.compute_rsm(sets, "semantic-linear").values
    )
    distances = np.sort(squared[np.triu_indices(8, 1)])
    assert rsm.sigma == pytest.approx(np.sqrt(distances[(len(distances) - 1) // 2]), rel=1e-3)
    assert list(rsm.labels) == list("abcdefgh")


def test_one_matching_serves_all_kernels(sets):
    class Counting(Optimal):
        calls = 0

        def match_batch(self, affinities, offsets):
            Counting.calls += len(offsets) - 1
            return super().match_batch(affinities, offsets)

    simplugins.compute_rsms(sets, SEMANTIC, matching=Counting())
    pairs_and_one_to_compile = 8 * 7 // 2 + 1
    assert Counting.calls == pairs_and_one_to_compile


def test_activations_come_from_files_too(tmp_path, sets):
    np.save(tmp_path / "responses.npy", sets)
    from_file = simplugins.compute_rsm(tmp_path / "responses.npy")
    np.testing.assert_array_equal(from_file.values, simplugins.compute_rsm(sets).values)
    np.testing.assert_array_equal(simplugins.compute_rsm(str(tmp_path / "responses.npy")).values, from_file.values)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"measure": "semantic-cosin"}, ValueError, r"'semantic-cosin'.*semantic-cosine"),
        ({"engine": "gpu"}, ValueError, "engine 'gpu'"),
        ({"sigma": 0}, ValueError, r"sigma.*\b0$"),
        ({"sigma": float("nan")}, ValueError, r"sigma.*\bnan$"),
        ({"sigma": "mean"}, ValueError, "sigma.*'mean'"),
        ({"thread": 2}, TypeError, "thread"),
        ({"matching_options": {"window": 2}}, TypeError, r"window.*'optimal'|'optimal'.*window"),
        ({"measure_options": {"window": 2}}, TypeError, r"'semantic-cosine'.*'window'"),
        ({"tile_size": 0}, ValueError, r"tile_size.*\b0$"),
        ({"measure": "spatio-semantic-rbf", "matching": "optimal"}, ValueError, r"'spatio-semantic-rbf'.*'optimal'"),
        ({"other_labels": ["a"]}, ValueError, r"other_labels.*other="),
        ({"other_mask": np.ones((8, 15), bool)}, ValueError, r"other_mask.*other="),
        ({"labels": ["a"]}, ValueError, r"labels.*\b8\b.*\b1\b"),
    ],
)
def test_invalid_options_are_named(sets, options, error, message):
    with pytest.raises(error, match=message):
        simplugins.compute_rsm(sets, **options)


def test_an_rsm_needs_two_inputs(sets):
    with pytest.raises(ValueError, match=r"\b2 inputs.*\b1$"):
        simplugins.compute_rsm(sets[:1])
    assert simplugins.compute_rsm(sets[:1], other=sets[1:2]).shape == (1, 1)


def test_semantic_measures_can_be_called_as_functions(sets):
    measure = simplugins.plugins.load("simplugins.measures", "semantic-linear")
    assert isinstance(measure, Measure)
    x, y = simplugins.Activations.from_array(sets[:5]), simplugins.Activations.from_array(sets[5:])
    np.testing.assert_array_equal(measure(x), simplugins.compute_rsm(x, measure))
    np.testing.assert_array_equal(measure(x, y), simplugins.compute_rsm(x, "semantic-linear", other=y))


def test_a_common_offset_leaves_distances_in_float64():
    sets = np.random.default_rng(0).standard_normal((4, 6, 3))
    products, norms = oracle.aligned_products(sets + 2000, sets + 2000), oracle.norms(sets + 2000)
    rsm = simplugins.compute_rsm(sets + 2000, "semantic-rbf", sigma=5.0)
    np.testing.assert_allclose(rsm.values, oracle.rbf(products, norms, norms, 5.0), atol=1e-6)
    assert simplugins.compute_rsm(sets + 2000, "spatio-semantic-rbf").sigma > 1


@pytest.mark.parametrize("sigma", [1e-200, 1e200])
def test_extreme_bandwidths_give_the_limits_of_rbf(sets, sigma):
    rsm = simplugins.compute_rsm(sets, "semantic-rbf", sigma=sigma).values
    np.testing.assert_array_equal(rsm, np.eye(8) if sigma < 1 else np.ones((8, 8)))


def test_other_inputs_are_named_in_errors(sets):
    with pytest.raises(TypeError, match=r"measure.*ndarray.*other="):
        simplugins.compute_rsm(sets, sets)
    with pytest.raises(ValueError, match=r"other: .*\b1 NaN"):
        simplugins.compute_rsm(sets, other=np.where(sets == sets[0, 0, 0], np.nan, sets))
    assert list(simplugins.compute_rsms(sets, (name for name in SEMANTIC))) == SEMANTIC


def test_masked_sets_of_any_size_equal_the_oracle_on_the_packed_sets():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(9, 6, 4, 5)), rng.normal(size=(7, 6, 8, 2))
    masks = [rng.random((len(maps), *maps.shape[2:])) < 0.5 for maps in (x, y)]
    packed = [
        [vectors[mask.ravel()] for vectors, mask in zip(oracle.concept_vectors(maps), masks_of, strict=True)]
        for maps, masks_of in zip((x, y), masks, strict=True)
    ]
    spoiled = [np.where(mask[:, None], maps, np.nan) for maps, mask in zip((x, y), masks, strict=True)]
    products = oracle.aligned_products(*packed)
    norms = [oracle.norms(sets) for sets in packed]
    rsms = simplugins.compute_rsms(
        spoiled[0], SEMANTIC, other=spoiled[1], mask=masks[0], other_mask=masks[1], sigma=3.0, certify=True
    )
    np.testing.assert_allclose(rsms["semantic-linear"].values, products, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(rsms["semantic-cosine"].values, oracle.cosine(products, *norms), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(rsms["semantic-rbf"].values, oracle.rbf(products, *norms, 3.0), rtol=1e-10)
    assert rsms["semantic-rbf"].gap.max() < 1e-10


@pytest.mark.parametrize("matching", ["optimal", "auction", "batch-optimal", "greedy", "topk-greedy", "identity"])
def test_certificates_bound_the_optimum(sets, matching):
    best = oracle.aligned_products(sets, sets)
    for other in (None, sets[:3]):
        rsm = simplugins.compute_rsm(sets, "semantic-linear", matching=matching, certify=True, other=other)
        optimum = best if other is None else best[:, :3]
        assert rsm.gap.shape == rsm.shape
        positive = np.isfinite(rsm.gap) & (rsm.gap < 1)  # where value and bound are above zero
        upper = rsm.values[positive] / (1 - rsm.gap[positive])
        assert (upper >= optimum[positive] * (1 - 1e-12)).all()
        assert (rsm.values <= optimum * (1 + 1e-12) + 1e-12).all()
        assert rsm.gap.max() <= {"optimal": 1e-12, "auction": 0.01}.get(matching, np.inf)
        if other is None:
            np.testing.assert_array_equal(rsm.gap.diagonal(), 0)
            np.testing.assert_array_equal(rsm.gap, rsm.gap.T)


@pytest.mark.parametrize("matching", ["optimal", "auction", "batch-optimal", "greedy", "topk-greedy", "identity"])
def test_certificates_do_not_change_values(layers, matching):
    maps = layers["block10"][:5]
    certified, plain = (
        simplugins.compute_rsm(maps, matching=matching, certify=certify).values for certify in (True, False)
    )
    np.testing.assert_allclose(certified, plain, rtol=1e-5)


def test_gaps_do_not_depend_on_the_kernel(sets):
    rsms = simplugins.compute_rsms(sets, SEMANTIC, matching="greedy", certify=True)
    for rsm in rsms.values():
        np.testing.assert_array_equal(rsm.gap, rsms["semantic-linear"].gap)
    assert simplugins.compute_rsm(sets).gap is None


def test_matching_options(sets):
    rsm = simplugins.compute_rsm(sets, matching="batch-optimal", matching_options={"window": 4})
    assert (rsm.matching, rsm.metadata["matching_options"]) == ("batch-optimal", {"window": 4})
    assert repr(rsm).startswith("RSM semantic-cosine: 8 x 8, batch-optimal (window 4) matching, values ")
    with pytest.raises(TypeError, match=r"(?s)(?=.*'windows')(?=.*batch-optimal).*\bwindow\b"):
        simplugins.compute_rsm(sets, matching="batch-optimal", matching_options={"windows": 4})
