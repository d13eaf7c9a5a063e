# SPDX-License-Identifier: Apache-2.0
"""Prints the README as PyPI can show it: PyPI has none of the repository's files, so relative links lead nowhere.

With a public address of the repository in pyproject.toml ([project.urls], Source), links and pictures are those of the
version's tag there. Without one, pictures are left out with their captions, and links become plain text.
"""

import re
import sys
import tomllib
from pathlib import Path

LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?!https?:|#)(?P<target>[^)]*)\)")
PICTURE = re.compile(r"!\[(?P<text>[^\]]*)\]\((?!https?:)(?P<target>[^)]*)\)")
PICTURE_AND_CAPTION = re.compile(PICTURE.pattern + r"\n+(?:\*[^*].*?[^*]\*\n+)?", re.DOTALL)


def readme_for_pypi(text, version, source=None):
    """Return the text of a README without relative links."""
    if source is None:
        return LINK.sub(r"\g<text>", PICTURE_AND_CAPTION.sub("", text))
    address = source.rstrip("/")
    text = PICTURE.sub(rf"![\g<text>]({address}/raw/v{version}/\g<target>)", text)
    return LINK.sub(rf"[\g<text>]({address}/blob/v{version}/\g<target>)", text)


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    urls = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    version = re.search(r'^__version__ = "(.*)"', (root / "simplugins" / "__init__.py").read_text("utf-8"), re.M)[1]
    sys.stdout.write(readme_for_pypi((root / "README.md").read_text(encoding="utf-8"), version, urls.get("Source")))
