# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import torch
from torch import nn

import simplugins
from simplugins.reporting import report_analysis

FAST = {"permutations": 39, "resamples": 50, "explorer_megabytes": 0}
pytestmark = pytest.mark.filterwarnings("ignore:an interval at 95 % needs at least")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "report.html"


def labelled(network, labels):
    return {name: simplugins.Activations.from_array(values, labels=labels) for name, values in network.items()}


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"names": "a"}, TypeError, "names"),
        ({"names": [1]}, TypeError, "names"),
        ({"seed": -1}, ValueError, "seed.*-1"),
        ({"seed": "a"}, ValueError, "seed.*'a'"),
        ({"explorer_megabytes": -1}, ValueError, "explorer_megabytes.*-1"),
        ({"explorer_megabytes": float("nan")}, ValueError, "explorer_megabytes.*nan"),
        ({"explorer_megabytes": "8"}, ValueError, "explorer_megabytes.*'8'"),
        ({"groups": [1] * 7}, ValueError, "groups.*12.*7"),
        ({"labels": ["a"] * 7}, ValueError, "labels.*12.*7"),
        ({"inputs": np.zeros((12, 3))}, TypeError, "inputs.*images="),
    ],
)
def test_invalid_options_are_errors_that_leave_no_work_folder(network, out, options, error, words):
    with pytest.raises(error, match=words):
        simplugins.report(network, options.pop("inputs", None), out, **{**FAST, **options})
    assert list(out.parent.iterdir()) == []


def test_a_corrected_call_is_not_taken_for_another_one(network, out):
    with pytest.raises(ValueError, match="labels"):
        simplugins.report(network, None, out, labels=["a"] * 7, **FAST)
    simplugins.report(network, None, out, labels=["a", "b"] * 6, **FAST)
    assert out.exists()


def test_a_folder_in_place_of_the_page_is_an_error_before_anything_is_computed(network, out, monkeypatch):
    out.mkdir()
    monkeypatch.setattr("simplugins.comparisons.rsm_options.RsmOptions.compute", None)
    with pytest.raises(IsADirectoryError, match=r"report\.html"):
        simplugins.report(network, None, out, overwrite=True, **FAST)


def test_inputs_in_another_order_are_errors_before_anything_is_computed(network, out, monkeypatch):
    monkeypatch.setattr("simplugins.comparisons.rsm_options.RsmOptions.compute", None)
    forward, backward = (labelled(network, order) for order in (range(12), range(11, -1, -1)))
    with pytest.raises(ValueError, match=r"other.*order.*input 0.*'11'.*'0'"):
        simplugins.report(forward, None, out, other=backward, **FAST)
    with pytest.raises(ValueError, match=r"model.*order.*input 0.*early.*late"):
        simplugins.report({"early": forward["early"], "late": backward["late"]}, None, out, **FAST)


def test_names_of_layers_that_are_the_same_text_are_an_error(network, out):
    with pytest.raises(ValueError, match="'1'"):
        simplugins.report({1: network["early"], "1": network["late"]}, None, out, **FAST)


@pytest.mark.parametrize(
    "names", [("日本語の層" * 10, "b/../c" * 50), ("a\udc80", "A\udc80"), (".", ".."), ("$\\frac{$", "_")]
)
def test_layers_may_have_any_name(network, out, names):
    layers = dict(zip(names, network.values(), strict=True))
    result = simplugins.report(layers, None, out, **FAST)
    expected = simplugins.report(network, None, out.with_name("plain.html"), **FAST)
    np.testing.assert_array_equal(result.analysis.within["semantic"], expected.analysis.within["semantic"])


def test_names_that_contain_each_other_keep_their_results(network, out):
    one, two = {"a x b": network["early"], "a": network["late"]}, {"c": network["early"] ** 3, "b x c": network["late"]}
    result = simplugins.report(one, None, out, other=two, **FAST)
    values = [
        simplugins.decouple(one[a], two[b], permutations=39, resamples=50)["semantic"].value
        for a, b in (decoupled.layers for decoupled in result.analysis.decouplings)
    ]
    assert [decoupled.rows[0]["value"] for decoupled in result.analysis.decouplings] == pytest.approx(values)


@pytest.mark.filterwarnings("ignore:.*(NaN|constant|undefined|zero)")
@pytest.mark.parametrize("zeros", [np.zeros((8, 3, 2, 2)), np.ones((8, 3, 2, 2))])
def test_a_network_without_any_structure_has_a_report(out, zeros, read_page):
    simplugins.report({"a": zeros, "b": zeros}, None, out, labels=list("aabbccdd"), **FAST)
    assert read_page(out).table("spatio-semantic RSMs", "layers with each other")[1] == ["a", "–", "–"]


@pytest.mark.parametrize("normalize", ["matched", "mass"])
def test_two_networks_are_reported_without_decoupling_where_it_is_not_defined(network, out, normalize, read_page):
    result = simplugins.report(network, None, out, other=network, normalize=normalize, **FAST)
    assert [decoupled.rows for decoupled in result.analysis.decouplings] == [[], []]
    assert f"normalize='{normalize}'" in read_page(out).text


def test_one_call_at_a_time_uses_a_work_folder(network, out, tmp_path, monkeypatch):
    compare, inside, go_on = report_analysis.compare_layers, threading.Event(), threading.Event()

    def waiting(*arguments, **options):
        inside.set()
        assert go_on.wait(60)
        return compare(*arguments, **options)

    monkeypatch.setattr(report_analysis, "compare_layers", waiting)
    first = threading.Thread(target=lambda: simplugins.report(network, None, out, work=tmp_path / "work", **FAST))
    first.start()
    assert inside.wait(60)
    with pytest.raises(BlockingIOError, match=r"work.*in use"):
        simplugins.report(network, None, tmp_path / "second.html", work=tmp_path / "work", **FAST)
    go_on.set()
    first.join()
    assert out.exists()
    assert simplugins.report(network, None, tmp_path / "second.html", work=tmp_path / "work", **FAST).path.exists()


class Small(nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.first, self.activation, self.second = nn.Conv2d(3, 4, 3), activation, nn.Conv2d(4, 6, 3)

    def forward(self, images):
        return self.second(self.activation(self.first(images)))


@pytest.mark.filterwarnings("ignore:.*is a plain function")
@pytest.mark.parametrize("changed", ["activation", "method", "matching", "loader"])
def test_results_of_other_models_methods_matchings_and_data_are_not_reused(out, tmp_path, changed):
    torch.manual_seed(0)
    one, two = Small(nn.ReLU()), Small(nn.Tanh())
    two.load_state_dict(one.state_dict())
    data = torch.rand(8, 3, 9, 9)
    loader, other = (torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x), 4) for x in (data, 1 - data))
    first = {"model": one, "inputs": loader, "method": lambda a, b: float(np.mean(a * b)),
             "matching": simplugins.BatchOptimal(window=4)}  # fmt: skip
    second = {
        "activation": {"model": two},
        "method": {"method": lambda a, b: float(np.mean(a + b))},
        "matching": {"matching": simplugins.BatchOptimal(window=8)},
        "loader": {"inputs": other},
    }[changed]
    simplugins.report(**first, out=out, work=tmp_path / "work", **FAST)
    simplugins.report(**first, out=out, work=tmp_path / "work", overwrite=True, **FAST)
    named = {"activation": "model", "loader": "inputs"}.get(changed, changed)
    with pytest.raises(ValueError, match=f"{named} was"):
        simplugins.report(**{**first, **second}, out=out, work=tmp_path / "work", overwrite=True, **FAST)


def test_the_explorer_has_the_names_and_images_of_this_call(network, out, tmp_path, read_page):
    from PIL import Image

    paths = [str(tmp_path / f"{number}.png") for number in range(12)]
    for number, path in enumerate(paths):
        Image.new("RGB", (4, 4), (20 * number, 0, 0)).save(path)
    options = {**FAST, "explorer_megabytes": 1, "work": tmp_path / "work", "overwrite": True, "images": paths}
    pages = []
    for name, color in (("one", (9, 9, 9)), ("two", (9, 9, 9)), ("two", (250, 9, 9))):
        Image.new("RGB", (4, 4), color).save(paths[0])
        simplugins.report(network, None, out, names=[name], **options)
        pages.append(read_page(out).all("iframe")[0]["srcdoc"])
    assert '"title":"two"' in pages[1]
    assert pages[1] != pages[2]


def test_a_recording_of_a_process_that_was_killed_is_made_again(out, tmp_path):
    torch.manual_seed(0)
    model, inputs, work = Small(nn.ReLU()), torch.rand(8, 3, 9, 9), tmp_path / "work"
    simplugins.report(model, inputs, out, work=work, **FAST)
    expected = simplugins.load_rsm(next(work.glob("rsm*first*semantic-cosine*.npz")))
    (folder,) = (path for path in work.iterdir() if path.is_dir())
    for path in [*work.glob("*.npz"), *folder.glob("*.json")]:
        path.unlink()
    assert json.loads((work / "request.json").read_text())["format"]
    result = simplugins.report(model, inputs, out, work=work, overwrite=True, **FAST)
    assert result.analysis.rsms[0, "first", "semantic"].shape == expected.shape
    np.testing.assert_array_equal(
        result.analysis.rsms[0, "first", "semantic"], simplugins.compute_rsm(simplugins.record(model, inputs)["first"])
    )


def test_the_command_reads_images_of_a_folder(network, out, tmp_path, read_page):
    from PIL import Image
    from typer.testing import CliRunner

    from simplugins.cli import app

    np.savez(tmp_path / "a.npz", early=network["early"])
    (tmp_path / "images").mkdir()
    for number in range(12):
        Image.new("RGB", (4, 4), (20 * number, 0, 0)).save(tmp_path / "images" / f"{number:02}.png")
    (tmp_path / "images" / "._00.png").write_bytes(b"resource fork")
    command = ["report", tmp_path / "a.npz", "-o", out, "--images", tmp_path / "images", "--resamples", "50",
               "--permutations", "39", "--explorer-megabytes", "0", "-q"]  # fmt: skip
    result = CliRunner().invoke(app, [str(part) for part in command])
    assert result.exit_code == 0, result.output
    assert read_page(out).table("early: neighbours")


def test_the_command_says_how_to_report_on_a_model(tmp_path):
    from typer.testing import CliRunner

    from simplugins.cli import app

    result = CliRunner().invoke(app, ["report", "timm:resnet18", "-o", str(tmp_path / "report.html")])
    assert result.exit_code == 2
    for words in ("timm:resnet18", "simplugins.record(", "simplugins.report("):
        assert words in " ".join(result.output.split())


def test_labels_of_pictures_are_never_markup(network, out, read_page):
    labels = ["<img src=x onerror=alert(1)>", "</title><script>alert(1)</script>", "a", "\u202eb"] * 3
    simplugins.report(network, None, out, labels=labels, images=np.zeros((12, 4, 4, 3)), **FAST)
    page = read_page(out)
    assert page.all("script") == []
    assert all(attributes["src"].startswith("data:") for attributes in page.all("img"))
    assert "\u202e" not in page.text
