# SPDX-License-Identifier: Apache-2.0
"""Doubles of tools that are not on PyPI; a package, so that pytest does not add this folder to the import path."""
