"""What is built is what is in the checkout: nothing lost, nothing else taken along."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest

# The builds count for whichever test comes first.
pytestmark = pytest.mark.timeout(60)

ROOT = Path(__file__).resolve().parents[2]
IGNORED_FOLDERS = {
    "__pycache__",
    ".git",
    ".venv",
    "build",
    "dist",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAPPING: dict[str, str] = PROJECT["tool"]["setuptools"]["package-dir"]


def checkout_files() -> list[Path]:
    """Return what belongs to the project: tracked, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = [Path(name) for name in listed.stdout.decode().split("\0") if name]
    else:
        names = [path.relative_to(ROOT) for path in ROOT.rglob("*") if not IGNORED_FOLDERS & {*path.parts}]
    return sorted(name for name in names if (ROOT / name).is_file())


def expected_in_wheel() -> set[str]:
    """Map every file of the rooms, of whatever kind, to its place below the one import name."""
    found = set()
    for package, folder in MAPPING.items():
        for path in checkout_files():
            if path.parts[0] == folder:
                found.add(str(PurePosixPath(package.replace(".", "/"), *path.parts[1:])))
    return found


@pytest.fixture(scope="session")
def clean_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy only what belongs to the project, so that leftovers of earlier builds play no part."""
    copy = tmp_path_factory.mktemp("source")
    for name in checkout_files():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    return copy


def build(kind: str, source: Path, target: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", str(target), str(source)],
        check=True,
        capture_output=True,
        timeout=55,
    )
    return next(target.iterdir())


@pytest.fixture(scope="session")
def wheel(clean_copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", clean_copy, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def sdist(clean_copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", clean_copy, tmp_path_factory.mktemp("sdist"))


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def package_files(wheel: Path) -> set[str]:
    return {name for name in names_in(wheel) if ".dist-info/" not in name}


def test_the_wheel_holds_every_file_of_the_checkout(wheel: Path) -> None:
    assert sorted(expected_in_wheel() - package_files(wheel)) == []


def test_the_wheel_holds_nothing_that_is_not_in_the_checkout(wheel: Path) -> None:
    assert sorted(package_files(wheel) - expected_in_wheel()) == []


def test_the_wheel_adds_one_import_name(wheel: Path) -> None:
    top = {name.split("/")[0] for name in names_in(wheel)}
    assert {name for name in top if not name.endswith(".dist-info")} == {"prefect_autopilot"}


def test_the_wheel_brings_command_types_and_licence(wheel: Path) -> None:
    names = names_in(wheel)
    info = next(name.split("/")[0] for name in names if ".dist-info/" in name)
    with zipfile.ZipFile(wheel) as archive:
        entries = archive.read(f"{info}/entry_points.txt").decode()
    assert "prefect-autopilot = prefect_autopilot.cli:main" in entries
    assert "prefect_autopilot = prefect_autopilot.blocks" in entries
    assert "prefect_autopilot/py.typed" in names
    assert any(name.startswith(info) and name.endswith("LICENSE") for name in names)


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    unpacked = next((tmp_path / "unpacked").iterdir())
    again = build("wheel", unpacked, tmp_path / "wheel")
    assert package_files(again) == package_files(wheel)


def test_the_source_distribution_can_be_tested(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {str(path) for path in checkout_files()} - names == set()


def test_every_folder_with_modules_is_a_listed_package() -> None:
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    found = set()
    for package, folder in MAPPING.items():
        for path in checkout_files():
            if path.parts[0] == folder and path.suffix == ".py" and "generated" not in path.parts[1:-1]:
                found.add(".".join((package, *path.parts[1:-1])))
    assert found | {"prefect_autopilot.flows.generated"} == listed


def test_every_package_says_what_it_is() -> None:
    silent = []
    for path in checkout_files():
        if path.name == "__init__.py" and path.parts[0] in MAPPING.values():
            text = (ROOT / path).read_text(encoding="utf-8")
            if not text.startswith('"""') or "laceholder" in text:
                silent.append(str(path))
    assert silent == []
