"""Which versions work together, as a table."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from prefect_autopilot.adapters import versions
from prefect_autopilot.adapters.versions import (
    Check,
    check_installation,
    check_python,
    check_versions,
    installed,
    require_compatible,
    requirements,
)
from prefect_autopilot.cli import main
from prefect_autopilot.errors import ConfigurationError

WANTED = (Requirement("prefect>=3.8.8,<3.9"), Requirement("fastapi>=0.139,<0.151"), Requirement("rich>=13"))
GOOD = {"prefect": "3.8.8", "fastapi": "0.150.0", "rich": "15.0.0"}


def judge(name: str, version: str | None) -> Check:
    checks = {check.name: check for check in check_versions(WANTED, {**GOOD, name: version})}
    return checks.get(name, checks["other requirements"])


@pytest.mark.parametrize(
    ("name", "version", "status", "said"),
    [
        ("fastapi", "0.139.0", "ok", "0.139.0"),
        ("fastapi", "0.150.0", "ok", "0.150.0"),
        ("fastapi", "0.150.99", "ok", "0.150.99"),
        ("fastapi", "0.151.0", "fail", "answers 422 to null fields"),
        ("fastapi", "0.154.3", "fail", "answers 422 to null fields"),
        ("fastapi", "0.155.0", "fail", "does not start"),
        ("fastapi", "0.155.0rc1", "fail", "tested is"),
        ("fastapi", "1.0.0", "fail", "does not start"),
        ("fastapi", "0.138.2", "fail", "tested is"),
        ("fastapi", None, "fail", "not installed"),
        ("fastapi", "local-build", "warn", "no version that can be compared"),
        ("prefect", "3.8.8", "ok", "3.8.8"),
        ("prefect", "3.8.20", "ok", "3.8.20"),
        ("prefect", "3.8.7", "fail", "tested is"),
        ("prefect", "3.9.0", "fail", "tested is"),
        ("prefect", "3.9.0rc1", "fail", "tested is"),
        ("prefect", "2.20.1", "fail", "tested is"),
        ("prefect", "3.8.8+local.1", "ok", "3.8.8+local.1"),
        ("prefect", None, "fail", "not installed"),
        ("rich", "12.0", "fail", "tested is"),
        ("rich", None, "fail", "not installed"),
    ],
)
def test_a_version_is_judged(name: str, version: str | None, status: str, said: str) -> None:
    check = judge(name, version)
    assert check.name == name
    assert check.status == status
    assert said in check.detail


@pytest.mark.parametrize("version", ["0.151.0", "0.155.0", "0.100", None])
def test_what_is_wrong_comes_with_the_exact_command_that_mends_it(version: str | None) -> None:
    advice = judge("fastapi", version).advice
    assert advice.startswith(f"Run: {sys.executable} -m pip install ")
    assert Requirement(advice.split('"')[1]).specifier == WANTED[1].specifier


def test_the_command_that_mends_would_itself_be_judged_good() -> None:
    specifier = Requirement(judge("fastapi", "0.155.0").advice.split('"')[1]).specifier
    assert "0.150.0" in specifier
    assert "0.151.0" not in specifier
    assert "0.155.0" not in specifier


def test_what_is_met_and_unremarkable_shares_one_line() -> None:
    checks = check_versions(WANTED, GOOD)
    assert [check.name for check in checks] == ["prefect", "fastapi", "other requirements"]
    assert checks[-1].detail == "1 met"
    assert all(check.status == "ok" and not check.advice for check in checks)


@pytest.mark.parametrize(
    ("version", "status"),
    [("3.11.0", "ok"), ("3.11.7", "ok"), ("3.13.1", "ok"), ("3.10.14", "fail"), ("2.7.18", "fail")],
)
def test_the_interpreter_is_judged(version: str, status: str) -> None:
    check = check_python(version, ">=3.11")
    assert check.status == status
    assert ("Install Python" in check.advice) is (status == "fail")


def test_the_bounds_come_from_our_own_metadata() -> None:
    wanted = {one.name: one.specifier for one in requirements()}
    assert "3.8.8" in wanted["prefect"]
    assert "3.9.0" not in wanted["prefect"]
    assert "0.150.0" in wanted["fastapi"]
    assert "0.151.0" not in wanted["fastapi"]


def test_extras_are_not_required() -> None:
    assert not {"pytest", "ruff", "prefect-ray", "asyncpg"} & {one.name for one in requirements()}


def test_a_missing_distribution_has_no_version() -> None:
    assert installed(["prefect-autopilot-that-nobody-wrote"]) == {"prefect-autopilot-that-nobody-wrote": None}


def test_the_environment_of_these_tests_is_sound() -> None:
    assert [check for check in check_installation() if check.status != "ok"] == []


def pretend(monkeypatch: pytest.MonkeyPatch, **other: str) -> None:
    real = versions.installed
    monkeypatch.setattr(versions, "installed", lambda names: {**real(names), **other})


def test_what_is_installed_for_the_tests_is_compatible() -> None:
    require_compatible()


@pytest.mark.parametrize(
    ("name", "version"), [("fastapi", "0.152.0"), ("fastapi", "0.160.0"), ("prefect", "3.9.0")]
)
def test_what_cannot_work_is_told_with_what_mends_it(
    monkeypatch: pytest.MonkeyPatch, name: str, version: str
) -> None:
    pretend(monkeypatch, **{name: version})
    with pytest.raises(ConfigurationError, match="-m pip install") as caught:
        require_compatible()
    assert f"{name} {version}" in caught.value.message


def test_another_library_that_is_too_old_is_the_doctors_business(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, rich="1.0")
    require_compatible()


@pytest.mark.parametrize("command", ["up", "serve", "watch", "demo"])
def test_nothing_is_started_with_what_cannot_work(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path))
    pretend(monkeypatch, fastapi="0.160.0")
    assert main([command]) == 1
    assert "fastapi 0.160.0" in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []
