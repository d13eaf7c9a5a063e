# SPDX-License-Identifier: Apache-2.0
"""The GPU engine: CuPy for memory and matrix products, our own CUDA kernels (the .cu files) for matching."""
