# SPDX-License-Identifier: Apache-2.0
"""Masked arrays: masks of whole positions are the mask, others are errors."""

from __future__ import annotations

import dask.array as da
import netCDF4
import numpy as np
import pytest

import simplugins
from simplugins import Activations

MAPS = np.random.default_rng(0).normal(size=(4, 3, 2, 5))
HIDDEN = np.zeros((4, 2, 5), bool)
HIDDEN[0, 1, 2] = HIDDEN[2, :, 0] = HIDDEN[3, 0, 4] = True
WHOLE = np.ma.array(np.where(HIDDEN[:, None], 1e20, MAPS), mask=np.broadcast_to(HIDDEN[:, None], MAPS.shape))
PARTLY = WHOLE.copy()
PARTLY[1, 0, 1, 3] = np.ma.masked
EXPECTED = Activations.from_array(MAPS, mask=~HIDDEN)


def sets_of(maps):
    return [one.reshape(3, -1).T for one in maps]


WAYS = {
    "array": lambda maps: maps,
    "list of maps": list,
    "tuple of maps": tuple,
    "nested lists": lambda maps: [list(one) for one in maps],
    "Dask": lambda maps: da.from_array(maps, chunks=(2, 3, 1, 5)),
    "Dask by function": lambda maps: da.ma.masked_array(
        da.from_array(maps.data, chunks=2), mask=da.from_array(np.ma.getmaskarray(maps), chunks=2)
    ),
    "list of sets": sets_of,
    "lists of vectors": lambda maps: [list(one) for one in sets_of(maps)],
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_masked_positions_are_left_out(way):
    x = Activations.from_array(way(WHOLE))
    assert x.digest() == EXPECTED.digest()
    np.testing.assert_array_equal(simplugins.compute_rsm(way(WHOLE)), simplugins.compute_rsm(EXPECTED))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_positions_that_are_masked_in_some_channels_are_an_error(way):
    with pytest.raises(ValueError, match=r"(1, 3 of input 1|set 1: position 8)\b"):
        Activations.from_array(way(PARTLY))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_without_masked_values_a_masked_array_is_plain(way):
    x = Activations.from_array(way(np.ma.array(MAPS)))
    assert x.digest() == Activations.from_array(MAPS).digest()


@pytest.mark.parametrize("name", ["array", "list of maps", "Dask"])
def test_a_mask_is_combined_with_that_of_the_array(name):
    mask = np.ones((4, 2, 5), bool)
    mask[1, 1, 3] = mask[0, 0, 0] = False
    x = Activations.from_array(WAYS[name](PARTLY), mask=mask)
    assert x.digest() == Activations.from_array(MAPS, mask=mask & ~HIDDEN).digest()


@pytest.mark.parametrize("layout", ["nhwc", "cwhn", "hwcn"])
def test_masked_positions_are_found_in_any_layout(layout):
    moved = WHOLE.transpose(["nchw".index(letter) for letter in layout])
    assert Activations.from_array(moved, layout=layout).digest() == EXPECTED.digest()


@pytest.mark.parametrize(
    "table", [WHOLE.reshape(4, -1), list(WHOLE.reshape(4, -1)), da.from_array(WHOLE.reshape(4, -1))], ids=type
)
def test_a_vector_with_masked_values_is_an_error(table):
    with pytest.raises(ValueError, match="input 0"):
        Activations.from_array(table)


def test_an_input_of_which_nothing_remains_is_an_error():
    table = np.ma.array(MAPS.reshape(4, -1), mask=False)
    table[2] = np.ma.masked
    with pytest.raises(ValueError, match="input 2"):
        Activations.from_array(table)


def test_masked_blocks_of_which_a_dask_array_does_not_tell_are_an_error():
    array = da.from_array(MAPS, chunks=1).map_blocks(lambda b: np.ma.masked_greater(b, 0), meta=np.empty((0, 0, 0, 0)))
    with pytest.raises(ValueError, match="masked"):
        Activations.from_array(array)
    with pytest.raises(ValueError, match="masked"):
        simplugins.compare(array[:3, :3, 0, 0], np.eye(3), "cka")


@pytest.fixture
def variable(tmp_path):
    """A netCDF variable of which the position [0, 1, 2] was never written, and [1, :, 1] is missing by its "
    "attribute."""
    with netCDF4.Dataset(tmp_path / "x.nc", "w") as file:
        for name, size in zip(("input", "channel", "y", "x"), MAPS.shape, strict=True):
            file.createDimension(name, size)
        values = file.createVariable("maps", "f8", ("input", "channel", "y", "x"), fill_value=-999.0)
        values[:] = WHOLE
    with netCDF4.Dataset(tmp_path / "x.nc") as file:
        yield file["maps"]


def test_missing_values_of_netcdf_variables_are_masked(variable):
    assert Activations.from_array(variable).digest() == EXPECTED.digest()


def test_a_netcdf_variable_that_hides_missing_values_is_an_error(variable):
    variable.set_auto_mask(False)
    with pytest.raises(ValueError, match=r"set_auto_mask\(True\)"):
        Activations.from_array(variable)


def test_rows_never_written_of_netcdf_variables_are_an_error(tmp_path):
    with netCDF4.Dataset(tmp_path / "x.nc", "w") as file:
        file.createDimension("input", 4)
        file.createDimension("channel", 5)
        values = file.createVariable("x", "f4", ("input", "channel"))
        values[:3] = MAPS[:3, 0, 0]
        with pytest.raises(ValueError, match="input 3"):
            simplugins.compute_rsm(values)


def test_packed_netcdf_variables_are_unpacked(tmp_path):
    with netCDF4.Dataset(tmp_path / "x.nc", "w") as file:
        file.createDimension("input", 4)
        file.createDimension("channel", 5)
        values = file.createVariable("x", "i2", ("input", "channel"))
        values.scale_factor = 0.25
        values[:] = np.round(MAPS[:, 0, 0] * 4) / 4
        np.testing.assert_array_equal(Activations.from_array(values)[1][0], np.round(MAPS[1, 0, 0] * 4) / 4)


def test_masked_masks_and_matrices_are_errors():
    mask = np.ma.array(~HIDDEN.reshape(4, 10), mask=False)
    assert Activations.from_array(MAPS, mask=mask).digest() == EXPECTED.digest()
    mask[2, 3] = np.ma.masked
    with pytest.raises(TypeError, match=r"mask.*\(2, 3\)"):
        Activations.from_array(MAPS, mask=mask)
    matrix = np.ma.masked_greater(np.eye(4) + np.eye(4)[::-1], 0.5)
    with pytest.raises(TypeError, match=r"rsm_b.*masked"):
        simplugins.compare(np.eye(4), matrix, "cka")
    with pytest.raises(TypeError, match="masked"):
        simplugins.RSM.from_similarities(matrix)


def test_a_masked_response_of_one_input_is_matched_without_its_masked_positions():
    matched = simplugins.match(WHOLE[0], MAPS[1])
    assert matched.value == pytest.approx(simplugins.match(EXPECTED[0], MAPS[1].reshape(3, -1).T).value)
