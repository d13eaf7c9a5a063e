# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys

import pytest

import simplugins


def check(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_imports_nothing_heavy():
    check(
        "import sys, simplugins\n"
        "heavy = {'numpy', 'numba', 'scipy', 'torch', 'matplotlib', 'cupy'} & set(sys.modules)\nassert not heavy, heavy"
    )


def test_computing_on_numpy_arrays_needs_neither_torch_nor_matplotlib():
    check(
        "import sys, numpy, simplugins\n"
        "simplugins.compute_rsm(numpy.eye(3))\nsimplugins.match(numpy.eye(3), numpy.eye(3))\n"
        "heavy = {'torch', 'matplotlib', 'cupy', 'tqdm'} & set(sys.modules)\nassert not heavy, heavy"
    )


def test_every_public_name_is_there():
    for name in simplugins.__all__:
        assert getattr(simplugins, name) is not None
        assert name in dir(simplugins)
    with pytest.raises(AttributeError, match="module 'simplugins' has no attribute 'compute_rms'"):
        simplugins.compute_rms  # noqa: B018


def test_a_missing_extra_says_what_to_install():
    from simplugins._common.optional import import_extra

    with pytest.raises(ImportError, match=r"reading .x files needs no_such_module.*pip install 'simplugins\[x\]'"):
        import_extra("no_such_module", extra="x", purpose="reading .x files")
