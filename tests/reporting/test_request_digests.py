# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import functools
import subprocess
import sys

import dask.array
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

import simplugins
from simplugins.reporting.request_digests import describe


def network(activation=None, **attributes):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), activation or nn.ReLU(), nn.Conv2d(4, 5, 3))
    for name, value in attributes.items():
        setattr(model, name, value)
    return model


def hooked(factor):
    model = network()
    model[0].register_forward_hook(lambda module, inputs, output: factor * output)
    return model


class Doubled(nn.Sequential):
    def forward(self, images):
        return 2 * super().forward(images)


class Numbers(torch.utils.data.Dataset):
    def __init__(self, root, transform):
        self.paths, self.transform, self.classes = [f"{root}/{k}.png" for k in range(40)], transform, {"b", "a", "c"}

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, item):
        return self.transform(item)


def masked(mask):
    return np.ma.array([1.0, 2.0, 3.0], mask=mask)


def constant(value):
    return lambda a, b: value


def loader(fill, **options):
    return DataLoader(TensorDataset(torch.full((4, 3), float(fill))), **options)


DIFFERENT = {
    "activation functions": (network, lambda: network(nn.GELU())),
    "attributes": (lambda: network(scale=1.0), lambda: network(scale=2.0)),
    "hooks": (lambda: hooked(1.0), lambda: hooked(2.0)),
    "forward": (lambda: nn.Sequential(nn.ReLU()), lambda: Doubled(nn.ReLU())),
    "options of a matcher": (lambda: simplugins.BatchOptimal(window=4), lambda: simplugins.BatchOptimal(window=8)),
    "functions": (lambda: lambda a, b: 1.0, lambda: lambda a, b: 2.0),
    "closures": (lambda: constant(1), lambda: constant(2)),
    "partial functions": (
        lambda: functools.partial(simplugins.compare, method="cka"),
        lambda: functools.partial(simplugins.compare, method="rsa-cosine"),
    ),
    "built-in functions": (lambda: np.add, lambda: np.subtract),
    "data of loaders": (lambda: loader(0), lambda: loader(1)),
    "batches of loaders": (lambda: loader(0, batch_size=1), lambda: loader(0, batch_size=2)),
    "subsets": (lambda: Subset(Numbers("a", None), [0]), lambda: Subset(Numbers("a", None), [1])),
    "files of data sets": (lambda: Numbers("a", None), lambda: Numbers("b", None)),
    "transforms": (lambda: Numbers("a", lambda x: x), lambda: Numbers("a", lambda x: -x)),
    "bytes": (lambda: b"a", lambda: b"b"),
    "sets": (lambda: {1, 2}, lambda: {1, 3}),
    "lazy arrays": (lambda: dask.array.zeros((3, 2)), lambda: dask.array.ones((3, 2))),
    "tables": (lambda: pd.DataFrame({"a": [1, 2]}), lambda: pd.DataFrame({"a": [1, 3]})),
    "columns": (lambda: pd.DataFrame({"a": [1, 2]}), lambda: pd.DataFrame({"b": [1, 2]})),
    "names of inputs": (lambda: pd.Series([1, 2], index=["x", "y"]), lambda: pd.Series([1, 2], index=["y", "x"])),
    "dimensions": (
        lambda: xr.DataArray(np.zeros((2, 2)), dims=("n", "c")),
        lambda: xr.DataArray(np.zeros((2, 2)), dims=("c", "n")),
    ),
    "masks": (lambda: masked([0, 0, 1]), lambda: masked([1, 0, 0])),
    "types of objects": (lambda: np.array([1, "1"], object), lambda: np.array(["1", "1"], object)),
    "dates": (lambda: np.array(["2020-01-01"], "M8[D]"), lambda: np.array(["2020-01-02"], "M8[D]")),
    "sparse tensors": (lambda: torch.eye(3).to_sparse(), lambda: (2 * torch.eye(3)).to_sparse()),
    "bfloat16": (lambda: torch.ones(2, dtype=torch.bfloat16), lambda: torch.zeros(2, dtype=torch.bfloat16)),
    "iterators": (lambda: iter([1]), lambda: iter([1])),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_values_that_differ_are_told_apart(name):
    one, two = DIFFERENT[name]
    assert describe(one()) != describe(two())
    if name != "iterators":
        assert (describe(one()), describe(two())) == (describe(one()), describe(two()))


def test_running_and_recording_a_model_do_not_change_it():
    model = network().eval()
    before = describe(model)
    model(torch.rand(2, 3, 8, 8))
    simplugins.record(model, torch.rand(2, 3, 8, 8))
    model.train()
    assert describe(model) == before
    assert describe(torch.compile(model, backend="eager")) == before


def test_values_that_contain_themselves_and_unusual_tensors_are_described():
    values = [1]
    values.append(values)
    for value in (values, nn.LazyLinear(3), torch.eye(2, device="meta"), torch.ones(2, dtype=torch.complex64).conj()):
        assert describe(value) == describe(value)


_CODE = """
import numpy as np, pandas as pd, torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
import simplugins
from simplugins.reporting.request_digests import describe
class Words(Dataset):
    def __init__(self): self.words, self.clean = {"a", "b", "c", "d"}, lambda text: text in {"x", "y", "z"}
    def __len__(self): return 4
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(2, 2), nn.LSTM(2, 2), nn.MultiheadAttention(4, 2))
model.register_forward_hook(lambda module, inputs, output: output)
values = [model, DataLoader(Words(), 2), simplugins.BatchOptimal(), np.max, {"k": {"x", "y"}}, torch.float32]
print([describe(value) for value in values])
"""


def test_descriptions_are_the_same_in_another_process(monkeypatch):
    results = []
    for seed in ("1", "2"):  # of hashes, which decide the order of sets
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        results.append(subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, check=True).stdout)
    assert results[0] == results[1] != ""
