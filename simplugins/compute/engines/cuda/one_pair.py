# SPDX-License-Identifier: Apache-2.0
"""Matching one pair of inputs on a GPU, with the permutation and a proof."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.blocks import Block
from simplugins.compute.engines.cuda import launcher
from simplugins.compute.engines.cuda.device import Device, DeviceMemoryError
from simplugins.compute.engines.cuda.launcher import Batch
from simplugins.compute.engines.cuda.operands import operand
from simplugins.compute.engines.cuda.tasks import Task, check_matcher, make_pairs, make_tasks
from simplugins.compute.job import relative_gap
from simplugins.matching.certificates import Certified
from simplugins.matching.matcher import Matcher


def match_and_certify(
    x: Block, y: Block, matcher: Matcher, *, device: Device
) -> tuple[Certified, NDArray[np.floating]]:
    """Match one input with another, and bound the optimum.

    Prices are float64, so the bound is as tight as rounding allows.

    Parameters
    ----------
    x, y : Block
        Of one input each, with equal channels; in the order that the matcher wants.
    matcher : Matcher
        One of ours.
    device : Device

    Returns
    -------
    Certified
        Of a batch of one.
    (S, T) array
        The affinities.

    Raises
    ------
    ValueError
        If the GPU has no kernel for the matcher, or a set is too large.
    DeviceMemoryError
    """
    check_matcher(matcher)
    launcher.check_size(device, max(len(x.vectors), len(y.vectors)), x.vectors.dtype)
    with device:
        try:
            return _match(x, y, matcher, device)
        except Exception as error:
            if device.ran_out(error):
                raise DeviceMemoryError(f"one pair of inputs does not fit {device.name}: {error}") from error
            raise
        finally:
            device.release()


def _match(x: Block, y: Block, matcher: Matcher, device: Device) -> tuple[Certified, NDArray[np.floating]]:
    shape = len(x.vectors), len(y.vectors)
    dtype = np.result_type(x.vectors.dtype, y.vectors.dtype)
    rows, others = (device.upload(block.vectors).astype(dtype, copy=False) for block in (x, y))
    products = {False: _product(device, rows, others)}
    pairs = make_pairs(np.ones((1, 1), bool), x.offsets, y.offsets)
    columns, upper = np.full(shape[0], -1), np.inf
    for task in make_tasks(pairs, matcher, certify=True):
        if task.transposed and True not in products:
            products[True] = _product(device, others, rows)
        found, bound = _run(device, task, products[task.transposed])
        if task.way != "bound":
            matched = np.flatnonzero(found >= 0)
            columns[matched] = found[matched]
        upper = min(upper, bound)
    affinity = device.download(products[False])()
    if matcher.positionwise:
        columns = matcher.match(affinity).astype(np.int64)
    matched = np.flatnonzero(columns >= 0)
    value = affinity[matched, columns[matched]].sum(dtype=np.float64, keepdims=True)
    bound_of_one = np.array([upper])
    return Certified(columns, value, bound_of_one, relative_gap(value, bound_of_one)), affinity


def _product(device: Device, rows: Any, columns: Any) -> Any:
    precision = str(rows.dtype)
    out = device.empty((len(rows), len(columns)), rows.dtype)
    operands = operand(rows, precision, columns=False), operand(columns, precision, columns=True)
    device.multiply(*operands, out, precision)
    return out


def _run(device: Device, task: Task, affinities: Any) -> tuple[NDArray[np.int64], float]:
    """Return the column of each row that the task's problems match, -1 for others, and what bounds the whole pair."""
    batch = Batch(affinities, device.upload(task.problems), len(task.problems), task.largest)
    heights = task.problems[:, 1] - task.problems[:, 0]
    taken = device.empty((batch.count, int(heights.max())), np.dtype(np.int32))
    upper = np.inf
    if task.way == "take":
        launcher.take(device, batch, taken)()
    else:
        solved = launcher.solve(device, batch, np.dtype(np.float64), taken)()
        upper = float(solved.upper[task.whole].min(initial=np.inf))
    rows = np.concatenate([np.arange(start, stop) for start, stop in task.problems[:, :2]])
    within = np.concatenate([own[:height] for own, height in zip(device.download(taken)(), heights, strict=True)])
    columns = np.where(within < 0, -1, within + np.repeat(task.problems[:, 2], heights))
    found = np.full(affinities.shape[task.transposed], -1)
    if task.transposed:  # rows of the task are columns of the pair
        found[columns] = rows
    else:
        found[rows] = columns
    return found, upper
