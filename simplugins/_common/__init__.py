# SPDX-License-Identifier: Apache-2.0
"""Helpers shared by all packages, which import none of them."""
