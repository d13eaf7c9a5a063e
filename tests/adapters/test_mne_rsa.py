# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import simplugins

mne = pytest.importorskip("mne")
mne_rsa = pytest.importorskip("mne_rsa", reason="pip install --no-deps mne-rsa==1.0")


def test_the_page_prints_what_it_shows(run_page):
    run_page("mne-rsa")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("spearman", "rsa-spearman"), ("pearson", "rsa-pearson"), ("kendall-tau-a", "rsa-kendall-tau-a")],
)
def test_correlations_are_rsa(indefinite, kernel, theirs, ours, unchanged):
    pair = indefinite[kernel]
    unchanged(*pair)
    assert np.linalg.eigvalsh(pair[0].values)[0] < -1e-4 * np.linalg.norm(pair[0].values, 2)
    rdms = simplugins.to_tool("mne-rsa", pair)
    assert mne_rsa.rsa(*rdms, metric=theirs) == pytest.approx(simplugins.compare(*pair, ours), abs=1e-10)
    rdms[0][:] = 0


@pytest.mark.parametrize("dissimilarity", ["distance", "squared-distance"])
@pytest.mark.parametrize("correlation", ["spearman", "pearson"])
def test_correlations_of_distances_are_rsa_of_distances(indefinite, kernel, dissimilarity, correlation):
    pair = indefinite[kernel]
    rdms = simplugins.to_tool("mne-rsa", pair, dissimilarity=dissimilarity)
    distances = [rsm.rdm(squared=dissimilarity == "squared-distance") for rsm in pair]
    expected = simplugins.compare(*(-matrix for matrix in distances), f"rsa-{correlation}")
    assert mne_rsa.rsa(*rdms, metric=correlation) == pytest.approx(expected, abs=1e-10)


def test_the_tool_accepts_square_and_condensed_rdms(indefinite, kernel):
    pair = indefinite[kernel]
    condensed = simplugins.to_tool("mne-rsa", pair, dissimilarity="distance")
    square = [mne_rsa.squareform(rdm) for rdm in condensed]
    np.testing.assert_array_equal(square[0], pair[0].rdm())
    assert mne_rsa.rsa(*square) == mne_rsa.rsa(*condensed)
    np.testing.assert_array_equal(
        mne_rsa.pick_rdm(condensed[0], [3, 1, 2]), mne_rsa.squareform(pair[0].rdm()[np.ix_([3, 1, 2], [3, 1, 2])])
    )


def test_layers_become_a_list(photo_rsms):
    rdms = simplugins.to_tool("mne-rsa", photo_rsms)
    assert isinstance(rdms, list)
    assert [rdm.shape for rdm in rdms] == [(276,), (276,)]
    for rdm, rsm in zip(rdms, photo_rsms.values(), strict=True):
        assert rdm.dtype == np.float64
        np.testing.assert_array_equal(rdm, rsm.to("mne-rsa"))
    between = simplugins.compare(*photo_rsms.values(), "rsa-spearman")
    np.testing.assert_allclose(mne_rsa.rsa(rdms, rdms), [[1, between], [between, 1]], atol=1e-10)


def test_permuted_inputs_are_an_error_or_aligned(photo_rsms, permuted):
    a, b = photo_rsms.values()
    with pytest.raises(ValueError, match=r"labels.* 0 .*align=True"):
        simplugins.to_tool("mne-rsa", (a, permuted(b)))
    aligned = simplugins.to_tool("mne-rsa", (a, permuted(b)), align=True)
    np.testing.assert_array_equal(aligned, simplugins.to_tool("mne-rsa", (a, b)))


@pytest.mark.parametrize("numbered", [False, True])
def test_labels_put_recordings_in_order(photo_rsms, permuted, numbered):
    rsm = photo_rsms["block10"]
    if numbered:
        rsm = simplugins.RSM.from_similarities(rsm.values, labels=np.arange(24) * 3)
    rng = np.random.default_rng(1)
    recorded, order = rng.normal(size=(24, 4, 5)), rng.permutation(24)
    expected = mne_rsa.rsa_array(recorded, rsm.to("mne-rsa"))
    model = permuted(rsm)
    labels = {"labels_X": rsm.labels[order], "labels_rdm_model": model.labels}
    result = mne_rsa.rsa_array(recorded[order], model.to("mne-rsa"), **labels)
    assert result == pytest.approx(expected, abs=1e-12)
    assert abs(mne_rsa.rsa_array(recorded[order], model.to("mne-rsa")) - expected) > 0.01

    epochs = mne.EpochsArray(recorded[order], mne.create_info(4, 100.0, "mag"), verbose=False)
    result = mne_rsa.rsa_epochs(
        epochs, model.to("mne-rsa"), labels_epochs=rsm.labels[order], labels_rdm_model=model.labels
    )
    assert result == pytest.approx(expected, abs=1e-12)


def test_the_tool_assumes_sorted_models_without_labels(photo_rsms, permuted):
    model = permuted(photo_rsms["block10"])
    recorded = np.random.default_rng(1).normal(size=(24, 4, 5))
    labelled = mne_rsa.rsa_array(recorded, model.to("mne-rsa"), labels_X=model.labels, labels_rdm_model=model.labels)
    unlabelled = mne_rsa.rsa_array(recorded, model.to("mne-rsa"), labels_X=model.labels)
    assert abs(labelled - unlabelled) > 0.01


def test_rsms_come_back(indefinite, kernel):
    rsm, _ = indefinite[kernel]
    for dissimilarity in ("squared-distance", "distance"):
        rdm = rsm.to("mne-rsa", dissimilarity=dissimilarity)
        for form in (rdm, mne_rsa.squareform(rdm)):
            back = simplugins.from_tool("mne-rsa", form, dissimilarity=dissimilarity, labels=rsm.labels)
            np.testing.assert_allclose(back.rdm(), rsm.rdm(), atol=1e-6 * rsm.rdm().max())
            np.testing.assert_array_equal(back.labels, rsm.labels)
            assert simplugins.compare(back, rsm, "cka") == pytest.approx(1, abs=1e-12)
            assert back.measure == f"MNE-RSA {dissimilarity}"
    if kernel != "linear":
        back = simplugins.from_tool("mne-rsa", rsm.to("mne-rsa"), dissimilarity="complement")
        np.testing.assert_allclose(back.values, rsm.values, atol=1e-6)
        assert back.labels is None


def test_several_rdms_come_back_by_name(photo_rsms):
    rdms = simplugins.to_tool("mne-rsa", photo_rsms)
    back = simplugins.from_tool("mne-rsa", rdms, dissimilarity="complement", layers=list(photo_rsms))
    assert list(back) == ["block10", "block15"]
    np.testing.assert_allclose(back["block15"].values, photo_rsms["block15"].values, atol=1e-6)
    assert list(simplugins.from_tool("mne-rsa", iter(rdms), dissimilarity="complement")) == ["0", "1"]
    back["block15"].values[:] = 7
    assert 7 not in rdms[1]


@pytest.mark.parametrize(
    ("metric", "dissimilarity"),
    [("correlation", "complement"), ("cosine", "complement"), ("euclidean", "distance"), ("sqeuclidean", None)],
)
def test_rdms_of_the_tool_are_read(metric, dissimilarity):
    x = np.random.default_rng(0).normal(size=(6, 9))
    rdm = mne_rsa.compute_rdm(x, metric)
    rsm = simplugins.from_tool("mne-rsa", rdm, dissimilarity=dissimilarity or "squared-distance", labels=list("abcdef"))
    centred = x - x.mean(0)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    expected = {"correlation": np.corrcoef(x), "cosine": unit @ unit.T}.get(metric, centred @ centred.T)
    np.testing.assert_allclose(rsm.values, expected, atol=1e-12)
    assert rsm.labels.tolist() == list("abcdef")


def test_arrays_that_are_no_rdms_are_an_error(photo_rsms):
    rdms = simplugins.to_tool("mne-rsa", photo_rsms)
    with pytest.raises(TypeError, match="dissimilarity"):
        simplugins.from_tool("mne-rsa", rdms[0])
    with pytest.raises(ValueError, match=r"dissimilarity.*squared-distance, distance, complement.*'l1'"):
        simplugins.from_tool("mne-rsa", rdms[0], dissimilarity="l1")
    with pytest.raises(ValueError, match=r"layers.*\b2\b.*\['one'\]"):
        simplugins.from_tool("mne-rsa", rdms, dissimilarity="complement", layers=["one"])
    with pytest.raises(ValueError, match="Incompatible vector size"):
        simplugins.from_tool("mne-rsa", rdms[0][:-1], dissimilarity="complement")
    with pytest.raises(ValueError, match=r"rdms.*MNE-RSA.*must be square"):
        simplugins.from_tool("mne-rsa", np.stack(rdms), dissimilarity="complement")
    for dissimilarity in ("distance", "complement"):
        with pytest.raises(ValueError, match=r"diagonal must be zero.*RSM\.from_similarities"):
            simplugins.from_tool("mne-rsa", photo_rsms["block10"].values, dissimilarity=dissimilarity)
    with pytest.raises(ValueError, match="must be symmetric"):
        simplugins.from_tool("mne-rsa", np.triu(np.ones((3, 3)), 1), dissimilarity="distance")
    with pytest.raises(ValueError, match="NaN"):
        simplugins.from_tool("mne-rsa", np.array([0.1, np.nan, 0.2]), dissimilarity="complement")
    with pytest.raises(ValueError, match=r"dissimilarity.*'l1'"):
        photo_rsms["block10"].to("mne-rsa", dissimilarity="l1")


def test_two_inputs(photos):
    rsm = simplugins.compute_rsm(photos["block15"][:2])
    np.testing.assert_array_equal(rsm.to("mne-rsa"), [1 - rsm.values[0, 1]])


def test_rsms_with_other_inputs_are_an_error(photos):
    between = simplugins.compute_rsm(photos["block15"][:4], other=photos["block15"][4:])
    with pytest.raises(ValueError, match=r"MNE-RSA.* 4 .* 20 "):
        between.to("mne-rsa")
