# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

import simplugins
from simplugins import RSM
from simplugins.compute.sinks.zarr_store import Store
from simplugins.rsm.rsm import DenseValues
from simplugins.rsm.stored_values import StoredValues

pytest.importorskip("zarr")
MEASURES = ["semantic-linear", "semantic-cosine", "semantic-rbf"]


@pytest.fixture
def path(tmp_path, maps):
    labels = [f"crop {i}" for i in range(22)]
    simplugins.compute_rsm(maps, "semantic-rbf", store=tmp_path / "run.zarr", labels=labels, tile_size=4)
    return tmp_path / "run.zarr"


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("with_other", [False, True])
def test_stored_rsms_equal_those_computed_in_memory(tmp_path, maps, measure, with_other):
    options = {"other": maps[:9] * 2 if with_other else None, "certify": True}
    plain = simplugins.compute_rsm(maps, measure, **options)
    stored = simplugins.compute_rsm(maps, measure, store=tmp_path / "run.zarr", tile_size=4, **options)
    np.testing.assert_allclose(stored, plain, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(stored.gap, plain.gap, atol=1e-6)
    for name in ("measure", "kernel", "matching", "metadata", "symmetric", "shape"):
        assert getattr(stored, name) == getattr(plain, name)
    assert stored.sigma == (None if plain.sigma is None else pytest.approx(plain.sigma, rel=1e-6))
    np.testing.assert_array_equal(stored.squared_norms, plain.squared_norms)
    np.testing.assert_array_equal(stored.other_squared_norms, plain.other_squared_norms)


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
def test_parts_equal_those_of_the_whole(path, where):
    rsm = simplugins.load_rsm(path)
    whole = np.asarray(simplugins.load_rsm(path))
    rows, columns = where
    expected = whole[rows][..., columns] if np.ndim(np.arange(22)[rows]) else whole[rows][columns]
    part = rsm[where]
    assert np.shape(part) == np.shape(expected)
    np.testing.assert_array_equal(part, expected)


def test_indexing_reads_only_the_tiles_it_needs(path, monkeypatch):
    read, tiles = Store.read, []
    monkeypatch.setattr(Store, "read", lambda store, tile: tiles.append(tile) or read(store, tile))
    rsm = simplugins.load_rsm(path)
    assert (len(rsm), rsm.shape, rsm.labels[3], "run.zarr" in repr(rsm)) == (22, (22, 22), "crop 3", True)
    assert not tiles
    rsm[9, 1:6]
    assert tiles == [(0, 2), (1, 2)]


def test_tiles_cover_all_values(path):
    rsm = simplugins.load_rsm(path)
    assembled = np.full(rsm.shape, np.nan)
    for rows, columns, values in rsm.tiles():
        assembled[rows, columns] = values
        assembled[columns, rows] = values.T
    np.testing.assert_array_equal(assembled, rsm.values)


def test_sigma_and_kernel_change_without_matching_again(path, maps, monkeypatch):
    plain = simplugins.compute_rsms(maps, MEASURES, sigma=700.0)
    monkeypatch.setattr("simplugins.compute.engines.cpu.aligned_products", None)
    for measure in MEASURES:
        opened = simplugins.load_rsm(path, measure=measure, sigma=700.0)
        np.testing.assert_allclose(opened, plain[measure], rtol=1e-6, atol=1e-7)
    again = simplugins.compute_rsms(maps, MEASURES, sigma=700.0, store=path, labels=[f"crop {i}" for i in range(22)])
    for measure in MEASURES:
        np.testing.assert_allclose(again[measure], plain[measure], rtol=1e-6, atol=1e-7)
    assert simplugins.load_rsm(path, sigma="median").sigma == simplugins.load_rsm(path).sigma


def test_measures_with_another_matching_raise(path):
    for measure in ("spatio-semantic-cosine", "pooled-cosine", "semantic-"):
        with pytest.raises(ValueError, match=f"matching 'optimal'.*'{measure}'"):
            simplugins.load_rsm(path, measure=measure)


def test_invalid_bandwidths_raise(path):
    with pytest.raises(ValueError, match=r"sigma.*-1\.0"):
        simplugins.load_rsm(path, sigma=-1.0)


def test_sigma_cannot_be_changed_for_files(tmp_path, maps):
    simplugins.compute_rsm(maps).save(tmp_path / "rsm.npz")
    with pytest.raises(ValueError, match=r"rsm\.npz.*sigma"):
        simplugins.load_rsm(tmp_path / "rsm.npz", sigma=3.0)


def test_stored_rsms_work_wherever_rsms_do(path, tmp_path):
    rsm = simplugins.load_rsm(path)
    plain = replace(rsm, source=DenseValues(rsm.values))
    assert isinstance(rsm, RSM)
    assert simplugins.compare(rsm, plain) == pytest.approx(1)
    np.testing.assert_array_equal(rsm.rdm(), plain.rdm())
    np.testing.assert_array_equal(rsm.to("scikit-learn", estimator="SVC"), plain.to("scikit-learn", estimator="SVC"))
    rsm.save(tmp_path / "rsm.npz")
    np.testing.assert_array_equal(simplugins.load_rsm(tmp_path / "rsm.npz"), plain)
    unlabelled = replace(rsm, labels=None)
    assert type(unlabelled) is RSM
    assert unlabelled.labels is None
    order = rsm.labels[::-1]
    np.testing.assert_array_equal(rsm.in_order(order), plain.values[::-1, ::-1])
    assert rsm.plot(Figure().add_subplot()) is not None


def test_stored_rsms_are_pickled_without_their_values(path):
    rsm = simplugins.load_rsm(path, sigma=500.0)
    sent = pickle.dumps(rsm)
    assert len(sent) < 3000 < rsm.values.nbytes
    received = pickle.loads(sent)
    assert isinstance(received.source, StoredValues)
    assert received.metadata == rsm.metadata
    np.testing.assert_array_equal(received, rsm)


def test_layers_may_be_stored_rsms(path):
    table = simplugins.compare_layers({"one": simplugins.load_rsm(path)}, method="rsa-spearman")
    assert table.values.item() == pytest.approx(1)
