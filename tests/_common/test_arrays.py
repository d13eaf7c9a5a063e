# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from simplugins._common import arrays

VALUES = [[1.5, -2.0, 0.25], [0.0, 3.0, -0.5]]  # exact in every float type


def to_numpy(array):
    """As activations are read: float64 stays, all else becomes float32."""
    return arrays.to_numpy(array, np.dtype(np.float64 if arrays.is_float64(array) else np.float32))


class OwnTensor(torch.Tensor):
    """As torchvision's and fastai's: a subclass of Tensor, from another module than torch."""


@pytest.mark.parametrize(
    "array", [torch.ones(2), torch.nn.Parameter(torch.ones(2)), torch.ones(2).as_subclass(OwnTensor)]
)
def test_tensors_parameters_and_subclasses_are_torch(array):
    assert arrays.is_torch(array)


@pytest.mark.parametrize("array", [np.ones(2), [1.0], torch, torch.float32, torch.Size([2]), None])
def test_what_is_no_tensor_is_not_torch(array):
    assert not arrays.is_torch(array)
    assert not arrays.is_cupy(array)


@pytest.mark.parametrize(
    "array", [np.ones((2, 3)), np.ones((2, 3), "f2"), torch.ones(2, 3), torch.ones(2, dtype=torch.bfloat16)]
)
def test_as_array_returns_arrays_as_they_are(array):
    assert arrays.as_array(array) is array


def test_as_array_returns_a_memmap_as_it_is(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((2, 3)))
    opened = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert arrays.as_array(opened) is opened


def test_as_array_makes_an_array_of_nested_lists():
    found = arrays.as_array(VALUES)
    assert isinstance(found, np.ndarray)
    assert found.tolist() == VALUES


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.ones(2, bool), "bool"),
        (np.ones(2, "c8"), "complex64"),
        (np.array(["a"]), "<U1"),
        (np.array([b"a"]), r"\|S1"),
        (np.array([1, None]), "object"),
        (np.zeros(2, "M8[s]"), r"datetime64\[s\]"),
        (np.zeros(2, [("a", "f4")]), r"\[\('a', '<f4'\)\]"),
        (torch.ones(2, dtype=torch.bool), "torch.bool"),
        (torch.ones(2, dtype=torch.complex64), "torch.complex64"),
        ([True, False], "bool"),
    ],
)
def test_as_array_refuses_what_is_not_real_numbers(array, dtype):
    with pytest.raises(TypeError, match=rf"array of {dtype}\b" if dtype[-1].isalnum() else dtype):
        arrays.as_array(array)


def test_as_array_refuses_nested_lists_of_unequal_lengths():
    with pytest.raises(TypeError, match=r"list.*inhomogeneous"):
        arrays.as_array([[1, 2], [3]])


@pytest.mark.parametrize(
    "options", [{"requires_grad": True}, {"dtype": torch.bfloat16}], ids=["requires_grad", "bfloat16"]
)
def test_as_array_takes_a_list_of_maps_of_torch(options):
    maps = [torch.ones(2, 3, 3, **options), torch.zeros(2, 3, 3, **options)]
    assert tuple(arrays.as_array(maps).shape) == (2, 2, 3, 3)


@pytest.mark.parametrize(
    ("kind", "dtypes"),
    [
        ("float", ["f2", "f4", "f8", ">f4", ">f8", "g"]),
        ("integer", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4"]),
        ("other", ["?", "c8", "c16", "U3", "S3", "O", "M8[s]"]),
    ],
)
def test_number_kind_of_numpy_arrays(kind, dtypes):
    assert [arrays.number_kind(np.zeros(2, dtype)) for dtype in dtypes] == [kind] * len(dtypes)


@pytest.mark.parametrize(
    ("kind", "dtypes"),
    [
        ("float", ["float16", "bfloat16", "float32", "float64", "float8_e4m3fn"]),
        ("integer", ["int8", "uint8", "int16", "int32", "int64"]),
        ("other", ["bool", "complex64"]),
    ],
)
def test_number_kind_of_tensors(kind, dtypes):
    assert [arrays.number_kind(torch.zeros(2, dtype=getattr(torch, d))) for d in dtypes] == [kind] * len(dtypes)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.ones(2), True),
        (np.ones(2, ">f8"), True),
        (np.ones(2, "f4"), False),
        (np.ones(2, "i8"), False),
        (torch.ones(2, dtype=torch.float64), True),
        (torch.ones(2), False),
        (torch.ones(2, dtype=torch.int64), False),
    ],
    ids=lambda value: str(getattr(value, "dtype", value)),
)
def test_is_float64_whatever_library_and_byte_order(array, expected):
    assert arrays.is_float64(array) is expected


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "i1", "i8", "u2"])
def test_to_numpy_makes_float32_of_all_but_float64(dtype):
    values = np.array([[1, 2], [3, 4]], dtype)
    found = to_numpy(values)
    assert found.dtype == np.float32
    assert found.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("dtype", ["f8", ">f8"])
def test_to_numpy_keeps_float64(dtype):
    third = np.array([1 / 3], dtype)
    assert to_numpy(third).dtype == np.float64
    assert to_numpy(third)[0] == 1 / 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_to_numpy_copies_no_float_array(dtype):
    values = np.ones((2, 3), dtype)
    assert np.shares_memory(to_numpy(values), values)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int8, torch.int64])
def test_to_numpy_makes_float32_of_tensors(dtype):
    found = to_numpy(torch.tensor([[1, 2], [3, 4]], dtype=dtype))
    assert type(found) is np.ndarray
    assert found.dtype == np.float32
    assert found.tolist() == [[1, 2], [3, 4]]


def test_to_numpy_of_a_float64_tensor_is_float64():
    assert to_numpy(torch.tensor([1 / 3], dtype=torch.float64))[0] == 1 / 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_to_numpy_detaches_and_leaves_the_tensor_as_it_is(dtype):
    tensor = torch.tensor(VALUES, dtype=dtype, requires_grad=True)
    assert to_numpy(tensor).tolist() == VALUES
    assert tensor.requires_grad
    assert tensor.dtype == dtype


def test_to_numpy_of_a_view_of_a_tensor_keeps_its_order():
    assert to_numpy(torch.tensor(VALUES).T[::2]).tolist() == np.array(VALUES).T[::2].tolist()


@pytest.mark.parametrize(
    "array",
    [np.array([True, False]), torch.tensor([True, False]), [True, False], torch.tensor([3, 4]), ["a", "b"], (1, 2)],
)
def test_small_numpy_keeps_the_type(array):
    found = arrays.small_numpy(array)
    assert type(found) is np.ndarray
    assert found.tolist() == list(array.tolist() if hasattr(array, "tolist") else array)
