# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

import simplugins
from simplugins import Activations, compute_rsm, compute_rsms
from simplugins.matching.matcher import Matcher
from simplugins.matching.optimal import Optimal
from simplugins.measures.measure import resolve_measure


def sums(activations):
    """The sum of each input's concept vectors, (N, C)."""
    return np.stack([vectors.sum(0) for vectors in activations.sets()])


def coverage(x, y=None):
    """How much of each response of x is covered by one of y: not symmetric."""
    return np.minimum(sums(x)[:, None], sums(y)[None]).sum(2) / np.abs(sums(x)).sum(1)[:, None]


def pooled(x, y=None):
    return sums(x) @ sums(y).T


pooled.symmetric = True
pooled.positive_semidefinite = True
pooled.effects = {"rotation": "none", "scaling": "scaling", "positions": "none"}


def centred(x, y=None):
    mean = sums(x).mean(0)
    return (sums(x) - mean) @ (sums(y) - mean).T


centred.pairwise = False


@dataclass(frozen=True)
class Pooled:
    """Weighted inner products of pooled responses."""

    power: float = 1.0
    weights: tuple[float, ...] | None = None
    symmetric: ClassVar[bool] = True

    def __call__(self, x, y=None):
        rows, columns = (np.sign(sums(side)) * np.abs(sums(side)) ** self.power for side in (x, y))
        return (rows * (1 if self.weights is None else np.array(self.weights))) @ columns.T


@pytest.fixture(scope="module")
def sets():
    return np.random.default_rng(0).random((11, 6, 4))


@pytest.fixture
def plugin(monkeypatch):
    """Register `Pooled` as the plugin "pooled-power"."""
    load = simplugins.plugins.load

    def load_with_plugin(group, name):
        return Pooled if name == "pooled-power" else load(group, name)

    monkeypatch.setattr(simplugins.plugins, "load", load_with_plugin)


@pytest.mark.parametrize("measure", [coverage, pooled, Pooled(2.0), Pooled, lambda x, y=None: pooled(x, y)])
@pytest.mark.parametrize("with_other", [False, True])
def test_functions_and_dataclasses_are_measures(sets, measure, with_other):
    x, y = sets[:7], sets[7:] if with_other else None
    function = measure() if isinstance(measure, type) else measure
    rsm = compute_rsm(x, measure, other=y)
    expected = function(Activations.from_array(x), Activations.from_array(x if y is None else y))
    np.testing.assert_allclose(rsm, expected, rtol=1e-12)
    assert rsm.symmetric is not with_other
    assert rsm.kernel is rsm.matching is rsm.sigma is rsm.gap is None
    assert rsm.metadata["engine"] == "cpu"


def test_measures_see_masked_and_labelled_inputs(sets):
    mask = np.arange(6) < np.arange(1, 12)[:, None]
    rsm = compute_rsm(np.where(mask[:, :, None], sets, np.nan), pooled, mask=mask, labels=range(11), subset=[3, 0, 5])
    expected = np.stack([(sets[i] * mask[i, :, None]).sum(0) for i in (3, 0, 5)])
    np.testing.assert_allclose(rsm, expected @ expected.T, rtol=1e-12)
    assert rsm.labels.tolist() == [3, 0, 5]


def test_names_and_options_come_from_the_plugin(sets, plugin):
    rsm = compute_rsm(sets, "pooled-power", measure_options={"power": 2.0})
    np.testing.assert_array_equal(rsm, compute_rsm(sets, Pooled(2.0)))
    assert rsm.measure == "pooled-power"
    assert rsm.metadata["measure_options"] == {"power": 2.0, "weights": None}
    assert compute_rsm(sets, Pooled).measure == "Pooled"
    assert compute_rsm(sets, pooled).measure == "pooled"


@pytest.mark.parametrize(
    ("measure", "options", "message"),
    [
        ("pooled-power", {"pwoer": 2}, r"'pooled-power'.*'pwoer'.*'power'"),
        (Pooled, {"sigma": 2}, r"'Pooled'.*'sigma'.*\bpower, weights\b"),
        (Pooled(2.0), {"power": 3.0}, r"'Pooled'.*'power'"),
        (pooled, {"power": 3.0}, r"'pooled'.*'power'"),
        ("semantic-linear", {"kernel": "rbf"}, r"'semantic-linear'.*'kernel'"),
        (3, None, r"measure.*\bint\b"),
        (type("Nameless", (), {}), None, r"measure.*Nameless"),
        (lambda x: x, None, r"f\(x, y=None\).*\bx\b"),
        (lambda x, y, z: x, None, r"f\(x, y=None\).*\bz\b"),
        (lambda x, y=None, *, power: x, None, r"f\(x, y=None\).*\bpower\b"),
    ],
)
def test_invalid_measures_and_options_raise(plugin, measure, options, message):
    with pytest.raises(TypeError, match=message):
        resolve_measure(measure, options)


def test_required_options_are_named():
    @dataclass(frozen=True)
    class Needy:
        power: float

        def __call__(self, x, y=None):
            return pooled(x, y)

    with pytest.raises(TypeError, match=r"'Needy'.*'power'"):
        resolve_measure(Needy)
    assert resolve_measure(Needy, {"power": 2.0}).options == {"power": 2.0}


def test_declared_facts_are_read():
    measure = resolve_measure(pooled)
    assert (measure.symmetric, measure.pairwise, measure.positive_semidefinite) == (True, True, True)
    assert measure.effects["scaling"] == "scaling"
    undeclared = resolve_measure(coverage)
    assert (undeclared.symmetric, undeclared.pairwise, undeclared.positive_semidefinite) == (False, True, None)
    assert undeclared.effects == {}


@pytest.mark.parametrize("effects", [{"rotations": "none"}, {"rotation": "nothing"}])
def test_unknown_effects_raise(effects):
    def measure(x, y=None):
        return pooled(x, y)

    measure.effects = effects
    (change, effect), *_ = effects.items()
    with pytest.raises(ValueError, match=rf"'measure'.*'{effect}'.*'{change}'"):
        resolve_measure(measure)


def test_semantic_measures_declare_the_effects_of_their_matching():
    linear, rbf = (resolve_measure(f"semantic-{kernel}") for kernel in ("linear", "rbf"))
    assert linear.effects["scaling"] == "scaling"
    assert rbf.effects["scaling"] == "none"
    assert rbf.effects_with(Optimal(), 2.0)["scaling"] == "other"
    spatial = resolve_measure("spatio-semantic-cosine")
    assert spatial.effects["positions"] == "other"
    assert (spatial.positive_semidefinite, linear.positive_semidefinite) == (True, False)


@pytest.mark.parametrize(
    "options",
    [
        {"matching": "optimal"},
        {"matching": Optimal()},
        {"matching_options": {"window": 4}},
        {"certify": True},
        {"sigma": 2.0},
        {"precision": "float16x3"},
    ],
    ids=str,
)
def test_options_of_semantic_measures_do_not_apply(sets, options):
    with pytest.raises(ValueError, match=rf"^{next(iter(options))}=.*'pooled'"):
        compute_rsm(sets, pooled, **options)


def test_the_cpu_is_the_only_engine_of_plugin_measures(sets):
    np.testing.assert_array_equal(compute_rsm(sets, pooled, engine="cpu"), compute_rsm(sets, pooled))
    with pytest.raises(ValueError, match="engine"):
        compute_rsm(sets, pooled, engine="cuda")


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.ones(11), ValueError, r"\(11, 11\).*\(11,\)"),
        (np.ones((11, 4)), ValueError, r"\(11, 11\).*\(11, 4\)"),
        (np.full((11, 11), np.nan), ValueError, r"nan.*row 0, column 0"),
        (np.diag(np.r_[np.zeros(10), np.inf]), ValueError, r"inf.*row 10, column 10"),
        (np.ones((11, 11), complex), TypeError, "complex128"),
        (np.full((11, 11), "a"), TypeError, "<U1"),
        (None, TypeError, "got NoneType"),
        (iter(np.ones((11, 11))), TypeError, "got .*iterator"),
        ([[1.0], [1.0, 2.0]], TypeError, "got list that is not an array"),
        (np.ma.masked_equal(np.eye(11), 1), TypeError, "masked values: fill them"),
    ],
)
def test_invalid_values_name_the_measure(sets, values, error, message):
    def broken(x, y=None):
        return values

    with pytest.raises(error, match=f"'broken'.*{message}"):
        compute_rsm(sets, broken)


def test_values_are_copied(sets):
    values = np.ones((11, 11))
    rsm = compute_rsm(sets, lambda x, y=None: values)
    assert not np.shares_memory(rsm.values, values)


@pytest.mark.parametrize("measure", [coverage, pooled, Pooled(0.5, (1.0, 2.0, 0.5, 1.0))])
@pytest.mark.parametrize("with_other", [False, True])
@pytest.mark.parametrize("options", [{}, {"memory": "16GB"}, {"store": "run.zarr"}], ids=["dense", "memory", "store"])
def test_tiles_of_plugin_measures_equal_the_whole(sets, tmp_path, measure, with_other, options):
    x, other = sets[:8], sets[8:] if with_other else None
    if "store" in options:
        pytest.importorskip("zarr")
        options = {"store": tmp_path / "run.zarr"}
    whole = compute_rsm(x, measure, other=other)
    tiled = compute_rsm(x, measure, other=other, tile_size=3, **options)
    np.testing.assert_allclose(tiled, whole, rtol=1e-12)
    np.testing.assert_allclose(tiled[[7, 0, 4], :2], whole.values[[7, 0, 4], :2], rtol=1e-12)
    if measure is coverage and not with_other:
        assert np.abs(tiled.values - tiled.values.T).max() > 0.01


def test_tiles_of_symmetric_measures_are_computed_once(sets):
    shapes = []

    def counted(x, y=None):
        shapes.append((len(x), len(y)))
        return pooled(x, y)

    counted.symmetric = True
    compute_rsm(sets, counted, tile_size=4)
    assert len(shapes) == 6
    counted.symmetric = False
    compute_rsm(sets, counted, tile_size=4)
    assert len(shapes) == 6 + 9


@pytest.mark.parametrize("options", [{"memory": "16GB"}, {"store": "run.zarr"}, {"tile_size": 4}], ids=str)
def test_measures_of_all_inputs_are_not_computed_in_parts(sets, tmp_path, options):
    if "store" in options:
        pytest.importorskip("zarr")
        options = {"store": tmp_path / "run.zarr"}
    with pytest.raises(ValueError, match=r"'centred'.*pairwise"):
        compute_rsm(sets, centred, **options)
    assert not list(tmp_path.iterdir())
    np.testing.assert_allclose(compute_rsm(sets, centred).values.sum(), 0, atol=1e-9)


def test_measures_receive_only_the_inputs_of_the_job(sets):
    """With a memory limit, measures that need certain channels are not warmed up on other activations."""
    received = set()

    def recording(x, y=None):
        received.update({x.channels, y.channels})
        return pooled(x, y)

    compute_rsm(sets, recording, memory="16GB", tile_size=4)
    assert received == {4}


@pytest.mark.parametrize("measure", [coverage, Pooled(2.0)])
def test_stored_rsms_of_plugin_measures_are_reopened(sets, tmp_path, measure):
    pytest.importorskip("zarr")
    path = tmp_path / "run.zarr"
    stored = compute_rsm(sets, measure, labels=range(11), store=path, tile_size=4)
    reopened = simplugins.load_rsm(path)
    np.testing.assert_array_equal(reopened, compute_rsm(sets, measure, tile_size=4))
    for name in ("measure", "kernel", "matching", "sigma", "metadata"):
        assert getattr(reopened, name) == getattr(stored, name)
    np.testing.assert_array_equal(reopened.labels, range(11))
    with pytest.raises(ValueError, match=rf"'{stored.measure}'.*'semantic-linear'"):
        simplugins.load_rsm(path, measure="semantic-linear")
    with pytest.raises(ValueError, match=r"run\.zarr.*another run"):
        compute_rsm(sets, pooled, labels=range(11), store=path)


def test_a_store_belongs_to_the_options_of_its_measure(sets, tmp_path):
    pytest.importorskip("zarr")
    path = tmp_path / "run.zarr"
    compute_rsm(sets, Pooled(weights=np.arange(4.0)), store=path)
    compute_rsm(sets, Pooled(weights=np.arange(4.0)), store=path)
    assert simplugins.load_rsm(path).metadata["measure_options"]["weights"] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=r"measure_options weights was \[0\.0, .*now None"):
        compute_rsm(sets, Pooled(), store=path)


class Scaled:
    """A measure that is no dataclass."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def __call__(self, x, y=None):
        return self.scale * pooled(x, y)

    def other_name(self, x, y=None):
        return self(x, y)


def scaled(x, y=None, *, scale):
    return scale * pooled(x, y)


def with_scale(scale):
    def closure(x, y=None):
        return scale * pooled(x, y)

    return closure


@pytest.mark.parametrize(
    "scaled_by",
    [Scaled, lambda scale: Scaled(scale).other_name, lambda scale: functools.partial(scaled, scale=scale), with_scale],
    ids=["instance", "bound method", "partial", "closure"],
)
def test_a_store_belongs_to_the_settings_of_any_callable(sets, tmp_path, scaled_by):
    pytest.importorskip("zarr")
    path = tmp_path / "run.zarr"
    rsm = compute_rsm(sets, scaled_by(2.0), store=path)
    np.testing.assert_allclose(compute_rsm(sets, scaled_by(2.0), store=path), rsm)
    assert rsm.metadata["measure_options"] == {"scale": 2.0}
    with pytest.raises(ValueError, match=r"measure_options scale was 2\.0, now 3\.0"):
        compute_rsm(sets, scaled_by(3.0), store=path)


def test_a_store_refuses_lambdas(sets, tmp_path):
    pytest.importorskip("zarr")
    with pytest.raises(ValueError, match=r"lambda.*define the measure as a function"):
        compute_rsm(sets, lambda x, y: pooled(x, y), store=tmp_path / "run.zarr")
    assert not (tmp_path / "run.zarr").exists()


def test_options_are_those_of_any_class(sets):
    rsm = compute_rsm(sets, Scaled, measure_options={"scale": 2.0})
    np.testing.assert_allclose(rsm, 2 * compute_rsm(sets, pooled).values)
    with pytest.raises(TypeError, match=r"'Scaled' has no option 'scal'.*did you mean 'scale'"):
        compute_rsm(sets, Scaled, measure_options={"scal": 2.0})


def test_errors_inside_a_measure_name_it(sets):
    def broken(x, y=None):
        return {}["nothing"] if len(x) > 3 else x.array() @ np.ones(9)

    with pytest.raises(KeyError) as raised:
        compute_rsm(sets, broken)
    assert raised.value.__notes__ == ["raised by measure 'broken'"]
    with pytest.raises(ValueError, match="measure 'broken': matmul"):
        compute_rsm(sets[:2], broken)


def test_tensors_with_gradients_are_values(sets):
    def weighted(x, y=None):
        return torch.from_numpy(pooled(x, y)).requires_grad_()

    np.testing.assert_array_equal(compute_rsm(sets, weighted), compute_rsm(sets, pooled))


@pytest.mark.parametrize("measure", [coverage, Pooled(2.0, weights=np.arange(4.0)), "semantic-rbf"])
@pytest.mark.parametrize("with_other", [False, True])
def test_rsms_keep_all_attributes_in_files(sets, tmp_path, measure, with_other):
    options = {"other": sets[8:], "other_labels": list("xyz")} if with_other else {}
    rsm = compute_rsm(sets[:8], measure, labels=range(8), certify=measure == "semantic-rbf", **options)
    rsm.save(tmp_path / "rsm.npz")
    loaded = simplugins.load_rsm(tmp_path / "rsm.npz")
    for name in ("values", "gap", "squared_norms", "other_squared_norms", "labels", "other_labels"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(rsm, name))
    for name in ("measure", "kernel", "matching", "sigma", "metadata", "symmetric", "shape"):
        assert getattr(loaded, name) == getattr(rsm, name)
    assert repr(loaded) == repr(rsm)


class Backwards(Matcher):
    """A third-party matcher without equality, which counts the pairs that it matches."""

    name = "backwards"
    pairs = 0

    def match(self, affinity):
        Backwards.pairs += affinity.size > 1
        return np.arange(len(affinity))[::-1]


@pytest.mark.parametrize("matching", ["backwards", Backwards()])
def test_measures_that_share_a_matching_match_each_pair_once(sets, monkeypatch, matching):
    load = simplugins.plugins.load
    monkeypatch.setattr(
        simplugins.plugins, "load", lambda group, name: Backwards if name == "backwards" else load(group, name)
    )
    monkeypatch.setattr(Backwards, "pairs", 0)
    names = [f"semantic-{kernel}" for kernel in ("linear", "cosine", "rbf")]
    rsms = compute_rsms(sets, names, matching=matching)
    assert Backwards.pairs == 11 * 10 // 2
    assert {rsm.matching for rsm in rsms.values()} == {"backwards"}


def test_several_measures_of_all_kinds_are_computed_together(sets):
    measures = ["semantic-linear", "spatio-semantic-linear", pooled, Pooled(2.0)]
    rsms = compute_rsms(sets, measures)
    assert list(rsms) == ["semantic-linear", "spatio-semantic-linear", "pooled", "Pooled"]
    for measure, rsm in zip(measures, rsms.values(), strict=True):
        np.testing.assert_allclose(rsm, compute_rsm(sets, measure), rtol=1e-12)


def test_wrongly_declared_symmetry_raises(sets):
    def one_sided(x, y=None):
        return coverage(x, y)

    one_sided.symmetric = True
    with pytest.raises(ValueError, match=r"'one_sided'.*symmetric.*row \d+, column \d+"):
        compute_rsm(sets, one_sided)


def test_rounding_does_not_make_symmetric_measures_asymmetric(sets):
    def rounded(x, y=None):
        values = pooled(x, y)
        return values * (1 + 1e-7 * np.arange(values.size).reshape(values.shape) / values.size)

    rounded.symmetric = True
    values = compute_rsm(sets, rounded).values
    np.testing.assert_array_equal(values, values.T)


def test_measures_need_distinct_names(sets):
    with pytest.raises(ValueError, match=r"measures.*'Pooled'"):
        compute_rsms(sets, [Pooled(1.0), Pooled(2.0)])
    assert list(compute_rsms(sets, [Pooled(1.0), Pooled(1.0)])) == ["Pooled"]
    with pytest.raises(ValueError, match="measures"):
        compute_rsms(sets, [])


def test_channels_of_other_inputs_must_agree(sets):
    with pytest.raises(ValueError, match=r"other.*\b4 channels.*\b3\b"):
        compute_rsm(sets, pooled, other=sets[:, :, :3])
