"""The modules of a project on disk that a flow file imports, as text; nothing is imported or run."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

from prefect_autopilot.effects import OperationEffects, Project

_ROOT_FILES = ("pyproject.toml", "setup.py", "setup.cfg", "prefect.yaml", ".git")
_HIGHEST = 6
"""Folders above the file that may hold the project's root."""
_MOST_MODULES = 300
_MOST_BYTES = 500_000


def read_project(path: Path, operations: OperationEffects | None = None) -> tuple[Project, str]:
    """Return the modules that a flow file imports, directly or through others, and its own dotted name.

    Looked for beside the file, above its packages and at the project's root (``src`` too). A name found in
    two places, or a file that cannot be read, stands for a module of which nothing is known.
    """
    file = path.absolute()
    roots, place = _roots(file)
    sources: dict[str, str] = {}
    packages: set[str] = set()
    text = _text(file)
    pending = list(_imported(text, place, is_package=file.name == "__init__.py"))
    seen = {place}
    while pending and len(sources) < _MOST_MODULES:
        name = pending.pop()
        if not name or name in seen:
            continue
        seen.add(name)
        found = list(dict.fromkeys(_files(roots, name)))
        if not found:
            continue
        sources[name] = _text(found[0]) if len(found) == 1 else ""
        is_package = found[0].name == "__init__.py"
        if is_package:
            packages.add(name)
        pending += _imported(sources[name], name, is_package=is_package)
    return Project(sources, frozenset(packages), operations), place


def import_path(path: Path) -> str:
    """Return the folders in which a flow file finds its own project's modules, as PYTHONPATH."""
    return os.pathsep.join(str(root) for root in _roots(path.absolute())[0])


def _roots(file: Path) -> tuple[list[Path], str]:
    """Return the folders that imports start from, and the dotted name of a file."""
    parts = [] if file.name == "__init__.py" else [file.stem]
    folder = file.parent
    while (folder / "__init__.py").is_file() and folder.parent != folder:
        parts.insert(0, folder.name)
        folder = folder.parent
    roots = [file.parent, folder]
    for above in [folder, *folder.parents][:_HIGHEST]:
        if any((above / name).exists() for name in _ROOT_FILES):
            roots += [above, above / "src"]
            break
    return list(dict.fromkeys(roots)), ".".join(parts)


def _files(roots: list[Path], name: str) -> Iterator[Path]:
    below = Path(*name.split("."))
    for root in roots:
        for candidate in (root / below / "__init__.py", root / below.with_suffix(".py")):
            if candidate.is_file():
                yield candidate.resolve()
                break


def _text(file: Path) -> str:
    try:
        content = file.read_bytes()
        return content.decode("utf-8").removeprefix("\ufeff") if len(content) <= _MOST_BYTES else ""
    except (OSError, UnicodeDecodeError):
        return ""  # what it does stays unknown


def _imported(source: str, place: str, *, is_package: bool) -> Iterator[str]:
    """Yield the dotted names a source may import, with the packages above them."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return  # the same text is refused where it is judged
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = place.split(".") if place else []
            up = node.level - is_package
            base = parts[: len(parts) - up] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [module, *(f"{module}.{alias.name}".lstrip(".") for alias in node.names)]
        for name in names:
            above = name.split(".")
            yield from (".".join(above[:count]) for count in range(1, len(above) + 1))
