# SPDX-License-Identifier: Apache-2.0
"""Arrays whose dimensions have names: the names decide the layout, coordinates become labels."""

from __future__ import annotations

import dask.array as da
import h5py
import netCDF4
import numpy as np
import pytest
import xarray
import zarr
from hypothesis import given
from hypothesis import strategies as st

import simplugins
from simplugins import Activations
from simplugins.activations.named_dimensions import NAMES, layout_by_name

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 36))
LABELS = list("abcde")
TABLE = xarray.DataArray(X.T, dims=("neuroid", "presentation"), coords={"presentation": LABELS}, name="responses")
MAPS = xarray.DataArray(RNG.normal(size=(5, 4, 3, 2)), dims=("stimulus", "channel", "y", "x"))


def zarr_array(folder):
    array = zarr.create_array(folder / "x.zarr", data=X.T, dimension_names=("neuroid", "presentation"))
    assert array.shape == (36, 5)
    return array


def zarr_of_xarray(folder):
    """As xarray writes Zarr 2."""
    array = zarr.create_array(folder / "x.zarr", data=X.T, zarr_format=2)
    array.attrs["_ARRAY_DIMENSIONS"] = list(TABLE.dims)
    return zarr.open(folder / "x.zarr", mode="r")


def labelled_dataset(folder):
    with h5py.File(folder / "x.h5", "w") as file:
        dataset = file.create_dataset("x", data=X.T)
        for axis, name in enumerate(TABLE.dims):
            dataset.dims[axis].label = name
    return h5py.File(folder / "x.h5")["x"]


def netcdf_file(folder):
    TABLE.to_netcdf(folder / "x.nc")
    return folder / "x.nc"


SOURCES = {
    "xarray": lambda folder: TABLE,
    "xarray, transposed": lambda folder: TABLE.T,
    "xarray of Dask": lambda folder: TABLE.chunk(7),
    "xarray of a file": lambda folder: xarray.open_dataarray(netcdf_file(folder)),
    "xarray variable": lambda folder: TABLE.variable,
    "netCDF4": lambda folder: netCDF4.Dataset(netcdf_file(folder))["responses"],
    "netCDF4 by h5py": lambda folder: h5py.File(netcdf_file(folder))["responses"],
    "h5py": labelled_dataset,
    "Zarr 3": zarr_array,
    "Zarr 2": zarr_of_xarray,
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_names_say_which_dimension_is_that_of_inputs(tmp_path, make):
    x = Activations.from_array(make(tmp_path))
    assert x.digest() == Activations.from_array(X).digest()
    assert x.labels is None or x.labels.tolist() == LABELS


@pytest.mark.parametrize("name", ["xarray", "xarray of Dask", "xarray of a file", "netCDF4"])
def test_coordinates_become_labels_unless_labels_are_given(tmp_path, name):
    array = SOURCES[name](tmp_path)
    assert simplugins.compute_rsm(array).labels.tolist() == LABELS
    assert simplugins.compute_rsm(array, labels=range(5)).labels.tolist() == [0, 1, 2, 3, 4]
    assert Activations.from_array(array, subset=[3, 1]).labels.tolist() == ["d", "b"]


def test_dask_in_xarray_stays_lazy():
    def fail(block):
        raise AssertionError("the second half was read")

    halves = [da.from_array(X[:3]), da.from_array(X[3:]).map_blocks(fail, meta=np.empty((0, 0)))]
    array = xarray.DataArray(da.concatenate(halves), dims=("trial", "neuroid"))
    assert len(Activations.from_array(array, subset=[0, 1])) == 2


@given(st.permutations(MAPS.dims))
def test_maps_are_the_same_in_any_order_of_dimensions(order):
    x = Activations.from_array(MAPS.transpose(*order))
    assert x.digest() == Activations.from_array(MAPS.values).digest()


@given(st.permutations(["stimulus", "y", "x"]), st.permutations(MAPS.dims))
def test_masks_are_ordered_by_name(order, array_order):
    mask = MAPS[:, 0] > -0.5
    x = Activations.from_array(MAPS.transpose(*array_order), mask=mask.transpose(*order))
    assert x.digest() == Activations.from_array(MAPS.values, mask=mask.values).digest()


def test_masks_of_other_dimensions_or_coordinates_are_errors():
    with pytest.raises(ValueError, match=r"mask.*stimulus, y, x.*stimulus, y\b"):
        Activations.from_array(MAPS, mask=MAPS[:, 0, :, 0] > 0)
    named = MAPS.assign_coords(stimulus=LABELS)
    with pytest.raises(ValueError, match=r"mask.*stimulus"):
        Activations.from_array(named, mask=named[::-1, 0] > 0)


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        ("presentation neuroid", "nc"),
        ("Neuroids Presentations", "cn"),
        ("trial channel time", "nct"),
        ("time neuroid", "nc"),
        ("inputs tokens features", "ntc"),
        ("image row column channel", "nhwc"),
        ("video channel time height width", "ncthw"),
        ("sample channel depth height width", "ncdhw"),
        ("lat lon band time", "hwcn"),
        ("n t d", "ntd"),
        ("N C H W", "nchw"),
    ],
)
def test_known_names(names, layout):
    assert layout_by_name(names.split()) == layout
    assert layout_by_name(names.split(), layout) == layout


def test_no_name_has_two_meanings():
    names = " ".join(NAMES.values()).split()
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("foo neuroid", "'foo'.*layout="),
        ("y x neuroid", "inputs"),
        ("presentation y x", "channels"),
        ("presentation depth y x", "channels"),
        ("presentation trial neuroid", "'presentation' and 'trial'"),
        ("trial feature neuron", "'feature' and 'neuron'"),
        ("stimulus_i stimulus_j", "'stimulus_i'"),
    ],
)
def test_names_that_do_not_tell_are_errors(names, message):
    array = xarray.DataArray(RNG.normal(size=(4, 3, 2, 2)[: len(names.split())]), dims=names.split())
    with pytest.raises(ValueError, match=message):
        Activations.from_array(array)


@pytest.mark.parametrize(
    ("names", "layout"), [("foo neuroid", "nc"), ("foo bar", "cn"), ("time foo", "nc"), ("foo y x bar", "nhwc")]
)
def test_a_layout_names_unknown_dimensions(names, layout):
    array = xarray.DataArray(RNG.normal(size=(4, 3, 2, 2)[: len(layout)]), dims=names.split())
    x = Activations.from_array(array, layout=layout)
    assert x.digest() == Activations.from_array(array.values, layout=layout).digest()


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        ("neuroid presentation", "nc"),
        ("presentation neuroid", "cn"),
        ("stimulus token channel", "nct"),
        ("stimulus y x channel", "nwhc"),
        ("stimulus time channel", "ntdc"),
    ],
)
def test_a_layout_that_names_contradict_is_an_error(names, layout):
    array = xarray.DataArray(RNG.normal(size=(4, 3, 2, 2)[: len(names.split())]), dims=names.split())
    with pytest.raises(ValueError, match=f"'{layout}'.*{names.split()[0]}"):
        Activations.from_array(array, layout=layout)


def test_default_names_are_no_names():
    array = xarray.DataArray(X)
    assert array.dims == ("dim_0", "dim_1")
    assert Activations.from_array(array).layout == "nd"


def with_levels(**levels):
    values = {name: ("presentation", list(level)) for name, level in levels.items()}
    return TABLE.drop_vars("presentation").assign_coords(values).set_index(presentation=list(levels))


def test_of_several_coordinates_the_identifying_one_gives_the_labels():
    repeated = with_levels(repetition=[0, 0, 1, 1, 1], stimulus_id="vvwwx")
    assert Activations.from_array(repeated).labels.tolist() == list("vvwwx")
    distinct = with_levels(repetition=[0, 0, 1, 1, 1], word="vwxyz")
    assert Activations.from_array(distinct).labels.tolist() == list("vwxyz")
    loose = TABLE.drop_vars("presentation").assign_coords(image_id=("presentation", LABELS))
    assert Activations.from_array(loose).labels.tolist() == LABELS
    unclear = with_levels(repetition=[0, 0, 1, 1, 1], word="vvxyz")
    with pytest.raises(ValueError, match=r"repetition, word.*labels="):
        Activations.from_array(unclear)
    assert Activations.from_array(unclear, labels=LABELS).labels.tolist() == LABELS


def test_channels_placed_by_coordinates_are_not_one_position_unless_a_layout_says_so():
    placed = TABLE.assign_coords(channel_x=("neuroid", list(range(36))))
    with pytest.raises(ValueError, match=r"channel_x.*layout"):
        Activations.from_array(placed)
    assert Activations.from_array(placed, layout="cn").channels == 36


@pytest.mark.parametrize("order", [("channel", "y", "x"), ("x", "y", "channel")])
def test_lists_of_named_maps_are_stacked_by_name(order):
    maps = [one.transpose(*order) for one in MAPS]
    assert Activations.from_array(maps).digest() == Activations.from_array(MAPS.values).digest()
    with pytest.raises(ValueError, match="same dimensions"):
        Activations.from_array([maps[0], maps[1].transpose("y", "channel", "x")])


@pytest.mark.parametrize("order", [("channel", "y"), ("y", "channel")])
def test_lists_of_named_sets_have_channels_last(order):
    sets = [one.transpose(*order)[:, : i + 1] if order[1] == "y" else one.transpose(*order)[: i + 1]
            for i, one in enumerate(MAPS[:3, :, :, 0])]  # fmt: skip
    expected = Activations.from_sets([MAPS.values[i, :, : i + 1, 0].T for i in range(3)])
    assert Activations.from_sets(sets).digest() == Activations.from_array(sets).digest() == expected.digest()


def test_missing_values_are_errors():
    with pytest.raises(ValueError, match=r"NaN.*input 2"):
        Activations.from_array(TABLE.where(TABLE[3, 2] != TABLE))


def test_estimates_and_matchings_go_by_names():
    assert simplugins.estimate_for(TABLE, seconds=0.01).pairs == 10
    one = MAPS[0]
    matched = simplugins.match(one, one.transpose("y", "x", "channel"))
    assert matched.value == pytest.approx(simplugins.match(one.values, one.values).value)
    with pytest.raises(ValueError, match="'channel'"):
        simplugins.match(one, one, layout="hwc")


def test_layers_are_compared_by_coordinates():
    shuffled = TABLE[:, [3, 1, 0, 2, 4]]
    with pytest.raises(ValueError, match="labels differ"):
        simplugins.compare_layers({"a": TABLE}, {"b": shuffled}, "cka-debiased")
    value = simplugins.compare_layers({"a": TABLE}, {"b": shuffled}, "cka-debiased", align=True).values
    np.testing.assert_allclose(value, 1, atol=1e-6)
