# SPDX-License-Identifier: Apache-2.0
"""Classes that derive from classes of the tools: one module a tool, which imports the tool."""
