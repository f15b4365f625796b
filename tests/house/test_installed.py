"""`pip install .` and `pip install -e .` both give the whole product, run from anywhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(60)  # pip builds and installs us

ROOT = Path(__file__).resolve().parents[2]
LEFT_AT_HOME = shutil.ignore_patterns(
    ".*", "__pycache__", "build", "dist", "tests", "benchmarks", "*.egg-info", "node_modules"
)
ROOMS = (
    "prefect_autopilot",
    "prefect_autopilot.blocks",
    "prefect_autopilot.tasks",
    "prefect_autopilot.flows",
)
WHERE = f"import importlib; [print(importlib.import_module(name).__file__) for name in {ROOMS}]"


def run(*words: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, timeout=55, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT, tmp_path / "source", ignore=LEFT_AT_HOME))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """An environment with our dependencies, but without us."""
    venv.create(tmp_path / "environment", with_pip=False)
    folder = tmp_path / "environment"
    inner = next((folder / "lib").glob("python*")) / "site-packages"
    # A bare path adds the packages but not the .pth files beside them, so our checkout stays unseen.
    (inner / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin" / "python"


def install(python: Path, *words: str | Path) -> None:
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install")
    run(*pip, "--quiet", "--no-deps", "--no-build-isolation", *words, cwd=python.parent)


@pytest.mark.parametrize("editable", [False, True], ids=["installed", "editable"])
def test_it_can_be_imported_and_run_from_anywhere(
    source: Path, elsewhere: Path, tmp_path: Path, *, editable: bool
) -> None:
    install(elsewhere, *(["--editable"] if editable else []), source)
    places = [Path(line) for line in run(elsewhere, "-c", WHERE, cwd=tmp_path).splitlines()]
    assert len(places) == len(ROOMS)
    assert all(place.is_relative_to(source) == editable for place in places), places
    assert not any(place.is_relative_to(ROOT) for place in places), places
    command = elsewhere.parent / "prefect-autopilot"
    assert run(command, "--version", cwd=tmp_path).strip()
    assert "slack" in run(command, "services", "show", "slack", cwd=tmp_path).casefold()
