# SPDX-License-Identifier: Apache-2.0
"""Detection of a usable GPU."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import pytest

from simplugins._common import gpu


@pytest.fixture(autouse=True)
def _uncached():
    gpu.why_unusable.cache_clear()
    yield
    gpu.why_unusable.cache_clear()


def installed(monkeypatch, fails=None, count=1):
    """Pretend that CuPy is installed, and let one of its calls fail."""

    def call(name, result=None):
        def called(*_, **__):
            if name == fails:
                raise OSError("no such\n  library")
            return result

        return called

    module = SimpleNamespace(get_function=call("RawModule"))
    runtime = SimpleNamespace(getDeviceCount=call("getDeviceCount", count))
    device = SimpleNamespace(get_cublas_handle=call("get_cublas_handle"))
    cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime, device=device), RawModule=lambda **_: module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: cupy)
    monkeypatch.setattr(gpu, "cupy", lambda: cupy)


def test_without_cupy_the_reason_names_the_extra_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert gpu.why_unusable() == f"CuPy is not installed: {gpu.INSTALL}"


@pytest.mark.parametrize("fails", ["getDeviceCount", "get_cublas_handle", "RawModule"])
def test_a_failing_library_is_reported_in_one_line(monkeypatch, fails):
    """Driver, cuBLAS and compiler may each be missing."""
    installed(monkeypatch, fails)
    reason = gpu.why_unusable()
    assert reason.startswith("CuPy cannot use a GPU (no such library); ")
    assert reason.endswith(gpu.INSTALL)


def test_a_usable_gpu_is_detected(monkeypatch):
    installed(monkeypatch)
    assert gpu.why_unusable() is None
    gpu.why_unusable.cache_clear()
    installed(monkeypatch, count=0)
    assert gpu.why_unusable() == "CuPy finds no GPU"
