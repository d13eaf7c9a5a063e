# SPDX-License-Identifier: Apache-2.0
"""Computations: a job is cut into tiles; an executor runs an engine on each tile, and a sink collects the results."""
