# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from simplugins.rsm.stored_rsm import StoredRSM

import simplugins
from simplugins import RSM
from simplugins.compute.sinks.zarr_store import Store

pytest.importorskip("zarr")
MEASURES = ["semantic-linear", "semantic-cosine", "semantic-rbf"]


@pytest.fixture
def path(tmp_path, maps, small_tiles):
    simplugins.compute_rsm(maps, "semantic-rbf", store=tmp_path / "run.zarr", labels=[f"crop {i}" for i in range(22)])
    return tmp_path / "run.zarr"


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("others", [False, True])
def test_it_is_the_rsm_that_is_computed_in_memory(tmp_path, maps, small_tiles, measure, others):
    how = {"other": maps[:9] * 2} if others else {}
    plain = simplugins.compute_rsm(maps, measure, certify=True, **how)
    stored = simplugins.compute_rsm(maps, measure, certify=True, store=tmp_path / "run.zarr", **how)
    np.testing.assert_allclose(stored, plain, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(stored.gap, plain.gap, atol=1e-6)
    assert (stored.metadata | {"sigma": None}) == (plain.metadata | {"sigma": None})
    if measure == "semantic-rbf":
        assert stored.sigma == pytest.approx(plain.metadata["sigma"], rel=1e-6)
    assert stored.symmetric is plain.symmetric
    np.testing.assert_array_equal(stored.squared_norms, plain.squared_norms)


@pytest.mark.parametrize(
    "where",
    [
        np.s_[:, :],
        np.s_[3:9, :],
        np.s_[20:2:-3, 5],
        np.s_[7, 8],
        np.s_[[1, 20, 3, 3], [0, 21]],
        np.s_[-1, -2:],
        np.s_[:0, :],
    ],
)
def test_parts_are_those_of_the_whole(path, where):
    rsm = simplugins.load_rsm(path)
    whole = np.asarray(simplugins.load_rsm(path))
    rows, columns = where
    expected = whole[rows][..., columns] if np.ndim(np.arange(22)[rows]) else whole[rows][columns]
    found = rsm[where]
    assert np.shape(found) == np.shape(expected)
    np.testing.assert_array_equal(found, expected)


def test_a_part_reads_no_more_tiles_than_it_is_in(path, monkeypatch):
    read, asked = Store.read, []
    monkeypatch.setattr(Store, "read", lambda store, tile: asked.append(tile) or read(store, tile))
    rsm = simplugins.load_rsm(path)
    assert (len(rsm), rsm.shape, rsm.labels[3], "run.zarr" in repr(rsm)) == (22, (22, 22), "crop 3", True)
    assert not asked
    rsm[9, 1:6]
    assert asked == [(0, 2), (1, 2)]


def test_tiles_are_all_there_is(path):
    rsm = simplugins.load_rsm(path)
    found = np.full(rsm.shape, np.nan)
    for rows, columns, values in rsm.tiles():
        found[rows, columns] = values
        found[columns, rows] = values.T
    np.testing.assert_array_equal(found, rsm.values)


def test_sigma_and_kernel_change_without_matching_again(path, maps, monkeypatch):
    plain = simplugins.compute_rsms(maps, MEASURES, sigma=700.0)
    monkeypatch.setattr("simplugins.compute.job.aligned_products", None)
    for measure in MEASURES:
        opened = simplugins.load_rsm(path, measure=measure, sigma=700.0)
        np.testing.assert_allclose(opened, plain[measure], rtol=1e-6, atol=1e-7)
    again = simplugins.compute_rsms(maps, MEASURES, sigma=700.0, store=path, labels=[f"crop {i}" for i in range(22)])
    for measure in MEASURES:
        np.testing.assert_allclose(again[measure], plain[measure], rtol=1e-6, atol=1e-7)
    assert simplugins.load_rsm(path, sigma="median").metadata["sigma"] == simplugins.load_rsm(path).metadata["sigma"]


def test_other_measures_than_those_of_the_matching_are_refused(path):
    for measure in ("spatio-semantic-cosine", "pooled-cosine", "semantic-"):
        with pytest.raises(ValueError, match=f"'{measure}' is not one of the matching .*'optimal'"):
            simplugins.load_rsm(path, measure=measure)


def test_a_bandwidth_that_is_none_is_refused(path):
    with pytest.raises(ValueError, match="sigma must be"):
        simplugins.load_rsm(path, sigma=-1.0)


def test_a_file_of_one_rsm_has_no_other_measures(tmp_path, maps):
    simplugins.compute_rsm(maps).save(tmp_path / "rsm.npz")
    with pytest.raises(ValueError, match="file of one RSM"):
        simplugins.load_rsm(tmp_path / "rsm.npz", sigma=3.0)


def test_it_is_an_rsm_to_all_others(path, tmp_path):
    rsm = simplugins.load_rsm(path)
    plain = RSM(rsm.values, rsm.metadata, rsm.squared_norms, labels=rsm.labels)
    assert isinstance(rsm, RSM)
    assert simplugins.compare(rsm, plain) == pytest.approx(1)
    np.testing.assert_array_equal(rsm.rdm(), plain.rdm())
    np.testing.assert_array_equal(rsm.to("scikit-learn", estimator="SVC"), plain.to("scikit-learn", estimator="SVC"))
    rsm.save(tmp_path / "rsm.npz")
    np.testing.assert_array_equal(simplugins.load_rsm(tmp_path / "rsm.npz"), plain)
    changed = replace(rsm, labels=None)
    assert type(changed) is RSM
    assert changed.labels is None
    order = rsm.labels[::-1]
    np.testing.assert_array_equal(rsm.in_order(order), plain.values[::-1, ::-1])
    assert rsm.plot() is not None


def test_it_is_sent_as_its_path(path):
    rsm = simplugins.load_rsm(path, sigma=500.0)
    sent = pickle.dumps(rsm)
    assert len(sent) < 1000
    found = pickle.loads(sent)
    assert type(found) is StoredRSM
    assert found.metadata == rsm.metadata
    np.testing.assert_array_equal(found, rsm)


def test_layers_may_be_stores(path):
    found = simplugins.compare_layers({"one": simplugins.load_rsm(path)}, method="rsa-spearman")
    assert found.values.item() == pytest.approx(1)
