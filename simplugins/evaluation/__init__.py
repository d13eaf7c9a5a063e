# SPDX-License-Identifier: Apache-2.0
"""Evaluations of RSMs: retrieval and exact search, agreement with a network's outputs, translation."""

from simplugins.evaluation.output_correlation import OutputCorrelation, jensen_shannon, output_correlation
from simplugins.evaluation.retrieval import TABLES, Metric, Retrieval, retrieval
from simplugins.evaluation.translation import Translation, translation

__all__ = [
    "TABLES",
    "Metric",
    "OutputCorrelation",
    "Retrieval",
    "Translation",
    "jensen_shannon",
    "output_correlation",
    "retrieval",
    "translation",
]
