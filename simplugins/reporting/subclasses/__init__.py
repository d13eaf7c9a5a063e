# SPDX-License-Identifier: Apache-2.0
"""Callbacks that derive from classes of Lightning and transformers, which they import."""
