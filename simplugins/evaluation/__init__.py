# SPDX-License-Identifier: Apache-2.0
"""Evaluations of RSMs: are nearest neighbours alike, is what is similar classified alike, what do shifts do.

`retrieval` ranks neighbours (`label_sets` knows which are alike), `outputs` relates RSMs to a network's predictions,
`translation` compares crops of one image. `pictures` draws them.
"""

from simplugins.evaluation.outputs import OutputCorrelation, jensen_shannon, output_correlation
from simplugins.evaluation.pictures import neighbours_figure
from simplugins.evaluation.retrieval import TABLES, Metric, Retrieval, retrieval
from simplugins.evaluation.translation import Translation, translation

__all__ = [
    "TABLES",
    "Metric",
    "OutputCorrelation",
    "Retrieval",
    "Translation",
    "jensen_shannon",
    "neighbours_figure",
    "output_correlation",
    "retrieval",
    "translation",
]
