# SPDX-License-Identifier: Apache-2.0
"""A check of the finished site: local links and images lead to files that exist, and anchors to elements that exist."""

from __future__ import annotations

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.errors import SphinxError


class Page(HTMLParser):
    """The anchors of a page, and what it links to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = {"", "top"}
        self.links: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect identifiers and links."""
        values = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := values.get(name))}
        self.links |= {value for name in ("href", "src") if (value := values.get(name)) and tag != "base"}


def broken_links(folder: Path) -> list[str]:
    """Return the local links of a folder of HTML files that lead nowhere, with the pages that have them."""
    page = cache(Page)
    broken = []
    for path in sorted(path for path in folder.rglob("*.html") if "_static" not in path.parts):
        # viewcode links back to a function under the wrong module if its file has functions exported by several modules
        known = {link.partition("#")[2] for link in page(path).links} if "_modules" in path.parts else set()
        for link in sorted(page(path).links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link in ("#", ""):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                broken.append(f"{path.relative_to(folder)}: {link}: no such file")
            elif target.suffix == ".html" and unquote(parts.fragment) not in page(target).anchors | known:
                broken.append(f"{path.relative_to(folder)}: {link}: no such anchor")
    return broken


def setup(app):
    """Check the site once it is built."""

    def check(app, exception):
        if exception is None and app.builder.format == "html" and (broken := broken_links(Path(app.outdir))):
            raise SphinxError("\n".join(["broken local links:", *broken]))

    app.connect("build-finished", check, priority=900)  # after all extensions have written their files
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
