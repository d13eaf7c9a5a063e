# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from textwrap import dedent

import pytest
from wheels import build_wheel, pip_install

from simplugins import plugins

MEASURES = "simplugins.measures"
HEAVY = ["numpy", "scipy", "numba", "matplotlib", "torch", "cupy"]
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def run(code, *sites):
    """Run code in a fresh Python that sees these folders of distributions; what it prints is JSON."""
    path = os.pathsep.join([*map(str, sites), *filter(None, [os.environ.get("PYTHONPATH")])])
    code = f"import json, sys\nfrom simplugins import plugins\nGROUP = {MEASURES!r}\n{dedent(code)}"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return a folder with third-party distributions: one good, one broken, two with a name in common."""
    folder = tmp_path_factory.mktemp("wheels")
    wheels = [
        build_wheel(
            folder,
            "friendly-measure",
            "1.2",
            {"friendly": "friendly_measure:measure"},
            {"friendly_measure": "def measure(activations, *, other=None): return 'friendly'"},
        ),
        build_wheel(
            folder,
            "broken-measure",
            "0.3",
            {
                "absent-import": "absent_import:measure",
                "absent-object": "whole_module:measure",
                "raising": "raising_module:measure",
                "malformed": "not a target",
            },
            {
                "absent_import": "import a_package_that_is_not_there",
                "whole_module": "",
                "raising_module": "raise OSError('no such device')",
            },
        ),
        build_wheel(
            folder,
            "twin-one",
            "1.0",
            {"twin": "twin_one:measure", "only-child": "twin_one:measure"},
            {"twin_one": "def measure(activations, *, other=None): return 'one'"},
        ),
        build_wheel(
            folder,
            "twin-two",
            "2.0",
            {"twin": "twin_two:measure"},
            {"twin_two": "def measure(activations, *, other=None): return 'two'"},
        ),
    ]
    site = tmp_path_factory.mktemp("site")
    subprocess.run(pip_install(site, *wheels), check=True)
    return site


@pytest.fixture(scope="module")
def load_errors(site):
    """Return the class, text and cause's class of the error from loading each plugin that cannot be used."""
    return run(
        """
        errors = {}
        for name in "absent-import", "absent-object", "raising", "malformed", "twin":
            try:
                plugins.load(GROUP, name)
            except Exception as error:
                errors[name] = type(error).__name__, str(error), type(error.__cause__).__name__
        print(json.dumps(errors))
        """,
        site,
    )


def test_our_entry_points_are_those_of_pyproject_and_load():
    declared = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["entry-points"]
    assert set(declared) <= set(plugins.GROUPS)
    for group, entries in declared.items():
        ours = [s for s in plugins.status(group) if s.plugin.distribution.startswith("simplugins ")]
        assert {s.plugin.name: s.plugin.target for s in ours} == entries
        assert [s.error for s in ours] == [None] * len(entries)


def test_groups_are_read_only():
    with pytest.raises(TypeError, match="does not support item assignment"):
        plugins.GROUPS["simplugins.others"] = "others"


def test_third_party_measure_is_listed_and_loaded_by_name(site):
    listed, result = run(
        """
        listed = [vars(plugin) for plugin in plugins.available(GROUP) if plugin.name == "friendly"]
        print(json.dumps([listed, plugins.load(GROUP, "friendly")(None)]))
        """,
        site,
    )
    assert listed == [
        {
            "group": MEASURES,
            "name": "friendly",
            "target": "friendly_measure:measure",
            "distribution": "friendly-measure 1.2",
        }
    ]
    assert result == "friendly"


def test_listing_is_sorted_and_has_a_doubled_name_once_per_distribution(site):
    listed = run(
        "print(json.dumps([(p.name, p.distribution) for p in plugins.available(GROUP)]))",
        site,
    )
    assert listed == sorted(listed)
    assert [source for name, source in listed if name == "twin"] == ["twin-one 1.0", "twin-two 2.0"]
    assert "semantic-cosine" in dict(listed)


def test_listing_imports_nothing_heavy_and_no_plugin(site):
    imported = run("plugins.available(GROUP); print(json.dumps(list(sys.modules)))", site)
    assert "simplugins.plugins" in imported
    assert not {*HEAVY, "simplugins.measures", "friendly_measure", "raising_module"} & set(imported)


def test_distribution_found_twice_on_the_path_is_no_clash(site, tmp_path):
    copy = shutil.copytree(site, tmp_path / "copy")
    code = """
        names = [plugin.name for plugin in plugins.available(GROUP)]
        print(json.dumps([names.count("friendly"), plugins.load(GROUP, "friendly")(None)]))
        """
    assert run(code, site, copy) == [1, "friendly"]


@pytest.mark.parametrize(
    ("name", "target", "cause", "text"),
    [
        (
            "absent-import",
            "absent_import:measure",
            "ModuleNotFoundError",
            "No module named 'a_package_that_is_not_there'",
        ),
        (
            "absent-object",
            "whole_module:measure",
            "AttributeError",
            "module 'whole_module' has no attribute 'measure'",
        ),
        ("raising", "raising_module:measure", "OSError", "no such device"),
    ],
)
def test_loading_a_broken_plugin_names_distribution_and_cause(load_errors, name, target, cause, text):
    expected = (
        f"plugin {name!r} of simplugins.measures ({target}, from broken-measure 0.3) "
        f"could not be loaded: {cause}: {text}"
    )
    assert load_errors[name] == ["PluginError", expected, cause]


def test_loading_a_malformed_target_names_the_distribution(load_errors):
    kind, text, _ = load_errors["malformed"]
    assert kind == "PluginError"
    assert "(not a target, from broken-measure 0.3) could not be loaded" in text


def test_loading_a_doubled_name_names_both_distributions(load_errors):
    expected = (
        "simplugins.measures has 2 plugins named 'twin': twin-one 1.0 (twin_one:measure) "
        "and twin-two 2.0 (twin_two:measure); uninstall all but one"
    )
    assert load_errors["twin"] == ["PluginError", expected, "NoneType"]


def test_status_lists_every_plugin_and_errors_only_for_those_that_cannot_be_used(site, load_errors):
    names, errors = run(
        """
        names = [plugin.name for plugin in plugins.available(GROUP)]
        found = [(s.plugin.name, s.plugin.distribution, s.error) for s in plugins.status(GROUP)]
        print(json.dumps([names, found]))
        """,
        site,
    )
    assert [name for name, _, _ in errors] == names
    theirs = [row for row in errors if not row[1].startswith("simplugins ")]
    assert theirs == [
        ["absent-import", "broken-measure 0.3", load_errors["absent-import"][1]],
        ["absent-object", "broken-measure 0.3", load_errors["absent-object"][1]],
        ["friendly", "friendly-measure 1.2", None],
        ["malformed", "broken-measure 0.3", load_errors["malformed"][1]],
        ["only-child", "twin-one 1.0", None],
        ["raising", "broken-measure 0.3", load_errors["raising"][1]],
        ["twin", "twin-one 1.0", load_errors["twin"][1]],
        ["twin", "twin-two 2.0", load_errors["twin"][1]],
    ]


def test_refresh_sees_a_distribution_installed_after_the_first_scan(tmp_path):
    wheel = build_wheel(
        tmp_path, "late-measure", "1.0", {"late": "late_measure:NAME"}, {"late_measure": "NAME = 'late'"}
    )
    site = tmp_path / "site"
    site.mkdir()
    code = f"""
        import subprocess
        def seen(): return "late" in {{plugin.name for plugin in plugins.available(GROUP)}}
        before = seen()
        subprocess.run({pip_install(site, wheel)!r}, check=True, stdout=sys.stderr)
        memoised = seen()
        plugins.refresh()
        print(json.dumps([before, memoised, seen(), plugins.load(GROUP, "late")]))
        """
    assert run(code, site) == [False, False, True, "late"]


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        ("semantic-cosin", r"semantic-cosine\b.*"),
        ("Semantic-Cosine", r"semantic-cosine\b.*"),
        ("semantic_cosine", r"semantic-cosine\b.*"),
        ("cosine", r".*-cosine"),
    ],
)
def test_unknown_name_suggests_the_nearest_and_lists_what_is_available(asked, nearest):
    message = rf"^simplugins\.measures has no plugin '{asked}' \(nearest: {nearest}\); available: .*"
    with pytest.raises(ValueError, match=message):
        plugins.load(MEASURES, asked)


def test_unknown_name_that_is_near_nothing_has_no_suggestion():
    with pytest.raises(ValueError, match=r"^simplugins\.measures has no plugin 'xyzzy'; available: "):
        plugins.load(MEASURES, "xyzzy")


@pytest.mark.parametrize("function", [plugins.available, plugins.status, lambda group: plugins.load(group, "name")])
def test_unknown_group_suggests_the_nearest_and_lists_the_groups(function):
    expected = "simplugins has no plugin group 'measures' (nearest: simplugins.measures); available: "
    with pytest.raises(ValueError, match=f"^{re.escape(expected + ', '.join(plugins.GROUPS))}$"):
        function("measures")


@pytest.mark.parametrize(
    ("group", "name", "other"),
    [
        ("simplugins.comparisons", "semantic-cosine", "simplugins.measures"),
        ("simplugins.measures", "cka-debiased", "simplugins.comparisons"),
        ("simplugins.comparisons", "semantic-cosine-cka-debiased", "simplugins.similarities"),
    ],
)
def test_a_plugin_of_another_kind_is_recognised_by_its_name(group, name, other):
    with pytest.raises(ValueError, match=rf"{group} has no plugin '{name}'.* a plugin of {other} "):
        plugins.load(group, name)
