# SPDX-License-Identifier: Apache-2.0
"""The patch that lets similarity-repository read the neutral group, on a copy of a checkout of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from simplugins_adapters.neutral_measures import GROUP
from wheels import build_wheel, pip_install

import simplugins

PATCH = Path(__file__).parents[2] / "docs" / "patches" / "similarity-repository.patch"


@pytest.fixture
def patched(request, tmp_path):
    """A copy of the package with the patch applied; skipped without ``--checkout similarity-repository=PATH``."""
    checkouts = dict(option.partition("=")[::2] for option in request.config.getoption("--checkout"))
    if "similarity-repository" not in checkouts:
        pytest.skip("needs --checkout similarity-repository=PATH")
    folder = tmp_path / "copy"
    shutil.copytree(Path(checkouts["similarity-repository"]) / "similarity", folder / "similarity")
    subprocess.run(["git", "apply", "--unidiff-zero", "--whitespace=error", PATCH], cwd=folder, check=True)
    return folder


def test_the_patched_repository_finds_ours_and_those_of_a_third_package(patched, tmp_path):
    text = "def shared(x, y):\n    return float(len(x))\n"
    entries = {"shared": "third_suite:shared", "broken": "third_suite:absent"}
    wheel = build_wheel(tmp_path, "third-suite", "1.0", entries, {"third_suite": text}, group=GROUP)
    subprocess.run(pip_install(tmp_path / "site", wheel), check=True)
    code = """
        import json
        import numpy as np
        import similarity
        x, y = np.random.default_rng(0).normal(size=(2, 10, 5, 4))
        names = similarity.match("measure/simplugins/*")
        print(json.dumps({
            "names": names,
            "value": similarity.make("measure/simplugins/semantic-cosine-cka-debiased")(x, y),
            "third": similarity.make("measure/third-suite/shared")(x, y),
            "all of it": similarity.match("measure/third-suite/*"),
            "theirs": len(similarity.match("measure/netrep/*")),
        }))
    """
    path = os.pathsep.join([str(patched), str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    ours = {plugin.name for plugin in simplugins.plugins.available("simplugins.similarities")}
    assert {name.removeprefix("measure/simplugins/") for name in result["names"]} == ours
    x, y = np.random.default_rng(0).normal(size=(2, 10, 5, 4))
    assert result["value"] == pytest.approx(simplugins.similarity("semantic-cosine", "cka-debiased")(x, y), rel=1e-12)
    assert result["third"] == 10
    assert result["all of it"] == ["measure/third-suite/shared"]  # without the broken one
    assert result["theirs"] > 0


def test_the_patch_holds_no_line_of_the_repository():
    lines = PATCH.read_text(encoding="utf-8").splitlines()
    assert {line[:1] for line in lines} <= {"+", "-", "@", "d", "n"}
    assert [line for line in lines if line.startswith("-")] == ["--- a/similarity/__init__.py", "--- /dev/null"]
