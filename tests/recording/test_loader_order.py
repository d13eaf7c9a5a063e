# SPDX-License-Identifier: Apache-2.0
"""Order of the inputs that DataLoaders yield: fixed, or an error; and how many of them there are."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)
from torch.utils.data.datapipes.iter import IterableWrapper
from tqdm import tqdm

import simplugins
from simplugins.recording import record

torch.manual_seed(0)
IMAGES = torch.randn(20, 3, 6, 6)
DATA = TensorDataset(IMAGES, torch.arange(20))
NETWORK = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
EXPECTED = np.asarray(record(NETWORK, IMAGES, "0")["0"])


class Own(Sampler):
    """A sampler of one's own: in random order, unless it says otherwise."""

    def __iter__(self):
        return iter(torch.randperm(20).tolist())

    def __len__(self):
        return 20


class Sorted(Own):
    shuffle = False

    def __iter__(self):
        return iter(range(20))


class OwnBatches(BatchSampler):
    def __iter__(self):
        return iter(torch.randperm(20).split(5))


class OwnLoader(DataLoader):
    def __iter__(self):
        return iter(IMAGES[torch.randperm(20)].split(5))


class Wrapper:
    """A loader by its attributes alone, as the wrappers of other libraries are."""

    def __init__(self, loader):
        self.loader = loader
        self.dataset, self.sampler, self.batch_sampler = loader.dataset, loader.sampler, loader.batch_sampler

    def __iter__(self):
        return iter(self.loader)


class TrustedWrapper(Wrapper):
    __module__ = "accelerate.data_loader"
    __iter__ = Wrapper.__iter__


class Stream(IterableDataset):
    def __init__(self, source=IMAGES):
        self.source = source

    def __iter__(self):
        return iter(self.source)


class SizedStream(Stream):
    def __len__(self):
        return 20


class BufferShuffledExamplesIterable:
    """As Hugging Face's, in the middle of other steps."""

    def __init__(self, ex_iterable):
        self.ex_iterable = ex_iterable


class Streamed(Stream):
    """As Hugging Face's IterableDataset."""

    def __init__(self, ex_iterable, world_size=1):
        super().__init__()
        self._ex_iterable = ex_iterable
        self._distributed = SimpleNamespace(world_size=world_size)


class Cache(Dataset):
    """A data set that shuffles by itself."""

    shuffle = True

    def __getitem__(self, index):
        return IMAGES[(7 * index) % 20]

    def __len__(self):
        return 20


def loader(size=5, **options):
    return DataLoader(DATA, size, **options)


def batched(sampler):
    return DataLoader(DATA, batch_sampler=BatchSampler(sampler, 5, drop_last=False))


FIXED = {
    "plain": loader,
    "workers": lambda: loader(num_workers=2),
    "batch sampler": lambda: batched(SequentialSampler(DATA)),
    "batch sampler without batching": lambda: DataLoader(
        DATA, sampler=BatchSampler(range(20), 5, drop_last=False), batch_size=None
    ),
    "distributed, alone": lambda: loader(sampler=DistributedSampler(DATA, 1, 0, shuffle=False)),
    "says that it does not shuffle": lambda: loader(sampler=Sorted()),
    "list": lambda: loader(sampler=list(range(20))),
    "array": lambda: loader(sampler=np.arange(20)),
    "tensor": lambda: loader(sampler=torch.arange(20)),
    "list of batches": lambda: DataLoader(DATA, batch_sampler=[[0, 1, 2], range(3, 20)]),
    "subset": lambda: DataLoader(Subset(DATA, range(20)), 5),
    "concatenation": lambda: DataLoader(ConcatDataset([Subset(DATA, range(3)), Subset(DATA, range(3, 20))]), 5),
    "stream": lambda: DataLoader(Stream(), 5),
    "stream by one worker": lambda: DataLoader(Stream(), 5, num_workers=1),
    "several loaders": lambda: [DataLoader(Subset(DATA, part), 5) for part in (range(8), range(8, 20))],
    "loader in a loader": lambda: DataLoader(Stream(loader()), batch_size=None),
    "pipe that does not shuffle": lambda: DataLoader(IterableWrapper(list(IMAGES)).shuffle(), 5, shuffle=False),
    "wrapper of a library": lambda: TrustedWrapper(loader()),
    "progress bar": lambda: tqdm(loader(), disable=True),
    "iterator": lambda: iter(loader()),
    "generator": lambda: (images for images, _ in loader()),
    "batches of one's own": lambda: (images for images in IMAGES.split(5)),
}

NOT_FIXED = {
    "shuffle": lambda: loader(shuffle=True),
    "random batch sampler": lambda: batched(RandomSampler(DATA)),
    "random batch sampler without batching": lambda: DataLoader(
        DATA, sampler=BatchSampler(RandomSampler(DATA), 5, drop_last=False), batch_size=None
    ),
    "distributed": lambda: loader(sampler=DistributedSampler(DATA, 1, 0)),
    "one of two processes": lambda: loader(sampler=DistributedSampler(DATA, 2, 0, shuffle=False)),
    "weighted": lambda: loader(sampler=WeightedRandomSampler([1.0] * 20, 20)),
    "random subset": lambda: batched(SubsetRandomSampler(range(20))),
    "sampler of one's own": lambda: loader(sampler=Own()),
    "sampler of one's own in batches": lambda: batched(Own()),
    "batch sampler of one's own": lambda: DataLoader(DATA, batch_sampler=OwnBatches(range(20), 5, drop_last=False)),
    "set": lambda: loader(sampler=set(range(20))),
    "loader of one's own": lambda: OwnLoader(DATA, 5),
    "wrapper of one's own": lambda: Wrapper(loader()),
    "wrapper of a library": lambda: TrustedWrapper(loader(shuffle=True)),
    "shuffled stream": lambda: DataLoader(Streamed(SimpleNamespace(ex_iterable=BufferShuffledExamplesIterable(1))), 5),
    "part of a stream": lambda: DataLoader(Streamed(None, world_size=2), 5),
    "stream by two workers": lambda: DataLoader(Stream(), 5, num_workers=2),
    "batches as they are ready": lambda: loader(num_workers=2, in_order=False),
    "pipe": lambda: DataLoader(IterableWrapper(list(IMAGES)).shuffle().map(abs), 5),
    "data set that shuffles": lambda: DataLoader(Cache(), 5),
    "several loaders": lambda: [loader(), loader(shuffle=True)],
    "loader in a loader": lambda: DataLoader(Stream(loader(shuffle=True)), batch_size=None),
    "progress bar": lambda: tqdm(loader(shuffle=True), disable=True),
    "iterator": lambda: iter(loader(shuffle=True)),
    "generator": lambda: (images for images, _ in loader(shuffle=True)),
    "map": lambda: map(tuple, loader(shuffle=True)),
    "zip": lambda: zip(loader(shuffle=True), strict=True),
}


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


@pytest.mark.parametrize("inputs", FIXED.values(), ids=FIXED)
def test_loaders_in_fixed_order_yield_what_the_tensor_does(inputs):
    np.testing.assert_allclose(record(NETWORK, inputs(), "0")["0"], EXPECTED, atol=1e-5)


@pytest.mark.parametrize("inputs", NOT_FIXED.values(), ids=NOT_FIXED)
def test_an_order_that_is_not_known_to_be_fixed_is_an_error(inputs):
    with pytest.raises(ValueError, match=r"inputs.*order.*order='any'"):
        record(NETWORK, inputs(), "0")


def test_any_order_is_accepted_on_request_and_labels_from_the_batches_align_it():
    names = [f"image {i}" for i in range(20)]
    data = [(IMAGES[i], names[i]) for i in range(20)]
    whole = record(NETWORK, IMAGES, "0", labels=names)
    for options in ({"shuffle": True}, {"sampler": Own()}):
        recorded = record(NETWORK, DataLoader(data, 6, **options), "0", order="any", labels=1)
        assert not np.allclose(recorded["0"], EXPECTED, atol=1e-3)
        similarity = simplugins.compare_layers(recorded, whole, "cka-debiased", align=True)
        np.testing.assert_allclose(similarity.values, 1, atol=1e-6)


def test_a_list_of_labels_does_not_fit_a_random_order():
    with pytest.raises(ValueError, match=r"labels.*RandomSampler"):
        record(NETWORK, loader(shuffle=True), "0", order="any", labels=range(20))
    own = record(NETWORK, loader(sampler=Own()), "0", order="any", labels=range(20))["0"]  # the user knows the order
    assert own.labels.tolist() == list(range(20))


def test_order_is_fixed_or_any():
    with pytest.raises(ValueError, match=r"order.*'random'"):
        record(NETWORK, IMAGES, order="random")


@pytest.mark.parametrize(
    ("inputs", "recorded", "message"),
    [
        (lambda: loader(8, drop_last=True), 16, r"16 of the 20.*drop_last"),
        (lambda: DataLoader(DATA, batch_sampler=BatchSampler(range(20), 8, drop_last=True)), 16, r"16 of the 20.*drop"),
        (lambda: loader(3, drop_last=True, sampler=[3, 1, 4, 5]), 3, r"3 of the 4.*drop_last"),
        (lambda: DataLoader(Stream(), 8, drop_last=True), 16, r"\b16\b.*drop_last"),
        (lambda: DataLoader(SizedStream(), 8, drop_last=True), 16, r"16 of the 20.*drop_last"),
        (lambda: [loader(8, drop_last=True), loader()], 36, r"36 of the 40"),
        (
            lambda: loader(collate_fn=lambda items: torch.stack([image for image, n in items if n != 3])),
            19,
            "19 of the",
        ),
    ],
)
def test_missing_inputs_are_counted_in_a_warning(inputs, recorded, message):
    with pytest.warns(UserWarning, match=message):
        assert len(record(NETWORK, inputs(), "0")["0"]) == recorded


def test_inputs_that_were_left_out_on_purpose_are_no_surprise():
    assert len(record(NETWORK, loader(drop_last=True), "0")["0"]) == 20
    assert len(record(NETWORK, loader(sampler=[3, 1, 4]), "0")["0"]) == 3
    assert len(record(NETWORK, DataLoader(Subset(DATA, [3, 1, 4]), 2), "0")["0"]) == 3


@pytest.mark.parametrize("data", [DATA, Stream()])
def test_a_data_set_is_not_a_loader(data):
    with pytest.raises(TypeError, match=r"inputs.*data set.*DataLoader"):
        record(NETWORK, data)
