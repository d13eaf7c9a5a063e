# SPDX-License-Identifier: Apache-2.0
"""Measures: activations to RSMs."""
