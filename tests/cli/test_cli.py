# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from processes import running
from typer.testing import CliRunner

import simplugins
from simplugins._common import gpu
from simplugins.cli import app


@pytest.fixture
def folder(tmp_path, photos):
    np.save(tmp_path / "maps.npy", photos["block15"][:6])
    np.savez(tmp_path / "layers.npz", block15=photos["block15"][:6], block10=photos["block10"][:6])
    (tmp_path / "labels.txt").write_text("a\na\na\na\nb\nb\n", encoding="utf-8")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run_process(*arguments):
    command = [sys.executable, "-m", "simplugins", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_one_measure_goes_to_a_file(folder, photos):
    done = run("rsm", folder / "maps.npy", "-o", folder / "rsm.npz", "--labels", folder / "labels.txt")
    assert done.exit_code == 0
    saved = simplugins.load_rsm(folder / "rsm.npz")
    np.testing.assert_array_equal(saved.values, simplugins.compute_rsm(photos["block15"][:6]).values)
    assert saved.labels.tolist() == list("aaaabb")


def test_several_measures_go_to_a_folder(folder):
    measures = ("semantic-rbf", "spatio-semantic-rbf")
    done = run(
        "rsm", folder / "layers.npz", "--key", "block15", "-m", measures[0], "-m", measures[1], "-o", folder / "rsms",
        "--sigma", "300", "--quiet",
    )  # fmt: skip
    assert done.exit_code == 0
    assert sorted(path.name for path in (folder / "rsms").iterdir()) == [f"{name}.npz" for name in measures]
    assert simplugins.load_rsm(folder / "rsms" / "semantic-rbf.npz").metadata["sigma"] == 300


def test_a_store_is_gone_on_with_and_shown(folder, photos):
    command = "rsm", folder / "maps.npy", "--store", folder / "run.zarr", "--memory", "2GB"
    assert run(*command, "-q").stdout == f"RSM semantic-cosine: 6 x 6, optimal matching, in {folder / 'run.zarr'}\n"
    done = run(*command, "-m", "semantic-rbf", "--sigma", "300", "-o", folder / "rsm.npz", "-q")
    assert done.exit_code == 0
    expected = simplugins.compute_rsm(photos["block15"][:6], "semantic-rbf", sigma=300)
    np.testing.assert_allclose(simplugins.load_rsm(folder / "rsm.npz"), expected, rtol=1e-6)
    assert run("show", folder / "run.zarr").exit_code == 0
    assert (folder / "run.png").is_file()
    refused = run_process(*command, "--matching", "greedy", "-q")
    assert refused.returncode == 2
    assert "is the store of another run: matching was optimal, now greedy" in refused.stderr


def test_an_unfinished_store_says_how_much_is_done(folder):
    run("rsm", folder / "maps.npy", "--store", folder / "run.zarr", "-q")
    (folder / "run.zarr" / "products" / "c" / "0" / "0").unlink()
    shown = run_process("show", folder / "run.zarr")
    assert (shown.returncode, "0 of 1 tiles (0.0 % of the pairs)" in shown.stderr) == (2, True)


def test_a_subset_and_a_recording(folder, photos):
    model, images = torch.nn.Conv2d(3, 4, 3), torch.rand(5, 3, 8, 8)
    with torch.no_grad():
        simplugins.record(torch.nn.Sequential(model), images, "0", to=folder / "recorded")
    assert (
        run("rsm", folder / "recorded", "-o", folder / "rsm.npz", "--subset", "3", "--seed", "1", "-q").exit_code == 0
    )
    found = simplugins.load_rsm(folder / "rsm.npz")
    with torch.no_grad():
        expected = simplugins.compute_rsm(model(images), subset=3, seed=1)
    np.testing.assert_array_equal(found, expected)
    assert found.labels.tolist() == expected.labels.tolist()
    assert "holds no layer 'x'" in run_process("rsm", folder / "recorded", "--key", "x", "--out", "a.npz").stderr


def test_a_result_needs_a_place(folder):
    assert "--out, --store, or both" in run_process("rsm", folder / "maps.npy").stderr


def test_other_inputs(folder):
    done = run("rsm", folder / "maps.npy", "--other", folder / "maps.npy", "-o", folder / "rsm.npz", "-q")
    assert done.exit_code == 0
    assert not simplugins.load_rsm(folder / "rsm.npz").symmetric


def test_show_draws_and_summarises(folder):
    run("rsm", folder / "maps.npy", "-o", folder / "rsm.npz", "-q")
    done = run("show", folder / "rsm.npz")
    assert done.exit_code == 0
    assert "semantic-cosine" in done.output
    assert (folder / "rsm.png").read_bytes().startswith(b"\x89PNG")
    assert run("show", folder / "rsm.npz").exit_code == 2
    assert run("show", folder / "rsm.npz", "-o", folder / "rsm.svg").exit_code == 0


def test_names_in_brackets_are_shown_as_they_are(folder):
    run("rsm", folder / "maps.npy", "-o", folder / "layer[relu].npz", "-q")
    done = run("show", folder / "layer[relu].npz")
    assert done.exit_code == 0
    assert "layer[relu].npz" in done.output


def test_a_missing_folder_is_noticed_before_any_work(folder):
    done = run("rsm", folder / "none.npy", "-o", folder / "no" / "rsm.npz")
    assert "does not exist" in done.stderr


def test_plugins_lists_ours():
    done = run("plugins")
    assert done.exit_code == 0
    assert "spatio-semantic-linear" in done.output
    assert f"simplugins {simplugins.__version__}" in done.output


def test_demo_prints_hits_and_draws_two_pictures(folder):
    done = run("demo", "-o", folder / "demo")
    assert done.exit_code == 0
    assert "15 of 24" in done.output
    assert sorted(path.name for path in (folder / "demo").iterdir()) == ["match.png", "rsms.png"]
    assert run("demo", "-o", folder / "demo").exit_code == 2


def test_an_existing_result_is_kept(folder):
    (folder / "rsm.npz").write_text("precious", encoding="utf-8")
    done = run("rsm", folder / "maps.npy", "-o", folder / "rsm.npz")
    assert done.exit_code == 2
    assert (folder / "rsm.npz").read_text(encoding="utf-8") == "precious"
    assert run("rsm", folder / "maps.npy", "-o", folder / "rsm.npz", "--force", "-q").exit_code == 0
    assert len(simplugins.load_rsm(folder / "rsm.npz")) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rsm", "none.npy", "-o", "x.npz"], "none.npy: no such file"),
        (["rsm", "layers.npz", "-o", "x.npz"], "holds 2 arrays"),
        (["rsm", "maps.npy", "-o", "x.npy"], "expected a name ending in .npz, or a folder"),
        (["rsm", "maps.npy", "-o", "x.npz", "-m", "semantic-cosin"], "nearest: semantic-cosine"),
        (["rsm", "maps.npy", "-o", "x.npz", "-m", "semantic-rbf", "-m", "semantic-linear"], "a folder, for several"),
        (["rsm", "maps.npy", "-o", "x.npz", "--sigma", "wide"], "--sigma must be median or a number, got 'wide'"),
        (["rsm", "maps.npy", "-o", "x.npz", "--layout", "ntd"], "layout 'ntd' is"),
        (["rsm", "maps.npy", "-o", "no/folder/x.npz"], "does not exist"),
        (["show", "maps.npy"], "not a readable .npz file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(folder, monkeypatch, arguments, message):
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert sorted(folder.iterdir()) == before


def test_a_process_shows_no_traceback(folder):
    done = run_process("rsm", folder / "none.npy", "-o", folder / "rsm.npz")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1


def test_version_and_help_import_nothing_heavy():
    assert run_process("--version").stdout == f"simplugins {simplugins.__version__}\n"
    code = (
        "import sys\nfrom simplugins.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'numba', 'scipy', 'matplotlib', 'torch'} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_an_interrupt_is_one_line_and_writes_nothing(folder):
    code = """
        import os
        from simplugins.cli import app
        from simplugins.matching.optimal import Optimal

        match_batch = Optimal.match_batch

        def announce(self, affinities, offsets):
            if len(offsets) > 2:
                os.write(1, b"m")
            return match_batch(self, affinities, offsets)

        Optimal.match_batch = announce
        app()
    """
    np.save(folder / "many.npy", np.random.default_rng(0).random((2000, 400, 8), dtype=np.float32))
    arguments = ["rsm", folder / "many.npy", "-o", folder / "rsm.npz"]
    with running(code, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.read(1) == "m"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted: nothing was written" in errors
    assert "Traceback" not in errors
    assert not (folder / "rsm.npz").exists()


def test_matchings_with_options_and_certificates(tmp_path):
    np.save(tmp_path / "in.npy", np.random.default_rng(0).random((4, 12, 3)))
    command = ["rsm", str(tmp_path / "in.npy"), "-q", "-o", str(tmp_path / "out.npz"), "--matching", "batch-optimal"]
    done = run(*command, "-O", "window=4", "--certify")
    assert done.exit_code == 0, done.stderr
    rsm = simplugins.load_rsm(tmp_path / "out.npz")
    assert rsm.metadata["matching_options"] == {"window": 4}
    shown = run("show", str(tmp_path / "out.npz"), "-o", str(tmp_path / "out.png")).stdout
    assert "batch-optimal (window 4)" in shown
    assert "proven gap off the diagonal" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--matching", "batch-optimal", "-O", "window"], "--option: expected NAME=VALUE, as window=64, got 'window'"),
        (["-O", "window=4"], "--option goes with --matching, which was not given"),
        (["--matching", "optimal", "-O", "window=4"], "no option 'window'"),
        (["--matching", "optimal", "-O", "matching=4"], "no option 'matching'"),
        (["--matching", "batch-optimal", "-O", "window=4", "-O", "window=5"], "--option: window was given twice"),
        (["--matching", "batch-optimal", "-O", "window=few"], "window must be a whole number of at least 1, got 'few'"),
    ],
)
def test_wrong_options_of_a_matching_are_one_line(tmp_path, arguments, message):
    np.save(tmp_path / "in.npy", np.eye(3))
    done = run("rsm", str(tmp_path / "in.npy"), "-o", str(tmp_path / "out.npz"), *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_masks_come_from_files(tmp_path):
    rng = np.random.default_rng(0)
    maps, mask = rng.random((4, 3, 2, 5)), rng.random((4, 2, 5)) < 0.6
    np.save(tmp_path / "in.npy", np.where(mask[:, None], maps, np.nan))
    np.save(tmp_path / "mask.npy", mask)
    done = run(
        "rsm", str(tmp_path / "in.npy"), "-q", "-o", str(tmp_path / "out.npz"), "--mask", str(tmp_path / "mask.npy")
    )
    assert done.exit_code == 0, done.stderr
    np.testing.assert_array_equal(
        simplugins.load_rsm(tmp_path / "out.npz").values, simplugins.compute_rsm(maps, mask=mask).values
    )


def test_an_engine_that_cannot_be_used_is_one_line(folder, monkeypatch):
    monkeypatch.setattr(gpu, "why_unusable", lambda: "CuPy finds no GPU")
    found = run("rsm", folder / "maps.npy", "-o", folder / "rsm.npz", "--engine", "cuda")
    assert found.exit_code == 2
    assert found.stderr == "error: engine 'cuda' cannot be used here: CuPy finds no GPU\n"
    found = run("rsm", folder / "maps.npy", "-o", folder / "rsm.npz", "--precision", "tf32", "--quiet")
    assert found.exit_code == 2
    assert found.stderr == "error: precision='tf32' needs engine='cuda': here the CPU computes, in float32\n"
    assert not (folder / "rsm.npz").exists()


def test_compare_layers_of_two_networks(folder):
    found = run("compare", folder / "layers.npz", folder / "layers.npz", "--quiet", "-o", folder / "found.csv")
    assert found.exit_code == 0
    assert "block10" in found.stdout
    assert "1.0000" in found.stdout
    pictures = ["-o", folder / "found.png", "-o", folder / "found.npz", "-o", folder / "found.json"]
    again = run("compare", folder / "layers.npz", "--quiet", "--method", "rsa-spearman", "--layer", "block*", *pictures)
    assert again.exit_code == 0
    assert simplugins.load_comparison(folder / "found.npz").method == "rsa-spearman"
    assert (folder / "found.png").read_bytes().startswith(b"\x89PNG")
    assert run("compare", folder / "layers.npz", "-o", folder / "found.csv").exit_code == 2


def test_compare_two_files_is_one_number(folder):
    for name, measure in (("a.npz", "semantic-cosine"), ("b.npz", "spatio-semantic-cosine")):
        assert run("rsm", folder / "maps.npy", "-m", measure, "-o", folder / name, "--quiet").exit_code == 0
    found = run("compare", folder / "a.npz", folder / "b.npz", "--quiet")
    rsms = [simplugins.load_rsm(folder / name) for name in ("a.npz", "b.npz")]
    assert found.stdout == f"cka: {simplugins.compare(*rsms):.10g}\n"
    found = run("compare", folder / "a.npz", folder / "maps.npy", "--method", "nothing")
    assert found.exit_code == 2
    assert found.stderr.startswith("error: simplugins.comparisons has no plugin 'nothing'")
