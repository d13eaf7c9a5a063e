# SPDX-License-Identifier: Apache-2.0
"""The benchmark of the exact solver, and its fuzz."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from simplugins.matching.matcher import Assignments

pytest.importorskip("lap")

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return lambda name: importlib.import_module(f"solvers.{name}")


def test_a_quick_run_writes_the_report_its_numbers_and_a_picture(load, tmp_path):
    assert load("report").main(["--quick", "-o", str(tmp_path)]) == 0
    summary = json.loads(next(tmp_path.glob("*-solvers.json")).read_text(encoding="utf-8"))
    assert summary["facts"]["inexact"] == []
    assert {(cell["rows"], cell["cols"], cell["dtype"]) for cell in summary["cells"]} == {
        (9, 9, "float32"),
        (9, 12, "float32"),
        (9, 9, "float64"),
    }
    for cell in summary["cells"]:
        for way in cell["ways"]:
            assert way["faster"] == min(way["ratios"]["scipy"], way["ratios"]["lapx"])
            assert max(way["shortfall"].values()) <= 2.0**-20
    assert (tmp_path / "solvers.png").read_bytes().startswith(b"\x89PNG")
    assert "Machol–Wien" in next(tmp_path.glob("*-solvers.md")).read_text(encoding="utf-8")


def test_an_interrupted_run_continues(load, tmp_path):
    kept, report = tmp_path / "kept.jsonl", load("report")
    arguments = ["--quick", "-o", str(tmp_path), "--keep", str(kept)]
    report.main(arguments)
    lines = kept.read_text(encoding="utf-8").splitlines()
    kept.write_text("\n".join(lines[:-2]) + "\n", encoding="utf-8")
    report.main(arguments)
    continued = kept.read_text(encoding="utf-8").splitlines()
    assert continued[:-2] == lines[:-2]
    assert [json.loads(line)["place"] for line in continued] == [json.loads(line)["place"] for line in lines]


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (6, 6), (5, 9), (9, 5)])
def test_families_give_finite_and_reproducible_problems(load, rows, cols):
    families = load("families").FAMILIES
    for key in families.keys() - {"sentences"}:
        problems = families[key].problems(rows, cols, 2, np.float32)
        assert problems.shape == (2, rows, cols), key
        assert np.isfinite(problems).all(), key
        np.testing.assert_array_equal(problems, families[key].problems(rows, cols, 2, np.float32))


def test_unknown_families_raise(load):
    with pytest.raises(ValueError, match="reluu"):
        load("families").select("relu,reluu")


def test_all_solvers_return_the_same_value(load):
    rng = np.random.default_rng(0)
    competing = load("competing")
    for shape in ((3, 7, 7), (3, 5, 8), (3, 8, 5)):
        problems = rng.random(shape)
        expected = competing.values(problems, competing.scipy(problems))[0]
        for solve, sign in ((competing.ours, 1), *((solve, -1) for solve in competing.LAPX_ROUTINES.values())):
            np.testing.assert_allclose(competing.values(problems, solve(sign * problems))[0], expected, rtol=1e-12)


def test_values_reject_what_is_no_assignment(load):
    values = load("competing").values
    with pytest.raises(ValueError, match="twice"):
        values(np.ones((1, 2, 2)), np.array([[1, 1]]))
    with pytest.raises(ValueError, match="expected 2"):
        values(np.ones((1, 2, 2)), np.array([[1, -1]]))


def test_lineages_make_the_same_problems_again(load):
    hostile = load("hostile")
    for number in range(40):
        problem = hostile.make(3, number, 2)
        batch = hostile.plan(3, number)
        assert problem.shape == (batch.rows, batch.cols)
        assert problem.dtype == batch.dtype
        assert np.isfinite(problem).all()
        np.testing.assert_array_equal(hostile.remake(f"3:{number}:2"), problem)
        mutant = hostile.mutate(hostile.mutate(problem, 7), 8)
        np.testing.assert_array_equal(hostile.remake(f"3:{number}:2/7/8"), mutant)
        assert np.isfinite(mutant).all()


def test_the_fuzz_accepts_the_solver(load, tmp_path):
    output = tmp_path / "fuzz.json"
    assert load("fuzz").main(["--problems", "300", "--seed", "5", "-o", str(output)]) == 0
    assert json.loads(output.read_text(encoding="utf-8"))["problems"] >= 300


def test_the_fuzz_finds_wrong_values_and_wrong_bounds(load, monkeypatch):
    fuzz = load("fuzz")
    problems = np.array([[[1.0, 0.5], [0.5, 0.0]], [[1.0, 0.0], [0.0, 1.0]]], np.float32)
    best = np.array([1.0, 2.0])
    assert fuzz.check(problems, best)[0].tolist() == [True, True]

    def with_prices(prices, columns=(0, 1, 0, 1)):
        monkeypatch.setattr(fuzz, "assign", lambda _: Assignments(np.array(columns), np.array(prices)))
        return fuzz.check(problems, best)[0].tolist()

    exact = [[0.5, 0.0], [0.0, 0.0]]
    assert with_prices(exact) == [True, True]
    assert with_prices([[3.0, 0.0], [0.0, 0.0]]) == [False, True]  # a loose bound
    assert with_prices(exact, (0, 1, 1, 0)) == [True, False]


LINEAGES = (
    *("5:62:1", "5:126:4", "5:225:2", "5:270:0", "5:372:7", "5:478:9", "5:494:5", "5:633:6", "7:1260:2"),
    *("24:764:38", "24:1562:40", "24:140:2", "24:83:34/681441165"),
)
"""Problems that needed many rounds of refinement at one time, or that had the longest paths."""


@pytest.mark.parametrize("lineage", LINEAGES)
def test_problems_that_were_hard_once_have_right_values_and_bounds(load, lineage):
    hostile, fuzz = load("hostile"), load("fuzz")
    problem = hostile.remake(lineage)
    for way in (problem, np.ascontiguousarray(problem.T)):
        right, _ = fuzz.check(way[None], fuzz._best(way[None]))
        assert right[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_two_costs_on_scales_over_many_magnitudes_have_right_values_and_bounds(load, dtype):
    hostile, fuzz = load("hostile"), load("fuzz")
    batch = hostile.Batch(64, 64, dtype, "two-cost", ("quantise", "scale both"))
    problems = np.stack([hostile._make(batch, np.random.default_rng([77, k])) for k in range(60)])
    right, _ = fuzz.check(problems, fuzz._best(problems))
    assert right.all()
