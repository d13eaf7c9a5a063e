# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import subprocess
import sys
from textwrap import dedent

import numpy as np
import pytest
from simplugins_adapters.contract import Availability
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
        back=lambda found: RSM.from_similarities(found),
    )


@pytest.fixture
def absent(lists):
    return Adapter(
        tool="Absent", modules=("json", "a_module_that_is_not_there"), install="pip install absent", rsm=lists.rsm
    )


def run(code, *sites, hidden=()):
    """Run code in a fresh Python, with folders of distributions and without some modules; what it prints is JSON."""
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
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_rsm_is_carried_with_options_and_read_back(lists):
    rsm = rsm_of("abc")
    assert lists.to(rsm) == rsm.values.round(3).tolist()
    assert lists.to(rsm, digits=1) == rsm.values.round(1).tolist()
    np.testing.assert_allclose(lists.back_from(lists.to(rsm, digits=9)).values, rsm.values, atol=1e-8)


def test_several_come_in_what_they_were_given_in(lists):
    one, other = rsm_of("abc"), rsm_of("abc", 1)
    assert lists.to({"one": one, "other": other}) == {"one": lists.to(one), "other": lists.to(other)}
    assert lists.to([one, other]) == lists.to((one, other)) == [lists.to(one), lists.to(other)]


def test_several_are_of_the_same_inputs_or_put_in_order(lists):
    one, other = rsm_of("abc"), rsm_of("abc", 1)
    turned = other.in_order(["c", "a", "b"])
    with pytest.raises(ValueError, match=r"labels differ: input 0 is 'a' in one, 'c' in turned; .* align=True"):
        lists.to({"one": one, "turned": turned})
    assert lists.to({"one": one, "turned": turned}, align=True)["turned"] == lists.to(other)
    with pytest.raises(ValueError, match="RSM 0 has 3, RSM 1 2"):
        lists.to([one, rsm_of("ab")])
    with pytest.raises(ValueError, match="'other': align: rsm_b: it lacks 1 of the labels asked for, the first 'a'"):
        lists.to({"one": one, "other": rsm_of("xbc")}, align=True)
    with pytest.raises(ValueError, match="'other': align puts inputs in order by their labels, and rsm_b has none"):
        lists.to({"one": one, "other": RSM.from_similarities(np.eye(3))}, align=True)


def test_one_object_for_all_layers_takes_one_rsm_too():
    stacks = Adapter(tool="stacks", modules=(), install="", rsms=lambda rsms: list(rsms))
    assert stacks.to(rsm_of("abc")) == ["made up 0"]
    assert stacks.to({"early": rsm_of("abc")}) == ["early"]
    assert stacks.to([rsm_of("abc"), rsm_of("abc")]) == ["RSM 0", "RSM 1"]
    assert stacks.takes() == ["RSM", "layers"]


def test_comparisons_and_similarities_have_functions_of_their_own():
    adapter = Adapter(
        tool="names", modules=(), install="", comparison=lambda c: c.method, similarity=lambda s, *, case: case(s.name)
    )
    comparison = simplugins.compare_layers({"a": rsm_of("abcd")}, method="cka-debiased")
    assert adapter.to(comparison) == "cka-debiased"
    assert adapter.to(simplugins.similarity(), case=str.upper) == "SEMANTIC-COSINE-CKA"
    with pytest.raises(TypeError, match="the adapter of names does not carry an RSM; it has: comparison, similarity"):
        adapter.to(rsm_of("abc"))
    for use in (adapter.back_from, lambda _: adapter.register(), adapter.run):
        with pytest.raises(TypeError, match="the adapter of names does not carry"):
            use([])


@pytest.mark.parametrize("what", [None, 3, "rsm.npz", [], {}, np.eye(3), object()])
def test_other_things_are_refused(lists, what):
    with pytest.raises(TypeError, match="expected an RSM"):
        lists.to(what)


def test_an_array_among_several_is_refused(lists):
    with pytest.raises(TypeError, match="late: expected an RSM, got ndarray"):
        lists.to({"early": rsm_of("abc"), "late": np.eye(3)})


def test_unknown_options_are_told(lists):
    with pytest.raises(TypeError, match="lists: got an unexpected keyword argument 'digit'; its options here: digits"):
        lists.to(rsm_of("abc"), digit=2)
    with pytest.raises(TypeError, match="lists: got an unexpected keyword argument 'digits'; its options here: none"):
        lists.back_from([], digits=2)


def test_a_tool_that_is_not_there_says_what_to_install(lists, absent):
    assert lists.available()
    assert str(lists.available()) == "available"
    expected = "Absent is not installed (a_module_that_is_not_there not found): pip install absent"
    assert absent.available() == Availability(expected)
    assert not absent.available()
    with pytest.raises(ImportError, match=f"^{re.escape(expected)}$"):
        absent.to(rsm_of("abc"))


def test_a_folder_of_a_tool_s_name_is_not_the_tool(tmp_path, monkeypatch):
    (tmp_path / "a_checkout_beside").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    adapter = Adapter(tool="T", modules=("a_checkout_beside",), install="pip install t")
    assert str(adapter.available()) == "T is not installed (a_checkout_beside not found): pip install t"


def test_a_tool_whose_modules_are_another_s_says_so():
    adapter = Adapter(tool="T", modules=("json",), install="pip install t", check=lambda: "json is json, not T")
    assert str(adapter.available()) == "json is json, not T: pip install t"


def test_a_tool_that_cannot_be_imported_says_so():
    def broken(rsm):
        raise ImportError("libtool.so: cannot open shared object file")

    adapter = Adapter(tool="T", modules=(), install="pip install t", rsm=broken)
    with pytest.raises(
        ImportError, match=r"^T is installed but could not be imported \(libtool.so: .*\): pip install t"
    ):
        adapter.to(rsm_of("abc"))


def test_unknown_tools_suggest_the_nearest():
    for asked, nearest in {"sklearn": "scikit-learn", "torch_cka": "torch-cka", "Brain-Score": "brain-score"}.items():
        with pytest.raises(ValueError, match=rf"simplugins.adapters has no plugin '{asked}' \(nearest: .*{nearest}"):
            rsm_of("abc").to(asked)


@pytest.mark.parametrize("name", NAMES)
def test_each_of_ours_says_what_it_is_and_what_to_install(name):
    found = simplugins.adapter(name)
    assert found.takes()
    assert found.modules
    assert "\n" not in found.install
    assert "pip install " in found.install


def test_with_no_tool_installed_all_are_listed_and_each_use_says_in_one_line_what_to_install():
    modules = sorted({module for name in NAMES for module in simplugins.adapter(name).modules} - {"numpy"})
    found = run(
        """
        import simplugins
        from simplugins import plugins
        rsm = simplugins.RSM.from_similarities([[1.0, 0.5], [0.5, 1.0]], labels=["a", "b"])
        comparison = simplugins.compare_layers({"layer": rsm})
        given = {"RSM": rsm, "comparison": comparison, "similarity": simplugins.similarity()}
        said = {}
        for status in plugins.status("simplugins.adapters"):
            assert status.error is None, status
            if status.plugin.name == "numpy":  # which is always there
                assert status.missing is None
                continue
            adapter, said[status.plugin.name] = simplugins.adapter(status.plugin.name), [status.missing]
            uses = [lambda what=what: adapter.to(what) for kind, what in given.items() if kind in adapter.takes()]
            uses += [lambda: adapter.back_from(None)] if "back" in adapter.takes() else []
            uses += [adapter.register] if "register" in adapter.takes() else []
            uses += [lambda: adapter.run([])] if "run" in adapter.takes() else []
            for use in uses:
                try:
                    use()
                except ImportError as error:
                    said[status.plugin.name].append(str(error))
                else:
                    raise AssertionError(status)
        print(json.dumps(said))
        """,
        hidden=modules,
    )
    assert sorted([*found, "numpy"]) == NAMES
    for name, (missing, *errors) in found.items():
        assert missing.endswith(simplugins.adapter(name).install)
        assert "\n" not in missing
        assert set(errors) == {missing}


def test_the_command_line_lists_tools_and_what_to_install():
    said = run(
        """
        from typer.testing import CliRunner
        from simplugins.cli import app
        done = CliRunner().invoke(app, ["plugins"])
        print(json.dumps([done.exit_code, done.output]))
        """,
        hidden=["rsatoolbox"],
    )
    assert said[0] == 0
    (line,) = [line for line in said[1].splitlines() if "simplugins_adapters.rsatoolbox:adapter" in line]
    assert "rsatoolbox is not installed" in line
    (line,) = [line for line in said[1].splitlines() if "simplugins_adapters.scikit_learn:adapter" in line]
    assert line.rstrip("│ ").endswith("ok")


def test_the_command_of_resi_says_what_to_install(monkeypatch):
    done = CliRunner().invoke(app, ["resi", "--", "-c", "config.yaml"])
    assert done.exit_code == 2
    assert done.output == f"error: {simplugins.adapter('resi').available()}\n"
    assert done.output.startswith("error: ReSi is not installed (repsim not found): ")


def test_a_third_party_s_adapter_is_found_used_and_listed(tmp_path):
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
                tool="plain text", modules=("json",), install="pip install json", rsm=to_text, back=from_text
            )
            """
        },
        group="simplugins.adapters",
    )
    site = tmp_path / "site"
    subprocess.run(pip_install(site, wheel), check=True)
    found = run(
        """
        import simplugins
        from typer.testing import CliRunner
        from simplugins.cli import app
        text = simplugins.RSM.from_similarities([[1.0, 0.5], [0.5, 1.0]]).to("plain-text", digits=1)
        back = simplugins.from_tool("plain-text", text).values.tolist()
        print(json.dumps([text, back, CliRunner().invoke(app, ["plugins"]).output]))
        """,
        site,
    )
    assert found[:2] == ["1.0 0.5; 0.5 1.0", [[1.0, 0.5], [0.5, 1.0]]]
    assert re.search(r"plain-text\s*│ simplugins-plain-text 0.4\s*│ plain_text:adapter\s*│ ok", found[2])


def test_a_plugin_that_is_no_adapter_is_told(tmp_path):
    wheel = build_wheel(
        tmp_path, "odd", "1.0", {"odd": "odd:adapter"}, {"odd": "adapter = 3"}, group="simplugins.adapters"
    )
    site = tmp_path / "site"
    subprocess.run(pip_install(site, wheel), check=True)
    found = run(
        """
        import simplugins
        try:
            simplugins.adapter("odd")
        except simplugins.plugins.PluginError as error:
            told = str(error)
        (status,) = [s for s in simplugins.plugins.status("simplugins.adapters") if s.plugin.name == "odd"]
        print(json.dumps([told, status.error]))
        """,
        site,
    )
    assert found[0] == "plugin 'odd' of simplugins.adapters was to be a simplugins.Adapter, it is of type int"
    assert found[1] == "odd 1.0 cannot tell: AttributeError: 'int' object has no attribute 'available'"
