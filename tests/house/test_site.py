"""The documentation site shows every document, under links that work in the checkout and on the site."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_docs", ROOT / "benchmarks" / "build_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_docs"] = module
    spec.loader.exec_module(module)
    return module


def configuration() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    return loaded


def named_in(part: object) -> list[str]:
    if isinstance(part, str):
        return [part]
    values = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return [page for value in values for page in named_in(value)]


def test_the_navigation_names_every_page_once(builder: ModuleType, tmp_path: Path) -> None:
    builder.stage(ROOT, tmp_path / "staged")
    pages = sorted(one.relative_to(tmp_path / "staged").as_posix() for one in tmp_path.rglob("*.md"))

    assert sorted(named_in(configuration()["nav"])) == pages


def test_the_site_fetches_nothing_from_elsewhere() -> None:
    told = configuration()

    assert told["theme"]["font"] is False
    assert not {"extra_css", "extra_javascript", "plugins", "repo_url"} & told.keys()
    assert "analytics" not in told["extra"]


@pytest.mark.parametrize(
    ("source", "link", "on_the_site"),
    [
        ("docs/a.md", "[x](b.md)", "[x](b.md)"),
        ("docs/a.md", "[x](b.md#there)", "[x](b.md#there)"),
        ("docs/a.md", "[x](../SECURITY.md)", "[x](security.md)"),
        ("docs/in/a.md", "[x](../../SECURITY.md#scopes)", "[x](../security.md#scopes)"),
        ("docs/in/a.md", "[x](../b.md)", "[x](../b.md)"),
        ("SECURITY.md", "[x](docs/b.md)", "[x](b.md)"),
        ("CONTRIBUTING.md", "[x](CHANGELOG.md)", "[x](changelog.md)"),
        ("docs/a.md", "[x](https://example.com/SECURITY.md)", "[x](https://example.com/SECURITY.md)"),
        ("docs/a.md", "[x](#here)", "[x](#here)"),
        ("docs/a.md", "[x](../Makefile)", "[x](../Makefile)"),
        ("docs/a.md", "![x](images/a.png)", "![x](images/a.png)"),
        ("docs/a.md", "`call(b.md)`", "`call(b.md)`"),
    ],
)
def test_links_lead_to_the_same_place_on_the_site(
    builder: ModuleType, source: str, link: str, on_the_site: str
) -> None:
    assert builder.linked(link, ROOT / source, ROOT) == on_the_site


def test_pictures_and_schemas_are_there_too(builder: ModuleType, tmp_path: Path) -> None:
    builder.stage(ROOT, tmp_path / "staged")

    assert (tmp_path / "staged" / "workflow-spec.schema.json").is_file()


def test_staging_twice_leaves_nothing_of_the_first_time(builder: ModuleType, tmp_path: Path) -> None:
    builder.stage(ROOT, tmp_path)
    (tmp_path / "gone.md").write_text("old", encoding="utf-8")
    builder.stage(ROOT, tmp_path)

    assert not (tmp_path / "gone.md").exists()


def test_the_makefile_builds_the_site_with_the_static_checks() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("check:"))

    assert "docs" in line.split("##")[0].split()
