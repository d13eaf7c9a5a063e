# SPDX-License-Identifier: Apache-2.0
"""Matchings: which position of one input corresponds to which position of another.

A matcher turns affinities (inner products of concept vectors, the negative costs of a linear assignment problem) into
an assignment. It knows nothing of kernels and RSMs. `matcher` has the contract, `options` resolves matchers by name,
and `certificates` bounds the optimality gap of an assignment. There is one module per matcher: `optimal`, `auction`,
`batch_optimal`, `greedy`, `topk_greedy` and `identity`.

Below them, `solver` solves batches of `assignment_problems` by the compiled `linear_assignment` with its stages
(`integer_costs`, `starting_prices`, `forward_auction`, `augmenting_paths`) on the argmin scans of `vector_scans`, whose
plain twins are in `scalar_scans`. `greedy_assignment` is the compiled greedy matching, `norm_windows` cuts sets into
windows, and `objective` evaluates assignments.
"""
