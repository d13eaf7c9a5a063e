# SPDX-License-Identifier: Apache-2.0
"""Values that the conventions of netCDF pack, or that stand for missing ones."""

from __future__ import annotations

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

import simplugins
from simplugins import Activations

VALUES = np.arange(20.0).reshape(4, 5)
PACKED = {"dtype": "i2", "scale_factor": 0.5, "add_offset": 3.0, "_FillValue": -999}


def written(path, **encoding):
    """Write the values to netCDF and Zarr, and return them undecoded by each library."""
    dataset = xr.Dataset({"x": (("presentation", "neuroid"), VALUES, {}, encoding)})
    dataset.to_netcdf(path / "x.nc", engine="netcdf4")
    (path / "x.h5").write_bytes((path / "x.nc").read_bytes())
    dataset.to_zarr(path / "x.zarr", consolidated=False)
    return {
        "h5py": h5py.File(path / "x.nc")["x"],
        "file": path / "x.h5",
        "zarr": path / "x.zarr",
        "xarray": xr.open_dataset(path / "x.nc", engine="netcdf4", mask_and_scale=False)["x"],
    }


def read(array):
    return simplugins.compute_rsm(simplugins.read_activations(array, "x") if hasattr(array, "suffix") else array)


@pytest.mark.parametrize("kind", ["h5py", "file", "zarr", "xarray"])
@pytest.mark.parametrize(
    ("encoding", "match"),
    [
        (PACKED, "packed.*scale_factor 0.5"),
        ({"dtype": "i4", "_FillValue": 7}, "1 values are 7.*_FillValue"),
        ({"_FillValue": 7.0}, "1 values are 7.*_FillValue"),
        ({"_FillValue": None, "missing_value": 7.0}, "1 values are 7.*missing_value"),
    ],
)
def test_undecoded_values_are_an_error(tmp_path, kind, encoding, match):
    with pytest.raises(ValueError, match=match):
        read(written(tmp_path, **encoding)[kind])


@pytest.mark.parametrize("kind", ["h5py", "file", "zarr", "xarray"])
@pytest.mark.parametrize("encoding", [{}, {"_FillValue": -1.0}, {"dtype": "i2", "scale_factor": 1.0, "_FillValue": 99}])
def test_attributes_that_change_no_value_are_no_error(tmp_path, kind, encoding):
    expected = simplugins.compute_rsm(VALUES.astype(encoding.get("dtype", "f8")))
    np.testing.assert_array_equal(read(written(tmp_path, **encoding)[kind]).values, expected.values)


def test_netcdf_variables_are_unpacked(tmp_path):
    written(tmp_path, **PACKED)
    with netCDF4.Dataset(tmp_path / "x.nc") as file:
        assert Activations.from_array(file["x"]).digest() == Activations.from_array(VALUES).digest()
        with pytest.raises(TypeError, match="variable, 'x'"):
            Activations.from_array(file)
        file["x"].set_auto_scale(False)
        with pytest.raises(ValueError, match="set_auto_scale"):
            Activations.from_array(file["x"])
