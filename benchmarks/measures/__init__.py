# SPDX-License-Identifier: Apache-2.0
"""A benchmark of measures: which of them tell apart networks with known relations."""
