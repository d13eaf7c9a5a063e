# SPDX-License-Identifier: Apache-2.0
"""Recording: a Torch model to the activations of its layers, in memory or on disk."""

from simplugins.activations.recordings import read_recorded
from simplugins.recording.recorder import record

__all__ = ["read_recorded", "record"]
