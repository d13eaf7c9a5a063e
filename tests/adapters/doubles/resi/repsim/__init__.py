# SPDX-License-Identifier: Apache-2.0
"""A double of ReSi: its base class of measures, their registry, and the calls of its benchmark."""
