# SPDX-License-Identifier: Apache-2.0
"""Matching of a single pair of inputs on a GPU, with assignment and certificate."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.blocks import Block
from simplugins.compute.engines.cuda import launcher
from simplugins.compute.engines.cuda.device import Device, DeviceMemoryError
from simplugins.compute.engines.cuda.launcher import Batch
from simplugins.compute.engines.cuda.operands import operand
from simplugins.compute.engines.cuda.partial_blocks import norm_powers, with_levels
from simplugins.compute.engines.cuda.tasks import Task, check_matcher, floor_of, largest_number, make_pairs, make_tasks
from simplugins.compute.job import relative_gap
from simplugins.matching.certificates import Certified
from simplugins.matching.matcher import Matcher
from simplugins.matching.optimal import Optimal
from simplugins.matching.partial import pairs_of_share


def match_and_certify(
    x: Block, y: Block, matcher: Matcher, *, device: Device
) -> tuple[Certified, NDArray[np.floating]]:
    """Match one input with another, and bound the optimum.

    Prices are float64, so that only rounding loosens the bound.

    Parameters
    ----------
    x, y : Block
        One input each, with equal numbers of channels, in the order that the matcher expects.
    matcher : Matcher
        Has a CUDA kernel, or is positionwise.
    device : Device

    Returns
    -------
    Certified
        A batch of one.
    (S, T) array
        The affinities.

    Raises
    ------
    ValueError
        If the GPU cannot compute the matching, or a set is too large.
    DeviceMemoryError
        If the pair does not fit the free memory of the GPU.
    """
    check_matcher(matcher)
    left = _left(matcher, len(x.vectors), len(y.vectors))
    launcher.check_size(device, max(len(x.vectors), len(y.vectors) + left), x.vectors.dtype)
    with device:
        try:
            return _match_share(x, y, left, device) if left else _match(x, y, matcher, device)
        except Exception as error:
            device.release()
            if device.ran_out(error):
                raise DeviceMemoryError(f"one pair of inputs does not fit {device.name}: {error}") from error
            raise
        finally:
            device.settle()


def _match(x: Block, y: Block, matcher: Matcher, device: Device) -> tuple[Certified, NDArray[np.floating]]:
    shape = len(x.vectors), len(y.vectors)
    dtype = np.result_type(x.vectors.dtype, y.vectors.dtype)
    rows, columns = (device.upload(block.vectors).astype(dtype, copy=False) for block in (x, y))
    floor, product = floor_of(matcher), _product(device, rows, columns)
    products = {False: product if floor == -np.inf else _raised(device, rows, columns, floor)}
    pairs = make_pairs(np.ones((1, 1), bool), x.offsets, y.offsets)
    assignment, upper = np.full(shape[0], -1), np.inf
    for task in make_tasks(pairs, matcher, certify=True):
        if task.transposed and True not in products:
            products[True] = _raised(device, columns, rows, floor)
        partial, bound = _run(device, task, products[task.transposed], floor)
        if task.kind != "bound":
            matched = np.flatnonzero(partial >= 0)
            assignment[matched] = partial[matched]
        upper = min(upper, bound)
    affinity = np.empty(shape, dtype)
    device.fetch(product, affinity)
    if matcher.positionwise:
        assignment = matcher.match(affinity).astype(np.int64)
    matched = np.flatnonzero(assignment >= 0)
    value = affinity[matched, assignment[matched]].sum(dtype=np.float64, keepdims=True)
    bounds = np.array([upper])
    return Certified(assignment, value, bounds, relative_gap(value, bounds)), affinity


def _left(matcher: Matcher, rows: int, columns: int) -> int:
    """Return the number of rows that a share of the positions leaves unmatched, or 0 for other matchings."""
    if matcher.cuda_kernel != "assignment-share":
        return 0
    share: float = getattr(matcher, "share")  # noqa: B009
    return rows - int(pairs_of_share(share, np.array([min(rows, columns)]))[0])


def _match_share(x: Block, y: Block, left: int, device: Device) -> tuple[Certified, NDArray[np.floating]]:
    """Match all rows but `left` of them, which get dummy columns; see `partial_run`."""
    powers = [norm_powers(block) for block in (x, y)]
    extended = with_levels(x, powers[0], None), with_levels(y, powers[1], left)
    certified, affinity = _match(*extended, Optimal(), device)
    columns = np.where(certified.columns < len(y.vectors), certified.columns, -1)
    affinity = np.ascontiguousarray(affinity[:, : len(y.vectors)])
    matched = np.flatnonzero(columns >= 0)
    value = affinity[matched, columns[matched]].sum(dtype=np.float64, keepdims=True)
    upper = np.maximum(value, certified.upper - left * float(np.ldexp(1.0, powers[0][0] + powers[1][0])))
    return Certified(columns, value, upper, relative_gap(value, upper)), affinity


def _product(device: Device, rows: Any, columns: Any) -> Any:
    precision = str(rows.dtype)
    out = device.empty((len(rows), len(columns)), rows.dtype)
    operands = operand(rows, precision, columns=False), operand(columns, precision, columns=True)
    device.multiply(*operands, out, precision)
    return out


def _raised(device: Device, rows: Any, columns: Any, floor: float) -> Any:
    product = _product(device, rows, columns)
    if floor > -np.inf:
        device.raise_to(product, largest_number(floor, np.dtype(product.dtype)))
    return product


def _run(device: Device, task: Task, affinities: Any, floor: float) -> tuple[NDArray[np.int64], float]:
    """Return the columns of the rows matched by a task (-1 for others), and an upper bound on the value of the pair."""
    batch = Batch(affinities, device.upload(task.problems), len(task.problems), task.largest)
    heights = task.problems[:, 1] - task.problems[:, 0]
    written = device.empty((batch.count, int(heights.max())), np.dtype(np.int32))
    upper = np.inf
    if task.kind == "greedy":
        launcher.match_greedily(device, batch, written)()
    else:
        solved = launcher.solve(device, batch, np.dtype(np.float64), written, floor=floor)()
        upper = float(solved.upper[task.whole].min(initial=np.inf))
    rows = np.concatenate([np.arange(start, stop) for start, stop in task.problems[:, :2]])
    by_problem = zip(device.download(written)(), heights, strict=True)
    within = np.concatenate([columns[:height] for columns, height in by_problem])
    columns = np.where(within < 0, -1, within + np.repeat(task.problems[:, 2], heights))
    assignment = np.full(affinities.shape[task.transposed], -1)
    if task.transposed:  # rows of the task are columns of the pair
        assignment[columns[columns >= 0]] = rows[columns >= 0]
    else:
        assignment[rows] = columns
    return assignment, upper
