# SPDX-License-Identifier: Apache-2.0
"""Helpers that all subpackages share. They import nothing from the other subpackages."""
