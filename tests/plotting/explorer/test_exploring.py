# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import html
import io
import json
import re
import zlib

import numpy as np
import pytest

import simplugins
from simplugins.plotting.explorer.input_images import read_image, shrunk
from simplugins.plotting.explorer.pair_selection import nearest, ranked_pairs

TYPES = {"u1": "u1", "u2": "<u2", "u4": "<u4", "f8": "<f8"}


class Page:
    """What a page holds, read independently of its JavaScript."""

    def __init__(self, path):
        self.text = path.read_text(encoding="utf-8")
        self.data = json.loads(
            re.search(r'<script type="application/json" id="data">(.*?)</script>', self.text, re.S)[1]
        )

    def arrays(self, stored):
        text = re.search(rf'id="section{stored["section"]}">(.*?)</script>', self.text)[1]
        content = zlib.decompress(base64.b64decode(text))
        return {
            name: np.frombuffer(content, TYPES[kind], length, offset)
            for name, (kind, offset, length) in stored["parts"].items()
        }

    def decoded(self, codes, bits, low, high):
        values = low + (codes.astype(np.float64) - 2) / (2**bits - 3) * (high - low)
        return np.where(codes == 0, np.nan, np.where(codes == 1, 0.0, values))

    def rsm(self, layer, measure):
        stored = self.data["layers"][layer]["measures"][measure]
        arrays, count = self.arrays(stored), self.data["count"]
        values = np.diag(arrays["diagonal"]).copy()
        upper = np.triu_indices(count, 1)
        values[upper] = self.decoded(arrays["codes"], stored["bits"], stored["low"], stored["high"])
        return np.where(np.tri(count, k=-1, dtype=bool), values.T, values)

    @property
    def pairs(self):
        return self.arrays(self.data["pairs"])["pairs"].reshape(-1, 2)

    def matching(self, layer, measure, pair):
        """Return the columns and contributions of a pair whose inputs all have the same positions."""
        place = [tuple(one) for one in self.pairs.tolist()].index(pair)
        size = self.data["layers"][layer]["sizes"]
        stored = self.data["layers"][layer]["measures"][measure]["matchings"]
        chunk = [chunk for chunk in stored["chunks"] if chunk["first"] <= place][-1]
        arrays = self.arrays(chunk)
        part = slice((place - chunk["first"]) * size, (place - chunk["first"] + 1) * size)
        low, high = arrays["ranges"].reshape(-1, 2)[place - chunk["first"]]
        identity = stored["columns"] == "identity"
        columns = np.arange(size) if identity else arrays["columns"][part].astype(int) - 1
        contributions = self.decoded(arrays["contributions"][part], stored["bits"], low, high)
        return columns, contributions, arrays["values"][place - chunk["first"]]


@pytest.fixture(scope="module")
def few(photos):
    return {"block10": photos["block10"][:8, :, ::2, ::2], "block15": photos["block15"][:8]}


@pytest.fixture(scope="module")
def page(few, photos, tmp_path_factory):
    path = tmp_path_factory.mktemp("explorer") / "page.html"
    assert simplugins.explore(path, few, images=photos["thumbnails"][:8], labels=photos["photo"][:8]) == path
    return Page(path)


MEASURES = {
    "semantic-cosine": {},
    "spatio-semantic-cosine": {},
    "shift-cosine": {},
    "partial-semantic-cosine": {"matching": simplugins.Partial(share=0.5), "normalize": "matched"},
}


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("measure", range(4))
def test_similarities_are_those_of_the_rsm(page, few, layer, measure):
    name = list(MEASURES)[measure]
    assert page.data["measures"][measure]["name"] == name
    expected = simplugins.compute_rsm([*few.values()][layer], name.removeprefix("partial-"), **MEASURES[name])
    np.testing.assert_allclose(page.rsm(layer, measure), expected.values, atol=1e-5)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize(("measure", "matching"), [(0, "optimal"), (1, "identity"), (3, simplugins.Partial(share=0.5))])
def test_matched_positions_and_contributions_are_those_of_match(page, few, layer, measure, matching):
    maps = [*few.values()][layer]
    for i, j in ((0, 1), (2, 7)):
        result = simplugins.match(maps[i], maps[j], matching)
        columns, contributions, value = page.matching(layer, measure, (i, j))
        np.testing.assert_array_equal(columns, result.columns)
        rows = np.flatnonzero(columns >= 0)
        affinities = result.affinity[rows, columns[rows]]
        np.testing.assert_allclose(contributions[rows], affinities, rtol=1e-4, atol=1e-4 * abs(affinities).max())
        assert value == pytest.approx(result.value, rel=1e-6)


def test_shifted_positions_are_those_of_best_shift(page, few):
    maps = few["block15"]
    shift = simplugins.best_shift(maps[1], maps[4])
    columns, _, value = page.matching(1, 2, (1, 4))
    rows, cols = np.divmod(np.arange(49), 7)
    np.testing.assert_array_equal(columns, (rows + shift.shift[0]) % 7 * 7 + (cols + shift.shift[1]) % 7)
    assert value == pytest.approx(shift.value, rel=1e-5)


def test_the_table_compares_all_layers_and_measures(page, few):
    rsms = [simplugins.compute_rsm(maps, name) for maps in few.values() for name in list(MEASURES)[:2]]
    values = np.array(page.data["table"]["values"], float)
    places = [0, 1, 4, 5]  # four measures per layer
    for row, one in zip(places, rsms, strict=True):
        for column, two in zip(places, rsms, strict=True):
            assert values[row, column] == pytest.approx(simplugins.compare(one, two), abs=1e-5)


def test_the_page_loads_nothing(page):
    assert "Content-Security-Policy" in page.text
    assert not re.search(r"""(src|href)=["'](?!data:)""", page.text.replace("data:,", "data:"))
    assert "http" not in re.sub(r"http-equiv", "", re.sub(r"<script type=.*?</script>", "", page.text, flags=re.S))


HOSTILE = [
    '</script><script>alert("x")</script>',
    "quote \" ' & < >",
    "猫の写真",
    "قطة",
    "<!--",
    "a\u2028\ud800",
    "\x07",
    "-",
]


def test_hostile_labels_and_titles_stay_texts(few, tmp_path):
    layers = {"</script><b>": few["block15"]}
    path = simplugins.explore(
        tmp_path / "page.html", layers, labels=HOSTILE, title="</title><script>x", measures="semantic-cosine"
    )
    page = Page(path)
    assert page.data["labels"] == HOSTILE
    assert page.data["layers"][0]["name"] == "</script><b>"
    assert html.unescape(re.search("<title>(.*?)</title>", page.text)[1]) == "</title><script>x"
    assert "\u2028" not in page.text
    assert "猫" not in page.text  # escaped, so that no encoding can garble it
    assert page.text.count("<script") == page.text.count("</script>") == 2 + page.text.count('id="section')


def test_rsms_alone_have_a_page_and_missing_values_stay_missing(tmp_path, rng):
    values = rng.random((6, 6))
    values += values.T
    values[1, 2] = values[2, 1] = np.nan
    values[0, 3] = values[3, 0] = 0
    rsm = simplugins.RSM.from_similarities(values, missing="omit", labels=list("abcdef"))
    page = Page(rsm.explore(tmp_path / "page.html"))
    np.testing.assert_allclose(page.rsm(0, 0), values, atol=1e-4)
    assert page.rsm(0, 0)[0, 3] == 0
    assert page.data["labels"] == list("abcdef")
    assert page.data["layers"][0]["sizes"] is None
    assert page.data["table"]["values"] == [[None]]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_an_rsm_takes_the_place_of_its_measure(few, tmp_path):
    rsm = simplugins.compute_rsm(few["block15"], matching="greedy", center="channel")
    page = Page(rsm.explore(tmp_path / "page.html", layers=few["block15"], measures="spatio-semantic-cosine"))
    assert [measure["name"] for measure in page.data["measures"]] == ["semantic-cosine", "spatio-semantic-cosine"]
    np.testing.assert_allclose(page.rsm(0, 0), rsm.values, atol=1e-4)
    maps = few["block15"].astype(np.float32)
    centred = maps - maps.mean((0, 2, 3), keepdims=True)
    expected = simplugins.match(centred[0], centred[1], "greedy")
    columns, _, value = page.matching(0, 0, (0, 1))
    assert value == pytest.approx(expected.value, rel=1e-4)
    assert np.mean(columns == expected.columns) > 0.9  # ties within the rounding of the mean


def test_sets_of_different_sizes_lack_measures_with_a_reason(tmp_path, rng):
    sizes = (3, 5, 4)
    texts = [rng.normal(size=(size, 6)) for size in sizes]
    tokens = [[f"{i}-{k}" for k in range(size)] for i, size in enumerate(sizes)]
    page = Page(simplugins.explore(tmp_path / "page.html", {"last": texts}, tokens=tokens))
    assert page.data["tokens"] == tokens
    assert page.data["layers"][0]["sizes"] == list(sizes)
    reasons = ["reason" in measure for measure in page.data["layers"][0]["measures"]]
    assert reasons == [False, True, True, False]
    stored = page.data["layers"][0]["measures"][0]["matchings"]["chunks"][0]
    columns = page.arrays(stored)["columns"].astype(int) - 1  # pairs (0, 1), (0, 2), (1, 2)
    expected = [simplugins.match(texts[i], texts[j]).columns for i, j in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_array_equal(columns, np.concatenate(expected))


def test_a_small_file_has_the_requested_pairs_and_then_nearest_neighbours(few, tmp_path):
    layers, options = {"block15": few["block15"]}, {"measures": "semantic-cosine", "megabytes": 0.102}
    page = Page(simplugins.explore(tmp_path / "page.html", layers, pairs=[(7, 2)], **options))
    pairs = {tuple(pair) for pair in page.pairs.tolist()}
    assert (2, 7) in pairs
    assert 1 < len(pairs) < 28
    values = simplugins.compute_rsm(few["block15"]).values - 2 * np.eye(8)
    ranks = (-values).argsort(1).argsort(1)
    best = np.minimum(ranks, ranks.T)
    inside = max(best[pair] for pair in pairs - {(2, 7)})
    outside = min(best[i, j] for i in range(8) for j in range(i + 1, 8) if (i, j) not in pairs)
    assert inside <= outside
    with pytest.raises(ValueError, match="megabytes"):
        simplugins.explore(tmp_path / "other.html", layers, pairs=np.stack(np.triu_indices(8, 1), 1), **options)
    assert not (tmp_path / "other.html").exists()


def test_many_inputs_have_their_nearest_neighbours(few, tmp_path, monkeypatch):
    monkeypatch.setattr("simplugins.plotting.explorer.nearest_inputs.MOST_INPUTS", 7)
    monkeypatch.setattr("simplugins.plotting.explorer.nearest_inputs._BLOCK", 3)
    measures = [*list(MEASURES), "semantic-rbf"]
    with pytest.raises(ValueError, match="semantic-rbf"):
        simplugins.explore(tmp_path / "page.html", few, measures=measures)
    page = Page(simplugins.explore(tmp_path / "page.html", few, measures=measures[:4], neighbours=3))
    lists = {}
    for layer, maps in enumerate(few.values()):
        for measure, (name, options) in enumerate(MEASURES.items()):
            values = simplugins.compute_rsm(maps, name.removeprefix("partial-"), **options).values - 9 * np.eye(8)
            near = np.argsort(-values, axis=1, kind="stable")[:, :3]
            stored = page.data["layers"][layer]["measures"][measure]
            arrays = page.arrays(stored)
            np.testing.assert_array_equal(arrays["near"].reshape(8, 3), near)
            similarities = page.decoded(arrays["codes"], 16, stored["low"], stored["high"]).reshape(8, 3)
            np.testing.assert_allclose(similarities, np.take_along_axis(values, near, 1), atol=1e-4)
            lists[4 * layer + measure] = near
    for a, b in ((0, 1), (2, 5), (7, 7)):
        shared = np.mean([len({*one} & {*two}) / 3 for one, two in zip(lists[a], lists[b], strict=True)])
        assert page.data["table"]["values"][a][b] == pytest.approx(shared, abs=1e-6)
    columns, _, value = page.matching(1, 0, (0, int(lists[4][0][0])) if lists[4][0][0] else (0, 1))
    assert len(columns) == 49
    assert value > 0


def test_a_file_that_cannot_hold_the_rsms_is_an_error(few, tmp_path):
    rng = np.random.default_rng(0)
    values = rng.random((300, 300))
    rsm = simplugins.RSM.from_similarities(values + values.T)
    with pytest.raises(ValueError, match="megabytes"):
        rsm.explore(tmp_path / "page.html", megabytes=0.12)
    assert list(tmp_path.iterdir()) == []


def test_existing_files_are_kept(few, tmp_path):
    path = tmp_path / "page.html"
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError):
        simplugins.explore(path, few)
    assert path.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"images": np.zeros((7, 4, 4, 3), np.uint8)}, ValueError, "images.*8.*7"),
        ({"images": np.full((8, 4, 4, 3), 2.0)}, ValueError, "image 0"),
        ({"tokens": [["a"]] * 8}, ValueError, "tokens.*49"),
        ({"tokens": ["text"] * 8}, TypeError, "tokens"),
        ({"labels": list("abc")}, ValueError, "labels"),
        ({"measures": []}, ValueError, "measures"),
        ({"measures": "partial-shift-cosine"}, ValueError, "partial-shift-cosine"),
        ({"measures": ["semantic-cosine", "nonsense"]}, ValueError, "nonsense"),
        ({"pairs": [(0, 8)]}, ValueError, "pairs.*7"),
        ({"pairs": [(1, 1)]}, ValueError, "pairs"),
        ({"rsms": {"block3": None}}, ValueError, "block3"),
    ],
)
def test_invalid_options_are_errors(few, tmp_path, options, error, match):
    with pytest.raises(error, match=match):
        simplugins.explore(tmp_path / "page.html", {"block15": few["block15"]}, **options)
    assert list(tmp_path.iterdir()) == []


def test_tokens_of_images_have_a_grid(tmp_path, rng):
    tokens = rng.normal(size=(4, 7, 3))
    layers = {"vit": tokens}
    page = Page(
        simplugins.explore(tmp_path / "page.html", layers, grid=(2, 3), drop_tokens=1, measures="semantic-cosine")
    )
    assert page.data["layers"][0]["grid"] == [2, 3]
    with pytest.raises(ValueError, match="grid"):
        simplugins.explore(tmp_path / "other.html", layers, grid=(2, 3))


def test_networks_are_layers_with_their_names(few, tmp_path):
    networks = {"a": {"last": few["block15"]}, "b": {"last": few["block15"][:, :99]}}
    page = Page(simplugins.explore(tmp_path / "page.html", networks, measures="semantic-cosine"))
    assert [layer["name"] for layer in page.data["layers"]] == ["a · last", "b · last"]


def test_the_command_writes_the_same_page(few, photos, tmp_path):
    from typer.testing import CliRunner

    from simplugins.cli import app

    np.savez(tmp_path / "layers.npz", **few)
    np.save(tmp_path / "images.npy", photos["thumbnails"][:8])
    out = tmp_path / "page.html"
    command = [
        "explore",
        tmp_path / "layers.npz",
        "--out",
        out,
        "--images",
        tmp_path / "images.npy",
        "--layer",
        "block15",
    ]
    result = CliRunner().invoke(app, [str(part) for part in [*command, "-m", "semantic-cosine", "--quiet"]])
    assert result.exit_code == 0, result.output
    page = Page(out)
    assert [layer["name"] for layer in page.data["layers"]] == ["block15"]
    assert len(page.data["images"]) == 8
    assert CliRunner().invoke(app, [str(part) for part in command]).exit_code == 2  # the file exists


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.full((2, 3), 255, np.uint8), [255, 255, 255]),
        (np.full((2, 3, 1), 0.5), [128, 128, 128]),
        (np.broadcast_to(np.array([0.0, 0.2, 1.0])[:, None, None], (3, 5, 7)), [0, 51, 255]),
        (np.broadcast_to(np.array([200, 0, 0, 0], np.uint8), (2, 2, 4)), [255, 255, 255]),
        (np.ones((2, 2), bool), [255, 255, 255]),
    ],
)
def test_images_of_all_kinds_are_read(image, expected):
    pixels = read_image(image)
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
    assert (pixels == expected).all()


def test_paths_and_pillow_images_are_read(tmp_path, rng):
    from PIL import Image

    pixels = rng.integers(0, 256, (5, 4, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    np.testing.assert_array_equal(read_image(tmp_path / "image.png"), pixels)
    np.testing.assert_array_equal(read_image(Image.open(io.BytesIO((tmp_path / "image.png").read_bytes()))), pixels)


def test_shrinking_averages_areas(rng):
    image = rng.integers(0, 256, (12, 8, 3), dtype=np.uint8)
    expected = image.reshape(6, 2, 4, 2, 3).mean((1, 3))
    np.testing.assert_array_equal(shrunk(image, 6), np.rint(expected).astype(np.uint8))
    assert shrunk(image, 5).shape == (5, 3, 3)
    assert abs(shrunk(image, 5).mean() - image.mean()) < 1
    assert shrunk(image, 100) is image


def test_neighbours_are_ranked_by_rank_then_by_votes():
    values = np.array([[9.0, 5, 5, np.nan], [5, 9, 1, 2], [5, 1, 9, 3], [np.nan, 2, 3, 9]])
    np.testing.assert_array_equal(nearest(values, 3), [[1, 2, 3], [0, 3, 2], [0, 3, 1], [2, 1, 0]])
    lists = [nearest(values, 2), np.array([[1, 2], [0, 2], [1, 0], [1, 0]])]
    # Rank 0: (0, 1) four times; (0, 2), (2, 3), (1, 2) and (1, 3) once
    np.testing.assert_array_equal(ranked_pairs(lists, 4), [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3], [0, 3]])
