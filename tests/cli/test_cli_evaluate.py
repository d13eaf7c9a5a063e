# SPDX-License-Identifier: Apache-2.0
import csv
import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

import simplugins
from simplugins import evaluation
from simplugins.cli import app


@pytest.fixture(scope="module")
def folder(tmp_path_factory, photos):
    folder = tmp_path_factory.mktemp("files")
    labels = photos["photo_names"][photos["photo"]]
    simplugins.compute_rsm(photos["block10"], "semantic-rbf", labels=labels).save(folder / "rsm.npz")
    simplugins.compute_rsm(photos["block15"][:4], other=photos["block15"]).save(folder / "between.npz")
    (folder / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
    (folder / "four.txt").write_text("\n".join(labels[:4]) + "\n", encoding="utf-8")
    (folder / "sets.txt").write_text("\n".join(f"{label}, photo {i % 2}" for i, label in enumerate(labels)) + "\n")
    np.savez(folder / "photos.npz", probabilities=photos["probabilities"], thumbnails=photos["thumbnails"])
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_retrieval_by_the_labels_of_the_rsm(folder, tmp_path, photos):
    out, figure = tmp_path / "result.csv", tmp_path / "result.png"
    images = ["--images", folder / "photos.npz", "--images-key", "thumbnails", "--figure", figure]
    result = run("retrieval", folder / "rsm.npz", "-k", 3, "-o", out, *images)
    assert result.exit_code == 0, result.output
    expected = evaluation.retrieval(simplugins.load_rsm(folder / "rsm.npz"), k=3)
    for name, metric in expected.metrics.items():
        (line,) = [line for line in result.output.splitlines() if name in line]
        assert f"{metric.value:.4f}" in line
        assert f"{metric.low:.4f} to {metric.high:.4f}" in line
    rows = list(csv.reader(out.read_text(encoding="utf-8").splitlines()))
    assert rows[0] == ["query", "precision@3", "recall@3", "AP", "F1@3", "neighbour 1", "neighbour 2", "neighbour 3"]
    assert len(rows) == 25
    assert [int(n) for n in rows[7][5:]] == expected.neighbours[6].tolist()
    assert float(rows[7][3]) == expected.per_query["AP"][6]
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_retrieval_by_sets_of_labels(folder, tmp_path, photos):
    result = run("retrieval", folder / "rsm.npz", "--labels", folder / "sets.txt", "-o", tmp_path / "result.json")
    assert result.exit_code == 0, result.output
    saved = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    names = photos["photo_names"][photos["photo"]]
    sets = [{name, f"photo {i % 2}"} for i, name in enumerate(names)]
    expected = evaluation.retrieval(simplugins.load_rsm(folder / "rsm.npz"), sets)
    assert saved["metrics"]["F1@1"]["value"] == expected.metrics["F1@1"].value
    assert saved["per_query"]["F1@1"] == expected.per_query["F1@1"].tolist()
    assert saved["neighbours"] == expected.neighbours.tolist()


def test_undefined_values_are_null_in_json(folder, tmp_path):
    (tmp_path / "labels.txt").write_text("\n".join(f"label {i}" for i in range(24)))
    result = run("retrieval", folder / "rsm.npz", "--labels", tmp_path / "labels.txt", "-o", tmp_path / "result.json")
    assert result.exit_code == 0, result.output
    saved = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert saved["per_query"]["AP"] == [None] * 24
    assert saved["metrics"]["mAP"] == {"value": None, "low": None, "high": None, "queries": 0}


@pytest.mark.parametrize("groups", ["labels.txt", "labels", "groups.npz"])
def test_groups_are_read_like_labels(folder, photos, groups):
    np.savez(folder / "groups.npz", photo=photos["photo"], probabilities=photos["probabilities"])
    file = groups if groups == "labels" else folder / groups
    options = ["--groups", file, "--confidence", 0.9, *(["--groups-key", "photo"] if groups == "groups.npz" else [])]
    rsm = simplugins.load_rsm(folder / "rsm.npz")
    result = run("retrieval", folder / "rsm.npz", *options)
    assert result.exit_code == 0, result.output
    expected = evaluation.retrieval(rsm, groups="labels", confidence=0.9).metrics["mAP"]
    assert f"{expected.low:.4f} to {expected.high:.4f}" in result.output
    assert "90 % interval" in result.output
    files = [folder / "rsm.npz", folder / "photos.npz", "--key", "probabilities", "-q"]
    result = run("output-correlation", *files, *options)
    assert result.exit_code == 0, result.output
    expected = evaluation.output_correlation(rsm, photos["probabilities"], groups=photos["photo"], confidence=0.9)
    assert f"{expected.spearman.low:.4f} to {expected.spearman.high:.4f}" in result.output


def test_errors_of_groups_name_the_option(folder):
    result = run("retrieval", folder / "rsm.npz", "--groups-key", "photo")
    assert result.exit_code == 2
    assert "--groups" in result.output
    result = run("retrieval", folder / "rsm.npz", "--groups", folder / "four.txt")
    assert result.exit_code == 2
    assert re.search(r"groups\b.*24.*\b4\b", result.output)


def test_output_correlation(folder, photos):
    result = run("output-correlation", folder / "rsm.npz", folder / "photos.npz", "--key", "probabilities", "-q")
    assert result.exit_code == 0, result.output
    expected = evaluation.output_correlation(simplugins.load_rsm(folder / "rsm.npz"), photos["probabilities"])
    for name, interval in (("Pearson", expected.pearson), ("Spearman", expected.spearman)):
        (line,) = [line for line in result.output.splitlines() if name in line]
        assert f"{interval.value:.4f}" in line
        assert f"{interval.low:.4f} to {interval.high:.4f}" in line


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["retrieval", "{}/between.npz"], "labels must be given"),
        (["retrieval", "{}/between.npz", "--labels", "{}/four.txt"], "other_labels must be given"),
        (["retrieval", "{}/photos.npz"], "photos.npz"),
        (["retrieval", "{}/rsm.npz", "-o", "{}/labels.txt"], "labels.txt exists.*--force"),
        (["retrieval", "{}/rsm.npz", "-o", "{}/result.txt"], r"--out .*\.csv, \.json"),
        (["retrieval", "{}/rsm.npz", "--figure", "{}/result.png"], "--images and --figure"),
        (["retrieval", "{}/rsm.npz", "-k", "24"], r"k must be at most 23\b.*\b24\b"),
        (["output-correlation", "{}/rsm.npz", "{}/photos.npz"], "photos.npz holds 2 arrays"),
        (["output-correlation", "{}/between.npz", "{}/photos.npz", "--key", "probabilities"], r"\b4\b.*\b24\b"),
    ],
)
def test_bad_input_is_one_line(folder, arguments, match):
    result = run(*(argument.format(folder) for argument in arguments))
    assert result.exit_code == 2
    assert result.output.startswith("error: ")
    assert re.search(match, result.output)
    assert result.output.count("\n") == 1
    assert not (folder / "result.txt").exists()


@pytest.mark.filterwarnings("ignore:an interval at 95 %:RuntimeWarning")
def test_retrieval_of_other_inputs(folder):
    options = ["--labels", folder / "four.txt", "--other-labels", folder / "labels.txt"]
    result = run("retrieval", folder / "between.npz", *options)
    assert result.exit_code == 0, result.output
    assert "precision@1" in result.output
