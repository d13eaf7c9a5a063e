# SPDX-License-Identifier: Apache-2.0
"""A double of ReSi: what its measures are, where they are registered, and what its benchmark asks of them."""
