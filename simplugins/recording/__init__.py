# SPDX-License-Identifier: Apache-2.0
"""Recording of the activations of a Torch model's layers, in memory or on disk."""

from simplugins.activations.recordings import read_recorded
from simplugins.recording.recorder import record
from simplugins.recording.untrained_copy import untrained

__all__ = ["read_recorded", "record", "untrained"]
