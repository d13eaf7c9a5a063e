# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from scipy.io import loadmat, savemat
from scipy.spatial.distance import pdist, squareform

import simplugins


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(6, 9))


def test_the_page_prints_what_it_shows(run_page):
    run_page("numpy")


def test_rsms_become_arrays_by_name(photo_rsms, photos, unchanged):
    unchanged(*photo_rsms.values())
    rsm = photo_rsms["block10"]
    one = rsm.to("numpy")
    assert list(one) == ["rsm", "labels"]
    several = simplugins.to_tool("numpy", photo_rsms)
    assert list(several) == ["block10", "block15", "labels"]
    for result in (one["rsm"], several["block10"]):
        np.testing.assert_array_equal(result, rsm.values)
        result[:] = 0
    for result in (one["labels"], several["labels"]):
        np.testing.assert_array_equal(result, rsm.labels)
        assert not np.shares_memory(result, rsm.labels)
    assert list(simplugins.compute_rsm(photos["block15"]).to("numpy")) == ["rsm"]
    assert list(simplugins.to_tool("numpy", {"labels": simplugins.RSM.from_similarities(np.eye(2))})) == ["labels"]


def test_rsms_with_other_inputs_have_both_labels(photos):
    between = simplugins.compute_rsm(photos["block15"][:4], other=photos["block15"][4:], other_labels=range(20))
    result = between.to("numpy")
    assert list(result) == ["rsm", "other_labels"]
    np.testing.assert_array_equal(result["rsm"], between.values)


def test_comparisons_become_arrays_by_name(photo_rsms):
    comparison = simplugins.compare_layers(photo_rsms, {"other": photo_rsms["block15"]})
    result = comparison.to("numpy")
    np.testing.assert_array_equal(result["values"], comparison.values)
    assert result["rows"].tolist() == ["block10", "block15"]
    assert result["columns"].tolist() == ["other"]
    result["values"][:] = 0
    assert comparison.values.all()


def test_permuted_inputs_are_an_error_or_aligned(photo_rsms, permuted):
    a, b = photo_rsms.values()
    with pytest.raises(ValueError, match=r"labels.* 0 .*align=True"):
        simplugins.to_tool("numpy", {"a": a, "b": permuted(b)})
    aligned = simplugins.to_tool("numpy", {"a": a, "b": permuted(b)}, align=True)
    np.testing.assert_array_equal(aligned["b"], b.values)


def test_files_come_back(indefinite, kernel, tmp_path):
    rsm, other = indefinite[kernel]
    assert np.linalg.eigvalsh(rsm.to("numpy")["rsm"])[0] < -1e-4 * np.linalg.norm(rsm.values, 2)
    np.savez(tmp_path / "rsms.npz", **simplugins.to_tool("numpy", {"a": rsm, "b": other}))
    result = simplugins.from_tool("numpy", tmp_path / "rsms.npz", key="b", labels="labels", measure=rsm.measure)
    np.testing.assert_array_equal(result.values, other.values)
    np.testing.assert_array_equal(result.labels, other.labels)
    np.testing.assert_allclose(result.rdm(), other.rdm(), atol=1e-7 * other.rdm().max())
    assert (result.measure, result.metadata) == (rsm.measure, {"source": "numpy"})
    np.save(tmp_path / "distances.npy", rsm.rdm().astype(np.float32))
    result = simplugins.from_tool("numpy", str(tmp_path / "distances.npy"), labels=rsm.labels, dissimilarity="distance")
    assert simplugins.compare(result, rsm, "cka") == pytest.approx(1, abs=1e-6)


def test_matlab_files_keep_arrays(photo_rsms, tmp_path):
    savemat(tmp_path / "rsms.mat", simplugins.to_tool("numpy", photo_rsms))
    loaded = loadmat(tmp_path / "rsms.mat")
    result = simplugins.from_tool("numpy", loaded["block15"], labels=[label.strip() for label in loaded["labels"]])
    np.testing.assert_array_equal(result.values, photo_rsms["block15"].values)
    np.testing.assert_array_equal(result.labels, photo_rsms["block15"].labels)


@pytest.mark.parametrize(
    ("metric", "dissimilarity"),
    [("euclidean", "distance"), ("sqeuclidean", "squared-distance"), ("correlation", "complement")],
)
@pytest.mark.parametrize("form", [np.asarray, squareform])
def test_dissimilarities_square_or_condensed(features, metric, dissimilarity, form):
    source = form(pdist(features, metric))
    result = simplugins.from_tool("numpy", source, dissimilarity=dissimilarity, labels=list("abcdef"))
    if metric == "correlation":
        np.testing.assert_allclose(result.values, np.corrcoef(features), atol=1e-12)
    else:
        np.testing.assert_allclose(result.rdm(), squareform(pdist(features)), atol=1e-7)
    assert result.labels.tolist() == list("abcdef")


def test_no_memory_is_shared(features, tmp_path):
    source = features @ features.T
    result = simplugins.from_tool("numpy", source)
    assert not np.shares_memory(result.values, source)
    np.save(tmp_path / "rsm.npy", source)
    result = simplugins.from_tool("numpy", tmp_path / "rsm.npy")
    result.values[:] = 0
    np.testing.assert_array_equal(np.load(tmp_path / "rsm.npy"), source)


def test_dissimilarities_are_not_read_as_similarities(features):
    distances = squareform(pdist(features))
    for tool, source in (
        ("numpy", distances),
        ("pandas", _table(distances)),
        ("xarray", _table(distances).to_xarray()),
    ):
        source = source.to_dataarray("i") if tool == "xarray" else source
        with pytest.raises(ValueError, match=r"diagonal.*dissimilarity="):
            simplugins.from_tool(tool, source)
        result = simplugins.from_tool(tool, source, dissimilarity="distance")
        np.testing.assert_allclose(result.rdm(), distances, atol=1e-7)


def _table(values):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("xarray")
    names = pandas.Index([f"input {i}" for i in range(len(values))], name="j")
    return pandas.DataFrame(values, names, names)


def test_pickles_are_never_read(tmp_path):
    np.savez(tmp_path / "names.npz", rsm=np.eye(2), names=np.array(["a", {}], object))
    with pytest.raises(ValueError, match="never loaded"):
        simplugins.from_tool("numpy", tmp_path / "names.npz", key="rsm", labels="names")
    np.save(tmp_path / "objects.npy", np.array([[1, None], [None, 1]]))
    with pytest.raises(ValueError, match=r"could not be read as \.npy"):
        simplugins.from_tool("numpy", tmp_path / "objects.npy")


def test_unreadable_sources_are_an_error(features, tmp_path):
    gram = features @ features.T
    np.savez(tmp_path / "two.npz", rsm=gram, names=list("abcdef"))
    for options, message in (
        ({}, r"\b2 arrays.*rsm, names"),
        ({"key": "rdm"}, r"'rdm'.*rsm, names"),
        ({"key": "rsm", "labels": list("ab")}, r"labels.*\b6\b"),
        ({"key": "rsm", "dissimilarity": "l1"}, r"dissimilarity.*squared-distance, distance.*'l1'"),
    ):
        with pytest.raises(ValueError, match=message):
            simplugins.from_tool("numpy", tmp_path / "two.npz", **options)
    with pytest.raises(FileNotFoundError):
        simplugins.from_tool("numpy", tmp_path / "none.npy")
    with pytest.raises(ValueError, match=r"key=.*labels="):
        simplugins.from_tool("numpy", gram, labels="names")
    with pytest.raises(ValueError, match=r"\(6, 9\)"):
        simplugins.from_tool("numpy", features)
    with pytest.raises(TypeError, match=r"source.*dict"):
        simplugins.from_tool("numpy", {"rsm": gram})
    labelled = simplugins.RSM.from_similarities(gram, labels=list("abcdef"))
    with pytest.raises(ValueError, match=r"rsms.*'labels'"):
        simplugins.to_tool("numpy", {"labels": labelled})
