# SPDX-License-Identifier: Apache-2.0
"""Labels that come with the inputs, from batches or the data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import simplugins
from simplugins.recording import read_recorded, record

torch.manual_seed(0)
IMAGES = torch.randn(12, 3, 6, 6)
IDS = [f"id{i}" for i in range(12)]
CLASSES = torch.arange(12) // 4
NETWORK = nn.Sequential(nn.Conv2d(3, 8, 3))


class Dicts(Dataset):
    """As a Hugging Face data set in Torch's format: its items are the columns of the format."""

    def __init__(self, columns=("input", "id", "label")):
        self.column_names = ["input", "id", "label"]
        self._columns = {"input": IMAGES, "id": IDS, "label": CLASSES}
        self._format = columns

    def __getitem__(self, key):
        return self._columns[key] if isinstance(key, str) else {name: self._columns[name][key] for name in self._format}

    def __len__(self):
        return 12


class Folder(Dataset):
    """As torchvision's ImageFolder."""

    def __init__(self, root):
        self.root = root
        self.samples = [(str(Path(root) / f"class{i // 4}" / f"{i}.png"), i // 4) for i in range(12)]
        self.targets = [target for _, target in self.samples]

    def __getitem__(self, index):
        return IMAGES[index], self.targets[index]

    def __len__(self):
        return 12


class Stream(IterableDataset):
    def __iter__(self):
        return iter({"input": image, "id": name} for image, name in zip(IMAGES, IDS, strict=True))


def labels(inputs, key, **options):
    recorded = record(NETWORK, inputs, labels=key, **options)["0"]
    assert len(recorded) == len(recorded.labels)
    return recorded.labels.tolist()


@pytest.mark.parametrize(
    ("inputs", "key", "expected"),
    [
        (DataLoader(Dicts(), 5), "id", IDS),
        (DataLoader(Dicts(), 5), "label", CLASSES.tolist()),
        (DataLoader(Dicts(), 1), "id", IDS),
        (DataLoader(Stream(), 5), "id", IDS),
        (DataLoader(TensorDataset(IMAGES, CLASSES), 5), 1, CLASSES.tolist()),
        (DataLoader(TensorDataset(IMAGES, CLASSES), 5), -1, CLASSES.tolist()),
        (DataLoader(list(zip(IMAGES, IDS, strict=True)), 5), 1, IDS),
        ([(IMAGES[:5], IDS[:5]), (IMAGES[5:], np.array(IDS[5:]))], 1, IDS),
        ([({"input": IMAGES, "id": IDS}, CLASSES)], "id", IDS),
        ([({"input": IMAGES, "id": IDS}, CLASSES)], 1, CLASSES.tolist()),
        ([{"input": IMAGES, "id": [Path(name) for name in IDS]}], "id", IDS),
        ([{"input": IMAGES[:1], "id": "a"}, {"input": IMAGES[1:2], "id": "b"}], "id", ["a", "b"]),
        ({"input": IMAGES, "id": IDS}, "id", IDS),
        ({"input": IMAGES, "label": CLASSES}, "label", CLASSES.tolist()),
    ],
)
def test_labels_are_taken_from_the_batches(inputs, key, expected):
    assert labels(inputs, key, batch_size=5) == expected


@pytest.mark.parametrize("order", [list(range(11, -1, -1)), [3, 3, 0], [7]])
def test_labels_of_a_data_set_follow_the_order_of_the_loader(tmp_path, order):
    data = Dicts(["input"])
    expected = [IDS[i] for i in order]
    assert labels(DataLoader(data, 5, sampler=order), "id") == expected
    assert labels(DataLoader(Subset(data, order), 5), "id") == expected
    assert labels(DataLoader(Subset(Subset(data, order), range(len(order))), 5), "id") == expected
    assert labels(DataLoader(data, batch_sampler=[order[:1], order[1:]] if order[1:] else [order]), "id") == expected
    assert labels(DataLoader(ConcatDataset([Subset(data, [5]), Subset(data, order)]), 5), "id") == ["id5", *expected]
    assert labels(DataLoader(Folder(tmp_path), 5, sampler=order), "paths") == [f"class{i // 4}/{i}.png" for i in order]
    assert labels(DataLoader(Folder(tmp_path), 5, sampler=order), "targets") == [i // 4 for i in order]


def test_labels_of_a_data_set_follow_its_first_inputs_if_the_last_are_dropped():
    with pytest.warns(UserWarning, match=r"10 of the 12"):
        assert labels(DataLoader(Dicts(["input"]), 5, drop_last=True), "id") == IDS[:10]


def test_labels_in_the_batches_go_first():
    data = Dicts()
    data.column_names = ["id"]
    data._columns["id"] = IDS[::-1]
    assert labels(DataLoader(data, 5), "id") == IDS[::-1]


@pytest.mark.parametrize("column", ["id", "paths"])
def test_a_data_set_cannot_label_inputs_in_random_order(tmp_path, column):
    data = Dicts(["input"]) if column == "id" else Folder(tmp_path)
    with pytest.raises(ValueError, match=rf"labels.*'{column}'.*RandomSampler"):
        labels(DataLoader(data, 5, shuffle=True), column, order="any")


@pytest.mark.parametrize(
    ("inputs", "key", "error", "message"),
    [
        (DataLoader(Dicts(), 5), "name", ValueError, r"'name'.*input, id, label"),
        (DataLoader(TensorDataset(IMAGES, CLASSES), 5), "id", ValueError, r"'id'.*TensorDataset"),
        (DataLoader(TensorDataset(IMAGES, CLASSES), 5), 2, ValueError, r"\b2\b.*2 elements"),
        (DataLoader(TensorDataset(IMAGES, CLASSES), 5), 0, ValueError, r"\b5\b.*\(5, 3, 6, 6\)"),
        (DataLoader(Stream(), 5), "paths", ValueError, "'paths'"),
        ([(IMAGES, IDS[:5])], 1, ValueError, r"\b12\b"),
        ([{"input": IMAGES, "id": IDS}, {"input": IMAGES}], "id", ValueError, "'id'.* input$"),
        (IMAGES, "id", ValueError, r"labels.*'id'"),
        (IMAGES, 1, ValueError, r"labels"),
        ({"input": IMAGES, "id": IDS[:5]}, "id", ValueError, r"labels.*\b12\b"),
        (IMAGES, True, TypeError, "labels.*True"),
    ],
)
def test_missing_labels_are_named(tmp_path, inputs, key, error, message):
    with pytest.raises(error, match=f"labels.*{message}|{message}"):
        record(NETWORK, inputs, labels=key, to=tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_labels_travel_to_the_disk_and_align_recordings(tmp_path):
    record(NETWORK, DataLoader(Dicts(), 5), labels="id", to=tmp_path / "to")
    one = read_recorded(tmp_path / "to")
    two = record(NETWORK, DataLoader(Dicts(), 4, shuffle=True), labels="id", order="any")
    assert one["0"].labels.tolist() == IDS
    np.testing.assert_allclose(simplugins.compare_layers(one, two, "cka-debiased", align=True).values, 1, atol=1e-6)
