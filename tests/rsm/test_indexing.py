# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simplugins import RSM, compute_rsm

pytest.importorskip("zarr")
ROWS, COLUMNS, TILE = 11, 7, 3


def overlap(x, y=None):
    """The share of each response of x that one of y covers: not symmetric."""
    rows, columns = (np.stack([vectors.sum(0) for vectors in side.sets()]) for side in (x, y))
    return np.minimum(rows[:, None], columns[None]).sum(2) / rows.sum(1)[:, None]


@pytest.fixture(scope="module", params=["symmetric", "asymmetric", "other inputs"])
def dense_and_stored(request, tmp_path_factory):
    sets = np.random.default_rng(0).random((ROWS + COLUMNS, 4, 3))
    other = sets[ROWS:] if request.param == "other inputs" else None
    measure = overlap if request.param == "asymmetric" else "semantic-cosine"
    path = tmp_path_factory.mktemp("stores") / "run.zarr"
    dense = compute_rsm(sets[:ROWS], measure, other=other)
    return dense, compute_rsm(sets[:ROWS], measure, other=other, store=path, tile_size=TILE)


def indices(count):
    """Every kind of index of one dimension."""
    number = st.integers(-count, count - 1)
    return st.one_of(
        number,
        number.map(np.int64),
        st.slices(count),
        st.lists(number, max_size=2 * count),
        st.lists(number, min_size=1, max_size=2 * count).map(np.array),
        st.lists(st.booleans(), min_size=count, max_size=count).map(np.array),
    )


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_dense_and_stored_rsms_have_equal_parts(dense_and_stored, data):
    dense, stored = dense_and_stored
    rows, columns = data.draw(indices(ROWS)), data.draw(indices(dense.shape[1]))
    part = dense[rows, columns]
    selected = dense.values[rows] if isinstance(rows, int | np.integer) else dense.values[rows, :]
    np.testing.assert_array_equal(part, selected[..., columns])
    assert stored[rows, columns].shape == part.shape
    np.testing.assert_allclose(stored[rows, columns], part, rtol=1e-12)


def test_tiles_of_dense_and_stored_rsms_hold_the_same_pairs(dense_and_stored):
    for rsm in dense_and_stored:
        assembled, counts = np.full(rsm.shape, np.nan), np.zeros(rsm.shape, int)
        for rows, columns, values in rsm.tiles():
            assembled[rows, columns] = values
            counts[rows, columns] += 1
        assert counts.max() == 1
        assembled = np.where(counts, assembled, assembled.T if rsm.symmetric else np.nan)
        np.testing.assert_allclose(assembled, dense_and_stored[0].values, rtol=1e-12)


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (3, TypeError),
        (np.s_[1, 2, 3], TypeError),
        (np.s_[99, 0], IndexError),
        (np.s_[0, [1, -99]], IndexError),
        (np.s_[[True], 0], IndexError),
        (np.s_[1.5, 0], IndexError),
        (np.s_[None, 0], IndexError),
        (np.s_[[[1, 2]], 0], IndexError),
    ],
    ids=str,
)
def test_invalid_indices_raise(dense_and_stored, index, error):
    for rsm in dense_and_stored:
        with pytest.raises(error):
            rsm[index]


def test_a_single_value_is_a_number(dense_and_stored):
    assert all(f"{rsm[0, 1]:.3f}" == f"{rsm.values[0, 1]:.3f}" for rsm in dense_and_stored)


def test_one_row_of_a_precomputed_rsm():
    rsm = RSM.from_similarities([[1.0, 0.5], [0.5, 2.0]])
    assert rsm[1, :].tolist() == [0.5, 2.0]
    assert float(rsm[0, 1]) == 0.5
