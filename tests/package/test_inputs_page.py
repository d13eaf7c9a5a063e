# SPDX-License-Identifier: Apache-2.0
"""The page "How your arrays are read": every row of its tables is evaluated.

The header of a table's first column is code with "…" in the place of the row's code; further columns whose header is
code are variables. The last column is the result, "error:" and words of the message, or "warning:" and such words after
a result. All other columns are prose.
"""

from __future__ import annotations

import ast
import importlib
import io
import re
import sys
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import simplugins
from simplugins._common.gpu import why_unusable
from simplugins.activations.named_dimensions import NAMES
from simplugins.activations.reading import read
from simplugins.cli import app

pytest.importorskip("torch")
PAGE = Path(__file__).parents[2] / "docs" / "inputs.md"
TEXT = PAGE.read_text(encoding="utf-8")
OPTIONAL = {
    "cp": "cupy",
    "da": "dask.array",
    "h5py": "h5py",
    "netCDF4": "netCDF4",
    "pd": "pandas",
    "safetensors": "safetensors.torch",
    "xr": "xarray",
    "zarr": "zarr",
}
"""Names in the page's code that stand for libraries which need not be installed."""


@dataclass(frozen=True)
class Row:
    """A row of a table: the code of the first column, its template, variables, and the expected result."""

    heading: str
    code: str
    template: str
    variables: dict[str, str]
    expected: str

    def __str__(self):
        return f"{self.heading}: {self.code} {' '.join(self.variables.values())}".strip()


def code_of(cell):
    """Return the code of a cell that consists of code in backticks; None for other cells."""
    match = re.fullmatch(r"``? ?(.+?) ?``?", cell)
    return match.group(1) if match else None


def rows_of(text):
    """Yield the rows of all tables."""
    heading, header = "", None
    for line in re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL).splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else None
        if cells is None:
            header = None
        elif header is None:
            header = cells
        elif not set(line) <= set("|-:"):
            assert len(cells) == len(header), line
            codes = {code_of(name): code_of(cell) for name, cell in zip(header[1:-1], cells[1:-1], strict=True)}
            variables = {name: code for name, code in codes.items() if name is not None and code is not None}
            yield Row(heading, cells[0], header[0], variables, cells[-1].replace("`", ""))


ROWS = list(rows_of(TEXT))


def names_in(code):
    return {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}


@pytest.fixture(scope="module")
def page_names():
    """The names that the page's code defines."""
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL):
        exec(block, names)
    return names | {function.__name__: function for function in HELPERS}


@pytest.fixture
def evaluate(page_names, tmp_path, monkeypatch):
    """Evaluate rows in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def result_of(row):
        return EVALUATORS.get(row.template, evaluated)(row, dict(page_names))

    return result_of


def run(code, names):
    if "cp" in names_in(code) and (reason := why_unusable()):
        pytest.skip(reason)
    for helper in names_in(code) & NEEDED.keys():
        pytest.importorskip(NEEDED[helper])
    libraries = {name: OPTIONAL[name] for name in names_in(code) & OPTIONAL.keys()}
    for name, library in libraries.items():
        pytest.importorskip(library)
        module = importlib.import_module(library)
        names[name] = sys.modules[name] if library.startswith(f"{name}.") else module
    return eval(code, names)


def evaluated(row, names):
    """Evaluate the template with the row's code in the place of "…"."""
    names |= {name: run(code, names) for name, code in row.variables.items()}
    return run(code_of(row.template).replace("…", code_of(row.code)), names)


def activations_in_file(row, names):
    """Write a file, and read it as commands do."""
    run(code_of(row.code), names)
    (file,) = Path().iterdir()
    return simplugins.Activations.from_array(read(file, row.variables.get("--key")))


def labels_in_file(row, names):
    """Return the labels that a command reads from a file with this content."""
    content = run(code_of(row.code), names)
    Path("labels.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
    np.save("vectors.npy", np.eye(3))
    done = CliRunner().invoke(app, ["rsm", "vectors.npy", "--labels", "labels.txt", "-q", "-o", "rsm.npz"])
    if done.exit_code:
        raise ValueError(" ".join(done.output.split()))
    return simplugins.load_rsm("rsm.npz").labels


def letter_of_names(row, names):
    """Return the letter as which all names of dimensions are read."""
    xarray = pytest.importorskip("xarray")
    letters = set()
    for name in re.findall(r"`(.+?)`", row.code):
        others = {"n": ("channel",), "c": ("image",)}.get(row.expected, ("image", "channel"))
        array = xarray.DataArray(np.eye(4)[(..., *[None] * (len(others) - 1))], dims=(name, *others))
        letters.add(simplugins.Activations.from_array(array).layout[0])
    (letter,) = letters
    return letter


def matlab_dataset(array, path="maps.mat", **options):
    """Write a dataset as MATLAB does: dimensions in reverse, the class as an attribute."""
    import h5py

    dataset = h5py.File(path, "w", **options).create_dataset("maps", data=array.T)
    dataset.attrs["MATLAB_class"] = np.bytes_("single")
    return dataset


def matlab_v73(path, array):
    """Write a file as MATLAB's ``save -v7.3`` does."""
    matlab_dataset(array, path, userblock_size=512).file.close()


def netcdf_variable(array, dimensions):
    """Write and open a variable of netCDF4."""
    import netCDF4

    file = netCDF4.Dataset("maps.nc", "w")
    for name, size in zip(dimensions.split(), array.shape, strict=True):
        file.createDimension(name, size)
    variable = file.createVariable("maps", "f4", dimensions.split())
    variable[:] = array
    return variable


def npy_header(path, shape):
    """Write the header of a .npy file, without the values."""
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})


def npz_members(path, *members):
    """Write a .npz file whose members have these names."""
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        for member in members:
            np.save(buffer := io.BytesIO(), np.eye(3))
            archive.writestr(member, buffer.getvalue())


HELPERS = (matlab_dataset, matlab_v73, netcdf_variable, npy_header, npz_members)
NEEDED = {"matlab_dataset": "h5py", "matlab_v73": "h5py", "netcdf_variable": "netCDF4"}
EVALUATORS = {
    "a file written by": activations_in_file,
    "content of the file": labels_in_file,
    "names of dimensions": letter_of_names,
}


def described(result):
    """Return the text that describes a result on the page."""
    if isinstance(result, dict):
        result = list(result.values())[-1]
    if isinstance(result, simplugins.Activations):
        sizes = sorted({*result.positions.tolist()})
        positions = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        dtype = "" if result.dtype == np.float32 else f", {result.dtype}"
        labels = "" if result.labels is None else f", labels {' '.join(map(str, result.labels))}"
        return f"{result.layout} ({len(result)}, {positions}, {result.channels}){dtype}{labels}"
    if isinstance(result, np.ndarray):
        return repr(result.tolist())
    return f"{result:.3g}" if isinstance(result, float) else str(result)


def check(row, evaluate):
    """Check that a row's code has the result that the row states."""
    outcome, _, words = row.expected.partition("error: ")
    if words:
        assert not outcome
        with pytest.raises((ValueError, TypeError)) as raised:
            evaluate(row)
        assert words in str(raised.value)
        return
    expected, _, words = row.expected.partition("; warning: ")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = evaluate(row)
    assert described(result) == expected
    assert [str(warning.message) for warning in caught if words == "" or words not in str(warning.message)] == []
    assert bool(caught) == bool(words)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_rows_of_the_page_are_true(row, evaluate):
    check(row, evaluate)


def test_the_page_lists_all_known_names_of_dimensions():
    cells = [row.code for row in ROWS if row.template == "names of dimensions"]
    assert set(re.findall(r"`(.+?)`", " ".join(cells))) >= {name for names in NAMES.values() for name in names.split()}


@pytest.mark.parametrize(
    "row",
    [
        "| `maps` | `nchw (5, 15, 8)` |",
        "| `maps` | error: layout |",
        "| `maps, layout='nhw'` | error: no such words |",
        "| `maps, layout='nhw'` | `nhw (5, 16, 8)` |",
        "| `maps` | `nchw (5, 16, 8)`; warning: too little |",
        "| `maps.astype(float) + 1e7` | `nchw (5, 16, 8), float64` |",
        "| `undefined` | `nchw (5, 16, 8)` |",
        "| `undefined` | error: undefined |",
        "| maps | `nchw (5, 16, 8)` |",
        "| `maps` | |",
    ],
)
def test_untrue_rows_are_noticed(row, evaluate):
    (untrue,) = rows_of(f"| `from_array(…)` | read as |\n|---|---|\n{row}")
    with pytest.raises((AssertionError, NameError, TypeError, ValueError, pytest.fail.Exception)):
        check(untrue, evaluate)
