# SPDX-License-Identifier: Apache-2.0
"""Activations: arrays of any library, files and recordings, as sets of concept vectors."""
