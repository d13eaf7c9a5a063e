# SPDX-License-Identifier: Apache-2.0
"""Executors, which compute tiles in this process or on a cluster."""
