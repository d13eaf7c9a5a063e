"""The checks of simplugins on each plugin, by the name that users write."""

import pytest

from simplugins import testing


@pytest.mark.parametrize(
    ("name", "options"), [("pooled-cosine", {}), ("polynomial", {}), ("polynomial", {"degree": 3})]
)
def test_measures(name, options):
    testing.check_measure(name, options)


def test_matchings():
    testing.check_matcher("in-order-of-norm")


def test_comparisons():
    testing.check_comparison("mean-absolute-difference")


def test_adapters():
    testing.check_adapter("nested-lists")
