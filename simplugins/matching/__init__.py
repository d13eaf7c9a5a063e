# SPDX-License-Identifier: Apache-2.0
"""Matching: which position of one input goes with which of another.

A matcher reads affinities (inner products of concept vectors) and returns an assignment; it knows nothing of
kernels and RSMs. One file a matcher; `contract` says what a matcher is, `options` finds and creates one by name, and
`certificates` proves how good an assignment is. Below them: `solver` solves batches of `problems`, `search` is its
kernel (on the vector code of `scans`), `taking` that of greedy matching, `windows` cuts sets into windows, and `values`
adds up what assignments are worth.
"""
