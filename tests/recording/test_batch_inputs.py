# SPDX-License-Identifier: Apache-2.0
"""Inputs of the model from batches in many forms, types and devices."""

from __future__ import annotations

import dataclasses
import warnings
from collections import UserDict, namedtuple

import dask.array
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from simplugins.recording import record

torch.manual_seed(0)
VALUES = np.random.default_rng(0).random((6, 3, 8, 8))
ARRAY = VALUES.astype(np.float32)
IMAGES = torch.from_numpy(ARRAY)
INDEX = torch.arange(6)
CONVOLUTION = nn.Sequential(nn.Conv2d(3, 4, 3))
EMBEDDING = nn.Sequential(nn.Embedding(20, 4))
TOKENS = torch.arange(12).reshape(6, 2)
EXPECTED = np.asarray(record(CONVOLUTION, IMAGES)["0"])


class Named(nn.Module):
    """A network whose parameters have names, and which notes the names that it is called with."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.seen = set()

    def forward(self, pixel_values, scale=None):
        return self.convolution(pixel_values)


class AnyKeyword(Named):
    def forward(self, **keywords):
        self.seen |= set(keywords)
        return self.convolution(keywords["pixel_values"])


class TwoInputs(Named):
    def forward(self, image, text):
        return self.convolution(image)


@dataclasses.dataclass
class Example:
    image: torch.Tensor
    name: list[str]


Pair = namedtuple("Pair", ["index", "image"])


class Encoding(UserDict):
    """As Hugging Face's BatchEncoding and BatchFeature."""


# Fields of batches


@pytest.mark.parametrize(
    ("batch", "key"),
    [
        ({"image": IMAGES, "label": INDEX}, "image"),
        ({"id": list("abcdef"), "image": ARRAY}, "image"),
        (Encoding(image=IMAGES), "image"),
        (Example(IMAGES, list("abcdef")), "image"),
        (Pair(INDEX, IMAGES), "image"),
        (Pair(INDEX, IMAGES), 1),
        ((INDEX, IMAGES), 1),
        ([INDEX, list("abcdef"), IMAGES], -1),
        (({"image": IMAGES}, INDEX), "image"),
        ({"image": {"input": IMAGES}, "label": INDEX}, "image"),
    ],
)
def test_the_input_is_picked_by_key(batch, key):
    np.testing.assert_allclose(record(CONVOLUTION, [batch], input_key=key)["0"], EXPECTED, atol=1e-5)


def test_a_field_that_holds_labels_is_only_passed_if_it_is_needed():
    class Loss(Named):
        def forward(self, pixel_values, labels=None):
            assert labels is None
            return self.convolution(pixel_values)

    class Conditional(Named):
        def forward(self, pixel_values, labels):
            return self.convolution(pixel_values) + labels[:, None, None, None]

    for network in (Loss(), Conditional()):
        recorded = record(network, [{"pixel_values": IMAGES, "labels": INDEX}], labels="labels")["convolution"]
        assert recorded.labels.tolist() == INDEX.tolist()


def test_the_input_is_picked_from_a_mapping_of_all_inputs():
    inputs = {"image": ARRAY, "id": list("abcdef"), "label": INDEX}
    recorded = record(CONVOLUTION, inputs, input_key="image", labels="id", batch_size=4)["0"]
    np.testing.assert_allclose(recorded, EXPECTED, atol=1e-5)
    assert recorded.labels.tolist() == list("abcdef")


@pytest.mark.parametrize(
    ("batch", "key", "message"),
    [
        ({"image": IMAGES, "label": INDEX}, "images", r"input_key.*'images'.*image, label"),
        ((IMAGES, INDEX), 2, r"input_key.*\b2\b.*\b2 elements"),
        ((IMAGES, INDEX), "image", r"input_key.*'image'"),
        (IMAGES, "image", r"input_key.*'image'"),
    ],
)
def test_a_missing_key_is_named(batch, key, message):
    with pytest.raises(ValueError, match=message):
        record(CONVOLUTION, [batch], input_key=key)


@pytest.mark.parametrize("key", [True, 1.0, ["image"]])
def test_keys_are_names_or_positions(key):
    with pytest.raises(TypeError, match="input_key"):
        record(CONVOLUTION, [(IMAGES,)], input_key=key)


@pytest.mark.parametrize("form", [dict, Encoding])
def test_fields_are_passed_as_far_as_the_network_has_parameters(form):
    network = Named()
    expected = record(network, IMAGES)["convolution"]
    batch = form(pixel_values=IMAGES, label=INDEX, id=list("abcdef"), scale=torch.tensor(0.5))
    for inputs in ([batch], [(batch, INDEX)], batch):
        np.testing.assert_allclose(record(network, inputs)["convolution"], expected, atol=1e-5)


def test_tensors_and_options_are_passed_to_any_keyword_but_labels_are_not():
    network = AnyKeyword()
    batch = {"pixel_values": IMAGES, "mask": INDEX, "flag": True, "id": list("abcdef"), "label": INDEX}
    record(network, [batch], labels="label")
    assert network.seen == {"pixel_values", "mask", "flag"}


@pytest.mark.parametrize(
    ("network", "batch", "message"),
    [
        (CONVOLUTION, {"image": IMAGES, "label": INDEX}, r"image, label.*\binput\b.*input_key='image'"),
        (CONVOLUTION, Example(IMAGES, []), r"image, name.*input_key='image'"),
        (Named(), {"image": IMAGES, "scale": 1}, r"image, scale.*input_key='image'"),
        (TwoInputs(), {"image": IMAGES}, r"TwoInputs.*'text'.*input_key='image'"),
        (TwoInputs(), {"image": IMAGES, "text": TOKENS[:3]}, r"image 6, text 3.*input_key"),
        (TwoInputs(), (IMAGES, TOKENS), r"several inputs.*mapping"),
        (CONVOLUTION, (INDEX, IMAGES), r"element 1.*\(6, 3, 8, 8\).*input_key=1"),
        (CONVOLUTION, Pair(INDEX, IMAGES), r"element 1.*\(6, 3, 8, 8\).*input_key=1"),
        (EMBEDDING, (INDEX, TOKENS), r"element 1.*\(6, 2\).*input_key=1"),
        (CONVOLUTION, (IMAGES[None], IMAGES), r"first element.*input_key=1"),
    ],
)
def test_what_is_the_input_is_asked_rather_than_guessed(network, batch, message):
    with pytest.raises(ValueError, match=f"inputs.*{message}"):
        record(network, [batch])


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors", "ignore:Sparse CSR tensor support")
@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.to_sparse(),
        lambda x: x.flatten(1).to_sparse_csr(),
        lambda x: torch.nested.nested_tensor(list(x)),
        lambda x: torch.nested.nested_tensor(list(x), layout=torch.jagged),
    ],
)
def test_tensors_that_cannot_be_split_are_refused(convert):
    for inputs in (convert(IMAGES), {"x": convert(IMAGES)}):
        with pytest.raises(TypeError, match=r"sparse or nested tensor.*list of batches"):
            record(nn.Sequential(nn.ReLU()), inputs)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ("a cat", "tokenizer"),
        (["a cat", "a dog"], "tokenizer"),
        (Image.new("RGB", (8, 8)), "preprocessing"),
        ([Image.new("RGB", (8, 8))], "preprocessing"),
        ([[IMAGES[0], IMAGES[1]]], "stack"),
        (3, r"\bint\b"),
    ],
)
def test_other_batches_are_refused_with_advice(batch, message):
    with pytest.raises(TypeError, match=f"batch.*{message}"):
        record(CONVOLUTION, [batch])


# Types of arrays


def not_writeable(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "form",
    [
        lambda: VALUES,
        lambda: ARRAY[:, :, ::-1][:, :, ::-1],
        lambda: np.ascontiguousarray(ARRAY[::-1])[::-1],
        lambda: ARRAY.astype(">f4"),
        lambda: VALUES.astype(">f8"),
        lambda: VALUES.astype(np.longdouble),
        lambda: np.asfortranarray(ARRAY),
        lambda: not_writeable(ARRAY),
        lambda: np.ma.masked_array(ARRAY),
        lambda: dask.array.from_array(ARRAY),
        lambda: torch.from_numpy(VALUES),
        lambda: [ARRAY[:4], torch.from_numpy(VALUES[4:])],
        lambda: {"input": VALUES},
    ],
)
def test_arrays_are_converted_to_what_the_network_computes_in(form):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recorded = record(CONVOLUTION, form(), batch_size=4)["0"]
    np.testing.assert_allclose(recorded, EXPECTED, atol=1e-5)


def test_an_array_keeps_its_values():
    array = ARRAY.copy()
    record(nn.Sequential(nn.ReLU(inplace=True)), array - 0.5, layout="nchw")
    record(nn.Sequential(nn.Threshold(0.5, 9, inplace=True)), array, layout="nchw")
    np.testing.assert_array_equal(array, ARRAY)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("given", [ARRAY, VALUES, IMAGES.half(), IMAGES.bfloat16()])
def test_floating_point_inputs_take_the_type_of_the_parameters(dtype, given):
    seen = []
    network = nn.Sequential(nn.Linear(8, 4)).to(dtype)
    network.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].dtype))
    record(network, given[:, 0])
    assert seen == [dtype]


@pytest.mark.parametrize("parts", [[], [nn.Linear(1, 1), nn.Linear(1, 1).double()], [nn.Linear(1, 1).bfloat16()]])
def test_types_are_left_unless_all_parameters_have_the_same(parts):
    seen = []
    network = nn.Sequential(nn.Identity(), *parts)
    options = {"forward": lambda images: seen.append(images.dtype) or network[0](images), "layout": "nchw"}
    record(network, VALUES, "0", **options)
    assert seen == [torch.bfloat16 if len(parts) == 1 else torch.float64]


@pytest.mark.parametrize("dtype", ["i4", "i8", "u2", "u4", ">i8"])
def test_token_ids_stay_integers(dtype):
    tokens = TOKENS.numpy().astype(dtype)
    np.testing.assert_array_equal(record(EMBEDDING, tokens)["0"], record(EMBEDDING, TOKENS)["0"])


def test_frames_of_numbers_are_arrays():
    network = nn.Sequential(nn.Linear(5, 3))
    frame = pd.DataFrame(np.random.default_rng(0).random((6, 5)))
    np.testing.assert_allclose(record(network, frame, batch_size=4)["0"], record(network, frame.to_numpy())["0"])


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (ARRAY.astype(object), TypeError, "object"),
        (np.array(["a", "b"]), TypeError, "<U1"),
        (np.array(["2020-01-01"], "M8[D]"), TypeError, "datetime64"),
        (np.ma.masked_array(ARRAY, mask=ARRAY > 0.5), TypeError, "mask"),
        (np.array([[2**63]], np.uint64), ValueError, "64 bits"),
        (dask.array.from_array(VALUES)[dask.array.from_array(VALUES[:, 0, 0, 0]) > 0.5], TypeError, "compute_chunk"),
    ],
)
def test_arrays_of_anything_but_numbers_are_refused(inputs, error, message):
    with pytest.raises(error, match=f"inputs.*{message}"):
        record(CONVOLUTION, inputs)


# Errors of the network


@pytest.mark.parametrize(
    ("network", "inputs", "message"),
    [
        (CONVOLUTION, (255 * VALUES).astype("u1"), r"input is uint8.*float32.*/ 255"),
        (CONVOLUTION, VALUES.astype(int), r"input is int64.*float32"),
        (CONVOLUTION, ARRAY.astype("c8"), r"input is complex64.*float32"),
        (nn.Sequential(nn.Linear(8, 2)), VALUES.astype(int), r"input is int64.*float32"),
        (EMBEDDING, TOKENS.float(), r"input is float32.*embedding.*int64"),
        (EMBEDDING, TOKENS.short(), r"input is int16.*embedding.*int64"),
        (CONVOLUTION, IMAGES.movedim(1, -1), r"\(6, 8, 8, 3\).*movedim\(-1, 1\)"),
        (nn.Sequential(nn.Conv1d(3, 2, 1)), torch.rand(6, 9, 3), r"\(6, 9, 3\).*movedim\(-1, 1\)"),
        (nn.Sequential(nn.Conv3d(3, 2, 1)), torch.rand(6, 9, 9, 9, 3), r"\(6, 9, 9, 9, 3\).*movedim\(-1, 1\)"),
        (Named(), {"pixel_values": IMAGES.movedim(1, -1)}, r"pixel_values has shape \(6, 8, 8, 3\)"),
        (nn.Sequential(nn.Linear(8, 2), nn.Linear(2, 2).double()), VALUES, r"input is float64.*float32 and float64"),
    ],
)
def test_errors_of_the_network_are_explained_by_its_inputs(network, inputs, message):
    with pytest.raises(ValueError, match=f"inputs: .*{message}") as caught:
        record(network, inputs)
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize("error", [RuntimeError, ValueError, AssertionError, KeyError])
def test_other_errors_of_the_network_are_left_as_they_are(error):
    def forward(images):
        raise error("stopped")

    with pytest.raises(error, match="stopped") as caught:
        record(CONVOLUTION, [(IMAGES.movedim(1, -1), IMAGES)], forward=forward)
    assert caught.value.__cause__ is None


# Devices and wrappers


def test_another_device_than_the_networks_is_named():
    with pytest.raises(ValueError, match=r"device.*\bcpu\b.*\bmeta\b"):
        record(CONVOLUTION, IMAGES, device="meta")


def test_a_network_spread_over_devices_moves_its_inputs_itself():
    network = nn.Sequential(nn.Linear(8, 2, device="meta"), nn.Identity())
    network.hf_device_map = {"0": "disk", "1": "cpu"}
    seen = []
    options = {"forward": lambda images: seen.append(images.device.type) or network[1](images), "layout": "nchw"}
    record(network, IMAGES, "1", **options)
    assert seen == ["cpu"]


def test_a_data_parallel_network_is_recorded_as_the_network_inside(monkeypatch):
    wrapper = nn.DataParallel(CONVOLUTION)
    monkeypatch.setattr(wrapper, "forward", None)  # replicas would run side by side
    np.testing.assert_allclose(record(wrapper, IMAGES)["0"], EXPECTED, atol=1e-5)
    assert list(record(wrapper, IMAGES, "0", forward=wrapper)) == ["0"]
    assert list(record(wrapper, IMAGES, ["module.0"])) == ["module.0"]
    assert list(record(nn.DataParallel(wrapper), IMAGES)) == ["0"]
