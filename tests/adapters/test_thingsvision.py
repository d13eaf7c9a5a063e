# SPDX-License-Identifier: Apache-2.0
import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.io import savemat

import simplugins

pytest.importorskip("h5py")
if find_spec("thingsvision") is None:
    pytest.skip("pip install --no-deps thingsvision==2.7.3", allow_module_level=True)

# thingsvision imports TensorFlow and all its extractors at once. These two packages are created without running them,
# so that the real modules inside can be imported. They use torchtyping only for annotations.
sys.modules["thingsvision"] = module_from_spec(find_spec("thingsvision"))
sys.modules["thingsvision.core.extraction"] = module_from_spec(find_spec("thingsvision.core.extraction"))
if find_spec("torchtyping") is None:

    class _Annotation:
        def __class_getitem__(cls, _):
            return cls

    sys.modules["torchtyping"] = SimpleNamespace(TensorType=_Annotation)

cka = import_module("thingsvision.core.cka")
rsa = import_module("thingsvision.core.rsa")
storing = import_module("thingsvision.utils.storing")
BaseExtractor = import_module("thingsvision.core.extraction.base").BaseExtractor


class Extractor(BaseExtractor):
    """thingsvision's own extraction and saving, of modules that need no network: each scales its input."""

    modules = {"features.2": 1.0, "features.10": 2.0}  # noqa: RUF012

    def __init__(self):
        super().__init__("cpu", None)

    def get_module_names(self):
        return list(self.modules)

    def get_backend(self):
        return "pt"

    def _extract_batch(self, batch, module_names, flatten_acts):
        acts = {name: batch * self.modules[name] for name in module_names}
        return {name: act.flatten(1) if flatten_acts else act for name, act in acts.items()}

    extract_batch = get_default_transformation = load_model = show_model = None


@pytest.fixture
def maps(photos):
    return photos["block15"][:12].astype(np.float32)


def extract(maps, folder, **options):
    batches = torch.from_numpy(maps).split(2)
    Extractor().extract_features(batches, module_names=list(Extractor.modules), output_dir=str(folder), **options)


def test_the_page_prints_what_it_shows(run_page, photos, tmp_path):
    for layer in ("block10", "block15"):
        storing.save_features(photos[layer], str(tmp_path / "features" / layer), "npy")
    run_page("thingsvision")


@pytest.mark.parametrize("correlation", ["pearson", "spearman"])
def test_correlations_are_rsa(indefinite, kernel, correlation, unchanged):
    pair = indefinite[kernel]
    unchanged(*pair)
    assert np.linalg.eigvalsh(pair[0].values)[0] < -1e-4 * np.linalg.norm(pair[0].values, 2)
    rdms = simplugins.to_tool("thingsvision", pair)
    expected = simplugins.compare(*pair, f"rsa-{correlation}")
    assert rsa.correlate_rdms(*rdms, correlation) == pytest.approx(expected, abs=1e-10)
    for rdm in rdms:
        assert rdm.dtype == np.float64
        np.testing.assert_array_equal(rdm, rdm.T)
        np.testing.assert_array_equal(rdm.diagonal(), 0)
        rdm[:] = 7


@pytest.mark.parametrize("dissimilarity", ["distance", "squared-distance"])
def test_correlations_of_distances_are_rsa_of_distances(indefinite, kernel, dissimilarity):
    pair = indefinite[kernel]
    rdms = simplugins.to_tool("thingsvision", pair, dissimilarity=dissimilarity)
    distances = [rsm.rdm(squared=dissimilarity == "squared-distance") for rsm in pair]
    np.testing.assert_array_equal(rdms, distances)
    expected = simplugins.compare(*(-matrix for matrix in distances), "rsa-pearson")
    assert rsa.correlate_rdms(*rdms) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(("method", "dissimilarity"), [("cosine", "complement"), ("euclidean", "distance")])
def test_rdms_equal_those_of_the_tool(method, dissimilarity):
    x = np.random.default_rng(0).normal(size=(8, 5))
    rsm = simplugins.compute_rsm(x, "semantic-cosine" if method == "cosine" else "semantic-linear", dtype="float64")
    np.testing.assert_allclose(
        rsm.to("thingsvision", dissimilarity=dissimilarity), rsa.compute_rdm(x, method), atol=1e-7
    )


def test_layers_come_by_name_and_in_one_order(photo_rsms, permuted):
    rdms = simplugins.to_tool("thingsvision", photo_rsms)
    assert list(rdms) == ["block10", "block15"]
    np.testing.assert_array_equal(rdms["block15"], photo_rsms["block15"].to("thingsvision"))
    a, b = photo_rsms.values()
    with pytest.raises(ValueError, match=r"labels.* 0 .*align=True"):
        simplugins.to_tool("thingsvision", (a, permuted(b)))
    _, aligned = simplugins.to_tool("thingsvision", (a, permuted(b)), align=True)
    np.testing.assert_array_equal(aligned, rdms["block15"])


@pytest.mark.parametrize("method", ["cka", "cka-debiased"])
def test_cka_of_the_tool_is_ours(indefinite, kernel, method, unchanged):
    pair = indefinite[kernel]
    unchanged(*pair)
    result = simplugins.similarity(f"semantic-{kernel}", method).to("thingsvision", m=118)
    assert isinstance(result, cka.helpers.CKANumPy)
    assert (result.m, result.kernel, result.unbiased) == (118, f"semantic-{kernel}", method == "cka-debiased")
    assert result.compare(*pair) == pytest.approx(simplugins.compare(*pair, method), abs=1e-10)
    assert result.compare(X=pair[0], Y=pair[0]) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("method", ["cka", "cka-debiased"])
def test_cka_of_the_tool_takes_maps(photos, method):
    similarity = simplugins.similarity("semantic-cosine", method)
    one, other = photos["block10"], photos["block15"]
    expected = similarity(one, other)
    assert similarity.to("thingsvision").compare(one, other) == pytest.approx(expected, abs=1e-10)
    keras = similarity.to("thingsvision", layout="nhwc")
    assert keras.compare(one.transpose(0, 2, 3, 1), torch.from_numpy(other).permute(0, 2, 3, 1)) == pytest.approx(
        expected, abs=1e-6
    )


@pytest.mark.filterwarnings("ignore:.*expected by chance:RuntimeWarning")
def test_options_of_the_measure_are_kept(photos):
    similarity = simplugins.similarity("semantic-rbf", "cka", sigma=20.0)
    expected = similarity(photos["block15"], photos["block15"][:, :100])
    result = similarity.to("thingsvision").compare(photos["block15"], photos["block15"][:, :100])
    assert result == pytest.approx(expected, abs=1e-10)
    assert abs(simplugins.similarity("semantic-rbf")(photos["block15"], photos["block15"][:, :100]) - result) > 1e-3


def test_linear_cka_of_one_position_is_that_of_the_tool():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 12, 7))
    for method, unbiased in (("cka", False), ("cka-debiased", True)):
        theirs = cka.get_cka("numpy", m=12, unbiased=unbiased).compare(x, y)
        ours = simplugins.similarity("semantic-linear", method, dtype="float64").to("thingsvision").compare(x, y)
        assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_shifted_features_are_exact_only_for_unbiased_cka(indefinite, kernel, backend):
    pair = indefinite[kernel]
    features = [rsm.features(shift=True) for rsm in pair]
    unbiased = cka.get_cka(backend, m=118, unbiased=True, device="cpu").compare(*features)
    assert float(unbiased) == pytest.approx(simplugins.compare(*pair, "cka-debiased"), abs=1e-10)
    biased = cka.get_cka(backend, m=118, device="cpu").compare(*features)
    assert abs(float(biased) - simplugins.compare(*pair, "cka")) > 1e-4
    with pytest.raises(ValueError, match="not positive semi-definite"):
        pair[0].features()


def test_unsupported_inputs_are_an_error(photo_rsms, permuted, photos):
    a, b = photo_rsms.values()
    result = simplugins.similarity().to("thingsvision")
    with pytest.raises(ValueError, match="labels"):
        result.compare(a, permuted(b))
    with pytest.raises(ValueError, match=r"\b24 inputs.*\b24 and 5\b"):
        result.compare(a, photos["block15"][:5])
    with pytest.raises(ValueError, match=r"\b5 inputs.*\b24 and 24\b"):
        simplugins.similarity().to("thingsvision", m=5).compare(a, b)
    with pytest.raises(ValueError, match=r"\b4 inputs.*\b3\b"):
        simplugins.similarity(method="cka-debiased").to("thingsvision").compare(*[photos["block15"][:3]] * 2)
    between = simplugins.compute_rsm(photos["block15"][:4], other=photos["block15"][4:8])
    with pytest.raises(ValueError, match=r"thingsvision.* 4 .* 4 "):
        result.compare(between, between)
    with pytest.raises(ValueError, match=r"thingsvision.* 4 .* 4 "):
        between.to("thingsvision")
    with pytest.raises(ValueError, match=r"dissimilarity.*'l1'"):
        a.to("thingsvision", dissimilarity="l1")
    with pytest.raises(ValueError, match=r"method cka or cka-debiased.*'rsa-spearman'"):
        simplugins.similarity(method="rsa-spearman").to("thingsvision")


@pytest.mark.parametrize("options", [{}, {"save_in_one_file": True}, {"step_size": 1}, {"file_name_suffix": "_train"}])
@pytest.mark.parametrize("output_type", ["ndarray", "tensor"])
def test_extracted_features_come_back_by_layer(maps, tmp_path, options, output_type):
    extract(maps, tmp_path, output_type=output_type, **{"step_size": 2, **options})
    result = simplugins.from_tool("thingsvision", tmp_path)
    assert list(result) == ["features.2", "features.10"]
    for name, factor in Extractor.modules.items():
        assert isinstance(result[name], np.ndarray if output_type == "ndarray" else torch.Tensor)
        np.testing.assert_array_equal(result[name], maps * factor)
    rsm = simplugins.compute_rsm(result["features.2"])
    np.testing.assert_allclose(rsm.values, simplugins.compute_rsm(maps).values, atol=1e-6)


@pytest.mark.parametrize("file_format", ["npy", "pt", "mat", "hdf5"])
@pytest.mark.parametrize("shape", [(), (6,), (4, 6), (3, 2, 1)])
def test_saved_features_come_back_in_their_shape(tmp_path, file_format, shape):
    features = np.random.default_rng(0).normal(size=(5, 8, *shape)).astype(np.float32)
    array = torch.from_numpy(features) if file_format == "pt" else features
    storing.save_features(array, str(tmp_path / "conv1"), file_format)
    result = simplugins.from_tool("thingsvision", tmp_path / "conv1")
    assert list(result) == ["conv1"]
    assert isinstance(result["conv1"], np.memmap) == (file_format == "npy")
    np.testing.assert_array_equal(result["conv1"], features)
    np.testing.assert_array_equal(
        simplugins.from_tool("thingsvision", tmp_path / "conv1" / f"features.{file_format}")["conv1"], features
    )


@pytest.mark.parametrize("file_format", ["npy", "hdf5", "txt", "pt"])
def test_features_in_parts_are_joined(tmp_path, file_format):
    features = np.random.default_rng(0).normal(size=(12, 8))
    array = torch.from_numpy(features) if file_format == "pt" else features
    (tmp_path / "conv1").mkdir()
    storing.helpers.split_features(str(tmp_path / "conv1"), array, file_format, n_splits=5)
    np.testing.assert_array_equal(simplugins.from_tool("thingsvision", tmp_path)["conv1"], features)


@pytest.mark.parametrize("shape", [(8,), (4, 6), (3, 2, 2)])
def test_mat_files_by_name_of_image(tmp_path, shape):
    names = [f"/images/dog/dog {i}.jpg" for i in (9, 10, 1)]
    (tmp_path / "file_names.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    features = np.random.default_rng(0).normal(size=(3, *shape))
    storing.save_features(features, str(tmp_path), "mat")
    np.testing.assert_array_equal(simplugins.from_tool("thingsvision", tmp_path)[tmp_path.name], features)
    (tmp_path / "file_names.txt").write_text("\n".join(["/a/1.jpg", "/a/1.png", "/a/2.png"]), encoding="utf-8")
    storing.save_features(features, str(tmp_path), "mat")
    with pytest.raises(ValueError, match=r"\b2 inputs.*file_names.txt.* 3"):
        simplugins.from_tool("thingsvision", tmp_path)
    (tmp_path / "features.mat").unlink()
    storing.helpers.split_features(str(tmp_path), features, "mat", n_splits=3)
    with pytest.raises(ValueError, match="parts are unusable"):
        simplugins.from_tool("thingsvision", tmp_path)


def test_flattened_features_get_their_shape_back(maps, tmp_path):
    extract(maps, tmp_path, step_size=2, flatten_acts=True)
    shape = maps.shape[1:]
    for shapes in (shape, dict.fromkeys(Extractor.modules, shape)):
        result = simplugins.from_tool("thingsvision", tmp_path, shape=shapes)
        np.testing.assert_array_equal(result["features.10"], maps * 2)
    result = simplugins.from_tool("thingsvision", tmp_path, shape={"features.2": shape})
    assert result["features.2"].shape == (12, 320, 7, 7)
    assert result["features.10"].shape == (12, 320 * 49)
    with pytest.raises(ValueError, match=r"shape.*'features.2'.*\(12, 15680\).*\(320, 7, 8\)"):
        simplugins.from_tool("thingsvision", tmp_path, shape=(320, 7, 8))
    with pytest.raises(ValueError, match=r"shape.*'features.3'.*features.2, features.10"):
        simplugins.from_tool("thingsvision", tmp_path, shape={"features.3": shape})


def test_layers_are_chosen_in_order(maps, tmp_path):
    extract(maps, tmp_path / "resnet", step_size=2)
    result = simplugins.from_tool("thingsvision", str(tmp_path / "resnet"), layers=["features.10", "features.2"])
    assert list(result) == ["features.10", "features.2"]
    assert list(simplugins.from_tool("thingsvision", tmp_path)) == ["resnet/features.2", "resnet/features.10"]
    with pytest.raises(ValueError, match=r"layers.*'fc'.*features"):
        simplugins.from_tool("thingsvision", tmp_path / "resnet", layers=["fc"])


def test_files_of_different_runs_are_an_error(maps, tmp_path):
    extract(maps, tmp_path, step_size=2, file_name_suffix="_train")
    extract(maps[:5], tmp_path, step_size=2, file_name_suffix="_val")
    with pytest.raises(ValueError, match=r"suffix.*features_train_0-4.npy"):
        simplugins.from_tool("thingsvision", tmp_path)
    assert len(simplugins.from_tool("thingsvision", tmp_path, suffix="_train")["features.10"]) == 12
    assert len(simplugins.from_tool("thingsvision", tmp_path, suffix="_val")["features.10"]) == 5
    with pytest.raises(ValueError, match=r"suffix.*'_test'"):
        simplugins.from_tool("thingsvision", tmp_path, suffix="_test")
    first = tmp_path / "features.2" / "features_train_0-4.npy"
    assert len(simplugins.from_tool("thingsvision", first)["features.2"]) == 4
    first.unlink()
    with pytest.raises(ValueError, match=r"\b4 inputs.*\b0 in the files.*missing"):
        simplugins.from_tool("thingsvision", tmp_path, suffix="_train")


def test_unreadable_sources_are_an_error(tmp_path):
    with pytest.raises(TypeError, match=r"source.*dict.*compute_rsm"):
        simplugins.from_tool("thingsvision", {"conv1": np.ones((2, 3))})
    with pytest.raises(FileNotFoundError, match="nowhere"):
        simplugins.from_tool("thingsvision", tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"features\*.npy"):
        simplugins.from_tool("thingsvision", tmp_path)
    np.save(tmp_path / "features.npy", np.array([{"a": 1}, {"b": 2}]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"features.npy could not be read as .npy"):
        simplugins.from_tool("thingsvision", tmp_path / "features.npy")
    torch.save(SimpleNamespace(a=1), tmp_path / "features.pt")
    with pytest.raises(ValueError, match=r"features.pt could not be read as .pt"):
        simplugins.from_tool("thingsvision", tmp_path / "features.pt")
    torch.save([torch.ones(2, 3)], tmp_path / "features.pt")
    with pytest.raises(ValueError, match=r"features.pt.*list.*None"):
        simplugins.from_tool("thingsvision", tmp_path / "features.pt")
    for name in ("features.hdf5", "features.mat", "features.txt"):
        (tmp_path / name).write_bytes(b"\x00 no such thing")
        with pytest.raises(ValueError, match=f"{name} could not be read as"):
            simplugins.from_tool("thingsvision", tmp_path / name)
    savemat(tmp_path / "features.mat", {"features": np.array([[{"a": 1}, "b"]], object)})
    with pytest.raises(ValueError, match=r"features.mat.*ndarray.*object"):
        simplugins.from_tool("thingsvision", tmp_path / "features.mat")
