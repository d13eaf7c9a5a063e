# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from simplugins.rsm.medians import lower_median

numbers = st.floats(0, 1e308) | st.sampled_from([0.0, 5e-324, 1.0, 1.0 + 2**-52, 2.0])


@given(hnp.arrays(np.float64, st.integers(1, 60), elements=numbers), st.integers(0, 40), st.integers(1, 5))
def test_the_lower_median_of_positive_numbers(values, capacity, parts):
    positive = np.sort(values[values > 0])
    expected = positive[(len(positive) - 1) // 2] if len(positive) else 0.0
    assert lower_median(lambda: np.array_split(values, parts), capacity=capacity) == expected


@pytest.mark.parametrize("capacity", [0, 10, 10**6])
def test_more_numbers_than_fit_in_memory(capacity):
    values = np.random.default_rng(0).gamma(2.0, size=(301, 501))
    assert lower_median(lambda: iter(values), capacity=capacity) == np.sort(values.ravel())[(values.size - 1) // 2]
