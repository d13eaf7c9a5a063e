# SPDX-License-Identifier: Apache-2.0
import re
import tempfile
from collections import OrderedDict
from dataclasses import replace

import brainscore_vision
import numpy as np
import pytest
from brainscore_core.metrics import Metric, Score
from brainscore_core.supported_data_standards.brainio.assemblies import DataAssembly, NeuroidAssembly
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision import load_metric, metric_registry
from brainscore_vision.benchmark_helpers.neural_common import NeuralBenchmark, RSABenchmark, average_repetition
from brainscore_vision.metrics.rdm.metric import RDM, RDMSimilarity
from brainscore_vision.metrics.rsa_ceiling.ceiling import RSACeiling
from brainscore_vision.model_helpers.activations.core import ActivationsExtractorHelper
from simplugins_adapters import brain_score, brain_score_assemblies
from simplugins_adapters.brain_score import RDMStage, to_features
from simplugins_adapters.brain_score_assemblies import responses_in

import simplugins
from simplugins import NetworkSimilarity

NAMES = [f"crop {i:02}" for i in range(24)]
CROPS = StimulusSet({"stimulus_id": NAMES, "photo": np.repeat(np.arange(6), 4)})
CROPS.stimulus_paths = {name: f"/photos/{name}" for name in NAMES}
CROPS.identifier = None


@pytest.fixture(autouse=True)
def apart(monkeypatch):
    """Install nothing, store nothing for later runs, and repeat warnings in each test."""
    monkeypatch.setenv("BS_INSTALL_DEPENDENCIES", "no")
    monkeypatch.setenv("RESULTCACHING_DISABLE", "1")
    brain_score_assemblies._warn_of_one_position.cache_clear()


@pytest.fixture(scope="module")
def activations(photos):
    """Activations in every layout that Brain-Score distinguishes."""
    late = photos["block15"]
    return {
        "block10": photos["block10"],
        "block15": late,
        "tokens": late.reshape(24, 320, 49).transpose(0, 2, 1),
        "pooled": late.mean((2, 3)),
        "frames": late[:, :, :6].reshape(24, 320, 2, 3, 7).transpose(0, 2, 3, 4, 1),
        "channels last": late.transpose(0, 2, 3, 1),
    }


@pytest.fixture(scope="module")
def model(activations, tmp_path_factory):
    """Brain-Score's own extractor, for a model with these activations."""

    def activations_of(paths, names):
        places = [int(path.split()[-1]) for path in paths]
        return OrderedDict((name, np.ascontiguousarray(activations[name])[places]) for name in names)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("probe")))
        return ActivationsExtractorHelper(activations_of, preprocessing=None)


@pytest.fixture(scope="module")
def assemblies(model, activations):
    return {name: model(CROPS, layers=[name]) for name in activations}


@pytest.fixture(scope="module")
def recordings(photos):
    """Synthetic neurons of two subjects, for one region and time bin: responses at a few positions, plus noise."""
    rng = np.random.default_rng(0)
    flat = photos["block15"].reshape(24, -1)
    values = flat[:, rng.choice(flat.shape[1], 60, replace=False)] + rng.normal(size=(24, 60))
    order = rng.permutation(24)
    return NeuroidAssembly(
        values[order],
        coords={
            "stimulus_id": ("presentation", np.array(NAMES)[order]),
            "photo": ("presentation", CROPS["photo"].values[order]),
            "neuroid_id": ("neuroid", np.arange(60)),
            "subject": ("neuroid", ["A"] * 25 + ["B"] * 35),
            "region": ("neuroid", ["IT"] * 60),
            "time_bin": 70,
        },
        dims=["presentation", "neuroid"],
        attrs={"stimulus_set": CROPS},
    )


class Candidate:
    """A model that responds to all stimuli with one layer."""

    def __init__(self, model, layer):
        self.model, self.layer = model, layer

    def visual_degrees(self):
        return 8

    def start_recording(self, region, time_bins):
        assert (region, time_bins) == ("IT", [70])

    def look_at(self, stimuli, number_of_trials):
        return self.model(stimuli, layers=[self.layer])


def shuffled(assembly, seed=0):
    rng = np.random.default_rng(seed)
    return assembly[rng.permutation(assembly.shape[0]), rng.permutation(assembly.shape[1])]


def rsm_of(assembly, **options):
    return RDMStage(**options).rsm(assembly)


def test_the_page_prints_what_it_shows(run_page):
    run_page("brain-score")


@pytest.mark.parametrize(
    ("name", "grid"),
    [
        ("block10", "14 x 14 (channel_x, channel_y)"),
        ("block15", "7 x 7 (channel_x, channel_y)"),
        ("tokens", "49 (channel)"),
        ("frames", "2 x 3 x 7 (channel_temporal, channel_x, channel_y)"),
    ],
)
def test_positions_are_found_in_any_order_of_neuroids(assemblies, activations, name, grid):
    expected = activations[name].reshape(24, -1, 320) if name == "frames" else activations[name]
    result = responses_in(assemblies[name])
    np.testing.assert_array_equal(result.activations, expected)
    assert result.grid == grid
    turned = responses_in(shuffled(assemblies[name]).T)
    assert turned.stimuli.tolist() != NAMES
    np.testing.assert_array_equal(turned.in_order().activations, expected)
    assert turned.in_order().stimuli.tolist() == NAMES


def test_grid_states_the_positions_of_another_layout(assemblies, activations):
    assembly = assemblies["channels last"]  # Brain-Score's "channel" is the row here, as in a Swin transformer
    assert rsm_of(assembly).metadata["grid"] == "7 x 320 (channel_x, channel_y)"
    rsm = rsm_of(assembly, grid=("channel_y", "channel", "channel_x"))
    np.testing.assert_array_equal(rsm.values, simplugins.compute_rsm(activations["block15"]).values)
    assert rsm.metadata["grid"] == "7 x 7 (channel, channel_x)"


@pytest.mark.parametrize("method", ["cka", "cka-debiased", "rsa-spearman"])
@pytest.mark.parametrize("measure", ["semantic-linear", "semantic-cosine", "semantic-rbf", "spatio-semantic-cosine"])
def test_scores_are_our_similarities(assemblies, activations, measure, method):
    similarity = simplugins.similarity(measure, method)
    metric = similarity.to("brain-score")
    assert isinstance(metric, Metric)
    score = metric(assemblies["block10"], assemblies["block15"])
    assert isinstance(score, Score)
    assert score.dims == ()
    assert float(score) == pytest.approx(similarity(activations["block10"], activations["block15"]), abs=1e-12)
    assert (score.attrs["measure"], score.attrs["method"]) == (measure, method)
    assert score.attrs["similarity"] == f"{measure}-{method}"
    assert score.attrs["grid"] == ("14 x 14 (channel_x, channel_y)", "7 x 7 (channel_x, channel_y)")
    estimators = {"cka": "biased (HSIC of Gretton et al.)", "cka-debiased": "unbiased (HSIC of Song et al.)"}
    assert score.attrs.get("estimator") == estimators.get(method)


def test_maps_and_tokens_are_compared(assemblies, activations):
    score = simplugins.similarity().to("brain-score")(assemblies["block10"], assemblies["tokens"])
    assert float(score) == pytest.approx(
        simplugins.similarity()(activations["block10"], activations["block15"]), abs=1e-12
    )
    dropping = simplugins.similarity(drop_tokens=1)
    score = dropping.to("brain-score")(assemblies["tokens"], assemblies["tokens"])
    assert float(score) == pytest.approx(1)


def test_the_order_of_presentations_and_neuroids_does_not_matter(assemblies):
    metric = simplugins.similarity().to("brain-score")
    expected = float(metric(assemblies["block10"], assemblies["block15"]))
    for seed in range(3):
        turned = metric(shuffled(assemblies["block10"], seed), shuffled(assemblies["block15"], seed + 9).T)
        assert float(turned) == expected


def test_assemblies_are_not_changed(assemblies, activations):
    before = {name: assembly.copy(deep=True) for name, assembly in assemblies.items()}
    result = responses_in(assemblies["block15"])
    result.activations[:] = 0
    with pytest.warns(UserWarning, match="pooled"):
        responses_in(assemblies["pooled"]).activations[:] = 0
    simplugins.similarity().to("brain-score")(assemblies["block15"], assemblies["tokens"])
    RDMStage()(assemblies["block15"]).values[:] = 0
    for name, assembly in assemblies.items():
        np.testing.assert_array_equal(assembly.values, activations[name].reshape(24, -1))
        for dimension in assembly.dims:
            assert assembly.get_index(dimension).equals(before[name].get_index(dimension))


def test_neuroids_without_a_grid_are_one_position_with_a_warning(assemblies, activations, recordings):
    metric = simplugins.similarity("semantic-cosine", "rsa-spearman").to("brain-score")
    with pytest.warns(UserWarning, match=r"pooled.*grid="):
        score = metric(assemblies["block10"], assemblies["pooled"])
    assert score.attrs["grid"] == ("14 x 14 (channel_x, channel_y)", "one position")
    rsms = (
        simplugins.compute_rsm(activations["block10"]),
        simplugins.compute_rsm(activations["pooled"], "spatio-semantic-cosine"),
    )
    assert float(score) == pytest.approx(simplugins.compare(*rsms, "rsa-spearman"), abs=1e-12)
    with pytest.warns(UserWarning, match=r"neuroids have no coordinates"):
        rsm = rsm_of(recordings)
    np.testing.assert_allclose(rsm.values, simplugins.compute_rsm(recordings.values).values, atol=1e-12)
    metric = simplugins.similarity().to("brain-score", grid=())
    assert metric(assemblies["block15"], recordings).attrs["grid"] == ("one position", "one position")


def test_the_warning_appears_once_per_layer(assemblies, recordings):
    stage = RDMStage()
    with pytest.warns(UserWarning, match="neuroids have no coordinates"):
        stage(recordings)
    stage(recordings.sel(neuroid=recordings["subject"] == "A"))  # a warning would be an error
    with pytest.warns(UserWarning, match="neuroids of pooled have no coordinates"):
        stage(assemblies["pooled"])


def test_stimuli_that_differ_or_repeat_are_an_error(assemblies):
    metric = simplugins.similarity().to("brain-score")
    one = assemblies["block15"]
    with pytest.raises(ValueError, match=r"'crop 00' and 1 .*assembly1.*assembly2"):
        metric(one, one[2:])
    with pytest.raises(ValueError, match=r"'crop 23' and 0 .*assembly2.*assembly1"):
        metric(one[:23], one)
    twice = one[[*range(24), 3, 3]]
    with pytest.raises(ValueError, match=r"stimulus_id 'crop 03'.*\b3\b.*average_repetition"):
        metric(one, twice)
    with pytest.raises(ValueError, match=r"'crop 03'.*\b3\b"):
        RDMStage()(twice)
    assert float(metric(one, average_repetition(twice))) == pytest.approx(1, abs=1e-6)


def test_numbers_and_text_are_different_stimuli(assemblies):
    numbers, text = (
        NeuroidAssembly(
            np.eye(12),
            coords={
                "stimulus_id": ("presentation", names),
                "place": ("presentation", np.arange(12)),
                "channel": ("neuroid", np.arange(12)),
            },
            dims=["presentation", "neuroid"],
        )
        for names in (np.arange(12), np.arange(12).astype(str))
    )
    metric = simplugins.similarity().to("brain-score", grid=())
    with pytest.raises(ValueError, match=r"0 and 11 .*assembly1.*assembly2"):
        metric(numbers, text)


def test_neuroids_that_do_not_fill_a_grid_are_an_error(model, assemblies):
    both = model(CROPS, layers=["block10", "block15"])
    with pytest.raises(ValueError, match=r"\b37632 .*320 x 14 x 14 \(channel, channel_x"):
        rsm_of(both)
    np.testing.assert_array_equal(rsm_of(both.sel(layer="block15")).values, rsm_of(assemblies["block15"]).values)
    with pytest.raises(ValueError, match=r"\b15679 .*grid=\(\)"):
        rsm_of(assemblies["block15"][:, :-1])
    doubled = assemblies["block15"][:, [*range(15679), 0]]
    with pytest.raises(ValueError, match=r"\b15680 .*320 x 7 x 7"):
        rsm_of(doubled)
    with pytest.raises(ValueError, match="do not fill a grid"):
        rsm_of(model(CROPS, layers=["block15", "pooled"]))


def test_other_assemblies_are_an_error(assemblies, recordings):
    with pytest.raises(ValueError, match=r"assembly.*presentation x neuroid.* x time"):
        rsm_of(recordings.expand_dims("time", axis=2))
    alone = NeuroidAssembly(np.eye(3), coords={"stimulus_id": ("presentation", list("abc"))}, dims=recordings.dims)
    with pytest.raises(ValueError, match=r"'stimulus_id'.*have presentation"):
        rsm_of(alone)
    with pytest.raises(ValueError, match=r"grid.*\brow\b.*neuroid_num, model, layer"):
        rsm_of(assemblies["block15"], grid=("channel", "channel_x", "row"))
    for grid in ("channel", ["channel"]):
        with pytest.raises(ValueError, match=r"grid.*channel"):
            rsm_of(assemblies["block15"], grid=grid)
    nameless = assemblies["block15"].reset_index("presentation")
    nameless["stimulus_id"] = "presentation", [None] * 24
    with pytest.raises(ValueError, match="presentation 0 has no stimulus_id"):
        rsm_of(nameless)
    for read in (rsm_of, lambda source: simplugins.from_tool("brain-score", source)):
        with pytest.raises(TypeError, match=r"assembly.*ndarray"):
            read(assemblies["block15"].values)
    lost = recordings.copy(deep=True)
    lost[3, 5] = np.nan
    with pytest.raises(ValueError, match=r"second network.*NaN"):
        simplugins.similarity().to("brain-score", grid=())(recordings, lost)


def test_similarities_that_are_no_scores_are_an_error():
    with pytest.raises(ValueError, match=r"'semantic-cosine-angular-cka'.*less similar"):
        simplugins.similarity("semantic-cosine", "angular-cka").to("brain-score")
    with pytest.raises(ValueError, match="mask"):
        simplugins.similarity(mask=np.ones((24, 49), bool)).to("brain-score")


def test_rdm_similarity_of_complements_is_spearman_rsa(indefinite, kernel, permuted, unchanged):
    pair = indefinite[kernel]
    unchanged(*pair)
    assert np.linalg.eigvalsh(pair[0].values)[0] < -1e-4 * np.linalg.norm(pair[0].values, 2)
    expected = simplugins.compare(*pair, "rsa-spearman")
    rdms = [rsm.to("brain-score") for rsm in pair]
    assert RDMSimilarity()(*rdms) == pytest.approx(expected, abs=1e-10)
    assert RDMSimilarity()(rdms[0], permuted(pair[1]).to("brain-score")) == pytest.approx(expected, abs=1e-10)
    for rdm, rsm in zip(rdms, pair, strict=True):
        assert type(rdm) is DataAssembly
        np.testing.assert_array_equal(rdm.values, rdm.values.T)
        assert not np.diagonal(rdm.values).any()
        assert rdm["stimulus_id"].values.tolist() == rsm.labels.tolist()
        assert rdm.attrs == {"measure": rsm.measure, "dissimilarity": "complement"}
        rdm.values[:] = 0


@pytest.mark.parametrize("dissimilarity", ["distance", "squared-distance"])
def test_rdm_similarity_of_distances_is_that_of_distances(indefinite, kernel, dissimilarity):
    pair = indefinite[kernel]
    rdms = [rsm.to("brain-score", dissimilarity=dissimilarity) for rsm in pair]
    expected = simplugins.compare(*(-rsm.rdm() for rsm in pair), "rsa-spearman")
    assert RDMSimilarity()(*rdms) == pytest.approx(expected, abs=1e-6)


def test_cka_of_the_tool_on_features_is_debiased_cka(indefinite, kernel, permuted, unchanged):
    pair = indefinite[kernel]
    unchanged(*pair)
    one, other = (to_features(rsm, shift=True) for rsm in pair)
    exact = simplugins.compare(*pair, "cka-debiased")
    assert float(load_metric("cka")(one, other)) == pytest.approx(exact, abs=1e-6)
    turned = to_features(permuted(pair[1]), shift=True)
    assert float(load_metric("cka")(one, turned)) == pytest.approx(exact, abs=1e-6)
    biased = simplugins.compare(*pair, "cka")
    assert abs(float(load_metric("cka_biased")(one, other)) - biased) > 1e-4  # the reason for the error below
    with pytest.raises(ValueError, match="not positive semi-definite"):
        to_features(pair[0])
    assert one.attrs == {"measure": f"semantic-{kernel}", "shift": True}


def test_biased_cka_of_the_tool_is_ours_where_features_exist(photo_rsms):
    one, other = (to_features(rsm) for rsm in photo_rsms.values())
    expected = simplugins.compare(*photo_rsms.values(), "cka")
    assert float(load_metric("cka_biased")(one, other)) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("dissimilarity", ["complement", "distance", "squared-distance"])
def test_rsms_come_back(indefinite, kernel, dissimilarity):
    rsm, _ = indefinite[kernel]
    rdm = rsm.to("brain-score", dissimilarity=dissimilarity)
    back = simplugins.from_tool("brain-score", rdm)
    assert back.measure == rsm.measure
    np.testing.assert_array_equal(back.labels, rsm.labels)
    if dissimilarity == "complement":
        assert simplugins.compare(back, rsm, "rsa-spearman") == pytest.approx(1, abs=1e-12)
        if kernel != "linear":
            np.testing.assert_allclose(back.values, rsm.values, atol=1e-6)
    else:
        assert simplugins.compare(back, rsm, "cka") == pytest.approx(1, abs=1e-12)
        largest = rsm.rdm(squared=True).max()
        np.testing.assert_allclose(back.rdm(squared=True), rsm.rdm(squared=True), atol=1e-9 * largest)
    before = back.values.copy()
    rdm.values[:] = 0
    np.testing.assert_array_equal(back.values, before)


def test_rdms_of_the_tool_are_read(assemblies, activations):
    theirs = RDM()(assemblies["block15"])
    with pytest.raises(ValueError, match="dissimilarity="):
        simplugins.from_tool("brain-score", theirs)
    rsm = simplugins.from_tool("brain-score", theirs, dissimilarity="complement")
    np.testing.assert_allclose(rsm.values, np.corrcoef(activations["block15"].reshape(24, -1)), atol=1e-6)
    assert rsm.labels.tolist() == NAMES
    with pytest.raises(ValueError, match=r"rdm.*presentation x neuroid.*RDMStage"):
        simplugins.from_tool("brain-score", assemblies["block15"])


def test_small_rsms_without_labels_are_converted():
    rsm = simplugins.RSM.from_similarities([[1.0, 0.25], [0.25, 1.0]])
    rdm = rsm.to("brain-score")
    assert rdm["stimulus_id"].values.tolist() == [0, 1]
    assert simplugins.from_tool("brain-score", rdm).labels.tolist() == [0, 1]
    assert simplugins.from_tool("brain-score", rdm).labels.dtype == np.int64


def test_unsupported_rsms_are_an_error(photos, photo_rsms):
    between = simplugins.compute_rsm(photos["block15"][:4], other=photos["block15"][4:])
    for convert in (lambda rsm: rsm.to("brain-score"), to_features):
        with pytest.raises(ValueError, match=r"inputs with (themselves|other)"):
            convert(between)
        twins = replace(photo_rsms["block15"], labels=np.repeat(np.arange(12), 2))
        with pytest.raises(ValueError, match=r"labels.*\b0\b.*\b2 inputs.*labels=None"):
            convert(twins)
        assert convert(replace(twins, labels=None))["stimulus_id"].values.tolist() == [*range(24)]
    with pytest.raises(ValueError, match=r"dissimilarity.*'l1'"):
        photo_rsms["block15"].to("brain-score", dissimilarity="l1")


def test_stages_return_rdms_of_assemblies(assemblies, activations):
    rdm = RDMStage("semantic-linear", dissimilarity="distance", matching="greedy")(assemblies["block15"])
    expected = simplugins.compute_rsm(activations["block15"], "semantic-linear", matching="greedy").rdm()
    np.testing.assert_array_equal(rdm.values, expected)
    assert rdm["stimulus_id"].values.tolist() == NAMES
    assert rdm["photo"].values.tolist() == CROPS["photo"].tolist()
    assert rdm.attrs["grid"] == "7 x 7 (channel_x, channel_y)"
    assert rsm_of(shuffled(assemblies["block15"])).in_order(NAMES).labels.tolist() == NAMES
    assert simplugins.from_tool("brain-score", rdm).measure == "semantic-linear"
    with pytest.raises(ValueError, match="semantic-cos"):
        RDMStage("semantic-cos")
    with pytest.raises(ValueError, match=r"dissimilarity.*'l1'"):
        RDMStage(dissimilarity="l1")


def test_tokens_are_dropped_where_there_are_tokens(assemblies, activations):
    stage = RDMStage("spatio-semantic-cosine", drop_tokens=1)
    expected = simplugins.compute_rsm(activations["tokens"], "spatio-semantic-cosine", drop_tokens=1)
    np.testing.assert_array_equal(stage(assemblies["tokens"]).values, expected.to("brain-score").values)
    expected = simplugins.compute_rsm(activations["block15"], "spatio-semantic-cosine")
    np.testing.assert_array_equal(stage(assemblies["block15"]).values, expected.to("brain-score").values)


@pytest.mark.filterwarnings("ignore:Brain-Score. neuroids have no coordinates")
def test_the_stage_works_in_rsa_benchmarks(model, activations, recordings):
    stage = RDMStage("semantic-cosine")
    benchmark = RSABenchmark(
        identifier="crops.IT-semantic",
        version=1,
        assembly=recordings,
        region="IT",
        visual_degrees=8,
        number_of_trials=1,
        bibtex="",
        ceiler=RSACeiling(rdm=stage),
        rdm=stage,
        similarity=RDMSimilarity(),
    )
    score = benchmark(Candidate(model, "block10"))
    ours = simplugins.compute_rsm(activations["block10"], labels=NAMES)
    neural = [
        simplugins.compute_rsm(recordings.values[:, neuroids], labels=recordings["stimulus_id"].values)
        for neuroids in (slice(25), slice(25, None))
    ]
    expected = [simplugins.compare(ours, rsm, "rsa-spearman", align=True) for rsm in neural]
    assert score.raw.attrs["subject_scores"] == pytest.approx(expected, abs=1e-10)
    mean = (neural[0].values + neural[1].values) / 2
    ceiling = np.mean([simplugins.compare(rsm.values, mean, "rsa-spearman") for rsm in neural])
    assert float(score) == pytest.approx(np.mean(expected) / ceiling, abs=1e-10)


@pytest.mark.filterwarnings("ignore:Brain-Score. neuroids have no coordinates")
def test_metrics_work_in_neural_benchmarks_which_square(model, photos, recordings):
    similarity = simplugins.similarity("semantic-cosine", "cka-debiased")
    benchmark = NeuralBenchmark(
        identifier="crops.IT-semantic",
        assembly=recordings,
        similarity_metric=similarity.to("brain-score"),
        visual_degrees=8,
        number_of_trials=1,
        version=1,
        ceiling_func=lambda: Score(0.9),
        parent="IT",
        bibtex="",
    )
    score = benchmark(Candidate(model, "block10"))
    order = np.argsort(recordings["stimulus_id"].values)
    expected = similarity(photos["block10"], recordings.values[order])
    assert float(score.raw) == pytest.approx(expected, abs=1e-12)
    assert float(score) == pytest.approx(expected**2 / 0.9, abs=1e-12)
    assert score.raw.attrs["grid"] == ("14 x 14 (channel_x, channel_y)", "one position")


@pytest.fixture
def registry():
    """Their registry, left as it was."""
    before = dict(metric_registry)
    yield metric_registry
    metric_registry.clear()
    metric_registry.update(before)


def test_similarities_are_added_to_the_registry(assemblies, activations, registry):
    pair = assemblies["block15"], assemblies["block10"]
    names = simplugins.adapter("brain-score").register()
    assert names == [f"simplugins-{plugin}" for plugin in brain_score.all_similarities()]
    assert len(names) >= 12
    assert simplugins.adapter("brain-score").register() == names
    for name in ("semantic-cosine-cka-debiased", "spatio-semantic-cosine-rsa-spearman"):
        score = brainscore_vision.metric_registry[f"simplugins-{name}"]()(*pair)
        similarity = simplugins.similarity(*re.fullmatch("(.*(?:linear|cosine))-(.*)", name).groups())
        assert float(score) == pytest.approx(similarity(activations["block15"], activations["block10"]), abs=1e-12)
    score = brainscore_vision.metric_registry["simplugins-semantic-cosine-cka-debiased"](grid=())(*pair)
    assert score.attrs["grid"] == ("one position", "one position")
    with pytest.raises(AssertionError, match="simplugins-semantic-cosine-cka-debiased"):
        load_metric("simplugins-semantic-cosine-cka-debiased")


def test_plain_callables_are_registered_unless_they_are_distances(assemblies, registry, monkeypatch):
    def constant(one, other):
        return 0.5

    distance = NetworkSimilarity("semantic-cosine", "angular-cka")
    monkeypatch.setattr(brain_score, "all_similarities", lambda: {"constant": constant, "angle": distance})
    with pytest.warns(RuntimeWarning, match=r"left out.*'angle'"):
        assert simplugins.adapter("brain-score").register() == ["simplugins-constant"]
    score = registry["simplugins-constant"]()(assemblies["block15"], assemblies["block10"])
    assert float(score) == 0.5
    assert score.attrs["similarity"] == "constant"
    assert "simplugins-angle" not in registry
