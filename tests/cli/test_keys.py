# SPDX-License-Identifier: Apache-2.0
"""Every option that names a file of arrays has an option that selects one of them, and errors name it."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest
import torch
import typer.main
import zarr
from safetensors.numpy import save_file
from scipy.io import savemat
from typer.testing import CliRunner

import simplugins
from simplugins.cli import app

MAPS = np.random.default_rng(0).normal(size=(6, 4, 3, 3)).astype(np.float32)
MASK = np.ones((6, 9), np.uint8).astype(bool)
CONTENTS = {
    "maps": MAPS,
    "mask": MASK,
    "probabilities": np.full((6, 2), 0.5, np.float32) + np.arange(6, dtype=np.float32)[:, None] / 20 * [1, -1],
    "images": np.random.default_rng(1).random((6, 8, 8, 3), np.float32),
}
KINDS = (".npz", ".pt", ".pth", ".safetensors", ".h5", ".hdf5", ".zarr")

OPTIONS = {
    "rsm IN": (["rsm", "{maps}", "-o", "{out}.npz"], "--key", "maps"),
    "rsm --other": (["rsm", "{one}", "--other", "{maps}", "-o", "{out}.npz"], "--other-key", "maps"),
    "rsm --mask": (["rsm", "{one}", "--mask", "{mask}", "-o", "{out}.npz"], "--mask-key", "mask"),
    "rsm --other-mask": (
        ["rsm", "{one}", "--other", "{one}", "--other-mask", "{mask}", "-o", "{out}.npz"],
        "--other-mask-key",
        "mask",
    ),
    "estimate IN": (["estimate", "{maps}", "--seconds", "0.1"], "--key", "maps"),
    "evaluate retrieval --images": (
        ["evaluate", "retrieval", "{rsm}", "--images", "{images}", "--figure", "{out}.png"],
        "--images-key",
        "images",
    ),
    "evaluate output-correlation": (
        ["evaluate", "output-correlation", "{rsm}", "{probabilities}", "-q"],
        "--key",
        "probabilities",
    ),
}


def write(path, arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix in (".pt", ".pth"):
        torch.save({name: torch.tensor(values) for name, values in arrays.items()}, path)
    elif path.suffix == ".safetensors":
        save_file(arrays, path)
    elif path.suffix == ".zarr":
        group = zarr.create_group(path)
        for name, values in arrays.items():
            group.create_array(name, data=values)
    else:
        with h5py.File(path, "w") as file:
            file.update(arrays)


@pytest.fixture
def run(tmp_path):
    np.save(tmp_path / "one.npy", MAPS)
    simplugins.compute_rsm(MAPS, labels=list("aabbcc")).save(tmp_path / "rsm.npz")

    def run(arguments, path, *more):
        places = {"one": tmp_path / "one.npy", "rsm": tmp_path / "rsm.npz", "out": tmp_path / "out"}
        places |= dict.fromkeys(CONTENTS, path)
        return CliRunner().invoke(app, [*(argument.format_map(places) for argument in arguments), *more])

    return run


def flags_of(arguments):
    """Return the options of a command."""
    command = typer.main.get_command(app)
    for name in arguments:
        if name not in getattr(command, "commands", {}):
            break
        command = command.commands[name]
    return {flag for parameter in command.params for flag in parameter.opts}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("arguments", "option", "name"), OPTIONS.values(), ids=OPTIONS)
def test_errors_name_the_option_that_selects_an_array(run, tmp_path, arguments, option, name, kind):
    path = tmp_path / f"several{kind}"
    write(path, CONTENTS)
    assert option in flags_of(arguments)
    several = run(arguments, path)
    assert several.exit_code == 2
    assert re.search(rf"several\{kind} holds 4 arrays: .* {option} \(.*{name}.*\)", several.output)
    wrong = run(arguments, path, option, "none")
    assert wrong.exit_code == 2
    assert f"several{kind} holds no array 'none'; it holds " in wrong.output
    assert set(re.findall(r"--[a-z-]+", several.output + wrong.output)) <= flags_of(arguments)
    for output in (tmp_path / "out.npz", tmp_path / "out.png"):
        output.unlink(missing_ok=True)
    right = run(arguments, path, option, name)
    assert right.exit_code == 0, right.output


@pytest.mark.parametrize(("arguments", "option", "name"), OPTIONS.values(), ids=OPTIONS)
def test_a_key_of_a_file_of_one_array_is_an_error(run, tmp_path, arguments, option, name):
    np.save(tmp_path / "array.npy", CONTENTS[name])
    result = run(arguments, tmp_path / "array.npy", option, "x")
    assert result.exit_code == 2
    assert f"array.npy holds one array without a name: leave out {option}='x'" in result.output


def test_keys_of_layers_of_recordings_are_options_too(run, tmp_path):
    model = torch.nn.Sequential(torch.nn.Conv2d(4, 3, 2), torch.nn.ReLU())
    simplugins.record(model, torch.tensor(MAPS), to=tmp_path / "recorded")
    for option in ("--key", "--other-key"):
        arguments = ["rsm", "{maps}" if option == "--key" else "{one}", "-o", "{out}.npz"]
        arguments += ["--other", "{maps}"] if option == "--other-key" else []
        result = run(arguments, tmp_path / "recorded")
        assert f"recorded holds 2 layers: pass one of their names as {option} (0, 1)" in result.output
    assert run(["rsm", "{maps}", "-o", "{out}.npz"], tmp_path / "recorded", "--key", "1").exit_code == 0


@pytest.mark.parametrize("option", ["--other-key", "--mask-key", "--other-mask-key"])
def test_a_key_without_its_file_is_an_error(run, tmp_path, option):
    result = run(["rsm", "{one}", "-o", "{out}.npz"], None, option, "x")
    assert result.exit_code == 2
    assert re.search(rf"{option} .*{option.removesuffix('-key')} ", result.output)


@pytest.mark.parametrize("kind", [*KINDS, ".npy", ".folder"])
def test_compare_takes_networks_in_any_file(run, tmp_path, kind):
    layers = {"conv": MAPS, "pool": MAPS[:, :, :2]}
    path = tmp_path / f"network{kind}"
    if kind == ".npy":
        np.save(path, MAPS)
    elif kind == ".folder":
        path.mkdir()
        for name, values in layers.items():
            np.save(path / f"{name}.npy", values)
        (path / "._conv.npy").write_bytes(b"\0\5\26\7 Mac OS X")
    else:
        write(path, layers)
    expected = ("network",) if kind == ".npy" else tuple(layers)
    table = run(["compare", "{maps}", "-q", "-o", "{out}.npz"], path)
    assert table.exit_code == 0, table.output
    assert simplugins.load_comparison(tmp_path / "out.npz").rows == expected
    chosen = run(["compare", "{maps}", "-q", "--force", "-o", "{out}.npz"], path, "--layer", f"{expected[0][:3]}*")
    assert chosen.exit_code == 0, chosen.output
    assert simplugins.load_comparison(tmp_path / "out.npz").rows == expected[:1]
    unknown = run(["compare", "{maps}", "-q"], path, "--layer", "relu")
    assert unknown.exit_code == 2
    assert "--key" not in unknown.output


def test_compare_names_no_option_that_it_lacks(run, tmp_path):
    (tmp_path / "network").mkdir()
    write(tmp_path / "network" / "two.safetensors", {"a": MAPS, "b": MAPS})
    result = run(["compare", "{maps}", "-q"], tmp_path / "network")
    assert result.exit_code == 2
    assert "two.safetensors holds 2 arrays (a, b)" in result.output
    assert "key" not in result.output


@pytest.mark.filterwarnings("ignore:an interval at 95 %")
@pytest.mark.parametrize("labels", ["a\na\n\nb\nb\n\n", "a\na\n\nb\nb"])
def test_blank_lines_of_labels_are_an_error_unless_the_command_allows_them(run, tmp_path, labels):
    (tmp_path / "labels.txt").write_text(labels, encoding="utf-8-sig")
    np.save(tmp_path / "five.npy", MAPS[:5])
    command = ["rsm", "{maps}", "-q", "-o", "{out}.npz", "--labels", str(tmp_path / "labels.txt")]
    refused = run(command, tmp_path / "five.npy")
    assert refused.exit_code == 2
    assert "labels.txt: line 3 is blank" in refused.output
    assert set(re.findall(r"--[a-z-]+", refused.output)) == {"--partial-labels"}
    assert run(command, tmp_path / "five.npy", "--partial-labels").exit_code == 0
    assert simplugins.load_rsm(tmp_path / "out.npz").labels.tolist() == ["a", "a", "", "b", "b"]
    simplugins.compute_rsm(MAPS[:5]).save(tmp_path / "plain.npz")
    command = ["evaluate", "retrieval", "{maps}", "--labels", str(tmp_path / "labels.txt")]
    refused = run(command, tmp_path / "plain.npz")
    assert (refused.exit_code, "--partial-labels" in refused.output) == (2, True)
    allowed = run(command, tmp_path / "plain.npz", "--partial-labels")
    assert allowed.exit_code == 0, allowed.output
    (line,) = [line for line in allowed.output.splitlines() if "precision@1" in line]
    assert line.split("│")[-2].strip() == "4"
    assert run(["evaluate", "retrieval", "{maps}"], tmp_path / "out.npz").output == allowed.output


def test_labels_of_files_are_those_of_numbers(run, tmp_path):
    (tmp_path / "labels.txt").write_bytes("\r\n".join(map(str, range(6))).encode("utf-16"))
    command = ["rsm", "{maps}", "-q", "-o", "{out}.npz", "--labels", str(tmp_path / "labels.txt")]
    assert run(command, tmp_path / "one.npy").exit_code == 0
    simplugins.compute_rsm(MAPS[::-1], labels=range(5, -1, -1)).save(tmp_path / "numbers.npz")
    command = ["compare", "{maps}", str(tmp_path / "numbers.npz")]
    refused = run(command, tmp_path / "out.npz")
    assert (refused.exit_code, "labels differ" in refused.output) == (2, True)
    assert run(command, tmp_path / "out.npz", "--align").output.strip() == "cka-debiased: 1"


def invoke(arguments):
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("name", ["labels.npz", "labels.mat", "labels.h5"])
def test_labels_come_from_arrays_of_files(tmp_path, name):
    labels, numbers = ["K\u00e4tze", *"bcadb"], np.arange(6)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(6, 3)))
    if name.endswith(".npz"):
        np.savez(tmp_path / name, names=np.array(labels), numbers=numbers, classes=numbers // 3)
    elif name.endswith(".mat"):
        savemat(
            tmp_path / name, {"names": np.array(labels, object), "numbers": numbers[:, None], "classes": numbers // 3}
        )
    else:
        with h5py.File(tmp_path / name, "w") as file:
            file["names"], file["numbers"], file["classes"] = np.array(labels, object), numbers, numbers // 3
    source, out, file = (str(tmp_path / each) for each in ("x.npy", "out.npz", name))
    command = ["rsm", source, "-q", "-o", out, "--force", "--labels", file]
    for key, expected in (("names", labels), ("numbers", numbers.tolist())):
        assert invoke([*command, "--labels-key", key]).exit_code == 0
        assert simplugins.load_rsm(out).labels.tolist() == expected
    assert "--labels-key (" in invoke(command).stderr
    classes = ["evaluate", "retrieval", out, "--labels", file, "--labels-key"]
    assert "none" in invoke([*classes, "none"]).stderr
    assert "precision@1" in invoke([*classes, "classes"]).stdout
    for option in ("--labels-key", "--other-labels-key"):
        result = invoke(["rsm", source, "-o", str(tmp_path / "new.npz"), option, "names"])
        assert result.exit_code == 2
        assert option in result.stderr


def test_texts_beside_layers_are_not_compared(tmp_path):
    np.savez(tmp_path / "net.npz", layer=np.random.default_rng(0).normal(size=(4, 3)), names=np.array(list("abcd")))
    assert "'names' holds texts" in invoke(["compare", str(tmp_path / "net.npz"), "-q"]).stderr
    assert invoke(["compare", str(tmp_path / "net.npz"), "-q", "--layer", "layer"]).exit_code == 0


@pytest.mark.parametrize("command", ["compare", "show"])
def test_unknown_formats_of_figures_are_one_line_before_any_result(tmp_path, command):
    path = tmp_path / "saved.npz"
    simplugins.RSM.from_similarities(np.eye(4)).save(path)
    result = invoke([command, str(path), "--figure", str(tmp_path / "figure.xlsx")])
    assert result.exit_code == 2
    assert "xlsx" in result.stderr
    assert not result.stdout
