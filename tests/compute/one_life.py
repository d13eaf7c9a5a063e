# SPDX-License-Identifier: Apache-2.0
"""A run into a store that logs each tile: ``python one_life.py STORE LOG``, to be killed at any moment."""

from __future__ import annotations

import importlib
import os
import sys

import numpy as np

import simplugins
from simplugins.compute import run
from simplugins.compute.sinks import zarr_store
from simplugins.compute.tiling import Tile
from simplugins.data import load_photos


def compute(store: str, log: int) -> None:
    """Compute an RSM of real activations in 300 tiles."""
    compute_locally, write = run.compute_locally, zarr_store.Store.write

    def compute_and_log(*arguments):
        for tile, result in compute_locally(*arguments):
            os.write(log, f"computed {tile.row} {tile.column}\n".encode())
            yield tile, result

    def write_and_log(self, tile: Tile, result) -> None:
        write(self, tile, result)
        os.write(log, f"stored {tile.row} {tile.column}\n".encode())

    run.compute_locally, zarr_store.Store.write = compute_and_log, write_and_log
    maps = np.concatenate([load_photos()["block10"][:, :, 2:12, 2:12], load_photos()["block10"][:, :, 4:, 4:]])
    simplugins.compute_rsm(maps[:2], certify=True)  # loads compiled code
    importlib.import_module("zarr")
    os.write(log, b"started\n")
    simplugins.compute_rsm(maps, "semantic-rbf", store=store, certify=True, tile_size=2)
    os.write(log, b"finished\n")


if __name__ == "__main__":
    compute(sys.argv[1], os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT))
