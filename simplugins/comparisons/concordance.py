# SPDX-License-Identifier: Apache-2.0
"""Counting concordant and discordant pairs, in O(n log n)."""

from __future__ import annotations

import numpy as np

from simplugins._common.compiled import compiled


@compiled
def concordance(x, y):  # type: ignore[no-untyped-def]
    """Return how many pairs of entries are ordered alike in x and y, minus how many otherwise; ties count as neither.

    A Fenwick tree (1994) holds how many of the entries before have which y, so each entry finds with two sums of
    O(log n) terms how many are below it, and how many above. Entries with equal x are looked up before any is added.

    Parameters
    ----------
    x : (n,) int64 array, ascending
    y : (n,) int64 array
        Dense ranks from 0.

    Returns
    -------
    int
    """
    tree = np.zeros(y.max() + 2, np.int64)
    balance = 0
    start = 0
    while start < x.size:
        stop = start
        while stop < x.size and x[stop] == x[start]:
            balance += _below(tree, y[stop]) - (start - _below(tree, y[stop] + 1))
            stop += 1
        for k in range(start, stop):
            _add(tree, y[k])
        start = stop
    return balance


@compiled
def _below(tree, rank):  # type: ignore[no-untyped-def]
    """Return how many entries added have a lower rank."""
    total = 0
    while rank > 0:
        total += tree[rank]
        rank &= rank - 1
    return total


@compiled
def _add(tree, rank):  # type: ignore[no-untyped-def]
    node = rank + 1
    while node < tree.size:
        tree[node] += 1
        node += node & -node
