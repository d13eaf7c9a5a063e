# SPDX-License-Identifier: Apache-2.0
"""Comparisons of the nearest neighbours of each input in two RSMs.

`neighbour_lists` finds the neighbours; `neighbour_method` has the contract that all these comparisons share;
`shared_neighbours` those that depend on the lists alone; `neighbour_similarities` those that also depend on the
similarities of the neighbours.
"""
