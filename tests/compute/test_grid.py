# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simplugins.compute.tiling import Tiling, block_size

counts = st.integers(1, 40)


@given(counts, counts, st.integers(1, 12), st.integers(1, 5), st.booleans())
def test_tiles_hold_each_pair_once(rows, columns, size, panel, symmetric):
    grid = Tiling(rows, rows if symmetric else columns, size, symmetric)
    seen = np.zeros((grid.rows, grid.columns), int)
    tiles = list(grid.tiles(panel))
    for tile in tiles:
        seen[grid.slices(tile)] += 1
    if symmetric:
        assert (seen[np.triu_indices(rows)] == 1).all()
        assert sum(map(grid.pairs, tiles)) == rows * (rows - 1) // 2 == grid.total_pairs
    else:
        assert (seen == 1).all()
        assert sum(map(grid.pairs, tiles)) == grid.total_pairs
    assert len(tiles) == len(set(tiles)) == grid.count


@pytest.mark.parametrize("panel", [1, 2, 3])
def test_who_keeps_a_panel_reads_each_block_of_columns_once_for_it(panel):
    grid = Tiling(70, 50, 10, symmetric=False)
    order = [(tile.row // panel, tile.column) for tile in grid.tiles(panel)]
    changes = [one for one, other in zip(order, [None, *order], strict=False) if one != other]
    assert len(changes) == len(set(changes))


def test_blocks_of_larger_sets_have_fewer_inputs():
    sizes = [block_size(positions) for positions in (1, 49, 196, 784, 3136, 100_000)]
    assert sizes == sorted(sizes, reverse=True)
    assert all(size & (size - 1) == 0 for size in sizes)
