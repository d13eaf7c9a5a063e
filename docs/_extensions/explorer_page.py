# SPDX-License-Identifier: Apache-2.0
"""The explorer of the bundled photographs, as a page of its own next to the others: explorer.html."""

from __future__ import annotations

import tempfile
from pathlib import Path

import simplugins
from simplugins.data import load_photos


def setup(app):
    """Write the page to a folder that Sphinx copies."""
    photos = load_photos()
    folder = Path(tempfile.mkdtemp())
    simplugins.explore(
        folder / "explorer.html",
        {name: photos[name] for name in ("block10", "block15")},
        images=photos["thumbnails"],
        labels=photos["photo_names"][photos["photo"]],
        title="EfficientNet-Lite0 on 24 crops of six photographs",
        progress=False,
    )
    app.config.html_extra_path.append(str(folder))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
