# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
import zipfile

import numpy as np
import pytest

import simplugins
from simplugins import RSM, load_rsm
from simplugins.rsm.rsm import DenseValues

MEASURES = [f"{kind}-{kernel}" for kind in ("semantic", "spatio-semantic") for kernel in ("linear", "cosine", "rbf")]


@pytest.fixture(scope="module")
def sets():
    return np.random.default_rng(0).normal(size=(6, 8, 3))


@pytest.fixture(scope="module", params=[None, 4])
def rsms(sets, request):
    if request.param is None:
        return simplugins.compute_rsms(sets, MEASURES, labels=list("abcdef"))
    return simplugins.compute_rsms(sets[:4], MEASURES, other=sets[4:], labels=[3, 1, 2, 0], other_labels=["x", "é"])


@pytest.mark.parametrize("measure", MEASURES)
def test_saved_rsms_are_loaded_with_all_attributes(rsms, measure, tmp_path):
    rsm = rsms[measure]
    rsm.save(tmp_path / "rsm.npz")
    loaded = load_rsm(tmp_path / "rsm.npz")
    for name in ("values", "gap", "squared_norms", "other_squared_norms", "labels", "other_labels"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(rsm, name))
    for name in ("measure", "kernel", "matching", "sigma", "metadata", "shape", "symmetric"):
        assert getattr(loaded, name) == getattr(rsm, name)
    with np.load(tmp_path / "rsm.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["values"], rsm.values)
    with zipfile.ZipFile(tmp_path / "rsm.npz") as archive:
        assert json.loads(archive.read("header.json"))["measure"] == measure


@pytest.mark.parametrize("measure", MEASURES)
def test_distances_follow_from_the_kernel(sets, rsms, measure):
    rsm = rsms[measure]
    joint = simplugins.compute_rsm(sets, measure, sigma=rsm.sigma or "median").values
    squared = np.maximum(joint.diagonal()[:, None] + joint.diagonal() - 2 * joint, 0)
    expected = squared if rsm.symmetric else squared[:4, 4:]
    np.testing.assert_allclose(rsm.rdm(squared=True), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(rsm.rdm() ** 2, rsm.rdm(squared=True), rtol=1e-12)
    if rsm.symmetric:
        np.testing.assert_array_equal(rsm.rdm(), rsm.rdm().T)
        np.testing.assert_array_equal(rsm.rdm().diagonal(), 0)


def test_distances_after_exact_matching_obey_the_triangle_inequality(sets):
    distances = simplugins.compute_rsm(sets, "semantic-linear").rdm()
    detours = (distances[:, :, None] + distances[None, :, :]).min(1)
    assert (distances <= detours + 1e-9).all()


def test_rsms_convert_to_arrays_without_copying_unless_requested(rsms):
    rsm = rsms["semantic-cosine"]
    assert np.asarray(rsm) is rsm.values or np.shares_memory(np.asarray(rsm), rsm.values)
    assert not np.shares_memory(np.array(rsm), rsm.values)
    assert np.asarray(rsm, dtype=np.float32).dtype == np.float32
    assert len(rsm) == rsm.shape[0]


def test_repr_html_and_summary_describe_the_rsm(rsms):
    rsm = rsms["semantic-rbf"]
    assert re.match(r"RSM semantic-rbf: \d x \d, optimal matching, values 0\.\d+ to 0\.\d+", repr(rsm))
    assert "data:image/png;base64,iVBOR" in rsm._repr_html_()
    assert rsm.summary()["matching"] == "optimal"
    assert float(rsm.summary()["sigma"]) == pytest.approx(rsm.sigma, rel=1e-5)


def test_html_is_escaped():
    rsm = RSM.from_similarities(np.eye(2), measure="<script>", matching="<b>")
    assert "<script>" not in rsm._repr_html_()
    assert "<b>" not in rsm._repr_html_()


def test_files_are_overwritten_only_on_request(rsms, tmp_path):
    rsms["semantic-cosine"].save(tmp_path / "rsm.npz")
    with pytest.raises(FileExistsError, match=r"rsm\.npz.*overwrite=True"):
        rsms["semantic-linear"].save(tmp_path / "rsm.npz")
    assert load_rsm(tmp_path / "rsm.npz").measure == "semantic-cosine"
    rsms["semantic-linear"].save(tmp_path / "rsm.npz", overwrite=True)
    assert load_rsm(tmp_path / "rsm.npz").measure == "semantic-linear"
    with pytest.raises(ValueError, match=r"rsm\.npy.*\.npz"):
        rsms["semantic-linear"].save(tmp_path / "rsm.npy")


def write_header(path, rsm, **changes):
    from simplugins._common import filesystem

    arrays = {"values": rsm.values, "squared_norms": rsm.squared_norms}
    header = {
        "format": "simplugins RSM",
        "format_version": 2,
        "arrays": list(arrays),
        "measure": rsm.measure,
        "kernel": rsm.kernel,
        "matching": rsm.matching,
        "sigma": rsm.sigma,
        "metadata": dict(rsm.metadata),
        **changes,
    }
    filesystem.write_npz(path, arrays, {k: v for k, v in header.items() if v is not None}, overwrite=True)


def test_files_that_are_not_rsms_raise(sets, tmp_path):
    path, rsm = tmp_path / "rsm.npz", simplugins.compute_rsm(sets)
    with pytest.raises(FileNotFoundError):
        load_rsm(path)
    np.savez(path, a=np.ones(3))
    with pytest.raises(ValueError, match=r"rsm\.npz is not an RSM.*\ba$"):
        load_rsm(path)
    write_header(path, rsm, format_version=3)
    with pytest.raises(ValueError, match=r"rsm\.npz.*\b3\b.*\b2\b.*upgrade"):
        load_rsm(path)
    write_header(path, rsm, arrays=["values", "squared_norms", "labels"])
    with pytest.raises(ValueError, match=r"rsm\.npz.*\['labels'\]"):
        load_rsm(path)
    for changes in (
        {"metadata": None},
        {"metadata": 3},
        {"measure": None},
        {"format_version": "one"},
        {"format_version": None},
    ):
        write_header(path, rsm, **changes)
        with pytest.raises(ValueError, match=r"rsm\.npz cannot be read"):
            load_rsm(path)


def test_damage_is_never_silent(sets, tmp_path):
    rsm = simplugins.compute_rsm(sets)
    rsm.save(tmp_path / "rsm.npz")
    content = (tmp_path / "rsm.npz").read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(200):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
        (tmp_path / "damaged.npz").write_bytes(damaged)
        try:
            loaded = load_rsm(tmp_path / "damaged.npz")
        except ValueError:
            continue
        np.testing.assert_array_equal(loaded.values, rsm.values)
    (tmp_path / "damaged.npz").write_bytes(content[:-50])
    with pytest.raises(ValueError, match=r"damaged\.npz"):
        load_rsm(tmp_path / "damaged.npz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": np.ones(3), "squared_norms": np.ones(3)}, r"values.*\(3,\)"),
        ({"values": np.eye(3), "squared_norms": np.ones(2)}, r"squared_norms.*\b3\b.*\(2,\)"),
        ({"values": np.ones((2, 3)), "squared_norms": np.ones(2)}, r"values.*\(2, 3\)"),
        (
            {"values": np.ones((2, 3)), "squared_norms": np.ones(2), "other_squared_norms": np.ones(2)},
            r"other_squared_norms.*\b3\b.*\(2,\)",
        ),
        ({"values": np.eye(3), "squared_norms": np.ones(3), "labels": ["a"]}, r"labels.*\b3\b"),
        ({"values": np.eye(3), "other_labels": list("abc")}, "other_labels"),
        ({"values": np.eye(2), "gap": np.zeros(2)}, r"gap.*\(2, 2\).*\(2,\)"),
    ],
)
def test_inconsistent_parts_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        RSM.from_similarities(**arguments)


def test_gaps_are_saved_loaded_and_summarised(tmp_path):
    sets = np.random.default_rng(0).random((4, 9, 3))
    rsm = simplugins.compute_rsm(sets, matching="greedy", certify=True)
    rsm.save(tmp_path / "rsm.npz")
    loaded = simplugins.load_rsm(tmp_path / "rsm.npz")
    np.testing.assert_array_equal(loaded.gap, rsm.gap)
    gaps = rsm.gap[np.triu_indices(4, 1)]
    i, j = np.unravel_index(rsm.gap.argmax(), (4, 4))
    description = loaded.summary()["optimality gap off the diagonal"]
    assert description == f"largest {gaps.max():.3g} (inputs {i} and {j}), mean {gaps.mean():.3g}"
    assert "optimality gap off the diagonal" in rsm._repr_html_()
    assert "optimality gap" not in str(simplugins.compute_rsm(sets).summary())


def test_gaps_of_exact_matchings_are_summarised_as_none():
    sets = np.random.default_rng(0).integers(0, 4, size=(3, 5, 2)).astype(float)
    assert simplugins.compute_rsm(sets, certify=True).summary()["optimality gap off the diagonal"] == "none"


def test_lists_become_arrays():
    rsm = RSM.from_similarities([[1, 2]], squared_norms=[1], other_squared_norms=[1, 4], gap=[[0, 0.25]])
    assert rsm.gap.dtype == rsm.other_squared_norms.dtype == rsm.values.dtype == np.float64
    assert rsm.summary()["optimality gap"] == "largest 0.25 (inputs 0 and 1), mean 0.125"


def products(rank, inputs=8, seed=0):
    features = np.random.default_rng(seed).normal(size=(inputs, rank))
    return features @ features.T


@pytest.fixture
def indefinite(photos):
    """A semantic RSM of real responses, 2 x 2 positions of 8 channels each, that is not positive semi-definite."""
    patches = photos["block10"].reshape(24, 112, 7, 2, 7, 2).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 112, 2, 2)
    rsm = simplugins.compute_rsm(patches[::10, :8], "semantic-linear")
    assert np.linalg.eigvalsh(rsm.values)[0] < -0.01 * np.linalg.norm(rsm.values, 2)
    return rsm


def test_similarities_of_other_tools_are_copied_into_an_rsm():
    values = products(3)
    rsm = RSM.from_similarities(values, labels=range(8), measure="theirs", metadata={"tool": "another"})
    np.testing.assert_array_equal(rsm.values, values)
    assert not np.shares_memory(rsm.values, values)
    assert rsm.symmetric
    assert rsm.labels.tolist() == list(range(8))
    assert (rsm.measure, rsm.metadata) == ("theirs", {"tool": "another"})
    assert rsm.kernel is rsm.matching is rsm.sigma is rsm.gap is None
    assert "matching" not in repr(rsm)
    assert "matching" not in rsm.summary()
    distances = np.sqrt(np.maximum(values.diagonal()[:, None] + values.diagonal() - 2 * values, 0))
    np.testing.assert_allclose(rsm.rdm(), distances, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "error", "match"),
    [
        (np.ones((2, 3)), ValueError, r"values: .*\(2, 3\)"),
        ([[1.0, 2.0], [3.0, 1.0]], ValueError, r"values.*row 0, column 1.*\b2\b.*row 1, column 0.*\b3\b"),
        ([[1.0, np.nan], [np.nan, 1.0]], ValueError, r"values.*\b2 NaN.*row 0, column 1"),
        ([["a", "b"], ["c", "d"]], TypeError, "values: .*real numbers"),
    ],
)
def test_invalid_similarities_raise(values, error, match):
    with pytest.raises(error, match=match):
        RSM.from_similarities(values)


def test_precomputed_rsms_are_saved_and_loaded(tmp_path):
    rsm = RSM.from_similarities(products(3), labels=list("abcdefgh"), measure="theirs")
    rsm.save(tmp_path / "theirs.npz")
    loaded = simplugins.load_rsm(tmp_path / "theirs.npz")
    np.testing.assert_array_equal(loaded.values, rsm.values)
    np.testing.assert_array_equal(loaded.rdm(), rsm.rdm())
    assert (loaded.measure, loaded.metadata) == (rsm.measure, rsm.metadata)


@pytest.mark.parametrize("squared", [False, True])
def test_distances_become_inner_products_about_the_mean(squared, indefinite):
    for rsm in (RSM.from_similarities(products(3)), indefinite):
        centred = RSM.from_distances(rsm.rdm(squared=squared), squared=squared)
        largest = rsm.rdm(squared=True).max()
        np.testing.assert_allclose(centred.rdm(squared=True), rsm.rdm(squared=True), atol=1e-12 * largest)
        mean = np.eye(len(rsm)) - 1 / len(rsm)
        np.testing.assert_allclose(centred.values, mean @ rsm.values @ mean, atol=1e-12 * largest)
        np.testing.assert_array_equal(centred.values, centred.values.T)


@pytest.mark.parametrize(
    ("distances", "match"),
    [
        ([[0.0, -1.0], [-1.0, 0.0]], r"distances.*row 0, column 1.*-1\b"),
        ([[0.0, 1.0], [1.0, 0.5]], r"distances.*row 1, column 1.*\b0\.5\b.*RSM\.from_similarities"),
        ([[1.0, 0.5], [0.5, 1.0]], r"distances.*row 0, column 0.*\b1\b"),
        ([0.5, 0.2, 0.1, 0.3], r"distances: .*square.*\(4,\)"),
    ],
)
def test_invalid_distances_raise(distances, match):
    with pytest.raises(ValueError, match=match):
        RSM.from_distances(distances)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_features_have_the_values_as_inner_products(photos, dtype):
    rsm = simplugins.compute_rsm(photos["block15"][:, :3, 0, 0], "spatio-semantic-linear", dtype=dtype)
    features = rsm.features()
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(features @ features.T, rsm.values, atol=tolerance * rsm.values.max())
    np.testing.assert_array_equal(rsm.features(shift=True), features)
    if dtype == "float64":
        assert features.shape == (24, 3)


def test_indefinite_rsms_have_features_for_debiased_cka_only(indefinite):
    eigenvalues = np.linalg.eigvalsh(indefinite.values)
    share = f"{-eigenvalues[0] / eigenvalues[-1]:.2%} of the largest"
    with pytest.raises(ValueError, match=f"not positive semi-definite.*{eigenvalues[0]:.4g}, or -{share}.*shift=True"):
        indefinite.features()
    features = indefinite.features(shift=True)
    shifted = features @ features.T
    shift = shifted - indefinite.values
    np.testing.assert_allclose(shift.diagonal(), -eigenvalues[0], rtol=1e-6)
    np.testing.assert_allclose(shift[~np.eye(len(shift), dtype=bool)], 0, atol=1e-9 * eigenvalues[-1])
    other = products(5, len(indefinite))
    exact = simplugins.compare(indefinite, other, "cka-debiased")
    assert simplugins.compare(shifted, other, "cka-debiased") == pytest.approx(exact, abs=1e-12)
    assert abs(simplugins.compare(shifted, other, "cka") - simplugins.compare(indefinite, other, "cka")) > 1e-4


def test_indefiniteness_is_the_most_negative_eigenvalue_relative_to_the_largest(indefinite, photos):
    eigenvalues = np.linalg.eigvalsh(indefinite.values)
    assert indefinite.indefiniteness() == pytest.approx(-eigenvalues[0] / eigenvalues[-1])
    assert RSM.from_similarities(products(3)).indefiniteness() == 0
    assert simplugins.compute_rsm(photos["block15"][:, :3, 0, 0], "semantic-linear").indefiniteness() == 0
    assert RSM.from_similarities(np.zeros((3, 3))).indefiniteness() == 0
    assert RSM(DenseValues(-np.eye(3)), "any", -np.ones(3)).indefiniteness() == 1


def test_rsms_with_other_inputs_have_no_features_and_no_eigenvalues(photos):
    rsm = simplugins.compute_rsm(photos["block15"][:3], other=photos["block15"][3:6])
    for method in (rsm.features, rsm.indefiniteness, rsm.centred):
        with pytest.raises(ValueError, match="other inputs"):
            method()


def test_rounding_on_the_diagonal_of_distances_counts_as_zero():
    centred = RSM.from_distances([[1e-9, 2.0], [2.0, -1e-9]])
    np.testing.assert_array_equal(centred.values, [[1.0, -1.0], [-1.0, 1.0]])


def test_reordering_moves_values_gaps_norms_and_labels(photos):
    maps, order = photos["block15"][:5], [3, 0, 4, 1, 2]
    rsm = simplugins.compute_rsm(maps, labels=list("abcde"), matching="greedy", certify=True)
    reordered = rsm.in_order(list("daebc"))
    np.testing.assert_array_equal(reordered.values, rsm.values[np.ix_(order, order)])
    np.testing.assert_array_equal(reordered.gap, rsm.gap[np.ix_(order, order)])
    np.testing.assert_array_equal(reordered.squared_norms, rsm.squared_norms[order])
    exact = [
        simplugins.compute_rsm(maps[places], labels=np.array(list("abcde"))[places]) for places in ([*range(5)], order)
    ]
    np.testing.assert_allclose(exact[0].in_order(list("daebc")).values, exact[1].values, rtol=1e-6)
    assert reordered.labels.tolist() == list("daebc")
    assert reordered.metadata == rsm.metadata
    assert rsm.in_order(rsm.labels) is rsm


def test_reordering_with_other_inputs_moves_rows_only(photos):
    maps = photos["block15"]
    rsm = simplugins.compute_rsm(maps[:3], other=maps[3:8], labels=[7, 8, 9], other_labels=list("abcde"))
    reordered = rsm.in_order([9, 7, 8])
    np.testing.assert_array_equal(reordered.values, rsm.values[[2, 0, 1]])
    assert reordered.other_labels.tolist() == list("abcde")


def test_ambiguous_and_incomplete_orders_raise():
    rsm = RSM.from_similarities(np.eye(3), labels=list("abc"))
    for order, match in {
        "abx": r"\b1\b.*labels.*'x'",
        "ab": r"\b1\b.*labels.*'c'",
        "abcc": "label 'c'",
    }.items():
        with pytest.raises(ValueError, match=match):
            rsm.in_order(list(order))
    with pytest.raises(ValueError, match="label 'a'"):
        RSM.from_similarities(np.eye(3), labels=list("aab")).in_order(list("baa"))
    with pytest.raises(ValueError, match="no labels"):
        RSM.from_similarities(np.eye(3)).in_order(list("abc"))
