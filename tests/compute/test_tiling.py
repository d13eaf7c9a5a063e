# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simplugins.compute.tiling import Tiling, block_size

counts = st.integers(1, 40)


@given(counts, counts, st.integers(1, 12), st.integers(1, 5), st.booleans())
def test_tiles_cover_each_pair_once(rows, columns, size, panel, symmetric):
    tiling = Tiling(rows, rows if symmetric else columns, size, symmetric)
    counts_of_pairs = np.zeros((tiling.rows, tiling.columns), int)
    tiles = list(tiling.tiles(panel))
    for tile in tiles:
        counts_of_pairs[tiling.slices(tile)] += 1
    if symmetric:
        assert (counts_of_pairs[np.triu_indices(rows)] == 1).all()
        assert sum(map(tiling.pairs, tiles)) == rows * (rows - 1) // 2 == tiling.total_pairs
    else:
        assert (counts_of_pairs == 1).all()
        assert sum(map(tiling.pairs, tiles)) == tiling.total_pairs
    assert len(tiles) == len(set(tiles)) == tiling.count


@pytest.mark.parametrize("panel", [1, 2, 3])
def test_each_block_of_columns_is_read_once_per_panel(panel):
    tiling = Tiling(70, 50, 10, symmetric=False)
    order = [(tile.row // panel, tile.column) for tile in tiling.tiles(panel)]
    changes = [block for block, last in zip(order, [None, *order], strict=False) if block != last]
    assert len(changes) == len(set(changes))


def test_blocks_of_larger_sets_have_fewer_inputs():
    sizes = [block_size(positions) for positions in (1, 49, 196, 784, 3136, 100_000)]
    assert sizes == sorted(sizes, reverse=True)
    assert all(size & (size - 1) == 0 for size in sizes)
