"""The checks of simplugins on each plugin, by the name that users write."""

import numpy as np
import pytest
from simplugins_adapters.neutral_measures import read_measures

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


def test_similarities():
    testing.check_similarity("pooled-cosine-cka-debiased")


def test_measures_of_the_neutral_group():
    assert read_measures()["my-plugins/mean-distance"](np.eye(4), np.eye(4)) == 0
