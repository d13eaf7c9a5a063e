# SPDX-License-Identifier: Apache-2.0
"""Adapters of simplugins: one file a tool. Each holds an `adapter`, and the functions that it is made of.

They import their tools when they are used, and of simplugins only its public names; `shared` has what several of them
need. The folder's README.md says how to write one.
"""
