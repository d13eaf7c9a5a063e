# SPDX-License-Identifier: Apache-2.0
"""Matchings: which position of one input corresponds to which position of another.

A matcher turns affinities (inner products of concept vectors, the negative costs of a linear assignment problem) into
an assignment, independently of kernels and RSMs. `matcher` defines the contract, `matcher_options` creates matchers by
name, and `certificates` bounds the optimality gap of an assignment. There is one module per matcher: `optimal`,
`partial`, `auction`, `batch_optimal`, `greedy`, `topk_greedy` and `identity`.

At a lower level, `solver` solves batches of `assignment_problems` with the compiled `linear_assignment` and its stages
(`integer_costs`, `starting_prices`, `forward_auction`, `augmenting_paths`). These use the argmin scans of
`vector_scans`; `scalar_scans` is the reference implementation in plain Numba. `partial_solver` solves partial problems
with the compiled `partial_assignment` and its stages (`pair_auction`, `partial_paths`); `partial_bounds` bounds them.
`greedy_assignment` is the compiled
greedy matching, `norm_windows` cuts sets into windows, and `objective` evaluates assignments.
"""
