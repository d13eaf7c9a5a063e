# SPDX-License-Identifier: Apache-2.0
"""Results depend on nothing but the inputs: not on locale, hash seed, optimisation, threads, or the current folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import simplugins

SCRIPT = """
import hashlib, os, sys, tempfile
from pathlib import Path
import numpy as np

folder = sys.argv[1]
import simplugins
from simplugins.evaluation import retrieval

exec(os.environ.get("BEFORE", ""))
values = np.random.default_rng(0).normal(size=(8, 5, 6)).astype(np.float32)
labels = [f"class {n % 3}" for n in range(8)]
results = hashlib.sha256()
for measure in ("semantic-linear", "semantic-cosine", "semantic-rbf", "spatio-semantic-cosine"):
    rsm = simplugins.compute_rsm(values, measure, labels=labels, certify=measure.startswith("semantic"))
    results.update(rsm.values.tobytes())
    results.update(repr(rsm).encode() + repr(rsm.summary()).encode() + rsm._repr_html_().split("base64")[0].encode())
rsm.save(folder + "/rsm.npz")
results.update(simplugins.load_rsm(folder + "/rsm.npz").values.tobytes())
stored = simplugins.compute_rsm(values, store=folder + "/run.zarr", tile_size=3, matching="greedy")
results.update(np.asarray(simplugins.load_rsm(folder + "/run.zarr")).tobytes())
x = simplugins.Activations.from_array(values, labels=labels)
x.save(folder + "/x.npz")
np.save(folder + "/x.npy", values)
results.update(np.asarray(simplugins.compute_rsm(folder + "/x.npy", matching="auction")).tobytes())
comparison = simplugins.compare_layers({"a": values, "b": values[:, :3]}, {"c": values[:, 1:]}, "rsa-spearman")
for suffix in (".npz", ".csv", ".json"):
    comparison.save(folder + "/comparison" + suffix)
    if suffix != ".npz":
        results.update(Path(folder, "comparison" + suffix).read_bytes())
ranked = retrieval(rsm, labels, k=2, resamples=50)
ranked.save(folder + "/ranked.csv")
results.update(Path(folder, "ranked.csv").read_bytes())
found = simplugins.search(values, k=3)
results.update(found.indices.tobytes() + found.similarities.tobytes())
print(results.hexdigest())
"""


def result(folder, *options, **environment):
    """Run the script and return the digest of all its results."""
    folder.mkdir()
    clean = {name: value for name, value in os.environ.items() if environment.get(name, "") is not None}
    given = {name: value for name, value in environment.items() if value is not None}
    done = subprocess.run(
        [sys.executable, *options, "-c", SCRIPT, folder],
        env={**clean, **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return result(tmp_path_factory.mktemp("plain") / "run")


IN_A_DELETED_FOLDER = "where = tempfile.mkdtemp(); os.chdir(where); os.rmdir(where)"

SET_LOCALE = """
import contextlib, locale
with contextlib.suppress(locale.Error):
    locale.setlocale(locale.LC_ALL, "")
"""

ENVIRONMENTS = {
    "C locale": ((), {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    "Turkish locale": ((), {"LC_ALL": "tr_TR.UTF-8", "BEFORE": SET_LOCALE}),
    "German locale": ((), {"LC_ALL": "de_DE.UTF-8", "BEFORE": SET_LOCALE}),
    "hash seed": ((), {"PYTHONHASHSEED": "4711"}),
    "optimised": (("-O",), {}),
    "without docstrings": (("-OO",), {}),
    "development mode": (("-X", "dev"), {}),
    "warnings as errors": (("-W", "error", "-bb"), {}),
    "no home": ((), {"HOME": None, "XDG_CACHE_HOME": None, "MPLCONFIGDIR": None}),
    "a home that does not exist": ((), {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent"}),
    "a folder that was deleted": ((), {"BEFORE": IN_A_DELETED_FOLDER}),
}

TOGETHER = {
    "optimised, with another seed, C locale and no home": (
        ("-O",),
        {**ENVIRONMENTS["C locale"][1], **ENVIRONMENTS["no home"][1], "PYTHONHASHSEED": "0"},
    ),
    "warnings as errors, with another seed and locale, in a folder that was deleted": (
        ("-W", "error", "-bb"),
        {"LC_ALL": "tr_TR.UTF-8", "BEFORE": SET_LOCALE + IN_A_DELETED_FOLDER, "PYTHONHASHSEED": "1"},
    ),
}


@pytest.mark.parametrize(("options", "environment"), TOGETHER.values(), ids=TOGETHER)
def test_results_do_not_depend_on_the_environment(tmp_path, expected, options, environment):
    assert result(tmp_path / "run", *options, **environment) == expected


@pytest.mark.slow
@pytest.mark.parametrize(("options", "environment"), ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_results_do_not_depend_on_any_one_setting(tmp_path, expected, options, environment):
    assert result(tmp_path / "run", *options, **environment) == expected


@pytest.mark.parametrize("threads", ["1", "3"])
def test_threads_change_results_by_no_more_than_rounding(tmp_path, threads):
    values = np.random.default_rng(0).normal(size=(30, 20, 64)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    code = "import sys, simplugins; simplugins.compute_rsm(sys.argv[1], threads=int(sys.argv[3])).save(sys.argv[2])"
    subprocess.run(
        [sys.executable, "-c", code, tmp_path / "x.npy", tmp_path / "rsm.npz", threads],
        env={**os.environ, **dict.fromkeys(names, threads)},
        check=True,
    )
    expected = np.asarray(simplugins.compute_rsm(values, dtype="float64"))
    np.testing.assert_allclose(np.asarray(simplugins.load_rsm(tmp_path / "rsm.npz")), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0o002])
def test_files_and_folders_follow_the_umask_from_the_start(tmp_path, mask, monkeypatch):
    replace, during = os.replace, []

    def noting(source, target):
        during.append(os.stat(source).st_mode & 0o777)
        replace(source, target)

    monkeypatch.setattr(os, "replace", noting)
    values = np.random.default_rng(0).normal(size=(4, 3))
    set_umask = os.umask
    before = set_umask(mask)
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask of the process was changed"))
    try:
        simplugins.compute_rsm(values, store=tmp_path / "run.zarr").save(tmp_path / "rsm.npz")
        simplugins.compare_layers({"a": values}).save(tmp_path / "x.csv")
    finally:
        set_umask(before)
    assert set(during) == {0o666 & ~mask}
    for path in (tmp_path / "rsm.npz", tmp_path / "x.csv"):
        assert path.stat().st_mode & 0o777 == 0o666 & ~mask
    for path in [tmp_path / "run.zarr", *(tmp_path / "run.zarr").rglob("*")]:
        assert path.stat().st_mode & 0o777 & mask == 0, path


def test_a_folder_that_is_read_only_is_named(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("nothing is read-only for root")
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="not writable"):
        simplugins.compute_rsm(np.eye(3)).save(tmp_path / "rsm.npz")


def test_a_disk_that_is_full_leaves_nothing_behind(tmp_path):
    code = (
        "import resource, sys, numpy as np, simplugins\n"
        "rsm = simplugins.compute_rsm(np.random.default_rng(0).normal(size=(200, 3)))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "for save in (rsm.save, simplugins.Activations.from_array(rsm.values).save):\n"
        "    try:\n"
        "        save(sys.argv[1] + '/x.npz')\n"
        "    except OSError as error:\n"
        "        print(error.errno)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 2
    assert list(Path(tmp_path).iterdir()) == []
