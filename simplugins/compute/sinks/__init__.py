# SPDX-License-Identifier: Apache-2.0
"""Sinks, which collect finished tiles in memory or in a store."""
