# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from rsatoolbox.data import Dataset
from rsatoolbox.inference import eval_fixed
from rsatoolbox.model import ModelFixed
from rsatoolbox.rdm import calc_rdm, compare, concat
from rsatoolbox.rdm.rdms import load_rdm

import simplugins


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning:rsatoolbox")  # it multiplies uninitialised memory
def test_the_page_prints_what_it_shows(run_page):
    run_page("rsatoolbox")


def test_cosine_cov_of_squared_distances_is_biased_cka(indefinite, kernel, unchanged):
    pair = indefinite[kernel]
    unchanged(*pair)
    assert np.linalg.eigvalsh(pair[0].values)[0] < -1e-4 * np.linalg.norm(pair[0].values, 2)
    rdms = simplugins.to_tool("rsatoolbox", pair)
    assert compare(rdms[0], rdms[1], "cosine_cov").item() == pytest.approx(simplugins.compare(*pair, "cka"), abs=1e-10)
    rdms.dissimilarities[:] = 0


@pytest.mark.parametrize(
    ("theirs", "ours"), [("spearman", "rsa-spearman"), ("corr", "rsa-pearson"), ("tau-a", "rsa-kendall-tau-a")]
)
def test_correlations_of_complements_are_rsa(indefinite, kernel, theirs, ours):
    pair = indefinite[kernel]
    rdms = simplugins.to_tool("rsatoolbox", pair, dissimilarity="complement")
    assert compare(rdms[0], rdms[1], theirs).item() == pytest.approx(simplugins.compare(*pair, ours), abs=1e-10)


@pytest.mark.parametrize("dissimilarity", ["distance", "squared-distance"])
def test_correlations_of_distances_are_rsa_of_distances(indefinite, kernel, dissimilarity):
    pair = indefinite[kernel]
    rdms = simplugins.to_tool("rsatoolbox", pair, dissimilarity=dissimilarity)
    distances = [rsm.rdm(squared=dissimilarity == "squared-distance") for rsm in pair]
    expected = simplugins.compare(*(-matrix for matrix in distances), "rsa-spearman")
    assert compare(rdms[0], rdms[1], "spearman").item() == pytest.approx(expected, abs=1e-10)


def test_layers_become_one_stack_with_descriptors(photo_rsms):
    rdms = simplugins.to_tool("rsatoolbox", photo_rsms)
    assert rdms.n_rdm == 2
    assert rdms.n_cond == 24
    assert rdms.dissimilarity_measure == "semantic-cosine squared-distance"
    assert rdms.rdm_descriptors["layer"] == ["block10", "block15"]
    assert rdms.rdm_descriptors["measure"] == ["semantic-cosine"] * 2
    np.testing.assert_array_equal(rdms.pattern_descriptors["label"], photo_rsms["block10"].labels)
    np.testing.assert_array_equal(rdms.get_matrices()[1], photo_rsms["block15"].rdm(squared=True))
    np.testing.assert_array_equal(rdms.subset("layer", "block15").get_matrices()[0], rdms.get_matrices()[1])


def test_permuted_inputs_are_an_error_or_aligned(photo_rsms, permuted):
    a, b = photo_rsms.values()
    with pytest.raises(ValueError, match=r"labels.* 0 .*align=True"):
        simplugins.to_tool("rsatoolbox", (a, permuted(b)))
    aligned = simplugins.to_tool("rsatoolbox", (a, permuted(b)), align=True)
    np.testing.assert_array_equal(aligned.get_matrices(), simplugins.to_tool("rsatoolbox", (a, b)).get_matrices())


def test_concat_of_the_tool_aligns_by_our_labels(photo_rsms, permuted):
    a, b = photo_rsms.values()
    joined = concat(a.to("rsatoolbox"), permuted(b).to("rsatoolbox"))
    np.testing.assert_array_equal(joined.get_matrices()[1], b.rdm(squared=True))


def test_inference_files_and_tables_of_the_tool_work(photo_rsms, tmp_path):
    rdms = simplugins.to_tool("rsatoolbox", photo_rsms)
    model = ModelFixed("block10", rdms[0])
    evaluated = eval_fixed(model, rdms[1], method="spearman").evaluations.item()
    assert evaluated == pytest.approx(simplugins.compare(*photo_rsms.values(), "rsa-spearman"), abs=1e-10)
    rdms.save(str(tmp_path / "rdms.h5"), file_type="hdf5")
    read = simplugins.from_tool("rsatoolbox", load_rdm(str(tmp_path / "rdms.h5")))
    np.testing.assert_allclose(read["block15"].rdm(), photo_rsms["block15"].rdm(), atol=1e-12)
    assert len(rdms.to_df()) == 2 * 24 * 23 / 2


def test_rsms_come_back(indefinite, kernel):
    rsm, _ = indefinite[kernel]
    for dissimilarity in ("squared-distance", "distance"):
        back = simplugins.from_tool("rsatoolbox", rsm.to("rsatoolbox", dissimilarity=dissimilarity))
        np.testing.assert_allclose(
            back.rdm(squared=True), rsm.rdm(squared=True), atol=1e-9 * rsm.rdm(squared=True).max()
        )
        np.testing.assert_array_equal(back.labels, rsm.labels)
        assert simplugins.compare(back, rsm, "cka") == pytest.approx(1, abs=1e-12)
        assert back.measure == rsm.measure
    if kernel != "linear":
        back = simplugins.from_tool("rsatoolbox", rsm.to("rsatoolbox", dissimilarity="complement"))
        np.testing.assert_allclose(back.values, rsm.values, atol=1e-6)


@pytest.mark.parametrize(("method", "measure"), [("euclidean", "squared euclidean"), ("correlation", "correlation")])
def test_rdms_of_the_tool_are_read(method, measure):
    x = np.random.default_rng(0).normal(size=(6, 9))
    dataset = Dataset(x, obs_descriptors={"stimulus": list("fedcba")})
    rsm = simplugins.from_tool("rsatoolbox", calc_rdm(dataset, method=method, descriptor="stimulus"), label="stimulus")
    assert rsm.measure == measure
    x = x[::-1]
    if method == "euclidean":
        centred = x - x.mean(0)
        np.testing.assert_allclose(rsm.values, centred @ centred.T / 9, atol=1e-12)
    else:
        np.testing.assert_allclose(rsm.values, np.corrcoef(x), atol=1e-12)
    assert rsm.labels.tolist() == list("abcdef")


@pytest.fixture
def recordings():
    """Responses to six stimuli, in an order that is not sorted."""
    rng = np.random.default_rng(0)
    return {"values": rng.normal(size=(6, 9)), "stimulus": ["f", "b", "d", "a", "c", "e"], "kind": list("xyxyxx")}


def rdms_of(recordings, *descriptors, by="stimulus"):
    dataset = Dataset(recordings["values"], obs_descriptors={name: recordings[name] for name in descriptors})
    return calc_rdm(dataset, descriptor=by)


@pytest.mark.parametrize("descriptors", [("stimulus",), ("stimulus", "kind")])
def test_sorted_conditions_are_compared_by_label(recordings, descriptors):
    ours = simplugins.compute_rsm(recordings["values"], labels=recordings["stimulus"])
    theirs = simplugins.from_tool("rsatoolbox", rdms_of(recordings, *descriptors))
    assert theirs.labels.tolist() == list("abcdef")
    in_our_order = simplugins.from_tool("rsatoolbox", rdms_of(recordings, *descriptors, by=None), label="stimulus")
    expected = simplugins.compare(ours, in_our_order, "rsa-spearman")
    assert simplugins.compare(ours, theirs, "rsa-spearman", align=True) == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match=r"labels differ: input 0 is 'f'.*'a'.*align=True"):
        simplugins.compare(ours, theirs, "rsa-spearman")


@pytest.mark.parametrize("other", [lambda values: simplugins.compute_rsm(values), lambda values: values @ values.T])
def test_labels_that_cannot_be_compared_are_a_warning(recordings, other):
    theirs = simplugins.from_tool("rsatoolbox", rdms_of(recordings, "stimulus"))
    with pytest.warns(UserWarning, match="rsm_a has labels and rsm_b has none.*rsatoolbox sorts inputs by 'stimulus'"):
        simplugins.compare(theirs, other(recordings["values"]))


def test_several_descriptors_that_identify_conditions_are_an_error_that_asks(recordings):
    rdms = rdms_of({**recordings, "number": [3, 4, 0, 5, 2, 1]}, "stimulus", "number")
    with pytest.raises(ValueError, match=r"label.*\(stimulus, number\)"):
        simplugins.from_tool("rsatoolbox", rdms)
    assert simplugins.from_tool("rsatoolbox", rdms, label="number").labels.tolist() == [5, 4, 2, 0, 1, 3]
    with pytest.raises(ValueError, match=r"'name'.*stimulus, number"):
        simplugins.from_tool("rsatoolbox", rdms, label="name")


def test_numbers_of_conditions_are_labels_only_if_they_were_reordered(recordings):
    rdms = rdms_of(recordings, "stimulus")
    del rdms.pattern_descriptors["stimulus"]
    assert simplugins.from_tool("rsatoolbox", rdms).labels is None
    rdms.reorder(np.array([2, 0, 1, 5, 4, 3]))
    assert simplugins.from_tool("rsatoolbox", rdms).labels.tolist() == [2, 0, 1, 5, 4, 3]


def test_a_condition_without_a_name_is_an_error(recordings):
    rdms = rdms_of(recordings, "stimulus")
    rdms.pattern_descriptors["stimulus"] = ["a", "b", None, "d", "e", "f"]
    with pytest.raises(ValueError, match="labels: input 2 has no label"):
        simplugins.from_tool("rsatoolbox", rdms)


def test_unknown_kinds_of_dissimilarities_are_an_error(photo_rsms):
    rdms = photo_rsms["block10"].to("rsatoolbox")
    del rdms.rdm_descriptors["dissimilarity"]
    with pytest.raises(ValueError, match=r"semantic-cosine.*dissimilarity="):
        simplugins.from_tool("rsatoolbox", rdms)
    with pytest.raises(ValueError, match=r"layer.*'measure'"):
        simplugins.from_tool("rsatoolbox", simplugins.to_tool("rsatoolbox", photo_rsms), layer="measure")
    with pytest.raises(ValueError, match=r"dissimilarity.*squared-distance, distance, complement.*'l1'"):
        photo_rsms["block10"].to("rsatoolbox", dissimilarity="l1")


def test_rsms_with_other_inputs_are_an_error(photos):
    between = simplugins.compute_rsm(photos["block15"][:4], other=photos["block15"][4:])
    with pytest.raises(ValueError, match=r"rsatoolbox.* 4 .* 20 "):
        between.to("rsatoolbox")
