# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

import simplugins
from simplugins._common import gpu


def test_one_measure_is_written_to_a_file(folder, photos, run):
    result = run("rsm", folder / "maps.npy", "-o", folder / "rsm.npz", "--labels", folder / "labels.txt")
    assert result.exit_code == 0
    saved = simplugins.load_rsm(folder / "rsm.npz")
    np.testing.assert_allclose(saved, simplugins.compute_rsm(photos["block15"][:6]), rtol=1e-6)
    assert saved.labels.tolist() == list("aaaabb")


def test_activations_are_centred_and_normalised_first(folder, photos, run):
    options = {"center": "channel", "normalize": "position"}
    flags = "--center", "channel", "--normalize", "position"
    assert run("rsm", folder / "maps.npy", "-o", folder / "rsm.npz", *flags).exit_code == 0
    expected = simplugins.compute_rsm(photos["block15"][:6], **options)
    np.testing.assert_allclose(simplugins.load_rsm(folder / "rsm.npz"), expected, rtol=1e-6)
    assert run("compare", folder / "layers.npz", "-o", folder / "table.npz", *flags).exit_code == 0
    layers = {name: photos[name][:6] for name in ("block15", "block10")}
    table = simplugins.compare_layers(layers, **options)
    np.testing.assert_allclose(simplugins.load_comparison(folder / "table.npz").values, table.values, rtol=1e-6)
    assert run("estimate", folder / "maps.npy", "--seconds", "0.05", *flags).exit_code == 0
    assert run("rsm", folder / "maps.npy", "-o", folder / "a.npz", *flags, "--normalize", "mass").exit_code == 0
    assert simplugins.load_rsm(folder / "a.npz").metadata["normalize"] == ["position", "mass"]


def test_a_normalisation_that_does_not_exist_is_named(folder, run_process):
    result = run_process("rsm", folder / "maps.npy", "-o", folder / "rsm.npz", "--normalize", "unit")
    assert result.returncode == 2
    assert "'unit'" in result.stderr


def test_several_measures_are_written_to_a_folder(folder, run):
    measures = ("semantic-rbf", "spatio-semantic-rbf")
    result = run(
        "rsm", folder / "layers.npz", "--key", "block15", "-m", measures[0], "-m", measures[1], "-o", folder / "rsms",
        "--sigma", "300", "--quiet",
    )  # fmt: skip
    assert result.exit_code == 0
    assert sorted(path.name for path in (folder / "rsms").iterdir()) == [f"{name}.npz" for name in measures]
    assert simplugins.load_rsm(folder / "rsms" / "semantic-rbf.npz").sigma == 300


def test_a_store_is_continued_and_shown(folder, photos, run, run_process):
    command = "rsm", folder / "maps.npy", "--store", folder / "run.zarr", "--memory", "16GB"
    assert run(*command, "-q").stdout.startswith("RSM semantic-cosine: 6 x 6, optimal matching")
    result = run(*command, "-m", "semantic-rbf", "--sigma", "300", "-o", folder / "rsm.npz", "-q")
    assert result.exit_code == 0
    expected = simplugins.compute_rsm(photos["block15"][:6], "semantic-rbf", sigma=300)
    np.testing.assert_allclose(simplugins.load_rsm(folder / "rsm.npz"), expected, rtol=1e-6)
    assert run("show", folder / "run.zarr").exit_code == 0
    assert (folder / "run.png").is_file()
    result = run_process(*command, "--matching", "greedy", "-q")
    assert result.returncode == 2
    assert re.search("run.zarr.*optimal.*greedy", result.stderr)


def test_an_unfinished_store_reports_its_progress(folder, run, run_process):
    run("rsm", folder / "maps.npy", "--store", folder / "run.zarr", "-q")
    (chunk,) = (path for path in (folder / "run.zarr").glob("*/c/0/0") if path.is_file())
    chunk.unlink()
    result = run_process("show", folder / "run.zarr")
    assert result.returncode == 2
    assert "0 of 1 tiles" in result.stderr


def test_a_subset_of_a_recording(folder, run, run_process):
    model, images = torch.nn.Conv2d(3, 4, 3), torch.rand(5, 3, 8, 8)
    with torch.no_grad():
        simplugins.record(torch.nn.Sequential(model), images, "0", to=folder / "recorded")
    result = run("rsm", folder / "recorded", "-o", folder / "rsm.npz", "--subset", "3", "--seed", "1", "-q")
    assert result.exit_code == 0
    saved = simplugins.load_rsm(folder / "rsm.npz")
    with torch.no_grad():
        expected = simplugins.compute_rsm(model(images), subset=3, seed=1)
    np.testing.assert_allclose(saved, expected, rtol=1e-5)
    assert saved.labels.tolist() == expected.labels.tolist()
    assert "'x'" in run_process("rsm", folder / "recorded", "--key", "x", "--out", folder / "a.npz").stderr


def test_other_inputs(folder, run):
    result = run("rsm", folder / "maps.npy", "--other", folder / "maps.npy", "-o", folder / "rsm.npz", "-q")
    assert result.exit_code == 0
    assert not simplugins.load_rsm(folder / "rsm.npz").symmetric


def test_show_draws_and_summarises(folder, run):
    run("rsm", folder / "maps.npy", "-o", folder / "rsm.npz", "-q")
    result = run("show", folder / "rsm.npz")
    assert result.exit_code == 0
    assert "semantic-cosine" in result.output
    assert (folder / "rsm.png").read_bytes().startswith(b"\x89PNG")
    assert run("show", folder / "rsm.npz").exit_code == 2
    assert run("show", folder / "rsm.npz", "--figure", folder / "rsm.svg").exit_code == 0


def test_names_in_brackets_are_printed_literally(folder, run):
    run("rsm", folder / "maps.npy", "-o", folder / "layer[relu].npz", "-q")
    result = run("show", folder / "layer[relu].npz")
    assert result.exit_code == 0
    assert "layer[relu].npz" in result.output


def test_plugins_lists_ours(run):
    result = run("plugins")
    assert result.exit_code == 0
    assert "spatio-semantic-linear" in result.output
    assert f"simplugins {simplugins.__version__}" in result.output


def test_demo_prints_hits_and_draws_two_figures(folder, run):
    result = run("demo", "-o", folder / "demo")
    assert result.exit_code == 0
    for measure, *hits in (("spatio-semantic-cosine", 61, 72), ("semantic-cosine", 72, 72)):
        rows = [re.findall(r"[\w-]+", line) for line in result.output.splitlines()]
        assert [measure, *map(str, hits)] in rows
    assert sorted(path.name for path in (folder / "demo").iterdir()) == ["match.png", "rsms.png"]
    assert run("demo", "-o", folder / "demo").exit_code == 2


def test_existing_files_are_only_overwritten_by_force(folder, run):
    (folder / "rsm.npz").write_text("precious", encoding="utf-8")
    for command in (
        ["rsm", folder / "maps.npy", "-o", folder / "rsm.npz"],
        ["compare", folder / "layers.npz", "-o", folder / "rsm.npz"],
    ):
        result = run(*command)
        assert result.exit_code == 2
        assert re.fullmatch(r"error: .*rsm\.npz exists.*--force\n", result.stderr)
        assert (folder / "rsm.npz").read_text(encoding="utf-8") == "precious"
    assert run("rsm", folder / "maps.npy", "-o", folder / "rsm.npz", "--force", "-q").exit_code == 0
    assert len(simplugins.load_rsm(folder / "rsm.npz")) == 6


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["rsm", "none.npy", "-o", "x.npz"], "none.npy"),
        (["rsm", "none.npy", "-o", "no/folder/x.npz"], "no/folder/x.npz"),
        (["rsm", "none.npy"], "--out, --store"),
        (["rsm", "layers.npz", "-o", "x.npz"], "layers.npz"),
        (["rsm", "maps.npy", "-o", "x.npy"], "--out x.npy: .*npz"),
        (["rsm", "maps.npy", "-o", "x.npz", "-m", "semantic-cosin"], "'semantic-cosin'.*semantic-cosine"),
        (["rsm", "maps.npy", "-o", "x.npz", "-m", "semantic-rbf", "-m", "semantic-linear"], "--out x.npz: .*folder"),
        (["rsm", "maps.npy", "-o", "x.npz", "--sigma", "wide"], "--sigma .*'wide'"),
        (["rsm", "maps.npy", "-o", "x.npz", "--layout", "ntd"], "layout 'ntd'"),
        (["show", "maps.npy"], "maps.npy"),
        (["compare", "layers.npz", "-o", "table.png"], "--out table.png: .*--figure"),
        (["compare", "layers.npz", "--figure", "table.csv"], "table.csv"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(folder, monkeypatch, run, arguments, match):
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    result = run(*arguments)
    assert result.exit_code == 2
    assert re.search(match, result.stderr)
    assert result.stderr.strip().splitlines()[-1].startswith("error: ")
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("command", "default"), [("rsm", "semantic-cosine"), ("compare", "A itself"), ("estimate", "that of the file")]
)
def test_help_shows_defaults_that_are_not_values(run, command, default):
    assert default in " ".join(run(command, "--help").stdout.split())  # lines break anywhere


def test_a_process_prints_no_traceback(folder, run_process):
    result = run_process("rsm", folder / "none.npy", "-o", folder / "rsm.npz")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1


def test_version_and_help_import_nothing_heavy(run_process):
    assert run_process("--version").stdout == f"simplugins {simplugins.__version__}\n"
    code = (
        "import sys\nfrom simplugins.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'numba', 'scipy', 'matplotlib', 'torch'} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_an_interrupt_is_one_line_and_writes_nothing(folder, start_process):
    np.save(folder / "many.npy", np.random.default_rng(0).random((2000, 400, 8), dtype=np.float32))
    process = start_process("rsm", folder / "many.npy", "-o", folder / "rsm.npz")
    output = b""
    while b"matching" not in output:  # the progress bar: the computation has begun
        part = os.read(process.stderr.fileno(), 4096)
        assert part, output
        output += part
    process.send_signal(signal.SIGINT)
    errors = (output + process.communicate(timeout=60)[1]).decode()
    assert process.returncode == 130
    assert "interrupted: nothing was written" in errors
    assert "Traceback" not in errors
    assert not (folder / "rsm.npz").exists()


def test_matchings_have_options_and_certificates(tmp_path, run):
    np.save(tmp_path / "in.npy", np.random.default_rng(0).random((4, 12, 3)))
    command = ["rsm", tmp_path / "in.npy", "-q", "-o", tmp_path / "out.npz", "--matching", "batch-optimal"]
    result = run(*command, "-O", "window=4", "--certify")
    assert result.exit_code == 0, result.stderr
    rsm = simplugins.load_rsm(tmp_path / "out.npz")
    assert rsm.metadata["matching_options"] == {"window": 4}
    assert rsm.gap is not None
    summary = run("show", tmp_path / "out.npz", "--figure", tmp_path / "out.png").stdout
    assert "batch-optimal (window 4)" in summary
    assert "gap" in summary


@pytest.mark.parametrize("option", ["share=0.5", "threshold=0.3"])
def test_partial_matchings_have_options(tmp_path, run, option):
    responses = np.random.default_rng(0).random((4, 12, 3))
    np.save(tmp_path / "in.npy", responses)
    command = ["rsm", tmp_path / "in.npy", "-q", "-o", tmp_path / "out.npz", "--matching", "partial", "-O", option]
    result = run(*command)
    assert result.exit_code == 0, result.stderr
    name, value = option.split("=")
    expected = simplugins.compute_rsm(responses, matching=simplugins.Partial(**{name: float(value)}))
    np.testing.assert_array_equal(simplugins.load_rsm(tmp_path / "out.npz").values, expected.values)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--matching", "batch-optimal", "-O", "window"], "-O: .*NAME=VALUE.*'window'"),
        (["--matching", "partial"], "share="),
        (["-O", "window=4"], "-O .*--matching"),
        (["--matching", "optimal", "-O", "window=4"], "'window'"),
        (["--matching", "batch-optimal", "-O", "window=4", "-O", "window=5"], "-O: window .*twice"),
        (["--matching", "batch-optimal", "-O", "window=few"], "window must be .*'few'"),
        (["--measure-option", "exponent"], "--measure-option: .*NAME=VALUE.*'exponent'"),
        (["--measure-option", "exponent=2"], "'semantic-cosine'.*'exponent'"),
        (["-m", "semantic-rbf", "-m", "semantic-linear", "--measure-option", "a=2"], "--measure-option .*single"),
    ],
)
def test_wrong_options_are_one_line_before_anything_is_read(tmp_path, run, arguments, match):
    result = run("rsm", tmp_path / "missing.npy", "-o", tmp_path, *arguments)
    assert result.exit_code == 2
    assert re.search(match, result.stderr)
    assert len(result.stderr.strip().splitlines()) == 1


def test_masks_come_from_files(tmp_path, run):
    rng = np.random.default_rng(0)
    maps, mask = rng.random((4, 3, 2, 5)), rng.random((4, 2, 5)) < 0.6
    np.save(tmp_path / "in.npy", np.where(mask[:, None], maps, np.nan))
    np.save(tmp_path / "mask.npy", mask)
    result = run("rsm", tmp_path / "in.npy", "-q", "-o", tmp_path / "out.npz", "--mask", tmp_path / "mask.npy")
    assert result.exit_code == 0, result.stderr
    np.testing.assert_allclose(simplugins.load_rsm(tmp_path / "out.npz"), simplugins.compute_rsm(maps, mask=mask))


def test_unusable_engines_are_one_line(folder, monkeypatch, run):
    monkeypatch.setattr(gpu, "why_unusable", lambda: "CuPy finds no GPU")
    for option, value in (("--engine", "cuda"), ("--precision", "float16x3")):
        result = run("rsm", folder / "maps.npy", "-o", folder / "rsm.npz", option, value, "--quiet")
        assert result.exit_code == 2
        assert re.fullmatch(f"error: .*'{value}'.*\n", result.stderr)
    assert not (folder / "rsm.npz").exists()


def test_compare_layers_of_two_networks(folder, run):
    result = run("compare", folder / "layers.npz", folder / "layers.npz", "--quiet", "-o", folder / "table.csv")
    assert result.exit_code == 0
    assert "block10" in result.stdout
    assert "1.0000" in result.stdout
    files = ["--figure", folder / "table.png", "-o", folder / "table.npz", "-o", folder / "table.json"]
    result = run("compare", folder / "layers.npz", "--quiet", "--method", "rsa-spearman", "--layer", "block*", *files)
    assert result.exit_code == 0
    assert simplugins.load_comparison(folder / "table.npz").method == "rsa-spearman"
    assert (folder / "table.png").read_bytes().startswith(b"\x89PNG")


def test_compare_two_files_is_one_number(folder, run):
    for name, measure in (("a.npz", "semantic-cosine"), ("b.npz", "spatio-semantic-cosine")):
        assert run("rsm", folder / "maps.npy", "-m", measure, "-o", folder / name, "--quiet").exit_code == 0
    result = run("compare", folder / "a.npz", folder / "b.npz", "--quiet")
    rsms = [simplugins.load_rsm(folder / name) for name in ("a.npz", "b.npz")]
    name, value = result.stdout.split(": ")
    assert name == "cka-debiased"
    assert float(value) == pytest.approx(simplugins.compare(*rsms))
    result = run("compare", folder / "a.npz", folder / "maps.npy", "--method", "nothing")
    assert result.exit_code == 2
    assert re.fullmatch("error: .*simplugins.comparisons.*'nothing'.*\n", result.stderr)


def test_compare_estimates_intervals(folder, run):
    (folder / "groups.txt").write_text("a\nb\nc\nd\ne\na\n")
    options = ["--intervals", "--resamples", 50, "--confidence", 0.9, "--method", "rsa-spearman"]
    grouped = [*options, "--groups", folder / "groups.txt"]
    result = run("compare", folder / "layers.npz", "-q", *grouped, "-o", folder / "table.npz")
    assert result.exit_code == 0, result.stderr
    expected = simplugins.compare_layers(
        dict(np.load(folder / "layers.npz")),
        method="rsa-spearman",
        intervals=True,
        resamples=50,
        confidence=0.9,
        groups=list("abcdea"),
    ).intervals
    assert "90 % interval" in result.stdout
    assert f"{expected.low[0, 1]:.3f} to {expected.high[0, 1]:.3f}" in result.stdout
    np.testing.assert_array_equal(simplugins.load_comparison(folder / "table.npz").intervals.low, expected.low)
    result = run("compare", folder / "layers.npz", "-q", "--groups", folder / "groups.txt")
    assert result.exit_code == 2
    assert "groups" in result.stderr


def test_compare_takes_options_of_the_method(folder, run):
    method = ("--method", "mutual-knn", "--method-option", "k=2")
    result = run("compare", folder / "layers.npz", "-q", *method)
    assert result.exit_code == 0, result.stderr
    layers = dict(np.load(folder / "layers.npz"))
    expected = simplugins.compare_layers(layers, method="mutual-knn", method_options={"k": 2})
    assert f"{expected.values[0, 1]:.4f}" in result.stdout
    assert "mutual-knn (k=2)" in result.stdout
    result = run("compare", folder / "layers.npz", "-q", *method, "--layer", "block10", *method)
    assert result.exit_code == 2
    assert "--method-option: k was given twice" in result.stderr
    assert (
        "k must be a whole number"
        in run("compare", folder / "layers.npz", "--method", "mutual-knn", "--method-option", "k=0").stderr
    )


def test_compare_takes_options_of_the_matching(folder, run):
    result = run("compare", folder / "layers.npz", "-q", "--matching", "batch-optimal", "-O", "window=7")
    assert result.exit_code == 0, result.stderr
    layers = dict(np.load(folder / "layers.npz"))
    expected = simplugins.compare_layers(layers, matching=simplugins.BatchOptimal(window=7))
    assert f"{expected.values[0, 1]:.4f}" in result.stdout


def test_third_party_measures(folder, plugin_site, photos, run_process):
    lengths = np.sqrt(np.square(photos["block15"][:6].astype(np.float64)).sum((1, 2, 3)))
    common = ["-q", "-o", folder / "rsm.npz", "--labels", folder / "labels.txt"]
    result = run_process("rsm", folder / "maps.npy", "-m", "length-products", *common, site=plugin_site)
    assert result.returncode == 0, result.stderr
    rsm = simplugins.load_rsm(folder / "rsm.npz")
    assert (rsm.measure, rsm.kernel, rsm.labels.tolist()) == ("length-products", None, list("aaaabb"))
    np.testing.assert_allclose(rsm, np.outer(lengths, lengths), rtol=1e-5)
    power = ["-m", "length-power", "--measure-option", "exponent=0.5"]
    result = run_process("rsm", folder / "maps.npy", *power, *common, "--force", site=plugin_site)
    assert result.returncode == 0, result.stderr
    np.testing.assert_allclose(simplugins.load_rsm(folder / "rsm.npz"), np.sqrt(np.outer(lengths, lengths)), rtol=1e-5)
    result = run_process("compare", folder / "layers.npz", *power, "-q", site=plugin_site)
    assert result.returncode == 0, result.stderr
    assert "block10" in result.stdout
    result = run_process("estimate", folder / "maps.npy", *power, "--seconds", 0.05, site=plugin_site)
    assert result.returncode == 0, result.stderr
    assert "length-power" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["-m", "length-power", "--measure-option", "exponnt=2"], "'exponnt'.*'exponent'"),
        (["-m", "length-product"], "'length-product'.*length-products"),
        (["-m", "length-products", "--matching", "optimal"], "matching.*'length-products'"),
        (["-m", "length-products", "--certify"], "certify.*'length-products'"),
    ],
)
def test_wrong_options_of_third_party_measures_are_one_line(folder, plugin_site, run_process, arguments, match):
    result = run_process("rsm", folder / "maps.npy", "-q", "-o", folder / "x.npz", *arguments, site=plugin_site)
    assert result.returncode == 2
    assert re.fullmatch(f"error: .*{match}.*\n", result.stderr)
