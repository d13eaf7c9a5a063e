# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import xarray as xr

import simplugins


def centred(k):
    return k - k.mean("stimulus_i") - k.mean("stimulus_j") + k.mean()


def cka(k, other):
    """Biased CKA, by xarray alone."""
    k, other = centred(k), centred(other)
    return ((k * other).sum() / np.sqrt((k**2).sum() * (other**2).sum())).item()


def check_same(result, rsm):
    np.testing.assert_array_equal(result.values, rsm.values)
    np.testing.assert_array_equal(result.rdm(), rsm.rdm())
    np.testing.assert_array_equal(result.squared_norms, rsm.squared_norms)
    for attribute in ("measure", "kernel", "matching", "sigma"):
        assert getattr(result, attribute) == getattr(rsm, attribute)
    assert result.metadata == {key: value for key, value in rsm.metadata.items() if value is not None}
    for attribute in ("labels", "other_labels", "gap"):
        actual, expected = getattr(result, attribute), getattr(rsm, attribute)
        assert (actual is None) == (expected is None)
        if expected is not None:
            np.testing.assert_array_equal(actual, expected)
            assert not np.shares_memory(actual, expected)


def test_the_page_prints_what_it_shows(run_page):
    run_page("xarray")


def test_an_rsm_has_two_dimensions_labels_and_attributes(photo_rsms):
    rsm = photo_rsms["block10"]
    array = rsm.to("xarray")
    assert (array.name, array.dims) == ("rsm", ("stimulus_i", "stimulus_j"))
    np.testing.assert_array_equal(array, rsm.values)
    for axis in array.dims:
        np.testing.assert_array_equal(array[axis], rsm.labels)
    assert array.attrs["measure"] == "semantic-cosine"
    assert array.attrs["matching_options"] == "{}"
    assert "sigma" not in array.attrs
    assert all(isinstance(value, str | int | float) for value in array.attrs.values())


def test_layers_become_one_array(photo_rsms, unchanged):
    unchanged(*photo_rsms.values())
    array = simplugins.to_tool("xarray", photo_rsms)
    assert array.dims == ("layer", "stimulus_i", "stimulus_j")
    assert array.layer.values.tolist() == ["block10", "block15"]
    assert array.channels.values.tolist() == [112, 320]
    assert array.attrs["kernel"] == "cosine"
    assert "channels" not in array.attrs
    for layer, rsm in photo_rsms.items():
        np.testing.assert_array_equal(array.sel(layer=layer), rsm.values)
        check_same(simplugins.from_tool("xarray", array.sel(layer=layer)), rsm)
    for name in ("squared_norm_i", "squared_norm_j", "stimulus_i", "stimulus_j"):
        assert not np.shares_memory(array[name].values, photo_rsms["block10"].labels)
    array[:] = 0


def test_cka_of_indefinite_rsms_by_xarray(indefinite, kernel):
    pair = indefinite[kernel]
    assert np.linalg.eigvalsh(pair[0].values)[0] < -1e-4 * np.linalg.norm(pair[0].values, 2)
    one, other = (rsm.to("xarray") for rsm in pair)
    assert cka(one, other) == pytest.approx(simplugins.compare(*pair, "cka"), abs=1e-10)


def test_arithmetic_aligns_by_label(photo_rsms, permuted):
    a, b = photo_rsms.values()
    one, other, shuffled = a.to("xarray"), b.to("xarray"), permuted(b).to("xarray")
    np.testing.assert_array_equal(one - shuffled, one - other)
    assert cka(one, shuffled) == pytest.approx(simplugins.compare(a, b, "cka"), abs=1e-10)
    with pytest.raises(ValueError, match=r"labels.* 0 .*align=True"):
        simplugins.to_tool("xarray", (a, permuted(b)))
    aligned = simplugins.to_tool("xarray", (a, permuted(b)), align=True)
    np.testing.assert_array_equal(aligned.sel(layer="RSM 1"), b.values)


def test_correlation_of_pairs_is_rsa(indefinite, kernel):
    array = simplugins.to_tool("xarray", indefinite[kernel])
    upper = np.triu(np.ones(array.shape[1:], bool), 1)
    one, other = (array.isel(layer=k).where(upper) for k in range(2))
    assert xr.corr(one, other).item() == pytest.approx(
        simplugins.compare(*indefinite[kernel], "rsa-pearson"), abs=1e-10
    )


def test_squared_distances_of_a_linear_rsm_by_its_coordinates(indefinite):
    rsm = indefinite["linear"][0]
    array = rsm.to("xarray")
    distances = (array.squared_norm_i + array.squared_norm_j - 2 * array).transpose(*array.dims)
    np.testing.assert_allclose(distances, rsm.rdm(squared=True), atol=1e-12 * rsm.squared_norms.max())


def test_files_keep_everything(photos, kernel, tmp_path):
    labels = np.arange(24)[::-1]
    rsms = {
        layer: simplugins.compute_rsm(
            photos[layer],
            f"semantic-{kernel}",
            labels=labels,
            certify=True,
            matching="topk-greedy",
            matching_options={"k": 64},
        )
        for layer in ("block10", "block15")
    }
    simplugins.to_tool("xarray", rsms).to_netcdf(tmp_path / "rsms.nc")
    result = simplugins.from_tool("xarray", tmp_path / "rsms.nc")
    assert list(result) == list(rsms)
    for layer, rsm in rsms.items():
        assert result[layer].metadata["matching_options"] == {"k": 64}
        check_same(result[layer], rsm)
    rsms["block15"].to("xarray").to_netcdf(tmp_path / "one.nc")
    check_same(simplugins.from_tool("xarray", str(tmp_path / "one.nc")), rsms["block15"])


@pytest.mark.parametrize("text", ["plain", "123", "null", '{"a": 1}', "NaN", "ü ł"])
def test_text_metadata_survive_files(text, tmp_path):
    rsms = {
        name: simplugins.RSM.from_similarities(np.eye(2), metadata={"note": text, "name": name, "mixed": value})
        for name, value in _MIXED.items()
    }
    simplugins.to_tool("xarray", rsms).to_netcdf(tmp_path / "rsms.nc")
    result = simplugins.from_tool("xarray", tmp_path / "rsms.nc")
    for name, value in _MIXED.items():
        expected = {"note": text, "name": name} | ({} if value is None else {"mixed": value})
        assert (result[name].measure, result[name].metadata) == ("precomputed", expected)


_MIXED = {"1": 2.5, "b": None, "c": True, "d": ["e", 1]}


def test_rsms_with_other_inputs_keep_both_labels(photos, tmp_path):
    between = simplugins.compute_rsm(
        photos["block15"][:4], other=photos["block15"][4:], labels=list("abcd"), other_labels=range(20), certify=True
    )
    array = between.to("xarray")
    assert array.dims == ("stimulus", "other")
    assert array.other.values.tolist() == list(range(20))
    array.T.to_netcdf(tmp_path / "between.nc")
    result = simplugins.from_tool("xarray", tmp_path / "between.nc")
    check_same(result, between)
    np.testing.assert_array_equal(result.other_squared_norms, between.other_squared_norms)
    with pytest.raises(ValueError, match="coordinates 'squared_norm_i' and 'squared_norm_j'"):
        simplugins.from_tool("xarray", array.drop_vars("squared_norm_j"))


def test_layers_may_lack_gaps(photos):
    certified = simplugins.compute_rsm(photos["block15"], certify=True)
    array = simplugins.to_tool("xarray", {"with": certified, "without": simplugins.compute_rsm(photos["block10"])})
    result = simplugins.from_tool("xarray", array)
    np.testing.assert_array_equal(result["with"].gap, certified.gap)
    assert result["without"].gap is None


def test_unlabelled_rsms_have_no_index(photos):
    array = simplugins.compute_rsm(photos["block15"]).to("xarray")
    assert set(array.indexes) == set()
    assert simplugins.from_tool("xarray", array).labels is None


def test_comparisons_become_arrays_of_layers(photo_rsms, tmp_path):
    comparison = simplugins.compare_layers(photo_rsms, {"other": photo_rsms["block15"]})
    comparison.to("xarray").to_netcdf(tmp_path / "comparison.nc")
    array = xr.load_dataarray(tmp_path / "comparison.nc")
    assert (array.name, array.dims) == ("cka-debiased", ("layer_a", "layer_b"))
    assert array.sel(layer_a="block15", layer_b="other").item() == pytest.approx(1)
    np.testing.assert_array_equal(array, comparison.values)
    assert array.attrs["larger_is_more_similar"] == "true"
    assert array.attrs["inputs"] == 24
    array[:] = 0
    assert comparison.values.all()


def test_columns_are_reordered_like_rows(photos):
    labels = [f"crop {i}" for i in range(24)]
    rsm = simplugins.compute_rsm(photos["block15"], labels=labels, certify=True)
    order = np.random.default_rng(0).permutation(24)
    result = simplugins.from_tool("xarray", rsm.to("xarray").isel(stimulus_j=order))
    check_same(result, rsm)
    turned = simplugins.from_tool("xarray", rsm.to("xarray").isel(stimulus_j=order).T)
    check_same(turned, rsm.in_order(turned.labels))
    assert turned.labels.tolist() == [labels[i] for i in order]


def test_arrays_from_elsewhere_are_read():
    theirs = xr.DataArray(
        [[[1.0, 0.5], [0.5, 1.0]], [[2.0, 0.1], [0.1, 3.0]]],
        dims=("roi", "image", "image2"),
        coords={"roi": ["V1", "IT"], "image": ["cat", "dog"]},
        name="voxel correlation",
    )
    result = simplugins.from_tool("xarray", theirs.transpose("image", "roi", "image2"), layer="roi")
    assert list(result) == ["V1", "IT"]
    assert result["IT"].values.tolist() == [[2.0, 0.1], [0.1, 3.0]]
    assert result["IT"].labels.tolist() == ["cat", "dog"]
    assert (result["IT"].measure, result["IT"].metadata) == ("voxel correlation", {"source": "xarray"})
    assert not np.shares_memory(result["V1"].values, theirs.values)
    assert simplugins.from_tool("xarray", theirs.sel(roi="V1"), measure="rated").measure == "rated"


def test_arrays_of_different_inputs_are_an_error(photo_rsms):
    rsm = photo_rsms["block10"]
    whole = rsm.to("xarray")
    part = whole.isel(stimulus_i=slice(20), stimulus_j=slice(20))
    check_part = simplugins.from_tool("xarray", part)
    np.testing.assert_array_equal(check_part.rdm(), rsm.rdm()[:20, :20])
    with pytest.raises(ValueError, match=r"176 .*NaN"):
        simplugins.from_tool("xarray", part.reindex_like(whole))
    with pytest.raises(ValueError, match=r"columns.*\b4\b"):
        simplugins.from_tool("xarray", whole.isel(stimulus_i=slice(20)))


def test_changed_values_that_contradict_the_kernel_are_an_error(photo_rsms):
    changed = photo_rsms["block10"].to("xarray") * 2
    changed.attrs = photo_rsms["block10"].to("xarray").attrs
    with pytest.raises(ValueError, match=r"'cosine'.*measure="):
        simplugins.from_tool("xarray", changed)
    result = simplugins.from_tool("xarray", changed, measure="doubled")
    np.testing.assert_allclose(result.rdm(), np.sqrt(2) * photo_rsms["block10"].rdm(), atol=1e-7)


def test_arrays_that_are_no_matrices_are_an_error(photo_rsms, tmp_path):
    array = simplugins.to_tool("xarray", photo_rsms)
    with pytest.raises(ValueError, match=r"layer=.*layer, stimulus_i, stimulus_j"):
        simplugins.from_tool("xarray", array, layer="roi")
    with pytest.raises(ValueError, match=r"layer.*a, a"):
        simplugins.from_tool("xarray", array.assign_coords(layer=["a", "a"]))
    with pytest.raises(TypeError, match=r"source.*DataArray.*Dataset"):
        simplugins.from_tool("xarray", xr.Dataset({"rsm": array}))
    with pytest.raises(FileNotFoundError):
        simplugins.from_tool("xarray", tmp_path / "missing.nc")
