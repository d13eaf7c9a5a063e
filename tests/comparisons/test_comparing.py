# SPDX-License-Identifier: Apache-2.0
"""`compare` and `pairwise`: all pairs, labels, bad input, and imports."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from comparison_data import (
    METHODS,
    Closeness,
    gram,
    indefinite,
    looped,
    method_name,
    relabelled,
    related_grams,
    reordered,
    stacks,
)

import simplugins
from simplugins.comparisons import all_pairs, compare, pairwise
from simplugins.comparisons.cka import cka_debiased

every_method = pytest.mark.parametrize("method", METHODS, ids=method_name)


# All pairs


@every_method
def test_all_pairs_equal_single_calls(method):
    a, b = stacks()
    np.testing.assert_allclose(method.pairwise(a, b), looped(method, a, b), rtol=0, atol=1e-12)
    np.testing.assert_allclose(pairwise(method.name, a, b), looped(method, a, b), rtol=0, atol=1e-12)


@every_method
def test_all_pairs_of_one_set_have_the_similar_end_on_the_diagonal(method):
    a, _ = stacks()
    values = method.pairwise(a)
    np.testing.assert_allclose(values, looped(method, a, a), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(values.diagonal(), method.range[1 if method.larger_is_more_similar else 0])


@every_method
@pytest.mark.parametrize("vectors", [2, 3, 6])
def test_all_pairs_are_independent_of_the_memory_limit(method, vectors):
    a, b = ({f"{k}": matrix for k, matrix in enumerate(stack)} for stack in stacks())
    for second in (b, None):
        values = all_pairs.relate_all(method, a, second, vector_bytes=vectors * 4 * 9 * 10)
        np.testing.assert_allclose(values, all_pairs.relate_all(method, a, second), rtol=0, atol=1e-12)


@every_method
def test_each_matrix_is_embedded_once(method):
    embedded = []

    def embed(matrix, counts):
        embedded.append(matrix)
        return method.embed(matrix, counts)

    watched = dataclasses.replace(method, embed=embed)
    a, b = stacks()
    watched.pairwise(a, b)
    assert len(embedded) == 7
    embedded.clear()
    watched.pairwise(a)
    assert len(embedded) == 3


def test_mappings_and_stacks_are_accepted():
    a, b = stacks()
    np.testing.assert_array_equal(pairwise("cka", dict(zip("abc", a, strict=True)), np.array(b)), pairwise("cka", a, b))


@every_method
def test_results_are_floats_and_arguments_are_not_changed(method):
    a, b = related_grams()
    before = a.copy(), b.copy()
    assert type(compare(a, b, method)) is float
    method.pairwise([a], [b])
    np.testing.assert_array_equal((a, b), before)


def test_integers_lists_and_tensors_are_accepted():
    a = np.array([[4, 1, 0], [1, 5, 2], [0, 2, 6]])
    b = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.1], [0.2, 0.1, 1.0]])
    expected = compare(a.astype(float), b, "cka")
    assert compare(a.tolist(), torch.from_numpy(b), "cka") == expected
    assert compare(a, b.tolist(), "cka") == expected


# RSMs and their labels


@pytest.fixture(scope="module")
def rsms():
    sets = np.random.default_rng(0).normal(size=(2, 5, 6, 3))
    return [simplugins.compute_rsm(x, "semantic-cosine", labels=list("abcde")) for x in sets]


def test_rsms_are_compared_by_their_values(rsms):
    expected = compare(rsms[0].values, rsms[1].values)
    assert compare(*rsms) == expected
    assert cka_debiased(*rsms) == expected


@pytest.mark.parametrize("other", [lambda rsm: rsm.values, lambda rsm: relabelled(rsm, None)])
def test_a_side_without_labels_is_compared_by_places_with_a_warning(rsms, other):
    expected = compare(*rsms)
    with pytest.warns(UserWarning, match="rsm_a has labels and rsm_b has none") as warned:
        assert compare(rsms[0], other(rsms[1])) == expected
    assert len(warned) == 1
    with pytest.warns(UserWarning, match="rsm_b has labels and rsm_a has none"):
        compare(other(rsms[0]), relabelled(rsms[1], [1, 0, 2, 3, 4]))
    assert compare(other(rsms[0]), relabelled(rsms[1], range(5))) == expected  # the labels are the places


def test_different_labels_are_refused(rsms):
    a, b = rsms
    with pytest.raises(ValueError, match=r"labels.* 2 is 'c' in rsm_a, 'x' in rsm_b$"):
        compare(a, relabelled(b, list("abxde")))
    with pytest.raises(ValueError, match=r"labels.* 0 is 'a' in rsm_a, '1' in rsm_b"):
        compare(a, relabelled(b, [1, 2, 3, 4, 5]))
    with pytest.raises(ValueError, match=r"labels.* 0 is 'a' in rsm_a, 'e' in rsm_b.*align=True"):
        compare(a, reordered(b, [4, 3, 2, 1, 0]))
    with pytest.raises(ValueError, match=re.escape("1 is 'b' in matrices_a['one'], 'x' in matrices_b['two']")):
        pairwise(max, {"one": a}, {"two": relabelled(b, list("axcde"))})


def test_align_reorders_the_second_rsm(rsms):
    a, b = rsms
    expected = pytest.approx(compare(a, b), abs=1e-12)
    assert compare(a, reordered(b, [2, 0, 4, 1, 3]), align=True) == expected
    assert compare(a, b, align=True) == expected
    numbered = [relabelled(rsm, [7, 5, 3, 2, 1]) for rsm in rsms]
    assert compare(numbered[0], reordered(numbered[1], [1, 2, 3, 4, 0]), align=True) == expected


def test_align_needs_labels_that_identify_inputs(rsms):
    a, b = rsms
    with pytest.raises(ValueError, match=r"align.*rsm_b"):
        compare(a, b.values, align=True)
    with pytest.raises(ValueError, match=r"align.*rsm_a"):
        compare(relabelled(a, None), b, align=True)
    with pytest.raises(ValueError, match=r"rsm_b: 2\b.*'b'"):
        compare(a, relabelled(b, list("axcye")), align=True)
    with pytest.raises(ValueError, match=r"rsm_b: 1\b.*'e'"):
        compare(relabelled(a, list("abcda")), b, align=True)
    with pytest.raises(ValueError, match="label 'a'"):
        compare(relabelled(a, list("aabbc")), relabelled(b, list("abcab")), align=True)
    repeated = [relabelled(rsm, list("aabbc")) for rsm in rsms]
    assert compare(*repeated, align=True) == compare(*rsms)


@pytest.mark.parametrize("align", [False, True])
def test_rsms_with_different_rows_and_columns_are_refused(rsms, align):
    x = np.random.default_rng(1).normal(size=(5, 6, 3))
    with pytest.raises(ValueError, match=r"rsm_b\b.* 5 "):
        compare(rsms[0], simplugins.compute_rsm(x, other=x), align=align)


# Bad input


def spoilt(*changes):
    matrix = gram(np.random.default_rng(0).normal(size=(5, 3)))
    for i, j, value in changes:
        matrix[i, j] = value
    return matrix


@every_method
@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((3, 4)), r"rsm_b\b.*\(3, 4\)"),
        (np.ones(10), r"rsm_b\b.*\(10,\)"),
        (np.ones((6, 6)), r"rsm_a has 5\b.*rsm_b has 6\b"),
        (spoilt((1, 2, np.nan), (3, 0, np.inf)), r"rsm_b\b.* 2 NaN.* row 1, column 2"),
        (spoilt((1, 2, 9.0), (2, 1, 7.0)), r"rsm_b\b.*row 1, column 2 .*\b9\b.*row 2, column 1 .*\b7\b"),
    ],
)
def test_bad_matrices_are_refused(method, matrix, message):
    with pytest.raises(ValueError, match=message):
        compare(spoilt(), matrix, method)


@pytest.mark.parametrize("matrix", [np.eye(3) == 1, np.eye(3) * 1j, np.eye(3).astype(str), [[1, 2], [3]]])
def test_matrices_of_other_types_are_refused(matrix):
    with pytest.raises(TypeError, match="rsm_a"):
        compare(matrix, np.eye(3))


@pytest.mark.parametrize(
    ("method", "least"), [("cka", 3), ("cka-debiased", 4), ("rsa-spearman", 3), ("rsa-cosine", 3), (Closeness, 3)]
)
def test_the_least_number_of_inputs_is_checked(method, least):
    a, b = indefinite(0, least), indefinite(1, least)
    assert np.isfinite(compare(a, b, method))
    with pytest.raises(ValueError, match=rf"\b{least} inputs.*\b{least - 1}$"):
        compare(a[1:, 1:], b[1:, 1:], method)


def test_errors_name_the_matrix():
    a, b = stacks()
    b[2] = b[2] * np.nan
    with pytest.raises(ValueError, match=r"matrices_b\[2\] holds 81 NaN"):
        pairwise("cka", a, b)
    with pytest.raises(ValueError, match=r"matrices_a\['conv1'\]"):
        pairwise("cka", {"conv1": np.ones((2, 3))})
    with pytest.raises(ValueError, match="matrices_a"):
        pairwise("cka", [])
    with pytest.raises(ValueError, match=r"matrices_a\[0\]"):
        pairwise("cka", a[0])
    with pytest.raises(TypeError, match=r"matrices_b\b.*\bint\b"):
        pairwise("cka", a, 3)
    with pytest.raises(TypeError, match=r"matrices_a\b.*\bRSM\b"):
        pairwise("cka", simplugins.compute_rsm(np.eye(4)))


# Imports


@pytest.mark.parametrize(
    "code",
    [
        "import simplugins.comparisons",
        "import numpy, simplugins; simplugins.compare(numpy.eye(4), numpy.eye(4))",
        "import simplugins.comparisons.inference, simplugins.comparisons.layers, simplugins.comparisons.networks, "
        "simplugins.comparisons.minibatches",
    ],
)
def test_comparing_matrices_loads_no_engine_recorder_or_adapter(code):
    check = (
        "; import sys; print([name for name in sys.modules if name.startswith(('simplugins.compute', "
        "'simplugins.recording', 'simplugins.measures', 'simplugins_adapters', 'numba', 'torch'))])"
    )
    done = subprocess.run([sys.executable, "-c", code + check], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
