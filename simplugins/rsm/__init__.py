# SPDX-License-Identifier: Apache-2.0
"""RSMs: their values, kernels, algebra and files."""
