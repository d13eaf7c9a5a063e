# SPDX-License-Identifier: Apache-2.0
"""The GPU engine: memory and matrix products by CuPy, matching by the CUDA kernels in the .cu files."""
