# SPDX-License-Identifier: Apache-2.0
"""Runs CUDA C++ kernels on the CPU, so that their logic is tested without a GPU."""
