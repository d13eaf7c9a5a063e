# SPDX-License-Identifier: Apache-2.0
"""Executors: where tiles are computed."""
