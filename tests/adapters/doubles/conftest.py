# SPDX-License-Identifier: Apache-2.0
"""Doubles are imported by tests, in place of tools, and hold none."""

collect_ignore_glob = ["*"]
