# SPDX-License-Identifier: Apache-2.0
"""The page "Coming from …": the calls of other tools, on the left, yield the numbers of ours, on the right."""

import re
import sys
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from checkouts import tool_on_path

PAGE = Path(__file__).parents[2] / "docs" / "coming-from.md"


def run(tool):
    """Run the first block of the page and those of a tool, and return their names."""
    first, *sections = PAGE.read_text(encoding="utf-8").split("\n## ")
    section = next(section for section in sections if section.startswith(f"{tool}\n"))
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```", first + "\n" + section, flags=re.MULTILINE | re.DOTALL):
        exec(block, names)
    return names


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("tool", "tolerance"),
    [("torch_cka", 1e-4), ("rsatoolbox", 1e-6)],  # torch_cka adds up matrices that are not centred in float32
)
def test_both_sides_agree(tool, tolerance):
    pytest.importorskip(tool)
    names = run(tool)
    np.testing.assert_allclose(names["ours"], np.squeeze(names["theirs"]), atol=tolerance)


def test_both_sides_agree_for_thingsvision(monkeypatch):
    """Its packages import TensorFlow and torchtyping; those with CKA need neither."""
    if find_spec("thingsvision") is None:
        pytest.skip("pip install --no-deps thingsvision==2.7.3")
    package = sys.modules.get("thingsvision") or module_from_spec(find_spec("thingsvision"))
    monkeypatch.setitem(sys.modules, "thingsvision", package)
    if "torchtyping" not in sys.modules and find_spec("torchtyping") is None:
        annotation = type("TensorType", (), {"__class_getitem__": classmethod(lambda cls, _: cls)})
        monkeypatch.setitem(sys.modules, "torchtyping", SimpleNamespace(TensorType=annotation))
    names = run("thingsvision")
    assert names["ours"] == pytest.approx(names["theirs"], abs=2e-5)


def test_both_sides_agree_for_netrep(request, monkeypatch):
    for _ in tool_on_path(request, monkeypatch, "netrep", ("netrep",)):
        names = run("netrep")
    assert names["ours"] == pytest.approx(names["theirs"], abs=2e-5)
