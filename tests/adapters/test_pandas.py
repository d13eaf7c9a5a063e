# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pandas as pd
import pytest

import simplugins


def test_the_page_prints_what_it_shows(run_page):
    run_page("pandas")


def test_a_square_table_has_labels_on_both_sides(photo_rsms, unchanged):
    rsm = photo_rsms["block10"]
    unchanged(rsm)
    frame = rsm.to("pandas")
    assert (frame.index.name, frame.columns.name) == ("stimulus_i", "stimulus_j")
    assert frame.index.tolist() == frame.columns.tolist() == rsm.labels.tolist()
    assert frame.attrs["measure"] == "semantic-cosine"
    np.testing.assert_array_equal(frame, rsm.values)
    pd.testing.assert_frame_equal(frame, rsm.to("xarray").to_pandas())
    frame.iloc[:] = 0
    frame.attrs["matching_options"]["k"] = 1


def test_layers_are_stacked_vertically(photo_rsms):
    frame = simplugins.to_tool("pandas", photo_rsms)
    assert frame.index.names == ["layer", "stimulus_i"]
    assert frame.shape == (48, 24)
    assert frame.attrs["measure"] == "semantic-cosine"
    assert "channels" not in frame.attrs
    for layer, rsm in photo_rsms.items():
        np.testing.assert_array_equal(frame.loc[layer], rsm.values)


def test_long_tables_have_each_pair_once(photo_rsms):
    rsm = photo_rsms["block10"]
    frame = rsm.to("pandas", form="long")
    assert frame.columns.tolist() == ["stimulus_i", "stimulus_j", "similarity"]
    assert len(frame) == 24 * 23 / 2
    for _, (i, j, value) in frame.sample(20, random_state=0).iterrows():
        assert i != j
        assert rsm.to("pandas").loc[i, j] == value
    assert len({frozenset(pair) for pair in zip(frame.stimulus_i, frame.stimulus_j, strict=True)}) == len(frame)
    layers = simplugins.to_tool("pandas", photo_rsms, form="long")
    assert layers.columns.tolist() == ["layer", "stimulus_i", "stimulus_j", "similarity"]
    assert layers.index.tolist() == list(range(24 * 23))
    expected = {layer: rsm.values[np.triu_indices(24, 1)].mean() for layer, rsm in photo_rsms.items()}
    assert layers.groupby("layer")["similarity"].mean().to_dict() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("theirs", "ours"), [("spearman", "rsa-spearman"), ("pearson", "rsa-pearson"), ("kendall", "rsa-kendall-tau-b")]
)
def test_correlations_of_long_tables_are_rsa(indefinite, kernel, theirs, ours):
    pair = indefinite[kernel]
    assert np.linalg.eigvalsh(pair[0].values)[0] < -1e-4 * np.linalg.norm(pair[0].values, 2)
    pairs = simplugins.to_tool("pandas", pair, form="long")
    table = pairs.pivot(index=["stimulus_i", "stimulus_j"], columns="layer", values="similarity")
    result = table.corr(method=theirs).loc["RSM 0", "RSM 1"]
    assert result == pytest.approx(simplugins.compare(*pair, ours), abs=1e-10)


def test_permuted_inputs_are_an_error_or_aligned(photo_rsms, permuted):
    a, b = photo_rsms.values()
    with pytest.raises(ValueError, match=r"labels.* 0 .*align=True"):
        simplugins.to_tool("pandas", (a, permuted(b)))
    aligned = simplugins.to_tool("pandas", (a, permuted(b)), align=True)
    pd.testing.assert_frame_equal(aligned, simplugins.to_tool("pandas", (a, b)))
    difference = (a.to("pandas") - permuted(b).to("pandas")).loc[a.labels, a.labels]
    pd.testing.assert_frame_equal(difference, a.to("pandas") - b.to("pandas"), check_names=False)


def test_rsms_with_other_inputs(photos):
    between = simplugins.compute_rsm(
        photos["block15"][:4], other=photos["block15"][4:], labels=list("abcd"), other_labels=range(20)
    )
    frame = between.to("pandas")
    assert (frame.index.name, frame.columns.name) == ("stimulus", "other")
    np.testing.assert_array_equal(frame, between.values)
    long = between.to("pandas", form="long")
    assert len(long) == 80
    assert long.set_index(["stimulus", "other"])["similarity"].loc["c", 17] == between.values[2, 17]
    with pytest.raises(ValueError, match="columns and rows"):
        simplugins.from_tool("pandas", frame)


def test_comparisons_become_tables_of_layers(photo_rsms):
    comparison = simplugins.compare_layers(photo_rsms, {"other": photo_rsms["block15"]})
    frame = comparison.to("pandas")
    assert (frame.index.name, frame.columns.name) == ("layer_a", "layer_b")
    assert frame.loc["block10", "other"] == comparison.values[0, 0]
    assert frame.attrs["method"] == "cka-debiased"
    assert frame.idxmax(axis=0).to_dict() == {"other": "block15"}
    frame.iloc[:] = 0
    assert comparison.values.all()


def test_rsms_come_back(indefinite, kernel):
    rsm, other = indefinite[kernel]
    back = simplugins.from_tool("pandas", rsm.to("pandas"))
    np.testing.assert_array_equal(back.values, rsm.values)
    np.testing.assert_array_equal(back.labels, rsm.labels)
    np.testing.assert_allclose(back.rdm(), rsm.rdm(), atol=1e-7 * rsm.rdm().max())
    assert (back.measure, back.metadata) == (rsm.measure, {"source": "pandas"})
    several = simplugins.from_tool("pandas", simplugins.to_tool("pandas", {"a": rsm, "b": other}))
    assert list(several) == ["a", "b"]
    np.testing.assert_array_equal(several["b"].values, other.values)


def test_rsms_read_back_share_no_memory(photo_rsms):
    frame = photo_rsms["block10"].to("pandas")
    back = simplugins.from_tool("pandas", frame)
    back.values[:] = 0
    assert frame.to_numpy().any()


@pytest.mark.parametrize("labels", [None, [5, 3, 4], ["x", "y", "z"], [0, 1, 2], ["0", "2", "1"]])
def test_labels_come_back_through_files(labels, tmp_path):
    rsms = {
        name: simplugins.RSM.from_similarities(np.diag([1.0, 2.0, scale]), labels=labels)
        for name, scale in (("b", 3), ("a", 4))
    }
    rsms["a"].to("pandas").to_csv(tmp_path / "rsm.csv")
    result = simplugins.from_tool("pandas", pd.read_csv(tmp_path / "rsm.csv", index_col=0))
    np.testing.assert_array_equal(result.values, rsms["a"].values)
    assert list(map(str, result.labels)) == list(map(str, range(3) if labels is None else labels))
    back = simplugins.from_tool("pandas", simplugins.to_tool("pandas", rsms))
    assert list(back) == ["b", "a"]
    for name, rsm in rsms.items():
        np.testing.assert_array_equal(back[name].values, rsm.values)
        assert (back[name].labels is None) == (labels is None)
        assert labels is None or back[name].labels.tolist() == labels


def test_columns_are_reordered_like_rows():
    values = np.array([[1.0, 0.1, 0.2], [0.1, 2.0, 0.3], [0.2, 0.3, 3.0]])
    frame = pd.DataFrame(values, list("abc"), list("abc"))
    result = simplugins.from_tool("pandas", frame[["c", "a", "b"]])
    assert result.labels.tolist() == list("abc")
    np.testing.assert_array_equal(result.values, values)
    unnamed = simplugins.from_tool("pandas", pd.DataFrame(values).loc[[2, 0, 1]])
    assert unnamed.labels.tolist() == [2, 0, 1]
    np.testing.assert_array_equal(unnamed.values, values[np.ix_([2, 0, 1], [2, 0, 1])])
    once = simplugins.from_tool("pandas", pd.DataFrame(values, columns=list("abc")))
    assert once.labels.tolist() == list("abc")
    assert simplugins.from_tool("pandas", pd.DataFrame(values, index=list("abc"))).labels.tolist() == list("abc")
    assert simplugins.from_tool("pandas", pd.DataFrame(values), measure="mine").measure == "mine"
    assert simplugins.from_tool("pandas", pd.DataFrame(values)).labels is None


def test_repeated_labels_need_columns_in_the_order_of_rows():
    frame = pd.DataFrame(np.eye(3), list("aab"), list("aab"))
    assert simplugins.from_tool("pandas", frame).labels.tolist() == list("aab")
    with pytest.raises(ValueError, match="'a'"):
        simplugins.from_tool("pandas", frame.iloc[:, [2, 0, 1]])


def test_labels_of_several_levels_are_joined():
    levels = pd.MultiIndex.from_product([["cat", "dog"], [1, 2]])
    values = np.diag([1.0, 2.0, 3.0, 4.0])
    result = simplugins.from_tool("pandas", pd.DataFrame(values, levels, levels).iloc[:, [3, 0, 2, 1]])
    np.testing.assert_array_equal(result.values, values)
    assert result.labels.tolist() == ["cat 1", "cat 2", "dog 1", "dog 2"]


def test_labels_whose_levels_hold_blanks_or_quotes_stay_apart():
    pairs = [("a b", "c"), ("a", "b c"), ('"a', "b c"), ("a", "b"), ("", "a")]
    levels = pd.MultiIndex.from_tuples(pairs)
    result = simplugins.from_tool("pandas", pd.DataFrame(np.eye(5), levels, levels))
    assert len(set(result.labels.tolist())) == 5
    first, second = (
        pd.DataFrame(np.eye(3) + 1, *[pd.MultiIndex.from_tuples(each)] * 2) for each in (pairs[:3], pairs[2:])
    )
    with pytest.raises(ValueError, match="labels differ"):
        simplugins.compare(first, second)


def test_labels_of_one_rsm_apply_to_all():
    rsms = {
        "a": simplugins.RSM.from_similarities(np.eye(3)),
        "b": simplugins.RSM.from_similarities(np.eye(3), labels=list("xyz")),
    }
    frame = simplugins.to_tool("pandas", rsms)
    assert frame.shape == (6, 3)
    assert frame.loc["a"].index.tolist() == list("xyz")
    assert rsms["a"].labels is None
    for tool in ("pandas", "xarray"):
        result = simplugins.from_tool(tool, simplugins.to_tool(tool, rsms))
        assert result["a"].labels.tolist() == list("xyz")


def test_tables_that_hold_no_rsm_are_an_error(photo_rsms):
    frame = photo_rsms["block10"].to("pandas")
    part = frame.iloc[:20, :20]
    with pytest.raises(ValueError, match=r"176 .*NaN"):
        simplugins.from_tool("pandas", frame - part)
    with pytest.raises(ValueError, match=r"columns.*\b4\b"):
        simplugins.from_tool("pandas", frame.iloc[:20])
    with pytest.raises(ValueError, match="not symmetric"):
        simplugins.from_tool("pandas", frame.sub(frame.mean(axis=1), axis=0))
    with pytest.raises(TypeError, match=r"frame.*DataFrame.*ndarray"):
        simplugins.from_tool("pandas", frame.to_numpy())
    with pytest.raises(TypeError, match="real numbers"):
        simplugins.from_tool("pandas", pd.DataFrame([["a", "b"], ["b", "a"]]))
    for what in (photo_rsms["block10"], photo_rsms):
        with pytest.raises(ValueError, match="form: expected one of square, long, got 'wide'"):
            simplugins.to_tool("pandas", what, form="wide")
