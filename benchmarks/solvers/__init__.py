# SPDX-License-Identifier: Apache-2.0
"""The exact solver against other solvers on many kinds of affinities; `report.py` makes the table."""
