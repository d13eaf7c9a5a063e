# SPDX-License-Identifier: Apache-2.0
"""Estimates: what an RSM will cost, in time and memory, before it is computed.

Some inputs are compared as the whole run would compare them, on this machine and with the same threads: a few of the
user's own (`sources`), or stand-ins for real ones where there are none yet (`stand_ins`). What these took
(`calibration`) is extrapolated to all pairs (`estimates`); memory follows from what the engine keeps (`memory`).
"""

from simplugins.measures.cost.estimates import Estimate, estimate, estimate_for

__all__ = ["Estimate", "estimate", "estimate_for"]
