# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import doctest
import re
from importlib.util import find_spec
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot

import simplugins

PAGES = Path(__file__).parents[2] / "docs" / "tools"
KERNELS = ("linear", "cosine", "rbf")

collect_ignore = ["doubles"]
if not find_spec("brainscore_vision"):  # run.sh creates an environment for it
    collect_ignore.append("brain_score")


@pytest.fixture(scope="session")
def photo_rsms(photos):
    """RSMs of two layers for the same 24 crops, with unique labels."""
    labels = [f"{name} {i:02}" for i, name in enumerate(photos["photo_names"][photos["photo"]])]
    return {layer: simplugins.compute_rsm(photos[layer], labels=labels) for layer in ("block10", "block15")}


@pytest.fixture(scope="session")
def indefinite(photos):
    """By kernel, two semantic RSMs of the same 118 inputs that are not positive semi-definite.

    RSMs of the 24 whole crops happen to be positive semi-definite. These inputs are every tenth patch of 2 x 2
    positions in block 10; the first RSM uses channels 0 to 7, the second channels 8 to 15.
    """
    maps = photos["block10"]
    patches = maps.reshape(24, 112, 7, 2, 7, 2).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 112, 2, 2)[::10]
    labels = [f"patch {i:03}" for i in range(len(patches))]
    return {
        kernel: tuple(
            simplugins.compute_rsm(patches[:, channels], f"semantic-{kernel}", labels=labels)
            for channels in (slice(8), slice(8, 16))
        )
        for kernel in KERNELS
    }


@pytest.fixture(params=KERNELS)
def kernel(request):
    return request.param


@pytest.fixture
def permuted():
    """Return a function that reorders the inputs of a labelled RSM."""
    return lambda rsm: rsm.in_order(np.random.default_rng(0).permutation(rsm.labels))


@pytest.fixture
def unchanged():
    """Return a function that registers RSMs, which must be unchanged at the end of the test."""
    copies = []

    def register(*rsms):
        copies.extend((rsm, rsm.values.copy(), dict(rsm.metadata)) for rsm in rsms)

    yield register
    for rsm, values, metadata in copies:
        np.testing.assert_array_equal(rsm.values, values)
        assert rsm.metadata == metadata


@pytest.fixture
def run_page(tmp_path, monkeypatch, request):
    """Return a function that runs the examples of a tool's page and compares their output with the page."""
    pictures = request.config.getoption("--pictures")
    pictures = None if pictures is None else pictures.resolve()
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")

    def run(tool):
        text = (PAGES / f"{tool}.md").read_text(encoding="utf-8")
        examples = "\n".join(re.findall(r"^```pycon\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL))
        assert examples
        test = doctest.DocTestParser().get_doctest(examples, {}, tool, str(PAGES / f"{tool}.md"), 0)
        printed = []
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        runner.run(test, out=printed.append)
        if pictures and pyplot.get_fignums():
            pyplot.savefig(pictures / f"{tool}.png", dpi=160, bbox_inches="tight", metadata={"Software": None})
        pyplot.close("all")
        assert runner.summarize(verbose=False).failed == 0, "".join(printed)

    return run
