"""What doctor sees of home, server and deployments, and what it advises."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.adapters.prefect_target import PrefectTarget
from prefect_autopilot.adapters.versions import Check
from prefect_autopilot.cli import doctor as doctor_module
from prefect_autopilot.cli.checks import (
    check_clock,
    check_credentials,
    check_home,
    check_installed,
    check_permissions,
    check_server,
    check_watcher,
)
from prefect_autopilot.cli.doctor import examine
from prefect_autopilot.deployments.operational import OPERATIONAL_FLOWS
from prefect_autopilot.store import Store

MOMENT = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
TARGET = PrefectTarget("http://prefect.test/api", "Basic YTpi")

Answer = Callable[[httpx.Request], httpx.Response]


def server(answer: Answer, target: PrefectTarget = TARGET) -> tuple[Check, ...]:
    return asyncio.run(check_server(target, now=MOMENT, transport=httpx.MockTransport(answer)))


def healthy(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json="3.8.8", headers={"Date": format_datetime(MOMENT, usegmt=True)})


def test_a_server_that_answers_is_ok_with_its_version() -> None:
    reachable, fields, clock = server(healthy)
    assert (reachable.status, fields.status, clock.status) == ("ok", "ok", "ok")
    assert "Prefect 3.8.8" in reachable.detail


def test_the_server_is_asked_with_our_credentials() -> None:
    seen: list[httpx.Request] = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return healthy(request)

    server(note)
    server(note, PrefectTarget("http://prefect.test/api/"))
    assert [request.url.path for request in seen] == ["/api/admin/version", "/api/flows/filter"] * 2
    assert [request.headers.get("Authorization") for request in seen] == ["Basic YTpi"] * 2 + [None] * 2


@pytest.mark.parametrize(("status", "found"), [(200, "ok"), (422, "fail"), (500, "warn")])
def test_a_server_whose_fastapi_refuses_nulls_is_told(status: int, found: str) -> None:
    sent: list[object] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return healthy(request)
        sent.append(json.loads(request.content))
        return httpx.Response(status, json=[])

    fields = server(answer)[1]
    assert sent == [{"flows": None, "limit": 1}]
    assert (fields.name, fields.status) == ("server FastAPI", found)
    assert ("fastapi>=0.139,<0.151" in fields.advice) is (found != "ok")


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_told_with_the_trap_of_the_key(status: int) -> None:
    (check,) = server(lambda _: httpx.Response(status))
    assert check.status == "fail"
    assert "refused our credentials" in check.detail
    assert "unset PREFECT_API_KEY" in check.advice
    assert "YTpi" not in check.detail + check.advice


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (httpx.Response(404), "must end in /api"),
        (httpx.Response(500), "log says more"),
        (httpx.Response(200, text="<html>"), "must end in /api"),
    ],
    ids=["not found", "server error", "another page"],
)
def test_an_answer_that_is_not_prefects_is_a_failure(answer: httpx.Response, advice: str) -> None:
    (check,) = server(lambda _: answer)
    assert check.status == "fail"
    assert advice in check.advice


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("no"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("?")]
)
def test_an_unreachable_server_is_a_failure_with_its_address(error: httpx.TransportError) -> None:
    def refuse(_request: httpx.Request) -> httpx.Response:
        raise error

    (check,) = server(refuse)
    assert check.status == "fail"
    assert "http://prefect.test/api cannot be reached" in check.detail
    assert "PREFECT_API_URL" in check.advice


@pytest.mark.parametrize("url", ["not a url", "http://[", "ftp://prefect.test/api", ""])
def test_an_address_that_is_none_is_a_failure_and_no_crash(url: str) -> None:
    (check,) = asyncio.run(check_server(PrefectTarget(url), now=MOMENT))
    assert check.status == "fail"
    assert check.advice


@pytest.mark.parametrize(
    ("ahead_s", "status"),
    [(0, "ok"), (1, "ok"), (-4.9, "ok"), (6, "warn"), (-6, "warn"), (3600, "warn")],
)
def test_clocks_may_differ_by_a_few_seconds(ahead_s: float, status: str) -> None:
    check = check_clock(format_datetime(MOMENT, usegmt=True), MOMENT + timedelta(seconds=ahead_s))
    assert check.status == status
    assert ("NTP" in check.advice) is (status == "warn")


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_a_server_without_a_date_is_said(date: str | None) -> None:
    assert check_clock(date, MOMENT).status == "warn"


@pytest.mark.parametrize(
    ("environment", "warned"),
    [
        ({}, False),
        ({"PREFECT_API_KEY": "k"}, False),
        ({"PREFECT_API_AUTH_STRING": "a:b"}, False),
        ({"PREFECT_API_KEY": "", "PREFECT_API_AUTH_STRING": "a:b"}, False),
        ({"PREFECT_API_KEY": "k-secret", "PREFECT_API_AUTH_STRING": "a:b-secret"}, True),
    ],
    ids=["none", "key", "auth", "empty key", "both"],
)
def test_two_kinds_of_credentials_at_once_are_warned_of(
    environment: dict[str, str],
    warned: bool,  # noqa: FBT001 - a column of the table
) -> None:
    check = check_credentials(environment)
    assert (check is not None) is warned
    if check is not None:
        assert check.status == "warn"
        assert "secret" not in check.detail + check.advice


def test_a_home_is_created_where_it_can_be(tmp_path: Path) -> None:
    check = check_home(tmp_path / "deep" / "home")
    assert check.status == "ok"
    assert list((tmp_path / "deep" / "home").iterdir()) == []


def test_a_home_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check = check_home(tmp_path / "file" / "home")
    assert check.status == "fail"
    assert "PREFECT_AUTOPILOT_HOME" in check.advice


FOUND: dict[str, object] = {
    "/api/work_pools/filter": [{"name": "autopilot"}],
    "/api/work_pools/autopilot/workers/filter": [{"name": "w", "status": "ONLINE"}],
    "/api/deployments/filter": [{"name": one.name} for one in OPERATIONAL_FLOWS],
    "/api/automations/filter": [{"name": "autopilot-troubleshoot__automation_1", "enabled": True}],
}


def installation(**changed: object) -> dict[str, Check]:
    found = FOUND | {f"/api/{path}/filter": rows for path, rows in changed.items()}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=found[request.url.path])

    async def ask() -> tuple[Check, ...]:
        async with PrefectAPI(TARGET.url, transport=httpx.MockTransport(answer), tries=1) as api:
            return await check_installed(api)

    return {check.name: check for check in asyncio.run(ask())}


def test_a_complete_installation_is_ok() -> None:
    assert {name: check.status for name, check in installation().items()} == {
        "deployments": "ok",
        "automation": "ok",
        "worker": "ok",
    }


@pytest.mark.parametrize(
    ("path", "rows", "name", "advice"),
    [
        ("work_pools", [], "installed", "prefect-autopilot install"),
        ("deployments", [], "deployments", "prefect-autopilot install"),
        ("automations", [], "automation", "prefect-autopilot install"),
        (
            "automations",
            [{"name": "somebody-elses", "enabled": True}],
            "automation",
            "prefect-autopilot install",
        ),
        (
            "automations",
            [{"name": "autopilot-x", "enabled": False}],
            "automation",
            "Enable it in the Prefect UI",
        ),
        (
            "deployments",
            [{"name": one.name} for one in OPERATIONAL_FLOWS[1:]] + [{"name": "not-autopilot-x"}],
            "deployments",
            "prefect-autopilot install",
        ),
        ("work_pools/autopilot/workers", [], "worker", "prefect worker start --pool autopilot"),
        (
            "work_pools/autopilot/workers",
            [{"status": "OFFLINE"}],
            "worker",
            "prefect worker start --pool autopilot",
        ),
    ],
    ids=[
        "pool",
        "deployments",
        "automation",
        "foreign automation",
        "disabled automation",
        "one deployment",
        "worker",
        "offline",
    ],
)
def test_what_is_missing_is_a_warning_with_its_command(
    path: str, rows: list[dict[str, object]], name: str, advice: str
) -> None:
    check = installation(**{path: rows})[name]
    assert check.status == "warn"
    assert advice in check.advice


def test_a_server_that_fails_half_way_is_told() -> None:
    async def ask() -> tuple[Check, ...]:
        transport = httpx.MockTransport(lambda _: httpx.Response(500, text="boom"))
        async with PrefectAPI(TARGET.url, transport=transport, tries=1) as api:
            return await check_installed(api)

    (check,) = asyncio.run(ask())
    assert check.status == "fail"
    assert "HTTP 500" in check.detail


def test_doctor_prints_one_json_object_and_fails_without_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from prefect_autopilot.cli import main

    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path / "autopilot"))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    for name in ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_PROFILES_PATH"):
        monkeypatch.delenv(name, raising=False)
    assert main(["doctor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    checks = {check["name"]: check for check in told["checks"]}
    assert told["ok"] is False
    assert checks["Prefect API"]["status"] == "fail"
    assert "PREFECT_API_URL" in checks["Prefect API"]["advice"]
    assert checks["store"]["status"] == "ok"
    assert checks["fastapi"]["status"] == "ok"


def test_files_that_others_can_reach_are_told_with_the_command_that_mends_them(tmp_path: Path) -> None:
    home = tmp_path / "our home"
    home.mkdir(mode=0o700)
    settings = home / "settings.toml"
    settings.touch(mode=0o600)
    assert check_permissions(home).status == "ok"

    settings.chmod(0o640)
    told = check_permissions(home)

    assert told.status == "warn"
    assert str(settings) in told.detail
    assert told.advice == f"Run: chmod go-rwx '{settings}'"


def test_a_watcher_is_alive_while_it_holds_its_lease() -> None:
    alive = check_watcher(("host:42", MOMENT + timedelta(seconds=20)), MOMENT)
    none = check_watcher(None, MOMENT)

    assert (alive.status, none.status) == ("ok", "warn")
    assert "host:42" in alive.detail
    assert "prefect-autopilot watch" in none.advice


async def test_doctor_sees_the_watcher_through_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    told = {one.name: one for one in await examine()}
    assert (told["store"].status, told["watcher"].status) == ("ok", "warn")

    async with Store.open(f"sqlite:///{tmp_path / 'home' / 'autopilot.db'}") as store:
        await store.acquire_lease("watcher", "host:42", 60, datetime.now(UTC))
    told = {one.name: one for one in await examine()}

    assert told["watcher"].status == "ok"


def test_the_documents_tell_each_thing_that_doctor_looks_at() -> None:
    room = Path(doctor_module.__file__).parent
    sources = [
        (room / name).read_text(encoding="utf-8")
        for name in ("doctor.py", "checks.py", "../adapters/versions.py")
    ]
    found = set(re.findall(r'(?:Check|_count)\(\s*"([A-Za-z ]+)"', "".join(sources)))
    told = (Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")

    assert len(found) >= 10
    assert [name for name in sorted(found) if f"| {name} |" not in told] == []


@pytest.mark.parametrize(
    ("version", "status"),
    [("3.8.8", "ok"), ("3.8.12", "ok"), ("3.8.7", "fail"), ("3.9.0", "fail"), ("2.20.0", "fail")],
)
def test_a_server_of_another_version_is_told(version: str, status: str) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=version))
    first = asyncio.run(check_server(TARGET, transport=transport))[0]
    assert (first.status, version in first.detail) == (status, True)
