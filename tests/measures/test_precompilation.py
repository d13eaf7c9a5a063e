# SPDX-License-Identifier: Apache-2.0
import json
import os
import subprocess
import sys

import pytest

import simplugins
from simplugins.matching import scalar_scans

COMPILED = """
import importlib, json, pkgutil
import simplugins
from simplugins._common.compiled import CACHES

OTHERS = "__main__", "cli", "compute.engines.cuda", "reporting.subclasses"
for module in pkgutil.walk_packages(simplugins.__path__, "simplugins."):
    if not module.name.startswith(tuple("simplugins." + name for name in OTHERS)):
        importlib.import_module(module.name)
print(json.dumps([cache.name for cache in CACHES if not cache.own._cache_file._load_index()]))
"""

CALLS = """
import json
import numpy as np
import simplugins
from simplugins._common.compiled import CACHES

rng = np.random.default_rng(0)
for dtype in ("float32", "float64"):
    maps = rng.normal(size=(4, 3, 6, 7)).astype(dtype)
    tokens = np.maximum(maps, 0).reshape(4, 3, 42).transpose(0, 2, 1)
    for matching in ("optimal", "auction", "batch-optimal", "greedy", "topk-greedy", simplugins.Partial(share=0.3)):
        for other in (None, np.asfortranarray(tokens[:2, :30])):
            simplugins.compute_rsm(tokens, other=other, matching=matching)
        simplugins.match(maps[0], maps[1], matching)
    simplugins.compute_rsm(tokens, "semantic-rbf", certify=True, mask=np.arange(42) < [[40], [41], [42], [20]])
    simplugins.compute_rsm(maps, "max-sim-linear", memory="4 GiB")
    simplugins.search(maps, other=maps[::-1], k=2)
    wide = tokens * 10.0 ** rng.integers(-9, 9, (42, 1))
    simplugins.compute_rsm(wide.astype(dtype))
rsms = [simplugins.compute_rsm(maps, measure) for measure in ("semantic-cosine", "spatio-semantic-cosine")]
simplugins.compare(*rsms, "rank-knn", method_options={"k": 2})
simplugins.permutation_test(*rsms, permutations=50)
print(json.dumps([cache.name + signature for cache in CACHES for signature in cache.saved]))
"""


@pytest.fixture(scope="module")
def result():
    return simplugins.precompile()


def output(code):
    return json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def test_every_compiled_function_is_compiled_beforehand(result):
    reference = f"{scalar_scans.__name__}."  # a part of it compiles only where vector code does not apply
    assert [name for name in output(COMPILED) if not name.startswith(reference)] == []


def test_later_calls_compile_nothing(result):
    assert output(CALLS) == []


def test_the_result_says_what_was_done_and_where_the_machine_code_lies(result):
    assert result.compiled + result.loaded > 0
    files = [file for folder in result.folders for file in folder.iterdir() if file.suffix in (".nbi", ".nbc")]
    assert result.size == sum(file.stat().st_size for file in files) > 0
    assert f"{result.loaded} were" in repr(result)


def test_a_folder_that_is_not_writable_is_an_error():
    code = "import simplugins; simplugins.precompile()"
    environment = {**os.environ, "NUMBA_CACHE_DIR": "/dev/null/folder"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode != 0
    assert "PermissionError: NUMBA_CACHE_DIR='/dev/null/folder'" in done.stderr
