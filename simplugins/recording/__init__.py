# SPDX-License-Identifier: Apache-2.0
"""Recording the activations of a Torch model by the names of its layers, in memory or on disk.

`recorder` runs the model and listens to its layers. `layers` finds these by name, `batches` makes batches of whatever
the inputs come in, `outputs` finds the activations in whatever a layer returns, `collector` checks and stores them, and
`folders` writes and reads recordings on disk; to read one needs no Torch.
"""

from simplugins.recording.folders import read_recorded
from simplugins.recording.recorder import record

__all__ = ["read_recorded", "record"]
