# SPDX-License-Identifier: Apache-2.0
"""Emulator that runs CUDA C++ on the CPU, to test its logic without a GPU."""
