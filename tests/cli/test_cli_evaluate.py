# SPDX-License-Identifier: Apache-2.0
import csv
import json

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
    (folder / "sets.txt").write_text("\n".join(f"{label}, photo {i % 2}" for i, label in enumerate(labels)) + "\n")
    np.savez(folder / "photos.npz", probabilities=photos["probabilities"], thumbnails=photos["thumbnails"])
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_retrieval_by_the_labels_of_the_rsm(folder, tmp_path, photos):
    out, picture = tmp_path / "found.csv", tmp_path / "found.png"
    images = ["--images", folder / "photos.npz", "--images-key", "thumbnails", "--picture", picture]
    done = run("retrieval", folder / "rsm.npz", "-k", 3, "-o", out, *images)
    assert done.exit_code == 0, done.output
    found = evaluation.retrieval(simplugins.load_rsm(folder / "rsm.npz"), k=3)
    for name, metric in found.metrics.items():
        (line,) = [line for line in done.output.splitlines() if name in line]
        assert f"{metric.mean:.4f}" in line
        assert f"{metric.low:.4f} to {metric.high:.4f}" in line
    rows = list(csv.reader(out.read_text(encoding="utf-8").splitlines()))
    assert rows[0] == ["query", "precision@3", "recall@3", "AP", "F1@3", "neighbour 1", "neighbour 2", "neighbour 3"]
    assert len(rows) == 25
    assert [int(n) for n in rows[7][5:]] == found.neighbours[6].tolist()
    assert float(rows[7][3]) == found.per_query["AP"][6]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_retrieval_by_sets_of_labels(folder, tmp_path, photos):
    done = run("retrieval", folder / "rsm.npz", "--labels", folder / "sets.txt", "-o", tmp_path / "found.json")
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    names = photos["photo_names"][photos["photo"]]
    sets = [{name, f"photo {i % 2}"} for i, name in enumerate(names)]
    found = evaluation.retrieval(simplugins.load_rsm(folder / "rsm.npz"), sets)
    assert told["metrics"]["F1@1"]["mean"] == found.metrics["F1@1"].mean
    assert told["per_query"]["F1@1"] == found.per_query["F1@1"].tolist()
    assert told["neighbours"] == found.neighbours.tolist()


def test_a_query_without_company_is_null_in_json(folder, tmp_path):
    (tmp_path / "labels.txt").write_text("\n".join(f"label {i}" for i in range(24)))
    done = run("retrieval", folder / "rsm.npz", "--labels", tmp_path / "labels.txt", "-o", tmp_path / "found.json")
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert told["per_query"]["AP"] == [None] * 24
    assert told["metrics"]["mAP"] == {"mean": None, "low": None, "high": None, "queries": 0}


def test_output_correlation(folder, photos):
    done = run("output-correlation", folder / "rsm.npz", folder / "photos.npz", "--key", "probabilities", "-q")
    assert done.exit_code == 0, done.output
    found = evaluation.output_correlation(simplugins.load_rsm(folder / "rsm.npz"), photos["probabilities"])
    for name, of in (("Pearson", found.pearson), ("Spearman", found.spearman)):
        (line,) = [line for line in done.output.splitlines() if name in line]
        assert f"{of.estimate:.4f}" in line
        assert f"{of.low:.4f} to {of.high:.4f}" in line


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["retrieval", "{}/between.npz"], "the RSM has no labels"),
        (["retrieval", "{}/photos.npz"], "is no RSM saved by simplugins"),
        (["retrieval", "{}/rsm.npz", "-o", "{}/labels.txt"], "exists"),
        (["retrieval", "{}/rsm.npz", "-o", "{}/found.txt"], "expected a name that ends in one of .csv, .json"),
        (["retrieval", "{}/rsm.npz", "--picture", "{}/found.png"], "--images and --picture go together"),
        (["retrieval", "{}/rsm.npz", "-k", "24"], "there are 23 neighbours"),
        (["output-correlation", "{}/rsm.npz", "{}/photos.npz"], "holds 2 arrays"),
        (
            ["output-correlation", "{}/between.npz", "{}/photos.npz", "--key", "probabilities"],
            "of 4 inputs to 24 others",
        ),
    ],
)
def test_bad_input_is_one_line(folder, arguments, match):
    done = run(*(argument.format(folder) for argument in arguments))
    assert done.exit_code == 2
    assert done.output.startswith("error: ")
    assert match in done.output
    assert done.output.count("\n") == 1
    assert not (folder / "found.txt").exists()
