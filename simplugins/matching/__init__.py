# SPDX-License-Identifier: Apache-2.0
"""Matching: which position of one input goes with which of another.

A matcher reads affinities (inner products of concept vectors) and returns an assignment; it knows nothing of
kernels and RSMs. One file a matcher; `contract` says what a matcher is, `values` adds up what an assignment is
worth and bounds what any could be.
"""
