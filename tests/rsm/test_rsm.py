# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
import zipfile

import numpy as np
import pytest

import simplugins
from simplugins import RSM, load_rsm

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
def test_saved_and_loaded_it_is_the_same(rsms, measure, tmp_path):
    rsm = rsms[measure]
    rsm.save(tmp_path / "rsm.npz")
    loaded = load_rsm(tmp_path / "rsm.npz")
    for name in ("values", "squared_norms", "other_squared_norms", "labels", "other_labels"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(rsm, name))
    assert dict(loaded.metadata) == dict(rsm.metadata)
    assert loaded.symmetric == rsm.symmetric
    with np.load(tmp_path / "rsm.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["values"], rsm.values)
    with zipfile.ZipFile(tmp_path / "rsm.npz") as archive:
        assert json.loads(archive.read("header.json"))["made"]["measure"] == measure


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


def test_it_is_an_array_where_one_is_wanted(rsms):
    rsm = rsms["semantic-cosine"]
    assert np.asarray(rsm) is rsm.values or np.shares_memory(np.asarray(rsm), rsm.values)
    assert not np.shares_memory(np.array(rsm), rsm.values)
    assert np.asarray(rsm, dtype=np.float32).dtype == np.float32
    assert len(rsm) == rsm.shape[0]


def test_it_describes_itself(rsms):
    rsm = rsms["semantic-rbf"]
    assert re.match(r"RSM semantic-rbf: \d x \d, optimal matching, values 0\.\d+ to 0\.\d+", repr(rsm))
    assert "data:image/png;base64,iVBOR" in rsm._repr_html_()
    assert rsm.summary()["matching"] == "optimal"
    assert float(rsm.summary()["sigma"]) == pytest.approx(rsm.sigma, rel=1e-5)


def test_html_is_escaped():
    rsm = RSM(np.eye(2), {"measure": "<script>", "kernel": None, "matching": "<b>"}, np.ones(2))
    assert "<script>" not in rsm._repr_html_()
    assert "<b>" not in rsm._repr_html_()


def test_a_saved_rsm_is_not_overwritten_unless_asked(rsms, tmp_path):
    rsms["semantic-cosine"].save(tmp_path / "rsm.npz")
    with pytest.raises(FileExistsError, match="exists"):
        rsms["semantic-linear"].save(tmp_path / "rsm.npz")
    assert load_rsm(tmp_path / "rsm.npz").measure == "semantic-cosine"
    rsms["semantic-linear"].save(tmp_path / "rsm.npz", overwrite=True)
    assert load_rsm(tmp_path / "rsm.npz").measure == "semantic-linear"
    with pytest.raises(ValueError, match=r"\.npz"):
        rsms["semantic-linear"].save(tmp_path / "rsm.npy")


def write_header(path, rsm, **changes):
    from simplugins._common import filesystem

    header = {"format": "simplugins RSM", "format_version": 1, "made": dict(rsm.metadata), **changes}
    arrays = {"values": rsm.values, "squared_norms": rsm.squared_norms}
    header = {"arrays": list(arrays), **header}
    filesystem.write_npz(path, arrays, {k: v for k, v in header.items() if v is not None}, overwrite=True)


def test_what_is_no_rsm_is_refused(sets, tmp_path):
    path, rsm = tmp_path / "rsm.npz", simplugins.compute_rsm(sets)
    with pytest.raises(FileNotFoundError):
        load_rsm(path)
    np.savez(path, a=np.ones(3))
    with pytest.raises(ValueError, match="is no RSM saved by simplugins: it holds a"):
        load_rsm(path)
    write_header(path, rsm, format_version=2)
    with pytest.raises(ValueError, match=r"version 2\b.*\b1\b"):
        load_rsm(path)
    write_header(path, rsm, arrays=["values", "squared_norms", "labels"])
    with pytest.raises(ValueError, match=r"its arrays \['labels'\] are missing"):
        load_rsm(path)
    for changes in ({"made": None}, {"made": 3}, {"format_version": "one"}, {"format_version": None}):
        write_header(path, rsm, **changes)
        with pytest.raises(ValueError, match="cannot be read as an RSM"):
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
    with pytest.raises(ValueError, match="not a readable"):
        load_rsm(tmp_path / "damaged.npz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": np.ones(3), "squared_norms": np.ones(3)}, r"got shapes \(3,\) and \(3,\)"),
        ({"values": np.eye(3), "squared_norms": np.ones(2)}, r"got shapes \(3, 3\) and \(2,\)"),
        ({"values": np.ones((2, 3)), "squared_norms": np.ones(2)}, "is square and labelled once, got 2 x 3 values"),
        (
            {"values": np.ones((2, 3)), "squared_norms": np.ones(2), "other_squared_norms": np.ones(2)},
            "other_squared_norms: expected 3",
        ),
        ({"values": np.eye(3), "squared_norms": np.ones(3), "labels": ["a"]}, "labels: expected 3"),
    ],
)
def test_parts_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RSM(made={"measure": "any"}, **arguments)


def test_gaps_are_saved_loaded_and_summarised(tmp_path):
    sets = np.random.default_rng(0).random((4, 9, 3))
    rsm = simplugins.compute_rsm(sets, matching="greedy", certify=True)
    rsm.save(tmp_path / "rsm.npz")
    loaded = simplugins.load_rsm(tmp_path / "rsm.npz")
    np.testing.assert_array_equal(loaded.gap, rsm.gap)
    above = rsm.gap[np.triu_indices(4, 1)]
    i, j = np.unravel_index(rsm.gap.argmax(), (4, 4))
    said = loaded.summary()["proven gap off the diagonal"]
    assert said == f"largest {above.max():.3g} (inputs {i} and {j}), mean {above.mean():.3g}"
    assert "proven gap off the diagonal" in rsm._repr_html_()
    assert "proven gap" not in str(simplugins.compute_rsm(sets).summary())


def test_an_exact_rsm_has_no_gap_to_tell_of():
    sets = np.random.default_rng(0).integers(0, 4, size=(3, 5, 2)).astype(float)
    assert simplugins.compute_rsm(sets, certify=True).summary()["proven gap off the diagonal"] == "none"


def test_lists_become_arrays():
    rsm = simplugins.RSM(
        values=[[1, 2]], made={"measure": "own"}, squared_norms=[1], other_squared_norms=[1, 4], gap=[[0, 0.25]]
    )
    assert rsm.gap.dtype == rsm.other_squared_norms.dtype == np.float64
    assert rsm.summary()["proven gap"] == "largest 0.25 (inputs 0 and 1), mean 0.125"


def test_a_gap_for_each_pair_is_needed():
    with pytest.raises(ValueError, match=r"gap: expected a value for each pair, \(2, 2\), got \(2,\)"):
        simplugins.RSM(values=np.eye(2), made={"measure": "own"}, squared_norms=np.ones(2), gap=np.zeros(2))


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


def test_similarities_of_elsewhere_become_an_rsm_with_a_copy_of_them():
    values = products(3)
    rsm = simplugins.RSM.from_similarities(values, labels=range(8), measure="theirs", source="a tool")
    np.testing.assert_array_equal(rsm.values, values)
    assert not np.shares_memory(rsm.values, values)
    assert rsm.symmetric
    assert rsm.labels.tolist() == list(range(8))
    assert rsm.metadata == {"measure": "theirs", "source": "a tool"}
    assert "matching" not in repr(rsm)
    assert "matching" not in rsm.summary()
    distances = np.sqrt(np.maximum(values.diagonal()[:, None] + values.diagonal() - 2 * values, 0))
    np.testing.assert_allclose(rsm.rdm(), distances, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "error", "match"),
    [
        (np.ones((2, 3)), ValueError, r"values: expected a square matrix, inputs x inputs, got shape \(2, 3\)"),
        ([[1.0, 2.0], [3.0, 1.0]], ValueError, "values is not symmetric: at row 0, column 1 it is 2, at row 1"),
        ([[1.0, np.nan], [np.nan, 1.0]], ValueError, "values holds 2 NaN or infinite values, the first at row 0"),
        ([["a", "b"], ["c", "d"]], TypeError, "values: expected real numbers"),
    ],
)
def test_what_makes_no_rsm_is_refused(values, error, match):
    with pytest.raises(error, match=match):
        simplugins.RSM.from_similarities(values)


def test_saved_rsms_of_elsewhere_are_read_again(tmp_path):
    rsm = simplugins.RSM.from_similarities(products(3), labels=list("abcdefgh"), measure="theirs")
    rsm.save(tmp_path / "theirs.npz")
    read = simplugins.load_rsm(tmp_path / "theirs.npz")
    np.testing.assert_array_equal(read.values, rsm.values)
    np.testing.assert_array_equal(read.rdm(), rsm.rdm())
    assert read.metadata == rsm.metadata


@pytest.mark.parametrize("squared", [False, True])
def test_distances_become_inner_products_about_the_mean(squared, indefinite):
    for rsm in (simplugins.RSM.from_similarities(products(3)), indefinite):
        made = simplugins.RSM.from_distances(rsm.rdm(squared=squared), squared=squared)
        largest = rsm.rdm(squared=True).max()
        np.testing.assert_allclose(made.rdm(squared=True), rsm.rdm(squared=True), atol=1e-12 * largest)
        mean = np.eye(len(rsm)) - 1 / len(rsm)
        np.testing.assert_allclose(made.values, mean @ rsm.values @ mean, atol=1e-12 * largest)
        np.testing.assert_array_equal(made.values, made.values.T)


@pytest.mark.parametrize(
    ("distances", "match"),
    [
        ([[0.0, -1.0], [-1.0, 0.0]], "at row 0, column 1 there is -1"),
        ([[0.0, 1.0], [1.0, 0.5]], "at row 1, column 1 there is 0.5 .*similarities are read by RSM.from_similarities"),
        ([[1.0, 0.5], [0.5, 1.0]], "at row 0, column 0 there is 1"),
        ([0.5, 0.2, 0.1], "distances: expected a square matrix"),
    ],
)
def test_what_are_no_distances_is_refused(distances, match):
    with pytest.raises(ValueError, match=match):
        simplugins.RSM.from_distances(distances)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_features_have_the_values_as_inner_products(photos, dtype):
    rsm = simplugins.compute_rsm(photos["block15"][:, :3, 0, 0], "spatio-semantic-linear", dtype=dtype)
    features = rsm.features()
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(features @ features.T, rsm.values, atol=tolerance * rsm.values.max())
    np.testing.assert_array_equal(rsm.features(shift=True), features)
    if dtype == "float64":
        assert features.shape == (24, 3)


def test_what_is_not_positive_semi_definite_has_no_features_but_for_debiased_cka(indefinite):
    eigenvalues = np.linalg.eigvalsh(indefinite.values)
    share = f"{-eigenvalues[0] / eigenvalues[-1]:.2%} of the largest"
    with pytest.raises(ValueError, match=f"not positive semi-definite.*{eigenvalues[0]:.4g}, {share}.*shift=True"):
        indefinite.features()
    features = indefinite.features(shift=True)
    shifted = features @ features.T
    off = shifted - indefinite.values
    np.testing.assert_allclose(off.diagonal(), -eigenvalues[0], rtol=1e-6)
    np.testing.assert_allclose(off[~np.eye(len(off), dtype=bool)], 0, atol=1e-9 * eigenvalues[-1])
    other = products(5, len(indefinite))
    exact = simplugins.compare(indefinite, other, "cka-debiased")
    assert simplugins.compare(shifted, other, "cka-debiased") == pytest.approx(exact, abs=1e-12)
    assert abs(simplugins.compare(shifted, other, "cka") - simplugins.compare(indefinite, other, "cka")) > 1e-4


def test_how_far_an_rsm_is_from_positive_semi_definite(indefinite, photos):
    eigenvalues = np.linalg.eigvalsh(indefinite.values)
    assert indefinite.indefiniteness() == pytest.approx(-eigenvalues[0] / eigenvalues[-1])
    assert simplugins.RSM.from_similarities(products(3)).indefiniteness() == 0
    assert simplugins.compute_rsm(photos["block15"][:, :3, 0, 0], "semantic-linear").indefiniteness() == 0
    assert simplugins.RSM.from_similarities(np.zeros((3, 3))).indefiniteness() == 0
    assert simplugins.RSM.from_similarities(-np.eye(3)).indefiniteness() == 1


def test_rsms_of_inputs_with_others_have_no_features_and_no_eigenvalues(photos):
    rsm = simplugins.compute_rsm(photos["block15"][:3], other=photos["block15"][3:6])
    for ask in (rsm.features, rsm.indefiniteness):
        with pytest.raises(ValueError, match="this one has others as columns"):
            ask()


def test_rounding_on_the_diagonal_of_distances_counts_as_zero():
    made = simplugins.RSM.from_distances([[1e-9, 2.0], [2.0, -1e-9]])
    np.testing.assert_array_equal(made.values, [[1.0, -1.0], [-1.0, 1.0]])


def test_inputs_are_put_in_another_order_with_all_that_belongs_to_them(photos):
    maps, order = photos["block15"][:5], [3, 0, 4, 1, 2]
    rsm = simplugins.compute_rsm(maps, labels=list("abcde"), matching="greedy", certify=True)
    turned = rsm.in_order(list("daebc"))
    np.testing.assert_array_equal(turned.values, rsm.values[np.ix_(order, order)])
    np.testing.assert_array_equal(turned.gap, rsm.gap[np.ix_(order, order)])
    np.testing.assert_array_equal(turned.squared_norms, rsm.squared_norms[order])
    exact = [
        simplugins.compute_rsm(maps[places], labels=np.array(list("abcde"))[places]) for places in ([*range(5)], order)
    ]
    np.testing.assert_allclose(exact[0].in_order(list("daebc")).values, exact[1].values, rtol=1e-6)
    assert turned.labels.tolist() == list("daebc")
    assert turned.metadata == rsm.metadata
    assert rsm.in_order(rsm.labels) is rsm


def test_rows_are_put_in_order_of_inputs_compared_with_others(photos):
    maps = photos["block15"]
    rsm = simplugins.compute_rsm(maps[:3], other=maps[3:8], labels=[7, 8, 9], other_labels=list("abcde"))
    turned = rsm.in_order([9, 7, 8])
    np.testing.assert_array_equal(turned.values, rsm.values[[2, 0, 1]])
    assert turned.other_labels.tolist() == list("abcde")


def test_orders_that_cannot_be_told_are_refused():
    rsm = simplugins.RSM.from_similarities(np.eye(3), labels=list("abc"))
    for wanted, match in {
        "abx": "lacks 1 of the labels asked for, the first 'x'",
        "ab": "has 1 labels that are not asked for, the first 'c'",
        "abcc": "label 'c' names more than one input",
    }.items():
        with pytest.raises(ValueError, match=match):
            rsm.in_order(list(wanted))
    with pytest.raises(ValueError, match="label 'a' names more than one input"):
        simplugins.RSM.from_similarities(np.eye(3), labels=list("aab")).in_order(list("baa"))
    with pytest.raises(ValueError, match="the RSM has none"):
        simplugins.RSM.from_similarities(np.eye(3)).in_order(list("abc"))
