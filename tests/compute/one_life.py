# SPDX-License-Identifier: Apache-2.0
"""A run into a store that says what it does: ``python one_life.py STORE LOG``, to be killed at any moment."""

from __future__ import annotations

import os
import sys

import numpy as np

import simplugins
from simplugins.compute import run as collecting
from simplugins.compute.executors import local
from simplugins.compute.sinks import zarr_store as stores
from simplugins.compute.tiling import Tile
from simplugins.data import load_photos


def run(store: str, log: int) -> None:
    """Compute an RSM of real activations, small tiles at a time."""
    in_here, write = local.compute_here, stores.Store.write

    def compute_and_tell(*arguments):
        for tile, found in in_here(*arguments):
            os.write(log, f"computed {tile.row} {tile.column}\n".encode())
            yield tile, found

    def write_and_tell(self, tile: Tile, found) -> None:
        write(self, tile, found)
        os.write(log, f"stored {tile.row} {tile.column}\n".encode())

    collecting.block_size = lambda positions: 3
    collecting.compute_here, stores.Store.write = compute_and_tell, write_and_tell
    maps = np.concatenate([load_photos()["block10"][:, :, 2:12, 2:12], load_photos()["block10"][:, :, 4:, 4:]])
    simplugins.compute_rsm(maps[:2], certify=True)  # loads what is compiled
    stores.is_store(store)  # and Zarr
    os.write(log, b"started\n")
    simplugins.compute_rsm(maps, "semantic-rbf", store=store, certify=True)
    os.write(log, b"finished\n")


if __name__ == "__main__":
    run(sys.argv[1], os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT))
