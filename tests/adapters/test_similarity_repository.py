# SPDX-License-Identifier: Apache-2.0
import importlib
import math
import sys
import warnings

import numpy as np
import pytest
from checkouts import tool_on_path
from simplugins_adapters import similarity_repository

import simplugins
from simplugins import plugins

CKA = "measure/simplugins/cka-kernel={}-hsic=gretton-score"
ANGLE = "measure/simplugins/cka-kernel={}-hsic=gretton-distance=angular"
DEBIASED = "measure/simplugins/cka-kernel={}-hsic=song-score"
DEBIASED_ANGLE = "measure/simplugins/cka-kernel={}-hsic=song-distance=angular"
SPEARMAN = "measure/simplugins/rsa-rdm={}-compare=spearman"
MEASURES = [f"{kind}_cosine" for kind in ("semantic", "spatio_semantic", "second_order", "mean_pooled")]


@pytest.fixture(scope="module")
def imported(request):
    """The repository; to import it takes long, and warns."""
    with pytest.MonkeyPatch.context() as patch:
        for _ in tool_on_path(request, patch, "similarity-repository", ("similarity",)):
            with warnings.catch_warnings(action="ignore"):
                result = importlib.import_module("similarity")
            yield result


@pytest.fixture(autouse=True)
def repository(imported):
    """The repository, which is left as it was."""
    registry = imported.registration.registry
    before = dict(registry)
    yield imported
    registry.clear()
    registry.update(before)


@pytest.fixture
def plugin(monkeypatch):
    """Return a function that adds a similarity to those that are registered, of which there are none."""
    registered = {}
    monkeypatch.setattr(similarity_repository, "all_similarities", lambda: registered)
    return registered.__setitem__


@pytest.fixture(scope="module")
def patches(photos):
    """What the RSMs that are indefinite are of: responses to patches, of the first and the next 8 channels."""
    maps = photos["block10"].reshape(24, 112, 7, 2, 7, 2).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 112, 2, 2)[::10]
    return maps[:, :8], maps[:, 8:16]


def test_the_page_prints_what_it_shows(run_page):
    run_page("similarity-repository")


def test_every_similarity_has_its_own_and_a_standard_id(repository):
    before = dict(repository.registration.registry)
    ids = simplugins.adapter("similarity-repository").register()
    own = [f"simplugins/{plugin.name}" for plugin in plugins.available("simplugins.similarities")]
    standard = [form.format(measure) for form in (DEBIASED, DEBIASED_ANGLE, SPEARMAN) for measure in MEASURES]
    standard += [f"measure/simplugins/{measure.replace('_', '-')}-mutual-knn" for measure in MEASURES]
    assert sorted(ids) == sorted([*own, *standard])
    assert repository.registration.registry.keys() == {*before, *ids}
    assert all(repository.make(id_) is measure for id_, measure in before.items())
    assert repository.make("measure/simplugins/*").keys() == {*standard}
    assert {*standard} <= repository.all_measures().keys()
    assert repository.make("measure/*/cka-kernel=semantic_*-hsic=song-score").keys() == {
        DEBIASED.format("semantic_cosine")
    }


def test_values_are_those_of_compare_on_indefinite_rsms(repository, plugin, indefinite, kernel, patches):
    pair = indefinite[kernel]
    assert np.linalg.eigvalsh(pair[0].values)[0] < -1e-4 * np.linalg.norm(pair[0].values, 2)
    copies = [maps.copy() for maps in patches]
    for method in ("cka", "rsa-spearman"):
        plugin(f"semantic-{kernel}-{method}", simplugins.similarity(f"semantic-{kernel}", method))
    simplugins.adapter("similarity-repository").register()
    measure = f"semantic_{kernel}"
    for id_, method in ((CKA, "cka"), (ANGLE, "angular-cka"), (SPEARMAN, "rsa-spearman")):
        result = repository.make(id_.format(measure))(*patches)
        assert type(result) is float
        assert result == pytest.approx(simplugins.compare(*pair, method), abs=1e-6)
    own = repository.make(f"simplugins/semantic-{kernel}-cka")(*patches)
    assert own == repository.make(CKA.format(measure))(*patches)
    np.testing.assert_array_equal(patches, copies)


@pytest.mark.parametrize("form", ["gretton-score", "gretton-distance=angular"])
def test_other_repositories_agree_on_vectors(repository, plugin, photos, form):
    x, y = photos["block10"].mean((2, 3), dtype=float), photos["block15"].mean((2, 3), dtype=float)
    plugin("linear", simplugins.similarity("semantic-linear", "cka"))
    simplugins.adapter("similarity-repository").register()
    result = {
        repo: repository.make(f"measure/{repo}/cka-kernel={kernel}-hsic={form}")(x, y)
        for repo, kernel in [("netrep", "linear"), ("simplugins", "semantic_linear")]
    }
    assert result["simplugins"] == pytest.approx(result["netrep"], abs=1e-9)


def test_spearman_is_that_of_the_rdm_which_the_id_names(repository, plugin, photos, kernel):
    x, y = photos["block10"], photos["block15"]
    plugin(kernel, simplugins.similarity(f"semantic-{kernel}", "rsa-spearman"))
    simplugins.adapter("similarity-repository").register()
    result = repository.make(SPEARMAN.format(f"semantic_{kernel}"))(x, y)
    rdms = []
    for maps in (x, y):
        values = simplugins.compute_rsm(maps, f"semantic-{kernel}").values
        rdms.append(values.max() - values)
    assert result == pytest.approx(simplugins.compare(*(-rdm for rdm in rdms), "rsa-spearman"), abs=1e-9)


def test_arrays_of_two_three_and_four_dimensions(repository, photos):
    simplugins.adapter("similarity-repository").register()
    measure = repository.make("simplugins/semantic-cosine-cka-debiased")
    maps, others = photos["block10"], photos["block15"]
    tokens = maps.reshape(24, 112, -1).transpose(0, 2, 1)
    assert measure(tokens, others) == pytest.approx(measure(maps, others), abs=1e-9)
    vectors = others.mean((2, 3))
    assert measure(maps, vectors) == pytest.approx(measure(maps, vectors[..., None, None]), abs=1e-9)
    with pytest.raises(ValueError, match="same inputs"):
        measure(maps, others[:5])


def test_registering_is_repeatable_and_overwrites_no_other_id(repository):
    adapter = simplugins.adapter("similarity-repository")
    ids = adapter.register()
    after = dict(repository.registration.registry)
    assert adapter.register() == ids
    assert repository.registration.registry == after
    repository.registration.registry.pop("simplugins/semantic-cosine-cka-debiased")
    repository.register(DEBIASED.format("semantic_cosine"), max)
    with pytest.raises(ValueError, match=r"'measure/simplugins/cka-kernel=semantic_cosine-hsic"):
        adapter.register()
    assert repository.make(DEBIASED.format("semantic_cosine")) is max
    assert not repository.match("simplugins/semantic-cosine-cka-debiased")


def test_ids_state_the_options(repository, plugin):
    plugin("plain-score", lambda one, other: np.float32(one.shape[0]))
    plugin("chords", simplugins.similarity("semantic-linear", "norm-difference"))
    plugin("cosines", simplugins.similarity("semantic-linear", "rsa-cosine"))
    options = {"matching": "topk-greedy", "matching_options": {"k": 8}, "drop_tokens": [1, 2]}
    plugin("greedy", simplugins.similarity("semantic-cosine", "cka", **options))
    plugin("debiased", simplugins.similarity("semantic-linear", "cka-debiased"))
    plugin("tau", simplugins.similarity("spatio-semantic-rbf", "rsa-kendall", sigma=2.0))
    ids = simplugins.adapter("similarity-repository").register()
    greedy = "(semantic_cosine-drop_tokens=[1, 2]-matching=topk_greedy-k=8)"
    assert [id_ for id_ in ids if id_.startswith("measure/")] == [
        "measure/simplugins/plain-score",
        "measure/simplugins/chords",
        "measure/simplugins/cosines",
        CKA.format(greedy),
        "measure/simplugins/cka-kernel=semantic_linear-hsic=song-score",
        "measure/simplugins/rsa-rdm=(spatio_semantic_rbf-sigma=2.0)-compare=tau_b",
        ANGLE.format(greedy),
        "measure/simplugins/cka-kernel=semantic_linear-hsic=song-distance=angular",
    ]
    x = np.random.default_rng(0).normal(size=(6, 3))
    result = repository.make("measure/simplugins/plain-score")(x, x)
    assert (type(result), result) == (float, 6.0)
    song = repository.make("measure/simplugins/cka-kernel=semantic_linear-hsic=song-score")(x, x[::-1])
    angle = repository.make("measure/simplugins/cka-kernel=semantic_linear-hsic=song-distance=angular")(x, x[::-1])
    assert math.cos(angle) == pytest.approx(song, abs=1e-12)
    repository.register(CKA.format(greedy), max)
    with pytest.raises(ValueError, match=r"id .*drop_tokens=\[1, 2\]"):
        simplugins.adapter("similarity-repository").register()


def test_the_first_of_equal_similarities_gets_the_standard_id(repository, plugin):
    angular, first = simplugins.similarity(method="angular-cka"), simplugins.similarity(method="cka")
    plugin("angular", angular)
    plugin("first", first)
    plugin("second", simplugins.similarity(method="cka"))
    ids = simplugins.adapter("similarity-repository").register()
    assert ids == [
        "simplugins/angular",
        "simplugins/first",
        "simplugins/second",
        ANGLE.format("semantic_cosine"),
        CKA.format("semantic_cosine"),
    ]
    assert repository.make(CKA.format("semantic_cosine")).similarity is first
    assert repository.make(ANGLE.format("semantic_cosine")).similarity is angular


def test_one_similarity_becomes_a_function_to_register(repository, photos):
    greedy = simplugins.similarity("semantic-cosine", "cka", matching="greedy")
    function = greedy.to("similarity-repository")
    repository.register("mine/greedy", function)
    assert repository.make("mine/greedy") is function
    result = function(photos["block10"], photos["block15"])
    assert result == pytest.approx(greedy(photos["block10"], photos["block15"]), abs=1e-12)
    with pytest.raises(TypeError, match=r"'rsm'.*'similarity', 'registry'"):
        simplugins.RSM.from_similarities(np.eye(3)).to("similarity-repository")
    with pytest.raises(TypeError, match="'kernel'"):
        greedy.to("similarity-repository", kernel="linear")


def test_undefined_values_are_nan_with_a_warning(repository):
    simplugins.adapter("similarity-repository").register()
    x = np.random.default_rng(0).normal(size=(6, 3))
    for form in (DEBIASED, DEBIASED_ANGLE):
        with pytest.warns(RuntimeWarning, match="NaN"):
            assert math.isnan(repository.make(form.format("semantic_cosine"))(x, np.ones((6, 3))))


def test_another_package_of_that_name_is_not_the_tool(tmp_path, monkeypatch):
    (tmp_path / "similarity").mkdir()
    (tmp_path / "similarity" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "similarity")
    adapter = simplugins.adapter("similarity-repository")
    assert not adapter.available()
    with pytest.raises(ImportError, match=r"package similarity.*pip"):
        adapter.register()
