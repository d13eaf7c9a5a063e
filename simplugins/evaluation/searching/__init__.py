# SPDX-License-Identifier: Apache-2.0
"""Exact search for the inputs of a gallery most similar to each query, without matching all pairs.

`neighbours` has `search`; `bounds` says how similar two inputs can be at most, before any of their positions are
compared; `candidates` goes through a query's candidates, the most promising first, until no other can be among the
best.
"""

from simplugins.evaluation.searching.neighbours import Neighbours, search

__all__ = ["Neighbours", "search"]
