# SPDX-License-Identifier: Apache-2.0
"""Interactive pages of RSMs: `exploring.explore` collects the data, `assets` has the page that shows them."""
