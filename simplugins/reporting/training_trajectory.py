# SPDX-License-Identifier: Apache-2.0
"""`Trajectory`: the RSMs of a model's layers at checkpoints of its training, and how they compare."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from operator import index
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from simplugins._common.texts import listed
from simplugins._common.validation import check_count
from simplugins.comparisons.rsm_options import RsmOptions
from simplugins.reporting.checkpoint_comparisons import Checkpoints
from simplugins.reporting.checkpoint_stores import FolderStore, MemoryStore
from simplugins.reporting.request_digests import describe
from simplugins.reporting.undisturbed import undisturbed
from simplugins.rsm.rsm import RSM

if TYPE_CHECKING:
    from torch.nn import Module

    from simplugins.activations.preparation import Center, Normalize
    from simplugins.matching.matcher import Matcher

_RECORDING = ("layout", "mask", "drop_tokens", "labels", "input_key", "batch_size", "device")


class Trajectory(Checkpoints):
    """The RSMs of a model's layers at checkpoints of its training, for the same inputs each time.

    Call it in the training loop, or pass `lightning` or `hugging_face` to a trainer. At each checkpoint, the layers are
    recorded (see `record`), their RSMs computed, and the activations dropped. The training does not notice: modes,
    random generators, buffers and gradients are afterwards as they were, so that weights are the same to the last bit
    as without the trajectory.

    Parameters
    ----------
    inputs : tensor, array, mapping of these, or list of batches
        The inputs of all checkpoints; see `record`. Memory and time grow with the square of their number: 64 to 256 are
        usual. A DataLoader is an error, because its inputs could differ from checkpoint to checkpoint: pass
        ``list(loader)``.
    layers : str or sequence of str, optional
        As for `record`.
    every : int or collection of int, default 1
        Checkpoints: every nth step (or epoch), or these.
    part : str, optional
        Name of the part of the model that takes the inputs, such as ``"model"`` or ``"encoder"``; by default the whole
        model. Layers are named in it.
    folder : path, optional
        A folder for the RSMs, new or from the same trajectory, which then continues. By default RSMs are kept in
        memory, 8 N² bytes per layer and checkpoint.
    measure : str or measure, default "semantic-cosine"
        As for `compute_rsm`.
    layout, mask, drop_tokens, labels, input_key, batch_size, device
        As for `record`.
    center, normalize, matching, matching_options, engine, threads
        As for `compute_rsm`.

    Raises
    ------
    TypeError
        If the inputs are none of these.
    ValueError
        If the folder holds a trajectory of other inputs or options; the error says which. Or as `compute_rsm`.

    Notes
    -----
    A model in `torch.compile`, `DataParallel` or `DistributedDataParallel` is run without them, so one process may
    record alone. It cannot record weights that are sharded (FSDP, ZeRO-3).

    Examples
    --------
    >>> import torch
    >>> import simplugins
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> trajectory = simplugins.Trajectory(torch.rand(12, 3, 8, 8), ["0", "1"], every=2)
    >>> for step in range(5):
    ...     trajectory(model, step)
    ...     optimizer.zero_grad()
    ...     model(torch.rand(4, 3, 8, 8)).square().mean().backward()
    ...     optimizer.step()
    >>> trajectory
    Trajectory semantic-cosine: 3 checkpoints (0 to 4), 2 layers
    >>> drift = trajectory.compare_with("first")
    >>> drift.rows, drift.columns
    (('0', '2', '4'), ('0', '1'))
    """

    def __init__(
        self,
        inputs: Any,
        layers: str | Sequence[str] | None = None,
        *,
        every: int | Collection[int] = 1,
        part: str | None = None,
        folder: str | os.PathLike[str] | None = None,
        measure: Any = "semantic-cosine",
        layout: str | Mapping[str, str] = "auto",
        mask: Any = None,
        drop_tokens: int | Sequence[int] | Literal["special"] = 0,
        labels: Any = None,
        input_key: str | int | None = None,
        batch_size: int = 32,
        device: Any = None,
        center: Center | None = None,
        normalize: Normalize | None = None,
        matching: str | Matcher | None = None,
        matching_options: Mapping[str, Any] | None = None,
        engine: str = "auto",
        threads: int | None = None,
    ) -> None:
        arguments = dict(locals())
        _check_inputs(inputs)
        self.every = _checked_every(every)
        self._inputs, self._layers, self._part = inputs, layers, part
        self._recording = {name: arguments[name] for name in _RECORDING}
        self._options = RsmOptions(
            measure=measure,
            center=center,
            normalize=normalize,
            matching=matching,
            matching_options=matching_options,
            engine=engine,
            threads=threads,
        )
        self._options.resolved()
        deciding = {**self._recording, **{name: arguments[name] for name in _DECIDING}}
        request = {name: describe(value) for name, value in deciding.items() if name not in ("batch_size", "device")}
        super().__init__(MemoryStore() if folder is None else FolderStore(Path(folder), request))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Trajectory:
        """Open the folder of a trajectory, to compare its checkpoints; it records no further ones.

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        """
        result = cls.__new__(cls)
        result._store = FolderStore(Path(folder))
        result._inputs, result.every = None, 1
        return result

    def is_due(self, step: int) -> bool:
        """Return whether a step is a checkpoint by `every`."""
        return step % self.every == 0 if isinstance(self.every, int) else step in self.every

    def __call__(self, model: Module, step: int) -> None:
        """Record a checkpoint if the step is one by `every`; see `record`."""
        if self.is_due(step := _checked_step(step)):
            self.record(model, step)

    def record(self, model: Module, step: int) -> None:
        """Record a checkpoint, in place of an earlier one of the same step.

        Parameters
        ----------
        model : torch.nn.Module
        step : int
            A number of the step or epoch, not negative.

        Raises
        ------
        TypeError, ValueError
            As `simplugins.record` and `compute_rsm`; or if the layers are not those of the first checkpoint.
        """
        step = _checked_step(step)
        if self._inputs is None:
            raise ValueError("the trajectory was opened to compare its checkpoints: record with Trajectory(inputs, …)")
        model = _unwrapped(model)
        part = model if self._part is None else _part(model, self._part)
        with undisturbed(model):
            rsms = self._rsms(part)
        layers = self.layers
        if layers and layers != tuple(rsms):
            raise ValueError(f"step {step}: expected the layers {', '.join(layers)}, got {', '.join(rsms)}")
        self._store.put(step, rsms)

    def _rsms(self, model: Module) -> dict[str, RSM]:
        from simplugins.recording.recorder import record

        if isinstance(self._store, MemoryStore):
            return self._computed(record(model, self._inputs, self._layers, **self._recording))
        with TemporaryDirectory(prefix="simplugins-") as folder:
            to = Path(folder) / "layers"
            return self._computed(record(model, self._inputs, self._layers, to=to, **self._recording))

    def _computed(self, activations: Mapping[str, Any]) -> dict[str, RSM]:
        return {name: self._options.compute(self._options.read(layer)) for name, layer in activations.items()}

    def begin(self, model: Module, step: int) -> None:
        """Record the first checkpoint of a training, or of one that continues after `step`.

        Checkpoints of later steps come from a run that went on and is being repeated; they are removed.

        Raises
        ------
        ValueError
            If the training begins anew and there are checkpoints; or as `record`.
        """
        if step == 0 and self.steps:
            raise ValueError(
                f"the trajectory has checkpoints up to step {self.steps[-1]}, but the training begins at step 0: "
                f"choose another folder, or remove this one"
            )
        for later in [each for each in self.steps if each > step]:
            self._store.discard(later)
        self.record(model, step)

    def end(self, model: Module, step: int) -> None:
        """Record the last checkpoint of a training, unless there is one of its step."""
        if step not in self.steps:
            self.record(model, step)

    def lightning(self, unit: Literal["step", "epoch"] = "epoch") -> Any:
        """Return a callback for a Lightning trainer, which records by the trainer's global steps or by epochs.

        The first and the last state of the model are checkpoints too.
        """
        _check_unit(unit)
        from simplugins.reporting.subclasses.lightning_callback import TrajectoryCallback

        return TrajectoryCallback(self, unit)

    def hugging_face(self, unit: Literal["step", "epoch"] = "epoch") -> Any:
        """Return a callback for a Trainer of transformers, which records by its global steps or by epochs.

        The first and the last state of the model are checkpoints too.
        """
        _check_unit(unit)
        from simplugins.reporting.subclasses.trainer_callback import TrajectoryCallback

        return TrajectoryCallback(self, unit)


_DECIDING = ("inputs", "layers", "part", "measure", "center", "normalize", "matching", "matching_options")


def _checked_every(every: Any) -> int | frozenset[int]:
    if isinstance(every, int | np.integer):
        check_count("every", every)
        return int(every)
    steps = list(every) if isinstance(every, Collection) and not isinstance(every, str) else [every]
    if not all(isinstance(step, int | np.integer) and not isinstance(step, bool) for step in steps):
        raise TypeError(f"every: expected a whole number, or a collection of steps, got {every!r}")
    return frozenset(map(int, steps))


def _checked_step(step: Any) -> int:
    try:
        number = -1 if isinstance(step, bool) else index(step)
    except TypeError:
        number = -1
    if number < 0:
        raise ValueError(f"step: expected a whole number that is not negative, got {step!r}")
    return number


_WRAPPERS = {"DataParallel": "module", "DistributedDataParallel": "module", "OptimizedModule": "_orig_mod"}


def _unwrapped(model: Module) -> Module:
    """Return the model that others run in parallel or compile; one process alone cannot run the former."""
    while (name := _WRAPPERS.get(type(model).__name__)) is not None and hasattr(model, name):
        model = getattr(model, name)
    return model


def _part(model: Module, name: str) -> Module:
    try:
        return model.get_submodule(name)
    except AttributeError:
        names = listed([each for each, _ in model.named_children()])
        raise ValueError(f"part: the model has no part {name!r}; its parts are {names}") from None


def _check_unit(unit: str) -> None:
    if unit not in ("step", "epoch"):
        raise ValueError(f"unit: expected 'step' or 'epoch', got {unit!r}")


def _check_inputs(inputs: Any) -> None:
    """Check that inputs are the same whenever they are read."""
    if isinstance(inputs, Mapping | list | tuple) or (hasattr(inputs, "shape") and hasattr(inputs, "dtype")):
        return
    raise TypeError(
        f"inputs: expected a tensor, an array, a mapping of these or a list of batches, which are the same at every "
        f"checkpoint, got {type(inputs).__name__}: for a DataLoader, pass list(loader)"
    )
