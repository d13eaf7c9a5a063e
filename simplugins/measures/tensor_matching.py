# SPDX-License-Identifier: Apache-2.0
"""Matching of Torch tensors: on their GPU if CuPy can use it, otherwise in threads of the CPU."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins.matching.matcher import Matcher

if TYPE_CHECKING:
    from torch import Tensor


def matched_columns(affinities: Tensor, matcher: Matcher) -> Tensor:
    """Return the columns matched to the rows of problems (P, S, T), S <= T, as a (P, S) tensor on the same device."""
    import torch

    affinities = affinities.detach().contiguous()
    number = arrays.gpu_of(affinities)
    if number is not None:
        from simplugins.compute.engines.cuda.batched_matching import matches_batches, optimal_columns
        from simplugins.compute.engines.cuda.cupy_device import CupyDevice

        if matches_batches(matcher, *affinities.shape[1:]):
            from_dlpack = getattr(torch, "from_dlpack")  # noqa: B009 - missing in Torch's type hints
            with CupyDevice(number) as device:
                columns: Tensor = from_dlpack(optimal_columns(device, arrays.shared(affinities))).long()
            return columns
    return torch.from_numpy(_match(affinities.cpu().numpy(), matcher)).to(affinities.device)


def _match(affinities: NDArray[np.floating], matcher: Matcher) -> NDArray[np.int64]:
    """Return the columns matched to the rows, (P, S), of P problems with affinities (P, S, T), where S <= T."""
    import torch

    problems, rows, columns = affinities.shape
    bounds = np.linspace(0, problems, min(torch.get_num_threads(), problems) + 1).astype(np.int64).tolist()

    def match(part: tuple[int, int]) -> NDArray[np.int64]:
        start, stop = part
        offsets = np.arange(stop - start + 1) * rows
        return matcher.match_batch(affinities[start:stop].reshape(-1, columns), offsets).columns

    with ThreadPoolExecutor(len(bounds) - 1, thread_name_prefix="simplugins") as pool:
        return np.concatenate(list(pool.map(match, pairwise(bounds)))).reshape(problems, rows)
