# SPDX-License-Identifier: Apache-2.0
"""``python -m simplugins``: the command line."""

from simplugins.cli import app

app(prog_name="simplugins")
