# SPDX-License-Identifier: Apache-2.0
"""The site's recipes for models of timm and Hugging Face run as they stand."""

import re
from pathlib import Path

import pytest

pytest.importorskip("timm")
pytest.importorskip("transformers")
PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "timm-and-transformers.md"


def test_the_page_runs():
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL):
        exec(block, names)
        if "table" in names:
            assert names["table"].values.shape == (12, 12)
    assert names["rsm"].shape == (3, 3)
    assert names["rsm"].values[0, 1] > names["rsm"].values[0, 2]
