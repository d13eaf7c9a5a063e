# SPDX-License-Identifier: Apache-2.0
"""Classes that derive from classes of other tools: one module per tool, which imports the tool."""
