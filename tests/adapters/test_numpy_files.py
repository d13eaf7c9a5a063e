# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from scipy.io import loadmat, savemat
from scipy.spatial.distance import pdist, squareform

import simplugins


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(6, 9))


def test_the_page_is_as_run(run_page):
    run_page("numpy")


def test_rsms_become_arrays_by_name(photo_rsms, photos, unchanged):
    unchanged(*photo_rsms.values())
    rsm = photo_rsms["block10"]
    one = rsm.to("numpy")
    assert list(one) == ["rsm", "labels"]
    several = simplugins.to_tool("numpy", photo_rsms)
    assert list(several) == ["block10", "block15", "labels"]
    for found in (one["rsm"], several["block10"]):
        np.testing.assert_array_equal(found, rsm.values)
        found[:] = 0
    for found in (one["labels"], several["labels"]):
        np.testing.assert_array_equal(found, rsm.labels)
        assert not np.shares_memory(found, rsm.labels)
    assert list(simplugins.compute_rsm(photos["block15"]).to("numpy")) == ["rsm"]
    assert list(simplugins.to_tool("numpy", {"labels": simplugins.RSM.from_similarities(np.eye(2))})) == ["labels"]


def test_rsms_of_inputs_with_others_have_both_labels(photos):
    between = simplugins.compute_rsm(photos["block15"][:4], other=photos["block15"][4:], other_labels=range(20))
    found = between.to("numpy")
    assert list(found) == ["rsm", "other_labels"]
    np.testing.assert_array_equal(found["rsm"], between.values)


def test_comparisons_become_arrays_by_name(photo_rsms):
    comparison = simplugins.compare_layers(photo_rsms, {"other": photo_rsms["block15"]})
    found = comparison.to("numpy")
    np.testing.assert_array_equal(found["values"], comparison.values)
    assert found["rows"].tolist() == ["block10", "block15"]
    assert found["columns"].tolist() == ["other"]
    found["values"][:] = 0
    assert comparison.values.all()


def test_permuted_inputs_are_caught_or_put_in_order(photo_rsms, permuted):
    a, b = photo_rsms.values()
    with pytest.raises(ValueError, match=r"labels differ: input 0 is .* in another order"):
        simplugins.to_tool("numpy", {"a": a, "b": permuted(b)})
    aligned = simplugins.to_tool("numpy", {"a": a, "b": permuted(b)}, align=True)
    np.testing.assert_array_equal(aligned["b"], b.values)


def test_files_come_back(indefinite, kernel, tmp_path):
    rsm, other = indefinite[kernel]
    assert np.linalg.eigvalsh(rsm.to("numpy")["rsm"])[0] < -1e-4 * np.linalg.norm(rsm.values, 2)
    np.savez(tmp_path / "rsms.npz", **simplugins.to_tool("numpy", {"a": rsm, "b": other}))
    found = simplugins.from_tool("numpy", tmp_path / "rsms.npz", key="b", labels="labels", measure=rsm.measure)
    np.testing.assert_array_equal(found.values, other.values)
    np.testing.assert_array_equal(found.labels, other.labels)
    np.testing.assert_allclose(found.rdm(), other.rdm(), atol=1e-7 * other.rdm().max())
    assert found.metadata == {"measure": rsm.measure, "source": "numpy"}
    np.save(tmp_path / "distances.npy", rsm.rdm().astype(np.float32))
    found = simplugins.from_tool("numpy", str(tmp_path / "distances.npy"), dissimilarity="distance")
    assert simplugins.compare(found, rsm, "cka") == pytest.approx(1, abs=1e-6)


def test_matlab_files_take_them(photo_rsms, tmp_path):
    savemat(tmp_path / "rsms.mat", simplugins.to_tool("numpy", photo_rsms))
    loaded = loadmat(tmp_path / "rsms.mat")
    found = simplugins.from_tool("numpy", loaded["block15"], labels=[label.strip() for label in loaded["labels"]])
    np.testing.assert_array_equal(found.values, photo_rsms["block15"].values)
    np.testing.assert_array_equal(found.labels, photo_rsms["block15"].labels)


@pytest.mark.parametrize(
    ("metric", "dissimilarity"),
    [("euclidean", "distance"), ("sqeuclidean", "squared-distance"), ("correlation", "complement")],
)
@pytest.mark.parametrize("form", [np.asarray, squareform])
def test_dissimilarities_square_or_condensed(features, metric, dissimilarity, form):
    given = form(pdist(features, metric))
    found = simplugins.from_tool("numpy", given, dissimilarity=dissimilarity, labels=list("abcdef"))
    if metric == "correlation":
        np.testing.assert_allclose(found.values, np.corrcoef(features), atol=1e-12)
    else:
        np.testing.assert_allclose(found.rdm(), squareform(pdist(features)), atol=1e-7)
    assert found.labels.tolist() == list("abcdef")


def test_no_memory_is_shared(features, tmp_path):
    given = features @ features.T
    found = simplugins.from_tool("numpy", given)
    assert not np.shares_memory(found.values, given)
    np.save(tmp_path / "rsm.npy", given)
    found = simplugins.from_tool("numpy", tmp_path / "rsm.npy")
    found.values[:] = 0
    np.testing.assert_array_equal(np.load(tmp_path / "rsm.npy"), given)


def test_dissimilarities_are_not_read_as_similarities(features):
    distances = squareform(pdist(features))
    for tool, given in (("numpy", distances), ("pandas", _table(distances)), ("xarray", _table(distances).to_xarray())):
        given = given.to_dataarray("i") if tool == "xarray" else given
        with pytest.raises(ValueError, match="diagonal is 0, as that of dissimilarities: say with dissimilarity="):
            simplugins.from_tool(tool, given)
        found = simplugins.from_tool(tool, given, dissimilarity="distance")
        np.testing.assert_allclose(found.rdm(), distances, atol=1e-7)


def _table(values):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("xarray")
    names = pandas.Index([f"input {i}" for i in range(len(values))], name="j")
    return pandas.DataFrame(values, names, names)


def test_pickles_are_never_read(tmp_path):
    np.savez(tmp_path / "names.npz", rsm=np.eye(2), names=np.array(["a", {}], object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        simplugins.from_tool("numpy", tmp_path / "names.npz", key="rsm", labels="names")
    np.save(tmp_path / "objects.npy", np.array([[1, None], [None, 1]]))
    with pytest.raises(ValueError, match=r"could not be read as \.npy"):
        simplugins.from_tool("numpy", tmp_path / "objects.npy")


def test_what_cannot_be_read_is_refused(features, tmp_path):
    gram = features @ features.T
    np.savez(tmp_path / "two.npz", rsm=gram, names=list("abcdef"))
    for options, message in (
        ({}, r"holds 2 arrays.*\(rsm, names\)"),
        ({"key": "rdm"}, "holds no array 'rdm'; it holds rsm, names"),
        ({"key": "rsm", "labels": list("ab")}, r"labels.*\b6\b"),
        ({"key": "rsm", "dissimilarity": "l1"}, "dissimilarity: expected one of squared-distance, distance"),
    ):
        with pytest.raises(ValueError, match=message):
            simplugins.from_tool("numpy", tmp_path / "two.npz", **options)
    with pytest.raises(FileNotFoundError):
        simplugins.from_tool("numpy", tmp_path / "none.npy")
    with pytest.raises(ValueError, match="name arrays of a file; this is an array"):
        simplugins.from_tool("numpy", gram, labels="names")
    with pytest.raises(ValueError, match=r"expected a square matrix, inputs x inputs, got shape \(6, 9\)"):
        simplugins.from_tool("numpy", features)
    with pytest.raises(TypeError, match="path of a file, got dict: take an array out of it"):
        simplugins.from_tool("numpy", {"rsm": gram})
    labelled = simplugins.RSM.from_similarities(gram, labels=list("abcdef"))
    with pytest.raises(ValueError, match="a layer is called 'labels'"):
        simplugins.to_tool("numpy", {"labels": labelled})
