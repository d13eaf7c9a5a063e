# SPDX-License-Identifier: Apache-2.0
"""A double of netrep (github.com/ahwillia/netrep): the part of its interface that our adapter uses."""
