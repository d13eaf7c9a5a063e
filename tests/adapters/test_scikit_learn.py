# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from sklearn import metrics
from sklearn.cluster import (
    DBSCAN,
    HDBSCAN,
    OPTICS,
    AffinityPropagation,
    AgglomerativeClustering,
    FeatureAgglomeration,
    SpectralClustering,
)
from sklearn.decomposition import KernelPCA
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import MDS, TSNE, Isomap, SpectralEmbedding, trustworthiness
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    KNeighborsTransformer,
    LocalOutlierFactor,
    NearestNeighbors,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
    RadiusNeighborsTransformer,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KernelCenterer
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM
from sklearn.utils.discovery import all_estimators

import simplugins

KERNEL_METHODS = (SVC, NuSVC, SVR, NuSVR, OneClassSVM, KernelRidge, KernelPCA, Nystroem)
N = 118


def set_up(estimator, **options):
    """Return an instance that takes a precomputed matrix."""
    names = ("kernel", "affinity", "metric")
    present = estimator().get_params()
    return estimator(**{name: "precomputed" for name in names if name in present}, **options)


ESTIMATORS = {
    **{estimator: {} for estimator in KERNEL_METHODS},
    Nystroem: {"n_components": N},
    KernelPCA: {"n_components": 5},
    KernelCenterer: {},
    AffinityPropagation: {"random_state": 0, "damping": 0.9, "max_iter": 1000},
    SpectralClustering: {"n_clusters": 6, "random_state": 0},
    SpectralEmbedding: {"random_state": 0},
    MDS: {"n_init": 1, "init": "random", "random_state": 0},
    TSNE: {"init": "random", "perplexity": 5, "random_state": 0},
    Isomap: {"n_neighbors": 40},
    AgglomerativeClustering: {"linkage": "average"},
    FeatureAgglomeration: {"linkage": "average"},
    DBSCAN: {},
    HDBSCAN: {"copy": True},
    OPTICS: {},
    **{
        estimator: {}
        for estimator in (
            *(NearestNeighbors, KNeighborsClassifier, KNeighborsRegressor, KNeighborsTransformer, LocalOutlierFactor),
            *(RadiusNeighborsClassifier, RadiusNeighborsTransformer),
        )
    },
    RadiusNeighborsRegressor: {"radius": 10.0},
}
if "ClassicalMDS" in dict(all_estimators()):
    from sklearn.manifold import ClassicalMDS

    ESTIMATORS[ClassicalMDS] = {}


@pytest.fixture
def photo(photos):
    return photos["photo"]


@pytest.fixture(scope="module")
def positive(photos):
    """An RSM with similarities above 0, positive semi-definite."""
    return simplugins.compute_rsm(photos["block15"], "semantic-rbf")


def test_the_page_prints_what_it_shows(run_page):
    run_page("scikit-learn")


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: estimator.__name__)
def test_estimators_fit_the_matrix(indefinite, estimator, unchanged):
    rsm = indefinite["rbf"][0]
    unchanged(rsm)
    options = ESTIMATORS[estimator]
    if estimator in KERNEL_METHODS:
        with pytest.warns(RuntimeWarning, match=r"eigenvalue is -.* as it is"):
            matrix = rsm.to("scikit-learn", estimator=set_up(estimator, **options), indefinite="keep")
    else:
        matrix = rsm.to("scikit-learn", estimator=set_up(estimator, **options))
    takes_distances = "metric" in estimator().get_params()
    np.testing.assert_array_equal(matrix, rsm.rdm() if takes_distances else rsm.values)
    fitted = set_up(estimator, **options).fit(matrix, np.arange(N) % 3.0)
    for name, shape in (("labels_", (N,)), ("embedding_", (N, 2)), ("dual_coef_", None), ("alphas_", None)):
        result = getattr(fitted, name, None)
        assert result is None or (shape is None or np.shape(result) == shape)
    if hasattr(fitted, "predict") and estimator is not AffinityPropagation:
        assert fitted.predict(matrix).shape == (N,)
    matrix[:] = 0


def test_all_estimators_that_accept_precomputed_matrices_are_supported():
    """In all of scikit-learn, "precomputed" is an allowed value exactly where the adapter returns a matrix."""
    rsm = simplugins.RSM.from_similarities(np.eye(3) + 1, measure="any")
    for name, estimator in all_estimators():
        allowed = getattr(estimator, "_parameter_constraints", {})
        named = {key: [str(value) for value in allowed.get(key, ())] for key in ("kernel", "affinity", "metric")}
        takes = [key for key, values in named.items() if "precomputed" in " ".join(values)]
        if takes or name in ("KernelCenterer", "ClassicalMDS", "MDS"):
            by_class = rsm.to("scikit-learn", estimator=estimator)
            np.testing.assert_array_equal(by_class, rsm.to("scikit-learn", estimator=name))
            expected = rsm.rdm() if "metric" in takes or "MDS" in name else rsm.values
            np.testing.assert_array_equal(by_class, expected)
        else:
            with pytest.raises(TypeError, match=r"only features|could be 'precomputed'"):
                rsm.to("scikit-learn", estimator=estimator)


@pytest.mark.parametrize("estimator", KERNEL_METHODS, ids=lambda estimator: estimator.__name__)
def test_indefinite_kernels_are_an_error_or_kept(indefinite, kernel, estimator):
    rsm = indefinite[kernel][0]
    eigenvalues = np.linalg.eigvalsh(rsm.values)
    share = f"{-eigenvalues[0] / eigenvalues[-1]:.2%}"
    with pytest.raises(ValueError, match=rf"eigenvalue is -{share} .*indefinite='keep'"):
        rsm.to("scikit-learn", estimator=estimator)
    with pytest.warns(RuntimeWarning, match=share):
        np.testing.assert_array_equal(rsm.to("scikit-learn", estimator=estimator, indefinite="keep"), rsm.values)


def test_semidefinite_kernels_are_accepted_within_rounding(photos):
    for dtype in (np.float32, np.float64):
        rsm = simplugins.compute_rsm(photos["block15"], "spatio-semantic-linear", dtype=dtype)
        doubled = simplugins.compute_rsm(np.repeat(photos["block15"], 2, 0), "spatio-semantic-linear", dtype=dtype)
        for semidefinite in (rsm, doubled):
            np.testing.assert_array_equal(semidefinite.to("scikit-learn", estimator="SVC"), semidefinite.values)


def test_kernel_pca_and_centring_use_the_centred_rsm(photo_rsms):
    rsm = photo_rsms["block10"]
    centring = np.eye(24) - 1 / 24
    centred = centring @ rsm.values @ centring
    np.testing.assert_allclose(
        KernelCenterer().fit_transform(rsm.to("scikit-learn", estimator=KernelCenterer)), centred, atol=1e-12
    )
    places = KernelPCA(kernel="precomputed").fit_transform(rsm.to("scikit-learn", estimator=KernelPCA))
    np.testing.assert_allclose(places @ places.T, centred, atol=1e-6)


def test_cka_of_indefinite_rsms_with_kernel_centerer(indefinite, kernel):
    pair = indefinite[kernel]
    one, other = (KernelCenterer().fit_transform(rsm.to("scikit-learn", estimator="KernelCenterer")) for rsm in pair)
    result = (one * other).sum() / np.linalg.norm(one) / np.linalg.norm(other)
    assert result == pytest.approx(simplugins.compare(*pair, "cka"), abs=1e-10)


def test_neighbours_are_the_nearest_by_our_distances(indefinite, kernel):
    rsm = indefinite[kernel][0]
    distances, places = (
        NearestNeighbors(n_neighbors=4, metric="precomputed")
        .fit(rsm.to("scikit-learn", estimator=NearestNeighbors))
        .kneighbors()
    )
    expected = rsm.rdm() + np.diag(np.full(N, np.inf))
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :4])
    np.testing.assert_allclose(np.take_along_axis(expected, places, 1), distances)


def test_scores_take_distances(photo_rsms, photo):
    matrix = photo_rsms["block10"].to("scikit-learn", estimator=metrics.silhouette_score)
    np.testing.assert_array_equal(matrix, photo_rsms["block10"].rdm())
    score = metrics.silhouette_score(matrix, photo, metric="precomputed")
    assert score == pytest.approx(metrics.silhouette_samples(matrix, photo, metric="precomputed").mean())
    assert score > 0.2
    places = MDS(random_state=0, n_init=1, init="random", metric="precomputed").fit_transform(matrix)
    assert trustworthiness(matrix, places, metric="precomputed") > 0.6


@pytest.mark.parametrize(
    "estimator", [SVC(kernel="precomputed"), KNeighborsClassifier(3, metric="precomputed")], ids=["kernel", "distance"]
)
def test_other_inputs_are_predicted(photos, photo, estimator):
    maps, fitted = photos["block15"], np.arange(24) % 4 > 0
    within = simplugins.compute_rsm(maps[fitted]).to("scikit-learn", estimator=estimator)
    between = simplugins.compute_rsm(maps[~fitted], other=maps[fitted]).to("scikit-learn", estimator=estimator)
    assert between.shape == (6, 18)
    np.testing.assert_array_equal(estimator.fit(within, photo[fitted]).predict(between), photo[~fitted])
    whole = simplugins.compute_rsm(maps).to("scikit-learn", estimator=estimator)
    assert cross_val_score(estimator, whole, photo, cv=4).mean() == 1


def test_negative_affinities_are_an_error(photo_rsms, positive):
    rsm = photo_rsms["block15"]
    for estimator in (SpectralClustering, SpectralEmbedding):
        with pytest.raises(ValueError, match=r"-0\.06613.*semantic-rbf"):
            rsm.to("scikit-learn", estimator=estimator)
        np.testing.assert_array_equal(positive.to("scikit-learn", estimator=estimator), positive.values)
    np.testing.assert_array_equal(rsm.to("scikit-learn", estimator=AffinityPropagation), rsm.values)


@pytest.mark.parametrize(
    ("estimator", "parameter"),
    [(SVC(), "kernel='rbf'"), (MDS(), "metric='euclidean'"), (SpectralClustering(), "affinity='rbf'")],
)
def test_instances_that_would_read_features_are_an_error(positive, estimator, parameter):
    name = parameter.split("=")[0]
    with pytest.raises(ValueError, match=f"estimator.*{parameter}.*{name}='precomputed'"):
        positive.to("scikit-learn", estimator=estimator)


class _OlderMDS:
    """MDS had this signature before scikit-learn 1.8."""

    def __init__(self, metric=True, dissimilarity="euclidean"):
        self.metric, self.dissimilarity = metric, dissimilarity

    def get_params(self, deep=True):
        return {"metric": self.metric, "dissimilarity": self.dissimilarity}


def test_an_older_mds_takes_distances(positive):
    with pytest.raises(ValueError, match="dissimilarity='precomputed'"):
        positive.to("scikit-learn", estimator=_OlderMDS())
    result = positive.to("scikit-learn", estimator=_OlderMDS(dissimilarity="precomputed"))
    np.testing.assert_array_equal(result, positive.rdm())


def test_other_estimators_are_recognised_by_bases_and_parameters(positive, indefinite):
    class Machine(SVC):
        def __init__(self, **options):
            super().__init__(**options)

    with pytest.raises(ValueError, match=r"Machine.*positive semi-definite"):
        indefinite["cosine"][0].to("scikit-learn", estimator=Machine)

    def spread(distances, metric="euclidean"):
        return distances.mean()

    np.testing.assert_array_equal(positive.to("scikit-learn", estimator=spread), positive.rdm())
    np.testing.assert_array_equal(positive.to("scikit-learn", estimator="TSNE"), positive.rdm())


def test_estimators_without_precomputed_matrices_are_an_error(positive):
    for estimator in (LogisticRegression, make_pipeline(KernelCenterer(), SVC()), 3, np.mean):
        with pytest.raises(TypeError, match=r"estimator.*kernel, affinity, metric, dissimilarity"):
            positive.to("scikit-learn", estimator=estimator)
    for estimator in (GaussianProcessClassifier, GaussianProcessClassifier(), "GaussianProcessRegressor"):
        with pytest.raises(TypeError, match=r"estimator.*GaussianProcess"):
            positive.to("scikit-learn", estimator=estimator)
    with pytest.raises(ValueError, match=r"estimator.*'SVM'.*KernelPCA"):
        positive.to("scikit-learn", estimator="SVM")
    with pytest.raises(ValueError, match=r"indefinite.*refuse, keep.*'clip'"):
        positive.to("scikit-learn", estimator="SVC", indefinite="clip")


def test_several_rsms_are_converted_separately(photo_rsms, permuted):
    result = simplugins.to_tool("scikit-learn", photo_rsms, estimator="TSNE")
    np.testing.assert_array_equal(result["block15"], photo_rsms["block15"].rdm())
    a, b = photo_rsms.values()
    with pytest.raises(ValueError, match=r"labels.* 0 .*align=True"):
        simplugins.to_tool("scikit-learn", (a, permuted(b)), estimator="TSNE")
    _, aligned = simplugins.to_tool("scikit-learn", (a, permuted(b)), align=True, estimator="TSNE")
    np.testing.assert_array_equal(aligned, b.rdm())
