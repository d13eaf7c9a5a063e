# SPDX-License-Identifier: Apache-2.0
import gc

import numpy as np
import pytest
from numba.core.errors import TypingError
from numba.extending import overload

from simplugins._common import inner_functions
from simplugins._common.compiled import compiled, compiled_in_place, compiled_inner


@compiled_inner
def quotient(x, y):
    return x // y


@compiled_inner
def fill(values, y):
    for k in range(values.size):
        values[k] = quotient(values[k], y)


@compiled
def run(values, y):
    fill(values, y)
    return values.sum()


@compiled_inner
def halves(values):
    return values[: values.size // 2], values[values.size // 2 :]


@compiled
def sum_of_halves(values):
    left, right = halves(values)
    return left.sum() + right.sum()


@compiled_in_place
def double(values):
    for k in range(values.size):
        values[k] *= 2
    return values


thresholds_while_compiling = []


def watched(value):
    raise NotImplementedError


@overload(watched)
def compile_watched(value):
    """Define nothing: the first call with a value of each type compiles, and fails."""
    thresholds_while_compiling.append(gc.get_threshold())


@compiled
def call_watched(value):
    return watched(value)


def test_functions_that_do_not_count_references_cannot_return_arrays():
    with pytest.raises(TypeError, match="halves"):
        sum_of_halves(np.arange(4))
    with pytest.raises(TypeError, match="double"):
        double(np.arange(4))


def test_compiled_functions_call_inner_ones_of_any_type():
    assert run(np.array([4, 6]), 2) == 5
    assert run(np.array([4.0, 7.0]), 2.0) == 5.0


@pytest.mark.parametrize(
    ("thresholds", "value"), [((700, 10, 10), 1), ((200_000, 10, 10), 1.5), ((0, 10, 10), True)], ids=str
)
def test_compilation_restores_the_thresholds_of_the_garbage_collector(thresholds, value):
    before = gc.get_threshold()
    try:
        gc.set_threshold(*thresholds)
        with pytest.raises(TypingError):
            call_watched(value)
        assert gc.get_threshold() == thresholds
    finally:
        gc.set_threshold(*before)
    assert thresholds_while_compiling[-1][0] == (max(thresholds[0], 100_000) if thresholds[0] else 0)


def test_errors_of_inner_functions_reach_the_caller():
    with pytest.raises(ZeroDivisionError):
        run(np.array([4, 6]), 0)


def test_inner_functions_raise_an_error_if_python_calls_them():
    run(np.array([4, 6]), 2)
    for x in (4, "text"):
        with pytest.raises(TypeError, match="quotient"):
            quotient(x, 2)


@pytest.mark.parametrize("version", [(0, 61, 0), (0, 99, 0)])
def test_other_versions_of_numba_compile_inner_functions_as_usual(monkeypatch, version):
    monkeypatch.setattr(inner_functions.numba, "version_info", version)
    assert set(inner_functions.inner_options()) == {"no_cpython_wrapper", "no_cfunc_wrapper"}
    assert inner_functions.in_place_options() == {}
