# SPDX-License-Identifier: Apache-2.0
"""Frameworks that still read plugins with the package `entrypoints` find ours."""

from __future__ import annotations

from importlib.metadata import entry_points

import entrypoints
import pytest

from simplugins import plugins


@pytest.mark.parametrize("group", plugins.GROUPS)
def test_entrypoints_finds_the_same_plugins(group):
    expected = {(entry.name, entry.value) for entry in entry_points(group=group)}
    by_name = entrypoints.get_group_named(group)
    assert {(name, f"{entry.module_name}:{entry.object_name}") for name, entry in by_name.items()} == expected
    name = sorted(by_name)[0]
    assert by_name[name].load() is plugins.load(group, name)
