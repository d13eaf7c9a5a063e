# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
from typer.testing import CliRunner

from simplugins.cli import app
from simplugins.measures import precompilation


@pytest.fixture
def calls(monkeypatch):
    calls = []

    def precompile(**options):
        calls.append(options)
        if options["processes"] == 9:
            raise PermissionError("no folder is writable")
        return precompilation.Precompilation(7, 3, (Path("/a/b"),), 2_500_000, 12.3)

    monkeypatch.setattr(precompilation, "precompile", precompile)
    return calls


def test_the_command_says_what_was_compiled_and_where_it_lies(calls):
    result = CliRunner().invoke(app, ["compile", "--processes", "2"])
    assert result.exit_code == 0
    assert result.output.split("\n")[:-1] == [
        "7 functions compiled in 12 s, 3 were compiled before",
        "2.5 MB of machine code in:",
        "/a/b",
    ]
    assert calls == [{"processes": 2, "progress": True}]


def test_an_unwritable_folder_is_an_error_of_one_line(calls):
    result = CliRunner().invoke(app, ["compile", "-q", "--processes", "9"])
    assert result.exit_code == 2
    assert result.output == "error: no folder is writable\n"
    assert calls == [{"processes": 9, "progress": False}]
