# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

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


def test_functions_that_do_not_count_references_cannot_return_arrays():
    with pytest.raises(TypeError, match="halves"):
        sum_of_halves(np.arange(4))
    with pytest.raises(TypeError, match="double"):
        double(np.arange(4))


def test_compiled_functions_call_inner_ones_of_any_type():
    assert run(np.array([4, 6]), 2) == 5
    assert run(np.array([4.0, 7.0]), 2.0) == 5.0


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
