# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import simplugins
from simplugins.reporting import report_analysis

FAST = {"permutations": 39, "resamples": 50, "explorer_megabytes": 0}
INFERENCE = {"permutations": 39, "resamples": 50}
pytestmark = pytest.mark.filterwarnings("ignore:an interval at 95 % needs at least")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "report.html"


def test_tables_show_what_the_functions_return(network, labels, out, read_page):
    result = simplugins.report(network, None, out, labels=labels, k=2, **FAST)
    page = read_page(out)
    rsms = {
        kind: {name: simplugins.compute_rsm(x, f"{kind}-cosine", labels=labels) for name, x in network.items()}
        for kind in ("semantic", "spatio-semantic", "second-order", "mean-pooled")
    }
    for kind in ("semantic", "spatio-semantic"):
        expected = simplugins.compare_layers(rsms[kind], calibrate="max", intervals=True, **INFERENCE)
        np.testing.assert_allclose(result.analysis.within[kind].values, expected.values, atol=1e-9)
        (rows,) = [rows for caption, rows in page.tables if caption.startswith(f"{kind} RSMs: network")]
        assert rows[1][2].startswith(f"{expected.values[0, 1]:.2f}".replace("-0.00", "0.00"))
    kinds = page.table("of the semantic RSM of each layer")
    assert kinds[0] == ["", "spatio-semantic", "second-order", "mean-pooled"]
    value = simplugins.compare(rsms["semantic"]["early"], rsms["mean-pooled"]["early"], "cka-debiased")
    interval = simplugins.bootstrap_interval(
        rsms["semantic"]["early"], rsms["mean-pooled"]["early"], "cka-debiased", resamples=50
    )
    assert kinds[1][3] == f"{value:.2f}{interval.low:.2f} to {interval.high:.2f}"
    retrieved = simplugins.evaluation.retrieval(rsms["semantic"]["early"], k=2).metrics["precision@2"]
    expected = f"{retrieved.value:.2f} [{retrieved.low:.2f}, {retrieved.high:.2f}]"
    assert page.table("precision@2")[1][:2] == ["early", expected]


def test_the_page_loads_nothing_and_is_accessible(network, labels, images, out, read_page):
    simplugins.report(network, None, out, labels=labels, images=images, **FAST)
    page, text = read_page(out), out.read_text(encoding="utf-8")
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "srcset", "data"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert re.findall(r"url\((?!#)|@import", text) == []
    assert all(attributes["alt"] for attributes in page.all("img"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for attributes in page.all("section"):
        assert attributes["aria-labelledby"] in ids
    for attributes in [*page.all("use"), *page.all("a")]:
        assert (attributes.get("href") or attributes["xlink:href"])[1:] in ids
    assert all(attributes["scope"] in ("row", "col") for attributes in page.all("th"))
    assert page.all("html") == [{"lang": "en"}]


def test_neighbours_are_shown_with_their_images_once_each(network, labels, images, out, read_page):
    simplugins.report(network, None, out, labels=labels, images=images, **FAST)
    page = read_page(out)
    stored = [attributes["id"] for attributes in page.all("image") if attributes.get("id", "").startswith("input-")]
    assert len(stored) == len(set(stored)) <= 12
    rsm = simplugins.compute_rsm(network["early"])
    nearest = np.argsort(-np.where(np.eye(12, dtype=bool), -np.inf, rsm), axis=1)[0, :5]
    row = page.table("early: neighbours")[1]
    assert row[0] == "input 0: cat"
    assert row[2] == "".join(f"input {n}: {labels[n]}" for n in nearest)


def test_the_explorer_is_in_the_page_as_it_is_alone(network, labels, images, out, tmp_path, read_page):
    simplugins.report(network, None, out, labels=labels, images=images, **INFERENCE)
    (frame,) = read_page(out).all("iframe")
    measures = ["semantic-cosine", "spatio-semantic-cosine"]
    rsms = {name: simplugins.compute_rsm(x, labels=labels) for name, x in network.items()}
    options = {"images": images, "labels": labels, "measures": measures, "rsms": rsms, "title": "network"}
    alone = simplugins.explore(tmp_path / "alone.html", network, megabytes=8, **options)
    assert frame["srcdoc"] == alone.read_text(encoding="utf-8")


def test_an_explorer_that_does_not_fit_is_explained(network, out, read_page, monkeypatch):
    def explore(*arguments, **options):
        raise ValueError("8 MB are too few")

    monkeypatch.setattr("simplugins.reporting.report_explorer.explore", explore)
    simplugins.report(network, None, out, **INFERENCE)
    page = read_page(out)
    assert "No explorer: 8 MB are too few." in page.text
    assert page.all("iframe") == []


def test_names_and_labels_are_never_markup(out, read_page):
    rng = np.random.default_rng(0)
    layers = {"<script>alert(1)</script>": rng.normal(size=(6, 3, 4)), 'a"b&c': rng.normal(size=(6, 3, 4))}
    labels = ["<b>x</b>"] * 3 + ["y"] * 3
    simplugins.report(layers, None, out, labels=labels, names=["<i>n</i>"], title="</title>", **FAST)
    page = read_page(out)
    assert not page.all("script")
    assert not page.all("b")
    assert not page.all("i") or all(attributes.get("aria-hidden") for attributes in page.all("i"))


def test_two_networks_are_compared_layer_by_layer_and_decoupled(network, out, read_page):
    other = {"one": network["early"][:, ::-1], "two": network["late"] + 1}
    result = simplugins.report(network, None, out, other=other, names=["A", "B"], **FAST)
    assert [decoupled.layers for decoupled in result.analysis.decouplings] == [("early", "one"), ("late", "two")]
    expected = simplugins.decouple(network["early"], other["one"], **INFERENCE)
    table = read_page(out).table("early and one")
    assert table[1][0] == "semantic"
    assert table[1][1].startswith(f"{expected['semantic'].value:.2f}")
    assert read_page(out).table("semantic RSMs: layers of A", "B (columns)", "spatio-")[0] == ["", "one", "two"]


def test_layers_of_the_same_relative_depth_are_paired():
    def network(count):
        return report_analysis.Network("n", {f"{count}.{k}": None for k in range(count)}, "")

    pairs = report_analysis.chosen_pairs([network(13), network(5)])
    assert len(pairs) == report_analysis.MOST_DECOUPLED
    assert pairs[0] == ("13.0", "5.0")
    assert pairs[-1] == ("13.12", "5.4")
    assert report_analysis.chosen_pairs([network(1), network(3)]) == [("1.0", "3.2")]


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 3)

    def forward(self, images):
        return self.second(torch.relu(self.first(images)))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Small()


def test_a_model_is_recorded_and_restored(model, out):
    inputs = torch.rand(8, 3, 9, 9)
    result = simplugins.report(model, inputs, out, other=model, other_layers="second", **FAST)
    assert model.training
    recorded = simplugins.record(model, inputs)
    for name in ("first", "second"):
        rsm = simplugins.compute_rsm(recorded[name])
        np.testing.assert_allclose(result.analysis.rsms[0, name, "semantic"], rsm, rtol=1e-6)
    assert list(result.analysis.networks[1].layers) == ["second"]


def test_the_same_call_goes_on_after_an_interrupt(model, out, tmp_path, monkeypatch):
    inputs, work = torch.rand(8, 3, 9, 9), tmp_path / "work"
    table, calls = report_analysis.compare_layers, []

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(report_analysis, "compare_layers", interrupted)
    with pytest.raises(KeyboardInterrupt, match="work"):
        simplugins.report(model, inputs, out, work=work, **FAST)
    assert not out.exists()
    monkeypatch.setattr(report_analysis, "compare_layers", table)
    monkeypatch.setattr("simplugins.recording.recorder.record", lambda *a, **o: calls.append("record"))
    monkeypatch.setattr(
        "simplugins.comparisons.rsm_options.RsmOptions.compute", lambda *a, **o: calls.append("compute")
    )
    result = simplugins.report(model, inputs, out, work=work, **FAST)
    assert (calls, out.exists(), work.is_dir()) == ([], True, True)
    monkeypatch.undo()
    fresh = simplugins.report(model, inputs, tmp_path / "fresh.html", **FAST)
    np.testing.assert_array_equal(fresh.analysis.within["semantic"], result.analysis.within["semantic"])


@pytest.mark.parametrize(
    ("change", "named"),
    [({"permutations": 40}, "permutations"), ({"seed": 1}, "seed"), ({"labels": list("abcdefgh")}, "labels")],
)
def test_a_work_folder_of_another_call_is_an_error_that_names_the_difference(model, out, tmp_path, change, named):
    inputs, work = torch.rand(8, 3, 9, 9, generator=torch.Generator().manual_seed(0)), tmp_path / "work"
    simplugins.report(model, inputs, out, work=work, **FAST)
    with pytest.raises(ValueError, match=f"{named} was"):
        simplugins.report(model, inputs, out, work=work, overwrite=True, **{**FAST, **change})


@pytest.mark.parametrize("changed", ["model", "inputs"])
def test_other_weights_and_inputs_are_another_call(model, out, tmp_path, changed):
    inputs, work = torch.rand(8, 3, 9, 9), tmp_path / "work"
    simplugins.report(model, inputs, out, work=work, **FAST)
    with torch.no_grad():
        (model.first.weight if changed == "model" else inputs)[0, 0, 0, 0] += 1
    with pytest.raises(ValueError, match=f"{changed} was"):
        simplugins.report(model, inputs, out, work=work, overwrite=True, **FAST)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_changed_file_is_another_call(network, out, tmp_path, kind):
    file = kind(tmp_path / "layers.npz")
    np.savez(file, **network)
    simplugins.report(file, None, out, work=tmp_path / "work", **FAST)
    simplugins.report(file, None, out, work=tmp_path / "work", overwrite=True, **FAST)
    np.savez(file, early=network["early"] + 1)
    with pytest.raises(ValueError, match="model was"):
        simplugins.report(file, None, out, work=tmp_path / "work", overwrite=True, **FAST)


def test_the_default_work_folder_is_removed_at_the_end(network, out):
    simplugins.report(network, None, out, **FAST)
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]


def test_a_folder_of_something_else_is_kept(network, out, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="mine"):
        simplugins.report(network, None, out, work=folder, **FAST)
    assert (folder / "notes.txt").read_text() == "mine"


def test_warnings_appear_on_the_page_and_are_raised(network, out, tmp_path, read_page):
    layers = {"sets": [*network["early"].reshape(12, 6, 9).transpose(0, 2, 1)[:, :5]]}
    with pytest.warns(RuntimeWarning, match="resamples"):
        result = simplugins.report(layers, None, out, **{**FAST, "resamples": 5}, work=tmp_path / "work")
    assert any("resamples" in warning for warning in result.warnings)
    assert "Warnings" in read_page(out).text
    again = simplugins.report(layers, None, tmp_path / "again.html", **{**FAST, "resamples": 5}, work=tmp_path / "work")
    assert again.warnings == result.warnings


def test_rsms_that_sets_of_unequal_size_lack_are_explained(out, read_page):
    rng = np.random.default_rng(0)
    sets = [rng.normal(size=(size, 4)) for size in (3, 5, 4, 3, 6, 5, 4)]
    result = simplugins.report({"tokens": sets, "more": sets}, None, out, **FAST)
    assert (0, "tokens", "spatio-semantic") in result.analysis.unavailable
    assert [*result.analysis.within] == ["semantic"]
    assert "No spatio-semantic RSM" in read_page(out).text


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((np.eye(5), None, "report.html"), TypeError, "model"),
        (({"a": np.eye(5)}, None, "report.txt"), ValueError, "html"),
        (({"a": np.eye(5)[:3]}, None, "report.html"), ValueError, "inputs"),
        (({"a": np.eye(5), "b": np.eye(6)}, None, "report.html"), ValueError, "a has 5"),
        (({"a": simplugins.RSM.from_similarities(np.eye(5))}, None, "report.html"), TypeError, "RSM"),
        ((nn.Linear(2, 2), None, "report.html"), TypeError, "inputs"),
    ],
)
def test_unusable_arguments_are_errors_before_anything_is_written(tmp_path, arguments, error, words):
    model, inputs, name = arguments
    with pytest.raises(error, match=words):
        simplugins.report(model, inputs, tmp_path / name, **FAST)
    assert not (tmp_path / name).exists()


def test_groups_of_unequal_size_are_an_error_before_any_rsm_is_computed(network, out, monkeypatch):
    monkeypatch.setattr("simplugins.reporting.report_call.analyse", lambda *a, **k: pytest.fail("computed"))
    count = len(next(iter(network.values())))
    with pytest.raises(ValueError, match=r"groups.*equal size"):
        simplugins.report(network, None, out, groups=[0] + [1] * (count - 1), **FAST)


@pytest.mark.parametrize("images", [np.zeros((11, 4, 4)), np.full((12, 4, 4), 2.0), np.zeros((12, 5, 8, 8))])
def test_unusable_images_are_errors(network, out, images):
    with pytest.raises(ValueError, match="images"):
        simplugins.report(network, None, out, images=images, **FAST)


def test_methods_state_what_was_done(network, labels, out, read_page):
    simplugins.report(network, None, out, labels=labels, seed=7, **FAST)
    text = read_page(out).text
    statements = ["39 random permutations", "50 bootstrap resamples", "12 inputs", "early (9 positions, 6 channels)"]
    statements += ["semantic-cosine", "cka-debiased", "was 7", f"simplugins {simplugins.__version__}", "2410.23107"]
    assert [words for words in statements if words not in text] == []


def test_the_command_writes_the_page(tmp_path, network, labels, images, read_page):
    from typer.testing import CliRunner

    from simplugins.cli import app

    np.savez(tmp_path / "a.npz", **network)
    (tmp_path / "labels.txt").write_text("\n".join(labels))
    np.save(tmp_path / "images.npy", images)
    arguments = ["report", tmp_path / "a.npz", "-o", tmp_path / "page.html", "--labels", tmp_path / "labels.txt",
                 "--images", tmp_path / "images.npy", "--layer", "early", "--resamples", "50", "-q"]  # fmt: skip
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    page = read_page(tmp_path / "page.html")
    assert [row[0] for row in page.table("a: layers")[1:]] == ["early"]
    assert page.table("precision@1")
    again = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert (again.exit_code, "--force" in again.output) == (2, True)
