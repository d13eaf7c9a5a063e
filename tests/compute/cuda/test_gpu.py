# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import pytest

from simplugins._common import gpu


@pytest.fixture(autouse=True)
def _asked_anew():
    gpu.why_unusable.cache_clear()
    yield
    gpu.why_unusable.cache_clear()


def installed(monkeypatch, fails=None, count=1):
    """Have CuPy installed, and one of its calls fail."""

    def call(name, found=None):
        def called(*_, **__):
            if name == fails:
                raise OSError("no such\n  library")
            return found

        return called

    module = SimpleNamespace(get_function=call("RawModule"))
    runtime = SimpleNamespace(getDeviceCount=call("getDeviceCount", count))
    device = SimpleNamespace(get_cublas_handle=call("get_cublas_handle"))
    cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime, device=device), RawModule=lambda **_: module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: cupy)
    monkeypatch.setattr(gpu, "cupy", lambda: cupy)


def test_without_cupy_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert gpu.why_unusable() == f"CuPy is not installed: {gpu.INSTALL}"


@pytest.mark.parametrize("fails", ["getDeviceCount", "get_cublas_handle", "RawModule"])
def test_what_fails_is_told_in_one_line(monkeypatch, fails):
    """Of a driver, of cuBLAS, or of the compiler: each comes by itself with some installations."""
    installed(monkeypatch, fails)
    reason = gpu.why_unusable()
    assert reason.startswith("CuPy cannot use a GPU (no such library); ")
    assert reason.endswith(gpu.INSTALL)


def test_a_gpu_that_can_be_used(monkeypatch):
    installed(monkeypatch)
    assert gpu.why_unusable() is None
    gpu.why_unusable.cache_clear()
    installed(monkeypatch, count=0)
    assert gpu.why_unusable() == "CuPy finds no GPU"
