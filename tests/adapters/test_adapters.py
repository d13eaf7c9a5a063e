# SPDX-License-Identifier: Apache-2.0
import dataclasses
import json
import os
import re
import subprocess
import sys
from textwrap import dedent

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from simplugins_adapters.contract import Availability
from simplugins_adapters.similarities import name_of
from typer.testing import CliRunner
from wheels import build_wheel, pip_install

import simplugins
from simplugins import RSM, Adapter, plugins
from simplugins.cli import app

NAMES = [plugin.name for plugin in plugins.available("simplugins.adapters")]


def rsm_of(labels, seed=0):
    values = np.random.default_rng(seed).normal(size=(len(labels), len(labels)))
    return RSM.from_similarities(values @ values.T, labels=list(labels), measure=f"made up {seed}")


@pytest.fixture
def lists():
    """An adapter to nested lists, which are always installed."""
    return Adapter(
        tool="lists",
        modules=("json",),
        install="pip install lists",
        rsm=lambda rsm, *, digits=3: rsm.values.round(digits).tolist(),
        reader=lambda source: RSM.from_similarities(source),
    )


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"modules": "json"}, r"lists: modules must be a tuple of names, got 'json'"),
        ({"rsm": 3}, r"lists: rsm must be a function, got int"),
        ({"check": True}, r"lists: check must be a function, got bool"),
    ],
)
def test_impossible_parts_are_refused_at_once(lists, part, message):
    with pytest.raises(TypeError, match=message):
        dataclasses.replace(lists, **part)


def test_a_conversion_that_takes_nothing_is_refused(lists):
    careless = dataclasses.replace(lists, rsm=lambda: [])
    with pytest.raises(TypeError, match=r"lists: rsm must be a function of what it converts"):
        careless.to(RSM.from_similarities(np.eye(3)))


@pytest.mark.parametrize("tool", [3, Adapter])
def test_what_is_no_adapter_is_refused(tool):
    with pytest.raises(TypeError, match=r"tool must be the name of an adapter or a simplugins\.Adapter, got"):
        RSM.from_similarities(np.eye(3)).to(tool)


@pytest.fixture
def absent(lists):
    return Adapter(
        tool="Absent", modules=("json", "a_module_that_is_not_there"), install="pip install absent", rsm=lists.rsm
    )


def run(code, *sites, hidden=()):
    """Run code in a fresh Python, with folders of distributions and without some modules; it prints JSON."""
    path = os.pathsep.join([*map(str, sites), *filter(None, [os.environ.get("PYTHONPATH")])])
    hide = f"""
        import importlib.abc, json, sys
        class Hidden(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in {set(hidden)!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        sys.meta_path.insert(0, Hidden())
        """
    command = [sys.executable, "-c", dedent(hide) + dedent(code)]
    process = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def test_rsms_are_converted_with_options_and_read_back(lists):
    rsm = rsm_of("abc")
    assert lists.to(rsm) == rsm.to(lists) == simplugins.to_tool(lists, rsm) == rsm.values.round(3).tolist()
    assert rsm.to(lists, digits=1) == rsm.values.round(1).tolist()
    for values in (lists.read(lists.to(rsm, digits=9)), simplugins.from_tool(lists, lists.to(rsm, digits=9))):
        np.testing.assert_allclose(values, rsm.values, atol=1e-8)


def test_several_rsms_keep_their_container(lists):
    one, other = rsm_of("abc"), rsm_of("abc", 1)
    assert lists.to({"one": one, "other": other}) == {"one": lists.to(one), "other": lists.to(other)}
    assert lists.to([one, other]) == lists.to((one, other)) == [lists.to(one), lists.to(other)]


def test_several_rsms_must_have_the_same_inputs_in_order(lists):
    one, other = rsm_of("abc"), rsm_of("abc", 1)
    turned = other.in_order(["c", "a", "b"])
    with pytest.raises(ValueError, match=r"labels.* 0 .*'a'.* one .*'c'.* turned.*align=True"):
        lists.to({"one": one, "turned": turned})
    assert lists.to({"one": one, "turned": turned}, align=True)["turned"] == lists.to(other)
    with pytest.raises(ValueError, match=r"RSM 0.* 3.*RSM 1.* 2"):
        lists.to([one, rsm_of("ab")])
    for align in (False, True):
        with pytest.raises(ValueError, match=r"labels of other.*'a'"):
            lists.to({"one": one, "other": rsm_of("xbc")}, align=align)


def test_alignment_needs_labels(lists):
    unlabelled = RSM.from_similarities(np.eye(3))
    assert len(lists.to({"one": rsm_of("abc"), "other": unlabelled})) == 2
    with pytest.raises(ValueError, match=r"align.*labels.*other"):
        lists.to({"one": rsm_of("abc"), "other": unlabelled}, align=True)


def test_several_rsms_with_other_inputs_are_an_error(lists):
    between = RSM.from_similarities(np.ones((3, 2)), squared_norms=np.ones(3), other_squared_norms=np.ones(2))
    with pytest.raises(ValueError, match=r"between.* 3 .* 2 "):
        lists.to({"one": RSM.from_similarities(np.eye(3)), "between": between})


def test_a_stack_of_layers_also_takes_one_rsm():
    stacks = Adapter(tool="stacks", modules=(), install="", rsms=lambda rsms: list(rsms))
    assert stacks.to(rsm_of("abc")) == ["made up 0"]
    assert stacks.to({"early": rsm_of("abc")}) == ["early"]
    assert stacks.to([rsm_of("abc"), rsm_of("abc")]) == ["RSM 0", "RSM 1"]
    assert stacks.capabilities() == ["rsm", "rsms"]


def test_comparisons_and_similarities_have_their_own_conversions():
    adapter = Adapter(
        tool="names",
        modules=(),
        install="",
        comparison=lambda c: c.method,
        similarity=lambda s, *, case: case(name_of(s)),
    )
    comparison = simplugins.compare_layers({"a": rsm_of("abcd")}, method="cka-debiased")
    assert comparison.to(adapter) == "cka-debiased"
    for similarity in (simplugins.similarity(), "semantic-cosine-cka-debiased"):
        assert adapter.to(similarity, case=str.upper) == "SEMANTIC-COSINE-CKA-DEBIASED"
    assert simplugins.similarity().to(adapter, case=str.upper) == "SEMANTIC-COSINE-CKA-DEBIASED"
    assert adapter.to(lambda one, other: 0.5, case=str.upper) == "<LAMBDA>"
    for use, capability in (
        (lambda: adapter.to(rsm_of("abc")), "rsm"),
        (lambda: adapter.read([]), "reader"),
        (adapter.register, "registry"),
        (lambda: adapter.run([]), "command"),
    ):
        with pytest.raises(TypeError, match=rf"names.*'{capability}'.*'comparison', 'similarity'"):
            use()


def test_unknown_similarities_suggest_the_nearest(lists):
    with pytest.raises(ValueError, match=r"'semantic-cosin-cka-debiased'.*semantic-cosine-cka-debiased"):
        lists.to("semantic-cosin-cka-debiased")


@pytest.mark.parametrize("item", [None, 3, [], {}, np.eye(3), object()])
def test_other_objects_are_a_type_error(lists, item):
    with pytest.raises(TypeError, match=rf"expected an RSM.*{type(item).__name__}"):
        lists.to(item)


def test_an_array_among_several_rsms_is_a_type_error(lists):
    with pytest.raises(TypeError, match=r"late.*RSM.*ndarray"):
        lists.to({"early": rsm_of("abc"), "late": np.eye(3)})


@pytest.mark.parametrize("name", ["lists", "absent"])
def test_a_misspelt_option_names_the_nearest_even_without_the_tool(name, request):
    adapter = request.getfixturevalue(name)
    with pytest.raises(TypeError, match=r"(?i)rsm.*'digit'.*'digits'"):
        rsm_of("abc").to(adapter, digit=2)
    with pytest.raises(TypeError, match=r"'digit'.*'digits'"):
        simplugins.to_tool(adapter, [rsm_of("abc")], digit=2)


def test_options_that_do_not_exist_or_are_missing_are_a_type_error(lists):
    with pytest.raises(TypeError, match=r"lists, reader.*'digits'.*none"):
        lists.read([], digits=2)
    needy = Adapter(tool="needy", modules=(), install="", similarity=lambda s, *, m: m)
    with pytest.raises(TypeError, match=r"needy, similarity.*'m'.*required"):
        simplugins.similarity().to(needy)


def test_a_missing_tool_names_what_to_install(lists, absent):
    assert lists.available()
    assert str(lists.available()) == "available"
    expected = "Absent is not installed (a_module_that_is_not_there not found): pip install absent"
    assert absent.available() == Availability(expected)
    assert not absent.available()
    with pytest.raises(ImportError, match=f"^{re.escape(expected)}$"):
        absent.to(rsm_of("abc"))


def test_a_plain_folder_is_not_the_tool(tmp_path, monkeypatch):
    (tmp_path / "a_checkout_beside").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    adapter = Adapter(tool="T", modules=("a_checkout_beside",), install="pip install t")
    assert str(adapter.available()) == "T is not installed (a_checkout_beside not found): pip install t"


def test_a_tool_whose_modules_belong_to_another_gives_the_reason():
    adapter = Adapter(tool="T", modules=("json",), install="pip install t", check=lambda: "json is json, not T")
    assert str(adapter.available()) == "json is json, not T: pip install t"


def test_a_tool_that_fails_to_import_names_the_cause():
    def broken(rsm):
        raise ImportError("libtool.so: cannot open shared object file")

    adapter = Adapter(tool="T", modules=(), install="pip install t", rsm=broken)
    with pytest.raises(ImportError, match=r"^T .*libtool\.so.*pip install t"):
        adapter.to(rsm_of("abc"))


@pytest.mark.parametrize(
    ("tool", "nearest"), [("sklearn", "scikit-learn"), ("torch_cka", "torch-cka"), ("Brain-Score", "brain-score")]
)
def test_unknown_tools_suggest_the_nearest(tool, nearest):
    for convert in (rsm_of("abc").to, simplugins.similarity().to, simplugins.adapter):
        with pytest.raises(ValueError, match=rf"'{tool}'.*nearest.*{nearest}"):
            convert(tool)


def test_a_tool_that_is_neither_name_nor_adapter_is_a_type_error():
    with pytest.raises(TypeError, match=r"tool.*int"):
        simplugins.adapter(3)


@pytest.mark.parametrize("name", NAMES)
def test_our_adapters_have_capabilities_modules_and_an_install_command(name):
    adapter = simplugins.adapter(name)
    assert simplugins.adapter(adapter) is adapter
    assert adapter.capabilities()
    assert adapter.modules
    assert "\n" not in adapter.install
    assert "pip install " in adapter.install


def test_without_any_tool_every_use_names_what_to_install():
    modules = sorted({module for name in NAMES for module in simplugins.adapter(name).modules} - {"numpy"})
    messages = run(
        """
        import simplugins
        from simplugins import plugins
        rsm = simplugins.RSM.from_similarities([[1.0, 0.5, 0], [0.5, 1.0, 0], [0, 0, 1]], labels=["a", "b", "c"])
        comparison = simplugins.compare_layers({"layer": rsm}, method="cka")
        items = {"rsm": rsm, "comparison": comparison, "similarity": simplugins.similarity()}
        required = {"scikit-learn": {"estimator": "SVC"}, "repsim": {"m": 2}, "mne-rsa": {"dissimilarity": "distance"}}
        messages = {}
        for status in plugins.status("simplugins.adapters"):
            name = status.plugin.name
            assert status.error is None, status
            if name == "numpy":  # always installed
                assert status.missing is None
                continue
            adapter, messages[name] = simplugins.adapter(name), [status.missing]
            options = required.get(name, {})
            chosen = {"repsim": "similarity", "scikit-learn": "rsm", "mne-rsa": "reader"}.get(name)
            own = lambda kind: options if kind == chosen else {}
            kinds = adapter.capabilities()
            uses = [lambda k=k, i=i: adapter.to(i, **own(k)) for k, i in items.items() if k in kinds]
            uses += [lambda: adapter.read(None, **own("reader"))] if "reader" in kinds else []
            uses += [adapter.register] if "registry" in kinds else []
            uses += [lambda: adapter.run([])] if "command" in kinds else []
            for use in uses:
                try:
                    use()
                except ImportError as error:
                    messages[name].append(str(error))
                else:
                    raise AssertionError(status)
        print(json.dumps(messages))
        """,
        hidden=modules,
    )
    assert sorted([*messages, "numpy"]) == NAMES
    for name, (missing, *errors) in messages.items():
        assert missing.endswith(simplugins.adapter(name).install)
        assert "\n" not in missing
        assert set(errors) == {missing}


def test_the_command_line_lists_tools_and_what_to_install():
    code, output = run(
        """
        from typer.testing import CliRunner
        from simplugins.cli import app
        result = CliRunner().invoke(app, ["plugins"])
        print(json.dumps([result.exit_code, result.output]))
        """,
        hidden=["rsatoolbox"],
    )
    assert code == 0
    (line,) = [line for line in output.splitlines() if "simplugins_adapters.rsatoolbox:adapter" in line]
    assert "rsatoolbox is not installed" in line
    (line,) = [line for line in output.splitlines() if "simplugins_adapters.scikit_learn:adapter" in line]
    assert line.rstrip("│ ").endswith("ok")


def test_the_resi_command_names_what_to_install():
    result = CliRunner().invoke(app, ["resi", "--", "-c", "config.yaml"])
    assert result.exit_code == 2
    assert result.output == f"error: {simplugins.adapter('resi').available()}\n"
    assert result.output.startswith("error: ReSi is not installed (repsim not found): ")


def test_a_third_party_adapter_is_usable_and_listed(tmp_path):
    wheel = build_wheel(
        tmp_path,
        "simplugins-plain-text",
        "0.4",
        {"plain-text": "plain_text:adapter"},
        {
            "plain_text": """
            from simplugins import RSM, Adapter

            def to_text(rsm, *, digits=2):
                return "; ".join(" ".join(f"{v:.{digits}f}" for v in row) for row in rsm.values)

            def from_text(text):
                return RSM.from_similarities([[float(v) for v in row.split()] for row in text.split(";")])

            adapter = Adapter(
                tool="plain text", modules=("json",), install="pip install json", rsm=to_text, reader=from_text
            )
            """
        },
        group="simplugins.adapters",
    )
    site = tmp_path / "site"
    subprocess.run(pip_install(site, wheel), check=True)
    text, values, listing = run(
        """
        import simplugins
        from typer.testing import CliRunner
        from simplugins.cli import app
        text = simplugins.RSM.from_similarities([[1.0, 0.5], [0.5, 1.0]]).to("plain-text", digits=1)
        values = simplugins.from_tool("plain-text", text).values.tolist()
        print(json.dumps([text, values, CliRunner().invoke(app, ["plugins"]).output]))
        """,
        site,
    )
    assert (text, values) == ("1.0 0.5; 0.5 1.0", [[1.0, 0.5], [0.5, 1.0]])
    assert re.search(r"plain-text\s*│ simplugins-plain-text 0.4\s*│ plain_text:adapter\s*│ ok", listing)


def test_a_plugin_of_another_type_is_a_plugin_error(tmp_path):
    wheel = build_wheel(
        tmp_path, "odd", "1.0", {"odd": "odd:adapter"}, {"odd": "adapter = 3"}, group="simplugins.adapters"
    )
    site = tmp_path / "site"
    subprocess.run(pip_install(site, wheel), check=True)
    error, reason = run(
        """
        import simplugins
        try:
            simplugins.adapter("odd")
        except simplugins.plugins.PluginError as error:
            message = str(error)
        (status,) = [s for s in simplugins.plugins.status("simplugins.adapters") if s.plugin.name == "odd"]
        print(json.dumps([message, status.error]))
        """,
        site,
    )
    assert re.search(r"'odd'.*simplugins\.Adapter.*int", error)
    assert re.search(r"odd 1\.0.*AttributeError.*'int'.*'available'", reason)


@pytest.mark.parametrize("tool", ["pandas", "xarray", "rsatoolbox"])
def test_allowed_missing_labels_come_back(tool, tmp_path):
    values = np.diag([3.0, 4.0, 5.0]) + 1
    rsm = simplugins.RSM.from_similarities(values, labels=simplugins.partial_labels(["cat", None, "dog"]))
    for converted in (rsm.to(tool), simplugins.to_tool(tool, {"a": rsm, "b": rsm})):
        back = simplugins.from_tool(tool, converted)
        for each in back.values() if isinstance(back, dict) else [back]:
            assert each.labels.tolist() == ["cat", "", "dog"]
            assert each.labels.missing.tolist() == [False, True, False]
            assert "partial_labels" not in each.metadata
    if tool == "xarray":
        rsm.to(tool).to_netcdf(tmp_path / "rsm.nc")
        assert simplugins.from_tool(tool, tmp_path / "rsm.nc").labels.missing.tolist() == [False, True, False]


@pytest.mark.parametrize(
    "source",
    [
        lambda names: ("pandas", pd.DataFrame(np.eye(3), index=names, columns=names)),
        lambda names: ("xarray", xr.DataArray(np.eye(3), dims=("i", "j"), coords={"i": names, "j": names})),
    ],
)
@pytest.mark.parametrize("names", [["cat", None, "dog"], [1.0, np.nan, 2.0], ["cat", "", "dog"]])
def test_missing_labels_of_tools_are_an_error(source, names):
    tool, table = source(names)
    with pytest.raises(ValueError, match="labels: input 1 has no label"):
        simplugins.from_tool(tool, table)


@pytest.mark.parametrize("name", [None, np.nan])
def test_a_missing_level_of_a_label_is_an_error(name):
    index = pd.MultiIndex.from_product([["a"], ["cat", name, "dog"]])
    with pytest.raises(ValueError, match="labels: input 1 has no label"):
        simplugins.from_tool("pandas", pd.DataFrame(np.eye(3), index=index, columns=index))


@pytest.mark.parametrize("tool", ["torch-cka", "pandas", "rsatoolbox"])
def test_numbers_and_texts_are_the_same_labels_for_every_tool(tool):
    values = rsm_of("abcde").values
    numbers = simplugins.RSM.from_similarities(values, labels=[0, 1, 2, 3, 4])
    texts = simplugins.RSM.from_similarities(values[::-1, ::-1], labels=list("43210"))
    with pytest.raises(ValueError, match=r"labels differ: input 0.*align=True"):
        simplugins.to_tool(tool, {"a": numbers, "b": texts})
    simplugins.to_tool(tool, {"a": numbers, "b": texts}, align=True)
    simplugins.to_tool(tool, {"a": numbers, "b": texts.in_order(range(5))})


def test_inputs_that_a_tool_identifies_by_labels_need_them():
    values = np.diag([3.0, 4.0, 5.0, 6.0]) + 1
    rsm = simplugins.RSM.from_similarities(values, labels=simplugins.partial_labels(["a", None, "b", "c"]))
    with pytest.raises(ValueError, match="input 1 has none"):
        simplugins.to_tool("torch-cka", {"a": rsm})


def test_rsms_whose_names_are_the_same_text_are_an_error():
    rsm = simplugins.RSM.from_similarities(np.eye(3))
    with pytest.raises(ValueError, match="1, '1'"):
        simplugins.to_tool("pandas", {1: rsm, "1": rsm})
