# SPDX-License-Identifier: Apache-2.0
"""Pages of the site that are kept elsewhere in the repository, where people read them without the site.

The guide is one file, which the site cuts at its headings; the README, the reports of the benchmarks and other files
become pages as they are. All are written to folders that Git ignores. Links between files of the
repository are rewritten to links between pages of the site.
"""

from __future__ import annotations

import posixpath
import re
import shutil
from pathlib import Path

import continued_code

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
FOLDERS = ("guide", "reports", "api")
"""Folders of docs that hold generated pages only."""

SUBSECTIONS = (
    "Centring and normalisation",
    "Which number to report",
    "Methods",
    "Nearest neighbours",
    "Tests and intervals",
    "Calibrated numbers",
    "Yardsticks",
    "Content and location",
    "Models against a target",
    "Following training",
)
"""Headings of the third level at which a page of the site begins, as at all headings of the second level."""

WHOLE = {
    "README.md": "guide/readme",
    "CHANGELOG.md": "guide/changelog",
    "adapters/README.md": "guide/adapters",
    "benchmarks/README.md": "guide/benchmarks",
    "docs/plugin-template/README.md": "guide/plugin-template",
    "simplugins/data/README.md": "guide/bundled-data",
}
"""Files that are pages as they are."""


def slug(heading: str) -> str:
    """Return the anchor of a heading, as GitHub and MyST make it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def guide_pages(text: str) -> dict[str, str]:
    """Cut the guide into pages by the names of their first headings."""
    pages: dict[str, list[str]] = {}
    lines: list[str] = []  # what comes before the first page is the guide's own table of contents
    fenced, depth = False, 1
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        heading = None if fenced else re.match(r"(#+) (.*)", line)
        if heading and (heading[1] == "##" or heading[2] in SUBSECTIONS):
            lines, depth = pages.setdefault(slug(heading[2]), []), len(heading[1])
        lines.append(line[depth - 1 :] if heading else line)
    if missing := {slug(heading) for heading in SUBSECTIONS} - set(pages):
        raise ValueError(f"docs/guide.md has no headings {sorted(missing)}, at which pages of the site should begin")
    return {name: "\n".join(lines) + "\n" for name, lines in pages.items()}


def headings(text: str) -> list[str]:
    """Return the anchors of a page's headings."""
    return [slug(heading) for heading in re.findall(r"^#+ (.*)$", outside_code(text), flags=re.MULTILINE)]


def outside_code(text: str) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


class Repository:
    """The files of the repository that are pages of the site, and how links between them are written there."""

    def __init__(self) -> None:
        self.pages = dict(WHOLE)
        for path in sorted((ROOT / "benchmarks" / "results").glob("*.md")):
            self.pages[f"benchmarks/results/{path.name}"] = f"reports/{path.stem}"
        self.guide = guide_pages((DOCS / "guide.md").read_text(encoding="utf-8"))
        self.anchors = {anchor: name for name, text in self.guide.items() for anchor in headings(text)}
        self.sources = {page: path for path, page in self.pages.items()}
        self.sources |= {f"guide/{name}": "docs/guide.md" for name in self.guide}

    def write(self) -> None:
        """Write all generated pages."""
        for folder in FOLDERS:
            shutil.rmtree(DOCS / folder, ignore_errors=True)
        texts = {page: (ROOT / path).read_text(encoding="utf-8") for path, page in self.pages.items()}
        notes = continued_code.notes(self.guide)
        for name, text in self.guide.items():
            title, _, body = text.partition("\n")
            texts[f"guide/{name}"] = f"{title}\n\n{notes[name]}\n{body}" if notes[name] else text
        for page, text in texts.items():
            path = DOCS / f"{page}.md"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def rewritten(self, page: str, text: str) -> str:
        """Return the text of a page with the links of the site."""
        if page == "how-to/index" and (further := self._further()):
            text += "\n".join(["", "```{toctree}", ":maxdepth: 1", ":caption: More", "", *further, "```", ""])
        source = self.sources.get(page, f"docs/{page}.md")
        parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)

        def link(match: re.Match[str]) -> str:
            return f"]({self.target(source, match[1])})"

        relative = r"\]\((?![a-z]+:|/)([^()\s]+)\)"
        return "".join(part if part.startswith("```") else re.sub(relative, link, part) for part in parts)

    def _further(self) -> list[str]:
        """Return the pages of the guide that no table of contents has yet."""
        contents = [DOCS / folder / "index.md" for folder in ("how-to", "explanation", "tutorials")]
        listed = {line.strip() for path in contents for line in path.read_text(encoding="utf-8").splitlines()}
        return [f"../guide/{name}" for name in self.guide if f"../guide/{name}" not in listed]

    def target(self, source: str, target: str) -> str:
        """Return the link of the site for a relative link in a file of the repository."""
        file, _, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), file)) if file else source
        if path == "docs/guide.md":
            page = f"guide/{self.anchors[anchor]}" if anchor else "how-to/index"
            first = anchor in self.guide
            return f"/{page}.md" if first or not anchor else f"/{page}.md#{anchor}"
        if path in self.pages:
            return f"/{self.pages[path]}.md" + (f"#{anchor}" if anchor else "")
        if path.startswith("docs/"):
            return "/" + path.removeprefix("docs/") + (f"#{anchor}" if anchor else "")
        return target


def setup(app):
    """Write the pages before Sphinx looks for them, and rewrite links as it reads them."""
    repository = Repository()

    def rewrite(_app, page, content):
        content[0] = repository.rewritten(page, content[0])

    repository.write()
    app.connect("source-read", rewrite)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
