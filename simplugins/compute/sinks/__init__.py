# SPDX-License-Identifier: Apache-2.0
"""Sinks: where finished tiles go."""
