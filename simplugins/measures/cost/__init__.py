# SPDX-License-Identifier: Apache-2.0
"""Cost estimates: the time and memory of an RSM before it is computed.

Some inputs are compared as the whole call would compare them, on this machine with the same threads: a few of the given
activations (`samples`), or synthetic ones of the same size (`synthetic`). Their times (`calibration`) are extrapolated
to all pairs (`estimates`); memory follows from `simplugins.compute.memory`.
"""
