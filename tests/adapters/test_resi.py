# SPDX-License-Identifier: Apache-2.0
import contextlib
import copy
import importlib
import json
import pickle
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from checkouts import tool_on_path
from simplugins_adapters import resi

import simplugins
from simplugins import plugins

NAMES = [
    f"{kind}Cosine{method}"
    for kind in ("Semantic", "SpatioSemantic", "SecondOrder", "MeanPooled")
    for method in ("CKADebiased", "RSASpearman", "MutualKNN")
]
INVARIANCES = ("affine", "invertible_linear", "ortho", "permutation", "isotropic_scaling", "translation")


def of_resi(module):
    """Return a module of ReSi, whose imports warn."""
    with warnings.catch_warnings(action="ignore"):
        return importlib.import_module(f"repsim.{module}")


@pytest.fixture(autouse=True)
def measures(request, monkeypatch, tmp_path):
    """ReSi's registry, of an import of its own."""
    monkeypatch.setenv("REP_SIM", str(tmp_path / "experiments"))
    forgotten = ("repsim", "graphs", "vision", "simplugins_adapters.subclasses.resi_measure")
    for _ in tool_on_path(request, monkeypatch, "resi", forgotten):
        yield of_resi("measures").ALL_MEASURES


@pytest.fixture
def their_command(tmp_path):
    """Return a function that runs the benchmark without experiments, with measures by name."""

    def run(*names):
        (tmp_path / "config.yaml").write_text(json.dumps({"included_measures": list(names), "experiments": []}))
        with warnings.catch_warnings(action="ignore"):
            simplugins.adapter("resi").run(["-c", str(tmp_path / "config.yaml")])

    return run


@pytest.fixture
def resi_itself(request, monkeypatch):
    """Skip with the double, which has no experiments; and work in the checkout, as ReSi asks git for a commit."""
    if not any(checkout.startswith("resi=") for checkout in request.config.getoption("--checkout")):
        pytest.skip("needs ReSi itself: --checkout resi=PATH")
    monkeypatch.chdir(Path(importlib.import_module("repsim").__file__).parent)


@pytest.fixture
def plugin(monkeypatch):
    """Return a function that adds a similarity to those that are registered."""
    registered = {}
    monkeypatch.setattr(resi, "all_similarities", lambda: registered)
    return registered.__setitem__


@pytest.fixture(scope="session")
def patches(photos):
    """What the RSMs that are indefinite are of: responses to patches, of the first and the next 8 channels."""
    maps = photos["block10"].reshape(24, 112, 7, 2, 7, 2).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 112, 2, 2)[::10]
    return maps[:, :8], maps[:, 8:16]


def test_the_page_prints_what_it_shows(run_page):
    run_page("resi")


def test_every_similarity_becomes_a_measure_named_after_it(measures):
    before = dict(measures)
    assert sorted(simplugins.adapter("resi").register()) == sorted(NAMES)
    assert measures.keys() == {*before, *NAMES}
    assert all(measures[name] is measure for name, measure in before.items())
    base = of_resi("measures.utils").RepresentationalSimilarityMeasure
    for name in NAMES:
        assert isinstance(measures[name], base)
        assert measures[name].name == type(measures[name]).__name__ == name
        assert repr(measures[name]).startswith(f"{name}(")


@pytest.mark.parametrize(("method", "name"), [("cka", "CKA"), ("rsa-spearman", "RSASpearman")])
def test_values_are_those_of_compare_on_indefinite_rsms(measures, indefinite, kernel, patches, method, name):
    pair = indefinite[kernel]
    assert np.linalg.eigvalsh(pair[0].values)[0] < -1e-4 * np.linalg.norm(pair[0].values, 2)
    measure = simplugins.similarity(f"semantic-{kernel}", method).to("resi")
    assert measure.name == resi.class_name(f"semantic-{kernel}") + name
    result = measure(*map(torch.tensor, patches), "nchw")
    assert type(result) is float
    assert result == pytest.approx(simplugins.compare(*pair, method), abs=1e-6)


def test_spatio_semantic_cka_equals_cka_of_flattened_maps(measures, patches):
    spatial, semantic = (
        simplugins.similarity(f"{kind}-linear", "cka").to("resi") for kind in ("spatio-semantic", "semantic")
    )
    maps = [torch.tensor(maps, dtype=torch.float64) for maps in patches]
    assert spatial(*maps, "nchw") == pytest.approx(measures["CKA"](*maps, "nchw"), abs=1e-9)
    vectors = [x.flatten(1) for x in maps]
    assert semantic(*vectors, "nd") == pytest.approx(measures["CKA"](*vectors, "nd"), abs=1e-9)


@pytest.mark.parametrize("shape", ["nd", "ntd", "nchw"])
def test_tensors_and_arrays_of_mixed_types_in_all_layouts(photos, shape):
    a, b = photos["block10"][:, :16, ::2, ::2], photos["block15"][:, :24]
    if shape != "nchw":
        a, b = (x.reshape(*x.shape[:2], -1).transpose(0, 2, 1) for x in (a, b))
    if shape == "nd":
        a, b = a.mean(1), b.mean(1)
    same = simplugins.similarity("semantic-linear", "cka")
    measure = same.to("resi")
    tensors = torch.tensor(a, requires_grad=True), torch.tensor(b, dtype=torch.float64)
    assert measure(*tensors, shape) == pytest.approx(same(a, b), abs=1e-6)
    assert measure(a, tensors[1].numpy(), shape) == pytest.approx(same(a, b), abs=1e-6)
    assert measure(tensors[0], b, shape) == pytest.approx(same(a, b), abs=1e-6)
    np.testing.assert_array_equal(tensors[0].detach(), a)


def test_vectors_are_compared_with_maps_as_maps_of_one_position(photos):
    maps, vectors = photos["block10"], photos["block15"].mean((2, 3))
    rsms = [simplugins.compute_rsm(x) for x in (maps, vectors)]
    measure = simplugins.similarity().to("resi")
    assert measure(maps, vectors[..., None, None], "nchw") == pytest.approx(simplugins.compare(*rsms), abs=1e-9)


def test_attributes_are_those_of_the_similarity(measures):
    simplugins.adapter("resi").register()
    for plugin in plugins.available("simplugins.similarities"):
        similarity, measure = plugins.load(plugin.group, plugin.name), measures[resi.class_name(plugin.name)]
        for attribute in ("larger_is_more_similar", "is_symmetric", "is_metric"):
            assert getattr(measure, attribute) is getattr(similarity, attribute)
        for what in INVARIANCES:
            assert getattr(measure, f"invariant_to_{what}") is getattr(similarity, f"invariant_to_{what}")
    distance = simplugins.similarity("semantic-linear", "angular-cka").to("resi")
    assert distance.name == "SemanticLinearAngularCKA"
    assert (distance.larger_is_more_similar, distance.is_metric) == (False, True)
    unknown = simplugins.similarity("semantic-linear", "cka", matching="greedy").to("resi", name="Greedy")
    assert unknown.invariant_to_translation is False


def test_registering_is_repeatable_and_overwrites_no_other_measure(measures, patches):
    first = simplugins.adapter("resi").register()
    value = measures["SemanticCosineCKADebiased"](*patches, "nchw")
    count = len(measures)
    assert simplugins.adapter("resi").register() == first
    assert len(measures) == count
    assert measures["SemanticCosineCKADebiased"](*patches, "nchw") == value
    measures["SemanticCosineRSASpearman"], theirs = measures["CKA"], measures["CKA"]
    del measures["SemanticCosineCKADebiased"]
    with pytest.raises(ValueError, match=r"'SemanticCosineRSASpearman'.*'semantic-cosine-rsa-spearman'"):
        simplugins.adapter("resi").register()
    assert measures["SemanticCosineRSASpearman"] is theirs
    assert "SemanticCosineCKADebiased" not in measures


def test_plain_callables_are_registered_if_they_declare_their_direction(measures, plugin, patches):
    def channels(one, other):
        return np.float32(one.shape[1] + other.shape[1])

    channels.larger_is_more_similar = False
    plugin("their_own-RBF", channels)
    plugin("silent", lambda one, other, shape: 0.0)
    with pytest.warns(RuntimeWarning, match=r"left out: Silent.*larger_is_more_similar"):
        assert simplugins.adapter("resi").register() == ["TheirOwnRBF"]
    measure = measures["TheirOwnRBF"]
    assert measure(*patches, "nchw") == 16.0
    assert measure.larger_is_more_similar is False
    assert measure.is_symmetric is False
    assert measure.is_metric is measure.invariant_to_ortho is None


def test_similarities_with_the_same_class_name_are_an_error(measures, plugin):
    before = dict(measures)
    plugin("semantic-cosine-cka", simplugins.similarity())
    plugin("semantic_cosine_cka", simplugins.similarity())
    with pytest.raises(ValueError, match="'SemanticCosineCKA'"):
        simplugins.adapter("resi").register()
    assert measures == before


def test_options_need_a_name_and_unknown_directions_a_declaration(patches):
    greedy = simplugins.similarity("semantic-linear", "cka", matching="greedy")
    with pytest.raises(ValueError, match=r"name.*semantic-linear-cka.*matching"):
        greedy.to("resi")
    measure = greedy.to("resi", name="GreedyCKA")
    assert measure.name == type(measure).__name__ == "GreedyCKA"
    assert measure(*patches, "nchw") == greedy(*patches)
    unknown = simplugins.NetworkSimilarity("semantic-linear", lambda a, b: 0.0, {})
    for convert in (unknown.to, lambda tool, **options: simplugins.to_tool(tool, lambda a, b: 0.0, **options)):
        with pytest.raises(ValueError, match=r"Own.*larger_is_more_similar"):
            convert("resi", name="Own")
        assert convert("resi", name="Own", larger_is_more_similar=True).larger_is_more_similar is True
    with pytest.raises(ValueError, match=r"larger_is_more_similar.*SemanticCosineCKA.*True.*False"):
        simplugins.similarity().to("resi", larger_is_more_similar=False)
    with pytest.raises(TypeError, match=r"'rsm'.*'similarity', 'registry', 'command'"):
        simplugins.RSM.from_similarities(np.eye(3)).to("resi")


@pytest.mark.parametrize("options", [{}, {"matching": "greedy"}])
def test_measures_can_be_sent_to_other_processes(patches, options):
    measure = simplugins.similarity("semantic-cosine", "cka", **options).to("resi", name="Sent")
    for sent in (pickle.loads(pickle.dumps(measure)), copy.deepcopy(measure)):
        assert sent.name == type(sent).__name__ == "Sent"
        assert sent(*patches, "nchw") == measure(*patches, "nchw")
        assert sent.invariant_to_translation is measure.invariant_to_translation


def test_failures_that_resi_records_as_nan_cause_a_warning(patches):
    experiment = of_resi("benchmark.group_separation_experiment")
    measure = simplugins.similarity().to("resi")
    broken = patches[0].copy()
    broken[3] = np.nan
    with pytest.warns(RuntimeWarning, match=r"SemanticCosineCKADebiased.*first network.*\b32 NaN"):
        assert np.isnan(experiment.compare_single_measure(broken, patches[1], measure, "nchw")["metric_value"])
    result = experiment.compare_single_measure(*patches, measure, "nchw")["metric_value"]
    assert result == measure(*patches, "nchw")
    with pytest.raises(ValueError, match="same inputs"):  # only the first failure causes a warning
        measure(patches[0], patches[1][:5], "nchw")
    assert len(measure.failures) == 2


def test_the_command_line_counts_failures_at_the_end(monkeypatch, measures, patches):
    def run_module(name, **options):
        assert (name, sys.argv) == ("repsim.run", ["repsim.run", "-c", "config.yaml"])
        for inputs in (5, 4, 118):
            with contextlib.suppress(ValueError):
                measures["SemanticCosineRSASpearman"](patches[0], patches[1][:inputs], "nchw")

    monkeypatch.setattr(resi.runpy, "run_module", run_module)
    with pytest.warns(RuntimeWarning) as warned:
        simplugins.adapter("resi").run(["-c", "config.yaml"])
    first, last = (str(warning.message) for warning in warned)
    assert re.match(r"SemanticCosineRSASpearman failed.*\b118\b.*\b5$", first)
    assert re.match(r"SemanticCosineRSASpearman failed in 2 comparisons.*\b118\b.*\b5$", last)


def test_the_command_line_of_the_tool_knows_our_measures(measures, their_command):
    argv, path = list(sys.argv), list(sys.path)
    their_command("SemanticCosineCKADebiased", "CKA", "SpatioSemanticCosineRSASpearman")
    assert set(NAMES) <= measures.keys()
    with pytest.raises(AssertionError, match="Some measures in"):
        their_command("SemanticCosineCCA")
    assert sys.argv == argv
    assert sys.path == path


@pytest.mark.filterwarnings("ignore")  # theirs
def test_an_experiment_of_the_tool_runs_with_our_measures(resi_itself, measures, photos, tmp_path):
    utils = of_resi("utils")

    class Model(utils.TrainedModel):
        def get_representation(self, dataset, **options):
            maps = photos[self.identifier].astype(np.float32)
            maps = torch.tensor(maps * (1 + 0.1 * np.random.default_rng(self.seed).normal(size=maps.shape)))
            layer = utils.SingleLayerRepresentation(layer_id=0, _representation=maps)
            return utils.ModelRepresentations(self, dataset, (layer,))

    simplugins.adapter("resi").register()
    groups = [[Model("VISION", "net", "photos", layer, seed) for seed in range(2)] for layer in ("block10", "block15")]
    experiment = of_resi("benchmark.group_separation_experiment").GroupSeparationExperiment(
        groups,
        [measures["SemanticCosineCKADebiased"]],
        "photos",
        storage_path=str(tmp_path / "results" / "result.parquet"),
    )
    experiment.run()
    scores = {result["quality_measure"]: result["value"] for result in experiment.eval()}
    assert scores == {"violation_rate": 0, "AUPRC": 1}


def test_the_command_line_of_the_tool_reports_missing_arguments(capsys):
    with warnings.catch_warnings(action="ignore"), pytest.raises(SystemExit, match="2"):
        simplugins.adapter("resi").run([])
    assert "-c" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("similarity", "name"),
    [("spatio-semantic-rbf-rsa-spearman", "SpatioSemanticRBFRSASpearman"), ("my_SVCCA.v2", "MySVCCAV2")],
)
def test_class_names_keep_acronyms(similarity, name):
    assert resi.class_name(similarity) == name
