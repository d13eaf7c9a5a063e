# SPDX-License-Identifier: Apache-2.0
"""Exact search for the most similar inputs of a gallery, without matching all pairs.

`neighbours` has `search`; `neighbour_comparison` compares the results of two networks; `bounds` computes upper bounds
on the similarity of two inputs; `candidates` examines the candidates of a query, the most promising first, until no
other can be among the best.
"""
