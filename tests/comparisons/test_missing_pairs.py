# SPDX-License-Identifier: Apache-2.0
"""Missing pairs of inputs (NaN) are left out on request, against SciPy and rsatoolbox, and refused otherwise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from comparison_data import gram, related_grams
from rsatoolbox.rdm import RDMs
from rsatoolbox.rdm import compare as compare_rdms
from scipy.spatial.distance import cosine, squareform
from scipy.stats import kendalltau, pearsonr, spearmanr
from typer.testing import CliRunner

import simplugins
from simplugins import RSM, testing
from simplugins.cli import app
from simplugins.comparisons import pairwise, resolve_method
from simplugins.comparisons.missing_pairs import relate_pairs
from simplugins.plotting.heatmaps import rsm_figure

ORACLES = {
    "rsa-pearson": lambda u, v: pearsonr(u, v).statistic,
    "rsa-spearman": lambda u, v: spearmanr(u, v).statistic,
    "rsa-kendall": lambda u, v: kendalltau(u, v).statistic,
    "rsa-kendall-tau-a": lambda u, v: kendalltau(u, v).statistic,  # without ties
    "rsa-cosine": lambda u, v: 1 - cosine(u, v),
}
RSATOOLBOX = {"rsa-pearson": "corr", "rsa-spearman": "spearman", "rsa-kendall-tau-a": "tau-a", "rsa-cosine": "cosine"}
WHOLE = ["cka", "cka-debiased", "angular-cka", "norm-difference"]
rsa_methods = pytest.mark.parametrize("method", ORACLES)


def without(matrix, pairs):
    matrix = matrix.copy()
    for i, j in pairs:
        matrix[i, j] = matrix[j, i] = np.nan
    return matrix


@pytest.fixture
def incomplete():
    a, b = related_grams()
    return without(a, [(0, 1), (3, 7), (7, 11)]), without(b, [(0, 1), (2, 5), (10, 10)])


def share(a, b):
    """A third party's comparison, which leaves missing pairs out itself."""
    return float(np.nanmean(np.sign(a) == np.sign(b), where=~np.isnan(a)))


share.omits_missing = True


@rsa_methods
def test_missing_pairs_are_left_out_of_either_matrix(method, incomplete):
    u, v = (matrix[np.triu_indices(12, 1)] for matrix in incomplete)
    present = ~np.isnan(u) & ~np.isnan(v)
    assert present.sum() == 62
    expected = ORACLES[method](u[present], v[present])
    assert simplugins.compare(*incomplete, method, missing="omit") == pytest.approx(expected, abs=1e-12)
    rsms = [RSM.from_similarities(matrix, missing="omit") for matrix in incomplete]
    assert simplugins.compare(*rsms, method, missing="omit") == pytest.approx(expected, abs=1e-12)
    table = simplugins.compare_layers({"a": rsms[0]}, {"b": rsms[1], "a": rsms[0]}, method, missing="omit")
    assert table.values[0] == pytest.approx([expected, 1], abs=1e-12)


@pytest.mark.parametrize("method", RSATOOLBOX)
def test_missing_pairs_are_left_out_as_rsatoolbox_does(method):
    complete = related_grams()
    for drawn in ([0, 0, 1, 2, 3, 4, 5, 5, 5, 9, 10, 11], [1, 1, 2, 3, 4, 4, 6, 7, 8, 8, 8, 8]):
        samples = [RDMs(matrix[None]).subsample_pattern("index", drawn) for matrix in complete]
        matrices = [1 + np.eye(12) * 40 - 1 + sample.get_matrices()[0] for sample in samples]
        assert all(np.isnan(matrix).any() for matrix in matrices)
        expected = compare_rdms(*samples, method=RSATOOLBOX[method]).item()
        assert simplugins.compare(*matrices, method, missing="omit") == pytest.approx(expected, abs=1e-9)


def test_bootstrap_samples_of_rsatoolbox_are_read():
    distances = [squareform(np.random.default_rng(seed).random(45)) for seed in (0, 1)]
    sample = RDMs(np.stack(distances)).subsample_pattern("index", [0, 1, 1, 2, 4, 5, 5, 5, 8, 9])
    assert np.isnan(sample.dissimilarities).any()
    with pytest.raises(ValueError, match=r"NaN.*missing='omit'"):
        simplugins.from_tool("rsatoolbox", sample, dissimilarity="complement")
    with pytest.raises(ValueError, match=r"missing.*dissimilarity='complement'"):
        simplugins.from_tool("rsatoolbox", sample, dissimilarity="squared-distance", missing="omit")
    rsms = simplugins.from_tool("rsatoolbox", sample, dissimilarity="complement", missing="omit")
    value = simplugins.compare(*rsms.values(), "rsa-spearman", missing="omit")
    assert value == pytest.approx(compare_rdms(sample[0], sample[1], "spearman").item(), abs=1e-9)
    back = simplugins.to_tool("rsatoolbox", rsms, dissimilarity="complement")
    shifts = back.dissimilarities - sample.dissimilarities
    assert np.nanmax(np.ptp(np.where(np.isnan(shifts), np.nanmean(shifts, 1)[:, None], shifts), axis=1)) < 1e-12


@rsa_methods
def test_an_input_without_pairs_is_left_out(method):
    a, b = related_grams()
    expected = simplugins.compare(a[1:, 1:], b[1:, 1:], method)
    dead = without(a, [(0, other) for other in range(12)])
    assert simplugins.compare(dead, b, method, missing="omit") == pytest.approx(expected, abs=1e-12)
    assert simplugins.compare(b, dead, method, missing="omit") == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("method", ["rsa-spearman", "cka", share])
def test_omit_changes_nothing_where_nothing_is_missing(method):
    a, b = related_grams()
    assert simplugins.compare(a, b, method, missing="omit") == simplugins.compare(a, b, method)


DOORS = {
    "compare": lambda a, b, method, **o: simplugins.compare(a, b, method, **o),
    "pairwise": lambda a, b, method, **o: pairwise(method, [a], [b], **o),
    "compare_layers": lambda a, b, method, **o: simplugins.compare_layers(
        *({"x": RSM.from_similarities(matrix, missing="omit")} for matrix in (a, b)), method, **o
    ),
    "permutation_test": lambda a, b, method, **o: simplugins.permutation_test(a, b, method, permutations=9, **o),
    "bootstrap_interval": lambda a, b, method, **o: simplugins.bootstrap_interval(a, b, method, resamples=40, **o),
}
every_door = pytest.mark.parametrize("door", DOORS)


@every_door
@pytest.mark.parametrize("method", ["cka", "rsa-spearman", share])
def test_missing_pairs_are_refused_by_default(door, method, incomplete):
    with pytest.raises(ValueError, match=r"NaN.*missing='omit'"):
        DOORS[door](*incomplete, method)


@every_door
@pytest.mark.parametrize("method", [*WHOLE, max])
def test_methods_of_whole_matrices_refuse_to_leave_pairs_out(door, method, incomplete):
    with pytest.raises(ValueError, match=r"cannot leave pairs out.*missing values.*rsa-spearman"):
        DOORS[door](*incomplete, method, missing="omit")


@every_door
def test_infinite_values_are_refused_even_then(door):
    a, b = related_grams()
    b[2, 3] = b[3, 2] = np.inf
    with pytest.raises(ValueError, match=r"2.* infinite .*row 2, column 3"):
        DOORS[door](a, b, "rsa-spearman", missing="omit")


@every_door
def test_the_option_is_checked(door):
    with pytest.raises(ValueError, match=r"missing.*raise, omit.*'drop'"):
        DOORS[door](*related_grams(), "rsa-spearman", missing="drop")


def test_half_a_matrix_is_not_one_with_missing_pairs():
    a, b = related_grams()
    half = np.where(np.tri(12, k=-1, dtype=bool), np.nan, a)
    with pytest.raises(ValueError, match=r"rsm_a is not symmetric.*nan"):
        simplugins.compare(half, b, "rsa-spearman", missing="omit")
    with pytest.raises(ValueError, match=r"not symmetric"):
        RSM.from_similarities(half, missing="omit")


def test_too_few_common_pairs_are_nan_with_a_warning():
    a, b = (gram(np.random.default_rng(seed).normal(size=(4, 3))) for seed in (0, 1))
    a, b = without(a, [(0, 1), (0, 2)]), without(b, [(2, 3), (1, 3)])
    with pytest.warns(RuntimeWarning, match=r"fewer than 3 pairs.*rsm_a with rsm_b$"):
        assert np.isnan(simplugins.compare(a, b, "rsa-pearson", missing="omit"))
    with pytest.warns(RuntimeWarning, match=r"matrices_a\[0\] with matrices_a\[1\], and 1 more$"):
        values = pairwise("rsa-spearman", [a, b], missing="omit")
    np.testing.assert_array_equal(np.isnan(values), [[False, True], [True, False]])


@pytest.mark.parametrize("method", ["rsa-spearman", "rsa-kendall", share])
@pytest.mark.filterwarnings("ignore:share is a plain function")
def test_permutations_and_resamples_equal_those_of_a_plain_loop(method, incomplete):
    a, b = incomplete
    rng = np.random.default_rng(2)
    orders = [rng.permutation(12) for _ in range(6)]
    expected = [simplugins.compare(a, b[np.ix_(order, order)], method, missing="omit") for order in orders]
    test = simplugins.permutation_test(a, b, method, permutations=6, seed=2, missing="omit")
    np.testing.assert_allclose(test.null_distribution, expected, atol=1e-12)
    assert test.value == simplugins.compare(a, b, method, missing="omit")
    result = simplugins.bootstrap_interval(a, b, method, resamples=40, missing="omit")
    assert result.low < result.high
    rng = np.random.default_rng(0)
    for value in result.distribution[:5]:
        drawn = np.sort(rng.integers(12, size=12))
        sample_a, sample_b = (matrix[np.ix_(drawn, drawn)] for matrix in (a, b))
        if method is share:
            missing = np.isnan(sample_a) | np.isnan(sample_b)
            assert value == share(*(np.where(missing, np.nan, sample) for sample in (sample_a, sample_b)))
        else:  # copies of an input are no pair
            copies = np.equal.outer(drawn, drawn)
            u, v = (np.where(copies, np.nan, x)[np.triu_indices(12, 1)] for x in (sample_a, sample_b))
            present = ~np.isnan(u) & ~np.isnan(v)
            assert value == pytest.approx(ORACLES[method](u[present], v[present]), abs=1e-12)


def test_functions_that_do_not_declare_it_receive_no_nan(incomplete):
    def never(a, b):
        raise AssertionError

    with pytest.raises(ValueError, match=r"never.*cannot leave pairs out"):
        simplugins.compare(*incomplete, never, missing="omit")
    never.omits_missing = "yes"
    with pytest.raises(ValueError, match=r"never.*omits_missing='yes'"):
        resolve_method(never)


def test_functions_that_declare_it_receive_nan_in_both_matrices(incomplete):
    seen = []

    def watching(a, b):
        seen.append((a, b))
        return 0.0

    watching.omits_missing = True
    simplugins.compare(*incomplete, watching, missing="omit")
    np.testing.assert_array_equal(*np.isnan(seen[0]))
    assert np.isnan(seen[0][0]).sum() == 2 * 4 + 1


def ignoring_declaration(a, b):
    return float(np.nan_to_num(a).ravel() @ np.nan_to_num(b + 3).ravel())


ignoring_declaration.omits_missing = True


def test_the_check_of_comparisons_covers_the_declaration():
    with pytest.raises(AssertionError, match=r"leaves out missing pairs, as it declares.* but "):
        testing.check_comparison(ignoring_declaration)


def test_rsms_hold_missing_pairs_with_consent(incomplete, tmp_path):
    matrix = incomplete[0]
    with pytest.raises(ValueError, match=r"6 NaN.*row 0, column 1; missing='omit'"):
        RSM.from_similarities(matrix)
    rsm = RSM.from_similarities(matrix, missing="omit", labels=[*"abcdefghijkl"])
    assert rsm.summary()["missing values"] == "6 of 144"
    assert "nan" not in repr(rsm)
    rsm.save(tmp_path / "rsm.npz")
    np.testing.assert_array_equal(simplugins.load_rsm(tmp_path / "rsm.npz").values, matrix)
    np.testing.assert_array_equal(np.isnan(rsm.rdm()), np.isnan(matrix))
    assert rsm_figure(rsm).axes[0].images[0].get_clim() == (
        pytest.approx(np.nanmin(matrix)),
        pytest.approx(np.nanmax(matrix[~np.eye(12, dtype=bool)])),
    )
    for derived in (rsm.centred, rsm.features, rsm.indefiniteness):
        with pytest.raises(ValueError, match="6 values are missing"):
            derived()
    with pytest.raises(ValueError, match="NaN"):
        simplugins.evaluation.retrieval(rsm)


@pytest.mark.parametrize(
    ("tool", "source", "options"),
    [
        ("numpy", lambda m: m, {}),
        ("numpy", lambda m: 1 - m + np.diag(m.diagonal() - 1), {"dissimilarity": "complement"}),
        ("mne-rsa", lambda m: squareform(1 - m, checks=False), {"dissimilarity": "complement"}),
        ("mne-rsa", lambda m: 1 - m + np.diag(m.diagonal() - 1), {"dissimilarity": "complement"}),
        ("pandas", pd.DataFrame, {}),
        ("pandas", lambda m: pd.DataFrame(m, [*"abcdefghijkl"], [*"abcdefghijkl"]).iloc[:, ::-1], {}),
        ("xarray", lambda m: xr.DataArray(m, dims=("i", "j")), {}),
        ("xarray", lambda m: RSM.from_similarities(m, missing="omit").to("xarray"), {}),
    ],
)
def test_tools_bring_missing_pairs_with_consent(tool, source, options, incomplete):
    expected = incomplete[0]
    with pytest.raises(ValueError, match=r"NaN"):
        simplugins.from_tool(tool, source(expected), **options)
    read = simplugins.from_tool(tool, source(expected), missing="omit", **options).values
    off = ~np.eye(12, dtype=bool)
    np.testing.assert_allclose(read[off], expected[off], atol=1e-12)


def test_the_command_line_leaves_missing_pairs_out(incomplete, tmp_path):
    for name, matrix in zip("ab", incomplete, strict=True):
        RSM.from_similarities(matrix, missing="omit").save(tmp_path / f"{name}.npz")
    arguments = ["compare", str(tmp_path / "a.npz"), str(tmp_path / "b.npz"), "--method", "rsa-spearman"]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2
    assert "NaN" in refused.output
    result = CliRunner().invoke(app, [*arguments, "--missing", "omit"])
    expected = simplugins.compare(*incomplete, "rsa-spearman", missing="omit")
    assert result.output.split() == ["rsa-spearman:", f"{expected:.10g}"]


def test_fewer_pairs_than_the_method_needs_have_no_value():
    matrix = without(related_grams()[0][:4, :4], [(0, 1), (0, 2), (0, 3), (1, 2)])
    assert np.isnan(relate_pairs(resolve_method("rsa-pearson"), matrix, matrix, np.ones(4)))
