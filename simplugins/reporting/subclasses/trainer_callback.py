# SPDX-License-Identifier: Apache-2.0
"""A callback for a Trainer of transformers that records a trajectory."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any, Literal

from simplugins._common.optional import import_extra

if TYPE_CHECKING:
    from simplugins.reporting.training_trajectory import Trajectory

_transformers: Any = import_extra("transformers", extra="transformers", purpose="following a Trainer of transformers")

_ROUNDING = 1e-6
"""Of the epoch, which the Trainer counts as a fraction."""


class TrajectoryCallback(_transformers.TrainerCallback):
    """Records the model of a Trainer; `Trajectory.hugging_face` returns one.

    Parameters
    ----------
    trajectory : Trajectory
    unit : {"step", "epoch"}
    """

    def __init__(self, trajectory: Trajectory, unit: Literal["step", "epoch"]) -> None:
        self.trajectory, self.unit = trajectory, unit

    def on_train_begin(self, args: Any, state: Any, control: Any, *, model: Any, **_: Any) -> None:
        """Record the first checkpoint."""
        if state.is_world_process_zero:
            self.trajectory.begin(model, self._done(state))

    def on_step_end(self, args: Any, state: Any, control: Any, *, model: Any, **_: Any) -> None:
        """Record a checkpoint by steps."""
        if self.unit == "step" and state.is_world_process_zero:
            self.trajectory(model, state.global_step)

    def on_epoch_end(self, args: Any, state: Any, control: Any, *, model: Any, **_: Any) -> None:
        """Record a checkpoint by epochs."""
        if self.unit == "epoch" and state.is_world_process_zero:
            self.trajectory(model, self._done(state))

    def on_train_end(self, args: Any, state: Any, control: Any, *, model: Any, **_: Any) -> None:
        """Record the last checkpoint."""
        if state.is_world_process_zero:
            self.trajectory.end(model, self._done(state))

    def _done(self, state: Any) -> int:
        """Return the number of steps or epochs that are complete."""
        return int(state.global_step) if self.unit == "step" else ceil((state.epoch or 0) - _ROUNDING)
