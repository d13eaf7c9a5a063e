# SPDX-License-Identifier: Apache-2.0
"""Notes on the pages cut from one file, whose code runs from top to bottom: what a page uses from those before it."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Mapping


def python_of(text: str) -> str:
    """Return the Python code of a page."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL))


def bound(code: str) -> dict[str, str]:
    """Return the names that code binds at its top level; those of imports with their statement, others with ""."""
    names: dict[str, str] = {}
    for node in ast.parse(code).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                one = (
                    ast.ImportFrom(node.module, [alias], 0) if isinstance(node, ast.ImportFrom) else ast.Import([alias])
                )
                names[alias.asname or alias.name.partition(".")[0]] = ast.unparse(one)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names[node.name] = ""
        else:
            stored = (part for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store))
            names |= dict.fromkeys((part.id for part in stored), "")
    return names


def unbound(code: str) -> list[str]:
    """Return the names that code uses without having bound them before, in the order of their use."""
    known, missing = set(dir(builtins)), []
    for node in ast.parse(code).body:
        parts = list(ast.walk(node))
        names = [part for part in parts if isinstance(part, ast.Name)]
        local = {part.arg for part in parts if isinstance(part, ast.arg)}
        for part in parts:
            if isinstance(part, ast.comprehension):
                local |= {one.id for one in ast.walk(part.target) if isinstance(one, ast.Name)}
        if not isinstance(node, ast.Assign | ast.Expr):  # functions, classes, loops and the like
            local |= {one.id for one in names if isinstance(one.ctx, ast.Store)}
        loaded = (one.id for one in names if isinstance(one.ctx, ast.Load))
        missing += [name for name in dict.fromkeys(loaded) if name not in known | local | set(missing)]
        known |= set(bound(ast.unparse(node)))
    return missing


def notes(pages: Mapping[str, str]) -> dict[str, str]:
    """Return for each page, in the order of the file, a paragraph on the names that it uses from earlier pages."""
    origin: dict[str, tuple[str, str]] = {}
    result = {}
    for page, text in pages.items():
        code = python_of(text)
        needed = {name: origin[name] for name in unbound(code) if name in origin}
        result[page] = _note(needed, pages)
        origin |= {name: (page, statement) for name, statement in bound(code).items()}
    return result


def _note(needed: Mapping[str, tuple[str, str]], pages: Mapping[str, str]) -> str:
    imports = sorted({statement for _, statement in needed.values() if statement})
    by_page: dict[str, list[str]] = {}
    for name, (page, statement) in needed.items():
        if not statement:
            by_page.setdefault(page, []).append(f"`{name}`")
    parts = [f"{', '.join(names)} from [{_title(pages[page])}](/guide/{page}.md)" for page, names in by_page.items()]
    parts += [f"`{'`, `'.join(imports)}`"] if imports else []
    return f"*The code on this page also needs {', and '.join(parts)}.*" if parts else ""


def _title(text: str) -> str:
    return text.partition("\n")[0].lstrip("# ")
