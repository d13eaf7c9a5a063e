# SPDX-License-Identifier: Apache-2.0
"""A Lightning callback that records a trajectory."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal

from simplugins._common.optional import import_extra

if TYPE_CHECKING:
    from simplugins.reporting.training_trajectory import Trajectory

_ONLY_OLD = "pytorch_lightning" in sys.modules and "lightning" not in sys.modules
_pytorch: Any = import_extra(
    "pytorch_lightning" if _ONLY_OLD else "lightning.pytorch",
    extra="lightning",
    purpose="following a Lightning trainer",
)


class TrajectoryCallback(_pytorch.Callback):
    """Records the module of a trainer; `Trajectory.lightning` returns one.

    Parameters
    ----------
    trajectory : Trajectory
    unit : {"step", "epoch"}
    """

    def __init__(self, trajectory: Trajectory, unit: Literal["step", "epoch"]) -> None:
        self.trajectory, self.unit = trajectory, unit

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Record the first checkpoint."""
        if trainer.is_global_zero:
            self.trajectory.begin(pl_module, self._done(trainer))

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        """Record a checkpoint by steps; with accumulated gradients, several batches are one step."""
        step = trainer.global_step
        if self.unit == "step" and trainer.is_global_zero and step not in self.trajectory.steps:
            self.trajectory(pl_module, step)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Record a checkpoint by epochs."""
        if self.unit == "epoch" and trainer.is_global_zero:
            self.trajectory(pl_module, trainer.current_epoch + 1)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Record the last checkpoint."""
        if trainer.is_global_zero:
            self.trajectory.end(pl_module, self._done(trainer))

    def _done(self, trainer: Any) -> int:
        """Return the number of steps or epochs that are complete."""
        return int(trainer.global_step if self.unit == "step" else trainer.current_epoch)
