# SPDX-License-Identifier: Apache-2.0
"""The benchmark of measures: its images, its statistics, and the whole command with few networks."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import simplugins

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    """Return a function that imports a module of the benchmark."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return lambda name: importlib.import_module(f"measures.{name}")


def without_own_pairs(values):
    return values[~np.eye(len(values), dtype=bool)]


def test_separations_are_areas_under_the_curve(load):
    relations = load("relations")
    rng = np.random.default_rng(0)
    similar, dissimilar = rng.integers(3, 9, (5, 5)).astype(float), rng.integers(0, 7, (5, 3)).astype(float)
    values = relations.separation(similar, dissimilar, relations.draw_resamples(5, 3, 0, seed=0))
    positive = without_own_pairs(similar)
    truth = np.repeat([1, 0], [positive.size, dissimilar.size])
    assert values == pytest.approx([roc_auc_score(truth, np.append(positive, dissimilar))])


def test_separations_in_resamples_are_those_of_repeated_networks(load):
    relations = load("relations")
    rng = np.random.default_rng(1)
    similar, dissimilar = rng.normal(size=(4, 4)), rng.normal(size=(4, 3))
    resamples = relations.draw_resamples(4, 3, 20, seed=2)
    values = relations.separation(similar, dissimilar, resamples)
    for value, ordinary, others in zip(values, resamples.ordinary, resamples.others, strict=True):
        rows, columns = (np.repeat(np.arange(len(side)), side.astype(int)) for side in (ordinary, others))
        positive = similar[np.ix_(rows, rows)][rows[:, None] != rows]
        negative = dissimilar[np.ix_(rows, columns)].ravel()
        truth = np.repeat([1, 0], [positive.size, negative.size])
        assert value == pytest.approx(roc_auc_score(truth, np.append(positive, negative)))


def test_layers_are_identified_where_corresponding_ones_are_most_similar(load):
    relations = load("relations")
    values = np.zeros((3, 2, 3, 2))
    values[:, 0, :, 0] = 1  # the first layers match, and the second ones are taken for first ones
    assert relations.identified(values, relations.draw_resamples(3, 2, 0, seed=0)).tolist() == [0.5]


def test_moved_images_show_the_same_objects_elsewhere(load):
    shapes = load("shapes")
    rng = np.random.default_rng(3)
    scenes = shapes.draw_scenes(20, rng)
    images, moved = shapes.render(scenes, rng), shapes.render(scenes, rng)
    assert np.abs(images - moved).mean() > 0.05
    for image, other, colours in zip(images, moved, scenes.colours, strict=True):
        for number, colour in enumerate(shapes.COLOURS):
            counts = [np.isclose(each, colour[:, None, None]).all(0).sum() for each in (image, other)]
            assert (number in colours) == (counts[0] > 0) == (counts[1] > 0)
            assert counts[0] == pytest.approx(counts[1], rel=0.3)  # edges fall on pixels differently


def test_shuffling_patches_permutes_pixels(load):
    shapes = load("shapes")
    images = np.random.default_rng(4).random((3, 3, 32, 32)).astype(np.float32)
    images[1] = images[0]
    alike, each = (shapes.shuffle_patches(images, np.random.default_rng(5), same=same) for same in (True, False))
    np.testing.assert_array_equal(np.sort(alike, axis=None), np.sort(images, axis=None))
    np.testing.assert_array_equal(alike[0], alike[1])
    assert (each[0] != each[1]).any()
    patch = alike[0, :, :8, :8]
    places = [(i, j) for i in range(0, 32, 8) for j in range(0, 32, 8)]
    assert any((patch == images[0, :, i : i + 8, j : j + 8]).all() for i, j in places)


def test_linear_cka_of_pooled_responses_is_that_of_the_measure(load):
    maps = [np.random.default_rng(seed).normal(size=(9, 4 + seed, 5, 5)) for seed in (0, 1)]
    rsms = [simplugins.compute_rsm(each, "mean-pooled-linear") for each in maps]
    expected = load("hosted").linear_cka(*(each.mean((2, 3)) for each in maps))
    assert simplugins.compare(*rsms, "cka") == pytest.approx(expected, rel=1e-12)


def test_hosted_comparisons_are_those_of_numpy(load):
    hosted = load("hosted")
    pytest.importorskip("rsatoolbox")
    pytest.importorskip("torchmetrics")
    rng = np.random.default_rng(6)
    features = rng.normal(size=(2, 12, 5))
    a, b = (each @ each.T for each in features)
    distances = [np.add.outer(each.diagonal(), each.diagonal()) - 2 * each for each in (a, b)]
    pairs = np.triu_indices(12, 1)
    ranks = [each[pairs].argsort().argsort() for each in distances]
    assert simplugins.compare(a, b, hosted.RhoA()) == pytest.approx(np.corrcoef(*ranks)[0, 1])
    centred = [each - each.mean(0) for each in features]
    cross = np.linalg.svd(centred[0].T @ centred[1], compute_uv=False).sum()
    expected = (cross / np.prod([np.linalg.norm(each) for each in centred])) ** 2
    assert simplugins.compare(a, b, hosted.Procrustes()) == pytest.approx(expected)


def test_networks_with_one_seed_are_equal_whatever_is_trained_at_the_same_time(load):
    pytest.importorskip("torch")
    training = load("training")
    images = np.random.default_rng(7).random((60, 3, 32, 32)).astype(np.float32)
    labels = np.random.default_rng(8).integers(0, 2, (60, 4)).astype(np.float32)
    tasks = [training.Task(images, labels, seed, epochs=1) for seed in (3, 4, 3)]
    first, other, again = (training.respond(network, images[:4]) for network in training.train_all(tasks))
    for layer in training.LAYERS:
        np.testing.assert_array_equal(first[layer], again[layer])
        assert (first[layer] != other[layer]).any()


@pytest.mark.slow
def test_the_command_writes_a_report_its_numbers_and_a_picture(tmp_path):
    for package in ("torch", "rsatoolbox", "torchmetrics"):
        pytest.importorskip(package)
    command = [sys.executable, str(BENCHMARKS / "measures" / "report.py"), "--quick", "-o", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report, numbers, picture = (next(tmp_path.glob(f"*.{ending}")) for ending in ("md", "json", "png"))
    summary = json.loads(numbers.read_text("utf-8"))
    cells = [cell for rows in summary["estimates"].values() for cell in rows.values()]
    assert all(0 <= value <= 1 for cell in cells for value in (cell["estimate"], cell["low"], cell["high"]))
    assert max(summary["checks"].values()) < 1e-9
    by_us, by_scikit_learn = (
        summary["levels"][f"{name} × cka-debiased"] for name in ("mean-pooled", "mean-pooled, scikit-learn")
    )
    assert by_us == pytest.approx(by_scikit_learn, abs=1e-9)
    assert f"]({picture.name})" in report.read_text("utf-8")
