"""Build the documentation site from docs/ and the documents of the root; a link to nowhere fails it.

python benchmarks/build_docs.py
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "docs"
STAGED = ROOT / "build" / "docs"
SITE = ROOT / "site"
ROOT_PAGES = {
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Documents that stand in the root, where people and hosts look for them, and their pages of the site."""

LINK = re.compile(r"(?<=\]\()(?P<target>[^)#\s:]+)(?P<anchor>#[^)\s]*)?(?=\))")


def page_of(target: Path, root: Path = ROOT) -> str | None:
    """Return the page of the site that shows a file of the checkout, None where none does."""
    if target.parent == root:
        return ROOT_PAGES.get(target.name)
    docs = root / "docs"
    return target.relative_to(docs).as_posix() if target.is_relative_to(docs) else None


def linked(text: str, source: Path, root: Path = ROOT) -> str:
    """Return a document with its links to files of the checkout as they are within the site.

    What the site does not show stays as it is, and the build fails at it.
    """
    here = Path(page_of(source, root) or source.name).parent

    def within(match: re.Match[str]) -> str:
        page = page_of(Path(os.path.normpath(source.parent / match["target"])), root)
        if page is None:
            return match[0]
        return f"{Path(os.path.relpath(page, here)).as_posix()}{match['anchor'] or ''}"

    return LINK.sub(within, text)


def stage(root: Path = ROOT, staged: Path = STAGED) -> None:
    """Copy every document and picture to where the generator reads them."""
    shutil.rmtree(staged, ignore_errors=True)
    shutil.copytree(root / "docs", staged)
    shown = [root / name for name, page in ROOT_PAGES.items() if not (root / "docs" / page).exists()]
    for source in [*(root / "docs").rglob("*.md"), *shown]:
        place = staged / str(page_of(source, root))
        place.write_text(linked(source.read_text(encoding="utf-8"), source, root), encoding="utf-8")


def main() -> int:
    """Build the site; 1 when a page, a link or an anchor is missing."""
    stage()
    shutil.rmtree(SITE, ignore_errors=True)
    generator = Path(sys.executable).parent / "zensical"
    built = subprocess.run(
        [generator, "build", "--strict", "--clean", "--config-file", ROOT / "mkdocs.yml"],
        cwd=ROOT,
        env=os.environ | {"NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        # A traceback of the generator says nothing beyond the warnings before it.
        sys.stdout.write((built.stdout + built.stderr).partition("Traceback")[0])
        return 1
    sys.stdout.write(f"{sum(1 for _ in SITE.rglob('*.html'))} pages in {SITE.relative_to(ROOT)}/\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
