# SPDX-License-Identifier: Apache-2.0
import itertools
import sys

import numpy as np
import pytest
import torch
from checkouts import DOUBLES, tool_on_path
from simplugins_adapters.repsim_packages import check_repsim, installed_repsim

import simplugins
from simplugins import RSM

FORGOTTEN = ("repsim", "simplugins_adapters.subclasses.repsim_metric_space")


@pytest.fixture
def repsim(request, monkeypatch):
    """wrongu's repsim, of an import of its own."""
    for _ in tool_on_path(request, monkeypatch, "repsim", FORGOTTEN):
        import repsim

        yield repsim


@pytest.fixture
def repsim_itself(request, repsim):
    """Skip with the double, which has none of its metrics but Stress."""
    if not hasattr(repsim, "AngularCKA"):
        pytest.skip("needs repsim itself: --checkout repsim=PATH")
    return repsim


@pytest.fixture
def nowhere(request, monkeypatch):
    """Return a function that makes what is in a folder the only package repsim on the path."""
    result = tool_on_path(request, monkeypatch, "repsim", FORGOTTEN)
    next(result)
    del sys.path[0]
    yield monkeypatch.syspath_prepend
    next(result, None)


def test_the_page_prints_what_it_shows(repsim, run_page):
    run_page("repsim")


@pytest.mark.parametrize(("unbiased", "method"), [(False, "cka"), (True, "cka-debiased")], ids=["Gretton", "Song"])
def test_cka_of_the_tool_is_ours_even_for_indefinite_rsms(repsim, indefinite, kernel, unchanged, unbiased, method):
    pair = indefinite[kernel]
    unchanged(*pair)
    assert np.linalg.eigvalsh(pair[0].values)[0] < -1e-4 * np.linalg.norm(pair[0].values, 2)
    x, y = simplugins.to_tool("repsim", pair)
    assert x.dtype == torch.float64
    result = repsim.kernels.cka(x, y, unbiased=unbiased).item()
    assert result == pytest.approx(simplugins.compare(*pair, method), abs=1e-9)
    x.zero_()


def test_gram_matrices_come_back(repsim, indefinite, kernel):
    rsm, _ = indefinite[kernel]
    gram = rsm.to("repsim")
    assert torch.equal(gram, gram.T)
    np.testing.assert_allclose(RSM.from_similarities(gram).values, rsm.values, atol=1e-12 * np.abs(rsm.values).max())


def test_permuted_inputs_are_an_error_or_aligned(repsim, photo_rsms, permuted):
    a, b = photo_rsms.values()
    with pytest.raises(ValueError, match=r"labels.* 0 .*align=True"):
        simplugins.to_tool("repsim", (a, permuted(b)))
    _, aligned = simplugins.to_tool("repsim", (a, permuted(b)), align=True)
    assert torch.equal(aligned, b.to("repsim"))


@pytest.mark.parametrize("method", ["angular-cka", "cka", "cka-debiased", "norm-difference"])
def test_spaces_have_the_lengths_of_our_metrics_even_for_indefinite_rsms(repsim, indefinite, kernel, method):
    pair = indefinite[kernel]
    space = simplugins.similarity(f"semantic-{kernel}", method).to("repsim", m=118)
    assert isinstance(space, repsim.RepresentationMetricSpace)
    value = simplugins.compare(*pair, method)
    x, y = simplugins.to_tool("repsim", pair)
    length = space.length(x, y)
    assert (length.shape, length.dtype) == ((), torch.float64)
    assert length.item() == pytest.approx(np.arccos(value) if method.startswith("cka") else value, abs=1e-9)
    assert space.length(y, x).item() == pytest.approx(length.item(), abs=1e-12)
    assert space.length(x, x).item() == 0
    assert space.is_spherical == (method != "norm-difference")
    assert space.string_id() == f"semantic-{kernel}-{method}.118"
    assert torch.equal(space.project(x), x)


def test_angles_obey_the_triangle_inequality_on_indefinite_rsms(repsim, indefinite):
    points = [rsm.to("repsim") for pair in indefinite.values() for rsm in pair]
    for method in ("angular-cka", "cka-debiased"):
        space = simplugins.similarity("semantic-linear", method).to("repsim", m=118)
        d = np.array([[space.length(x, y).item() for y in points] for x in points])
        assert all(d[i, k] <= d[i, j] + d[j, k] + 1e-9 for i, j, k in itertools.permutations(range(len(points)), 3))


def test_compare_takes_maps(repsim, photos):
    similarity = simplugins.similarity("semantic-linear", "angular-cka")
    maps = [torch.tensor(photos[layer], requires_grad=True) for layer in ("block10", "block15")]
    expected = similarity(*maps)
    space = similarity.to("repsim", m=24)
    assert repsim.compare(*maps, method=space).item() == pytest.approx(expected, abs=1e-12)
    last = [x.permute(0, 2, 3, 1) for x in maps]
    result = repsim.compare(*last, method=similarity.to("repsim", m=24, layout="nhwc")).item()
    assert result == pytest.approx(expected, abs=1e-9)
    with pytest.raises(ValueError, match=r"m=24 .*\b8\b"):
        repsim.compare(*(x[:8] for x in maps), method=space)


def test_options_of_the_measure_are_kept(repsim, photos):
    similarity = simplugins.similarity("semantic-rbf", "cka", sigma=500.0, matching="greedy")
    maps = [photos[layer][:6] for layer in ("block10", "block15")]
    result = repsim.compare(*maps, method=similarity.to("repsim", m=6)).item()
    assert result == pytest.approx(np.arccos(similarity(*maps)), abs=1e-12)


@pytest.mark.filterwarnings("ignore:.*expected by chance:RuntimeWarning")
def test_points_outside_the_space_are_projected_with_a_warning(repsim):
    space = simplugins.similarity("semantic-linear", "angular-cka").to("repsim", m=3)
    x = torch.tensor([[2.0, 1.0, 0.0], [1.0, 3.0, 0.5], [0.4, 0.5, 1.0]], dtype=torch.float64)
    assert not space.contains(x)
    assert not space.contains(x[:2, :2])
    with pytest.warns(UserWarning, match="pt_a is not on the manifold"):
        result = space.length(x, torch.eye(3, dtype=torch.float64)).item()
    assert result == pytest.approx(simplugins.compare(((x + x.T) / 2).numpy(), np.eye(3), "angular-cka"), abs=1e-12)


def plain(one, other):
    return 0.5


def test_similarities_that_are_no_metrics_are_an_error(repsim):
    for method in ("rsa-spearman", "rsa-kendall-tau-a"):
        with pytest.raises(ValueError, match=rf"repsim.*'{method}'"):
            simplugins.similarity("semantic-cosine", method).to("repsim", m=24)
    with pytest.raises(TypeError, match=r"repsim.*'m'.*required"):
        simplugins.similarity("semantic-cosine", "cka").to("repsim")
    with pytest.raises(TypeError, match=r"repsim.*'plain'.*function"):
        simplugins.to_tool("repsim", plain, m=24)


def test_stress_takes_our_distances(repsim, indefinite, kernel):
    pair = indefinite[kernel]
    result = repsim.Stress(m=118).length(*(torch.tensor(rsm.rdm()) for rsm in pair)).item()
    i, j = np.triu_indices(118, 1)
    differences = pair[0].rdm()[i, j] - pair[1].rdm()[i, j]
    assert result == pytest.approx(np.sqrt(np.mean(differences**2)), rel=1e-9)


def test_rsms_with_other_inputs_are_an_error(repsim, photos):
    between = simplugins.compute_rsm(photos["block15"][:4], other=photos["block15"][4:8])
    with pytest.raises(ValueError, match=r"repsim.* 4 .* 4 "):
        between.to("repsim")


def test_the_tools_angular_cka_is_another_estimator(repsim_itself, photos):
    x, y = (torch.tensor(photos[layer].mean((2, 3), dtype=float)) for layer in ("block10", "block15"))
    grams = [RSM.from_similarities(z @ z.T) for z in (x, y)]
    centred = [rsm.to("repsim") for rsm in grams]
    centred = [repsim_itself.kernels.center(gram) * (1 - torch.eye(24)) for gram in centred]
    lange = torch.arccos((centred[0] * centred[1]).sum() / centred[0].norm() / centred[1].norm()).item()
    result = repsim_itself.compare(x, y, method="angular_cka").item()
    assert result == pytest.approx(lange, abs=1e-6)
    assert abs(result - np.arccos(simplugins.compare(*grams, "cka-debiased"))) > 1e-4
    biased = repsim_itself.compare(x, y, method="angular_cka", use_unbiased_hsic=False).item()
    assert biased == pytest.approx(simplugins.compare(*grams, "angular-cka"), abs=1e-6)


def test_the_tools_angular_cka_replaces_an_indefinite_matrix(repsim_itself, indefinite):
    class Precomputed(type(repsim_itself.kernels.DEFAULT_KERNEL)):
        def _call_impl(self, x, y):
            return x

    pair = indefinite["linear"]
    metric = repsim_itself.AngularCKA(m=118, kernel=Precomputed(), use_unbiased_hsic=False)
    with pytest.warns(UserWarning, match="not on the manifold"):
        result = repsim_itself.compare(*simplugins.to_tool("repsim", pair), method=metric).item()
    assert abs(result - simplugins.compare(*pair, "angular-cka")) > 1e-3


def test_the_installed_package_of_that_name_is_identified(nowhere, tmp_path):
    if installed_repsim() is not None:
        pytest.skip("a package repsim is installed")
    assert check_repsim("wrongu") == "wrongu/repsim is not installed"
    assert str(simplugins.adapter("repsim").available()).startswith("repsim is not installed (repsim not found)")
    (tmp_path / "checkouts" / "repsim" / "src").mkdir(parents=True)
    nowhere(str(tmp_path / "checkouts"))
    assert (installed_repsim(), check_repsim("wrongu")) == (None, "wrongu/repsim is not installed")
    nowhere(str(DOUBLES / "resi"))
    assert (installed_repsim(), check_repsim("resi")) == ("resi", None)
    with pytest.raises(ImportError, match=r"ReSi \(mklabunde/resi\), not wrongu/repsim.*pip install"):
        RSM.from_similarities(np.eye(3)).to("repsim")
    nowhere(str(DOUBLES / "repsim"))
    assert (installed_repsim(), check_repsim("wrongu")) == ("wrongu", None)
    assert "is wrongu/repsim, not ReSi" in check_repsim("resi")
    (tmp_path / "repsim.py").write_text("raise OSError('must not be imported')")
    nowhere(str(tmp_path))
    assert installed_repsim() == "other"
    assert "is another project's, not wrongu/repsim" in check_repsim("wrongu")
    (tmp_path / "repsim-0.1.5.dist-info").mkdir()
    (tmp_path / "repsim-0.1.5.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: repsim\nVersion: 0.1.5\nAuthor-email: Kisung You <k@y.org>\n"
    )
    nowhere(str(tmp_path))
    assert installed_repsim() == "pypi"
    assert "is Kisung You's repsim from PyPI, not ReSi" in check_repsim("resi")
