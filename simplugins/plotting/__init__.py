# SPDX-License-Identifier: Apache-2.0
"""Plots of RSMs, comparisons and evaluations."""
