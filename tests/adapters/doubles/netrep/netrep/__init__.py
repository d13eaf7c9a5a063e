# SPDX-License-Identifier: Apache-2.0
"""A double of netrep (github.com/ahwillia/netrep): what our adapter meets of it, written anew from its interface."""
