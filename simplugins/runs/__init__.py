# SPDX-License-Identifier: Apache-2.0
"""Long runs: tile by tile in bounded memory, into a store that survives what stops them, here or on a Dask cluster.

What is computed for each pair (`pairing`), with what (`resources`), is cut into tiles (`grid`) that fit in memory
(`memory`); these are computed in this process (`local`) or by others (`cluster`), and collected (`collecting`) in
matrices or in a Zarr store (`stores`, `storing`), which is an RSM once it is complete (`stored_rsm`).
"""
