# SPDX-License-Identifier: Apache-2.0
"""The checkpoints of a training, compared with the first, the last, the previous, or each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from simplugins._common.formatting import counted
from simplugins.comparisons.comparing import AnyMethod
from simplugins.comparisons.comparison_stacks import stack
from simplugins.comparisons.layer_comparison import Comparison
from simplugins.comparisons.layers import compare_layers
from simplugins.reporting.checkpoint_stores import CheckpointStore
from simplugins.rsm.rsm import RSM

Reference = int | Literal["first", "last", "previous"]


class Checkpoints:
    """RSMs of the layers of a model at checkpoints of its training.

    Parameters
    ----------
    store : CheckpointStore
    """

    def __init__(self, store: CheckpointStore) -> None:
        self._store = store

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps of the checkpoints, in order."""
        return tuple(self._store.steps())

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers; none before the first checkpoint."""
        return tuple(self._store.layers())

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        steps, layers = self.steps, self.layers
        if not steps or not layers:
            return "Trajectory: no checkpoints"
        measure = self._store.get(steps[0], layers[0]).measure
        checkpoints = f"{counted(len(steps), 'checkpoint')} ({steps[0]} to {steps[-1]})"
        return f"Trajectory {measure}: {checkpoints}, {counted(len(layers), 'layer')}"

    def rsms(self, step: int) -> dict[str, RSM]:
        """Return the RSMs of a checkpoint by layer.

        Raises
        ------
        ValueError
            If there is no such checkpoint.
        """
        self._check_step("step", step)
        return {layer: self._store.get(step, layer) for layer in self.layers}

    def compare_with(
        self,
        reference: Reference = "first",
        method: AnyMethod = "cka-debiased",
        *,
        method_options: Mapping[str, Any] | None = None,
        intervals: bool = False,
        resamples: int = 200,
        confidence: float = 0.95,
        groups: Any = None,
        seed: int = 0,
    ) -> Comparison:
        """Compare each checkpoint with one of them, layer by layer.

        Parameters
        ----------
        reference : int, "first", "last" or "previous", default "first"
            A step, the first or last one, or the one before each (which leaves out the first).
        method, method_options
            As for `compare`.
        intervals, resamples, confidence, groups, seed
            As for `compare_layers`.

        Returns
        -------
        Comparison
            Rows are steps, columns layers; ``.trend()`` draws it.

        Raises
        ------
        ValueError
            If there is no such checkpoint, or none before; or as `compare_layers`.
        """
        options: dict[str, Any] = {"method_options": method_options, "intervals": intervals, "resamples": resamples}
        options |= {"confidence": confidence, "groups": groups, "seed": seed}
        rows = self._pairs(reference)

        def column(layer: str) -> Comparison:
            references = {other: self._store.get(other, layer) for other in {other for _, other in rows}}
            tables = [
                compare_layers({str(step): self._store.get(step, layer)}, {layer: references[other]}, method, **options)
                for step, other in rows
            ]
            return stack(tables, "rows")

        return stack([column(layer) for layer in self.layers], "columns")

    def compare_steps(
        self,
        layer: str,
        method: AnyMethod = "cka-debiased",
        *,
        method_options: Mapping[str, Any] | None = None,
        intervals: bool = False,
        resamples: int = 200,
        confidence: float = 0.95,
        groups: Any = None,
        seed: int = 0,
    ) -> Comparison:
        """Compare all checkpoints with each other in one layer.

        Parameters
        ----------
        layer : str
        method, method_options, intervals, resamples, confidence, groups, seed
            As for `compare_with`.

        Returns
        -------
        Comparison
            Rows and columns are steps; ``.plot()`` draws it.

        Raises
        ------
        ValueError
            If there is no such layer, or no checkpoint; or as `compare_layers`.
        """
        if layer not in self.layers:
            raise ValueError(
                f"layer: expected one of {', '.join(self.layers) or '(no checkpoints yet)'}, got {layer!r}"
            )
        return compare_layers(
            {str(step): self._store.get(step, layer) for step in self.steps},
            method=method,
            method_options=method_options,
            intervals=intervals,
            resamples=resamples,
            confidence=confidence,
            groups=groups,
            seed=seed,
        )

    def _pairs(self, reference: Reference) -> list[tuple[int, int]]:
        """Return each step with the one that it is compared with."""
        steps = self.steps
        if not steps or (reference == "previous" and len(steps) < 2):
            raise ValueError(f"expected checkpoints to compare, got {len(steps)}")
        if reference == "previous":
            return list(zip(steps[1:], steps[:-1], strict=True))
        if reference in ("first", "last"):
            reference = steps[0] if reference == "first" else steps[-1]
        self._check_step("reference", reference)
        return [(step, int(reference)) for step in steps]

    def _check_step(self, parameter: str, step: Any) -> None:
        if step not in self.steps:
            known = ", ".join(map(str, self.steps)) or "none yet"
            raise ValueError(f"{parameter}: expected the step of a checkpoint ({known}), got {step!r}")
