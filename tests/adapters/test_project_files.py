"""Which modules of a project are read from disk for a flow file."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_autopilot.adapters.project_files import read_project


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "pyproject.toml": "",
        "src/acme/__init__.py": "",
        "src/acme/http.py": "from .base import X\n",
        "src/acme/base.py": "X = 1\n",
        "src/acme/flows/__init__.py": "",
        "src/acme/flows/daily.py": "from ..http import get\nfrom . import shared\n",
        "src/acme/flows/shared.py": "import acme.unused_never_there\n",
        "src/acme/flows/unrelated.py": "raise SystemExit\n",
        "scripts/main.py": "import helper\nfrom acme import http\n",
        "scripts/helper.py": "Y = 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_a_file_in_a_package_has_its_dotted_name_and_its_imports(root: Path) -> None:
    project, place = read_project(root / "src/acme/flows/daily.py")
    assert place == "acme.flows.daily"
    assert sorted(project.sources) == ["acme", "acme.base", "acme.flows", "acme.flows.shared", "acme.http"]
    assert project.packages == {"acme", "acme.flows"}


def test_a_script_sees_what_stands_beside_it_and_what_the_project_s_src_holds(root: Path) -> None:
    project, place = read_project(root / "scripts/main.py")
    assert place == "main"
    assert sorted(project.sources) == ["acme", "acme.base", "acme.http", "helper"]


def test_a_name_found_in_two_places_is_a_module_of_which_nothing_is_known(root: Path) -> None:
    (root / "helper.py").write_text("Z = 2\n", encoding="utf-8")
    project, _ = read_project(root / "scripts/main.py")
    assert project.sources["helper"] == ""


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"x" * 600_000], ids=["no text", "too long"])
def test_a_file_that_cannot_be_read_is_a_module_of_which_nothing_is_known(root: Path, content: bytes) -> None:
    (root / "scripts/helper.py").write_bytes(content)
    assert read_project(root / "scripts/main.py")[0].sources["helper"] == ""


@pytest.mark.parametrize("text", ["def f(:", "print 1", "", "from .... import x"], ids=repr)
def test_a_flow_file_that_imports_nothing_readable_has_an_empty_project(tmp_path: Path, text: str) -> None:
    (tmp_path / "flow.py").write_text(text, encoding="utf-8")
    assert read_project(tmp_path / "flow.py")[0].sources == {}


def test_a_module_that_imports_itself_ends(root: Path) -> None:
    (root / "scripts/helper.py").write_text("import helper, main\n", encoding="utf-8")
    assert "helper" in read_project(root / "scripts/main.py")[0].sources


def test_nothing_is_looked_for_above_a_folder_without_a_project(tmp_path: Path) -> None:
    (tmp_path / "b.py").write_text("", encoding="utf-8")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "flow.py").write_text("import b\n", encoding="utf-8")
    assert read_project(tmp_path / "a" / "flow.py")[0].sources == {}
