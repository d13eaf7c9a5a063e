# SPDX-License-Identifier: Apache-2.0
"""Adapters of simplugins, one module per tool. Each defines an `adapter` and the conversions that it consists of.

They import their tool when a conversion is called, and use only the public names of simplugins. The README.md of the
folder explains how to write one.
"""
