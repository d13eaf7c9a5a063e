# SPDX-License-Identifier: Apache-2.0
"""Activations as sets of concept vectors, from arrays of any library, files and recordings."""
