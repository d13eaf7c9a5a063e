# SPDX-License-Identifier: Apache-2.0
"""Helpers shared by all packages; they import none of these."""
