# SPDX-License-Identifier: Apache-2.0
"""The evaluations of the paper, on pretrained networks and photographs from PyPI. `report.py` runs them."""
