"""What the documents promise exists: commands, make targets, files, links."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from cyclopts import CycloptsError

from prefect_autopilot.cli.commands import COMMANDS, build_app

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"```(?:console|bash|sh)\n(.*?)```", re.DOTALL)
INLINE = re.compile(r"`((?:make|prefect-autopilot) [^`]+)`")
LINK = re.compile(r"\]\(([^)#]+)\)")
PLACE = re.compile(r"`((?:prefect_autopilot|tests|docs|benchmarks)/[\w/.-]*)`")


def shown_commands(document: Path) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = [line.strip() for block in BLOCK.findall(text) for line in block.splitlines()]
    return [line for line in [*blocks, *INLINE.findall(text)] if line and not line.startswith("#")]


def all_shown(program: str) -> list[str]:
    found = {line for document in DOCUMENTS for line in shown_commands(document)}
    return sorted(line for line in found if line.split()[0] == program)


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("line", all_shown("prefect-autopilot"))
def test_a_shown_command_is_accepted_by_the_command_line(line: str) -> None:
    arguments = shlex.split(line)[1:]
    if "COMMAND" in arguments:
        return
    assert refusal(arguments) is None


def refusal(arguments: list[str]) -> str | None:
    """Return why the command line refuses a call; a command named without its arguments is no call."""
    try:
        build_app().parse_args(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        named_only = not any(word.startswith("-") for word in arguments) and "requires" in str(error)
        return None if named_only else str(error)
    return None


@pytest.mark.parametrize(
    "call", ["anlyze x", "analyze x --jsno", "services shw slack", "optimize f.py --strategy fast"]
)
def test_a_command_that_does_not_exist_would_be_found(call: str) -> None:
    assert refusal(shlex.split(call)) is not None


@pytest.mark.parametrize("line", all_shown("make"))
def test_a_shown_make_target_exists(line: str) -> None:
    targets = [word for word in shlex.split(line)[1:] if "=" not in word]
    assert set(targets) <= make_targets()


def test_documents_show_nothing_else_than_known_programs() -> None:
    programs = {line.split()[0] for document in DOCUMENTS for line in shown_commands(document)}
    assert programs <= {"make", "prefect", "prefect-autopilot", "pip"}


def test_the_two_promised_commands_stand_in_the_readme() -> None:
    assert {"make demo", "make test"} <= set(shown_commands(Path("README.md")))


def test_every_command_is_described() -> None:
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    assert [name for name, _, _ in COMMANDS if f"`{name}`" not in text] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = LINK.findall((ROOT / document).read_text(encoding="utf-8"))
    local = [target for target in targets if not target.startswith(("http://", "https://", "mailto:"))]
    assert [target for target in local if not (ROOT / document).parent.joinpath(target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_named_places_of_the_checkout_exist(document: Path) -> None:
    places = PLACE.findall((ROOT / document).read_text(encoding="utf-8"))
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_every_make_target_is_explained_by_make_help() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    explained = set(re.findall(r"^([a-z-]+):[^#\n]*## ", text, re.MULTILINE))
    assert make_targets() <= explained


def test_the_changelog_keeps_its_form() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    headings = [line for line in lines if line.startswith("## ")]
    assert headings[0] == "## [Unreleased]"
    kinds = {line for line in lines if line.startswith("### ")}
    assert kinds <= {
        f"### {kind}" for kind in ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
    }


def test_the_versions_of_the_readme_are_those_of_the_package() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    rows = re.findall(r"\| (Prefect|FastAPI) \| ([\d.]+) up to ([\d.]+) [^|]*\| ([\d.]+) \|", text)
    assert len(rows) == 2
    for name, lower, upper, tested in rows:
        assert f'"{name.lower()}>={lower},<{upper}"' in project
        assert f"{name.lower()}=={tested}" in pinned


def test_the_readme_tells_how_many_imported_documents_the_page_shows() -> None:
    readme, page = ((ROOT / name).read_text("utf-8") for name in ("README.md", "docs/openapi-import.md"))
    told = re.findall(r"what became of (\d+) real documents", readme)
    assert told == re.findall(r"\*\*(\d+) documents\*\*", page)


def test_the_readme_says_what_each_extra_does() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text[text.index("| extra |") :].partition("\n\n")[0]
    told = {name for row in table.splitlines() for name in re.findall(r"`([a-z0-9]+)`", row.split("|")[1])}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert told == {*project["optional-dependencies"]} - {"dev", "docs"}
