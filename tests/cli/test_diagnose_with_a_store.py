"""``diagnose`` tells what the store knows of a failure, ``sessions ID`` what was found and is to be done."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefect_autopilot.adapters import prefect_api
from prefect_autopilot.cli import looking, main
from prefect_autopilot.journeys import desk, policy
from prefect_autopilot.models import (
    AlertType,
    Measure,
    RunRecord,
    Severity,
    StateRecord,
    TroubleshootingSession,
    WorkflowAlert,
)
from prefect_autopilot.settings import load_settings
from prefect_autopilot.store import Store
from prefect_autopilot.troubleshooting import diagnose_text

RUN = "12345678-1234-5678-1234-567812345678"
AT = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
SAID = "Flow run encountered an exception: MemoryError: Unable to allocate 4.1 GiB for an array"
FOUND = diagnose_text(SAID, "FAILED")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the Prefect API answer from memory: one failed run of a flow without a deployment."""
    state = {"id": "s", "type": "FAILED", "name": "Failed", "timestamp": AT.isoformat(), "message": SAID}
    run = {
        "id": RUN,
        "name": "odd-owl",
        "flow_id": "f",
        "state_type": "FAILED",
        "state": state,
    }

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api")
        answers: dict[str, Any] = {
            f"/flow_runs/{RUN}": run,
            "/flows/filter": [{"id": "f", "name": "nightly"}],
        }
        return httpx.Response(200, json=answers.get(path, []))

    class Client(httpx.AsyncClient):
        def __init__(self, **more: Any) -> None:
            super().__init__(**more | {"transport": httpx.MockTransport(answer)})

    monkeypatch.setattr("prefect_autopilot.adapters.prefect_api.httpx.AsyncClient", Client)
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.test/api")


def session(ident: str) -> TroubleshootingSession:
    return TroubleshootingSession(
        session_id=ident,
        workflow_id="nightly",
        flow_run_id=RUN,
        start_time=AT - timedelta(days=1),
        diagnosis=FOUND,
        fingerprint=FOUND.fingerprint,
        recommendations=("Raise the memory of the work pool.",),
        facts=("Around the run: 3 of 4 runs failed (pool).",),
        trail=("opened",),
    )


async def keep() -> None:
    async with Store.open(load_settings().store_url.get_secret_value()) as store:
        for ident in ("earlier-1", "earlier-2"):
            await store.save_session(session(ident).model_copy(update={"flow_run_id": ident}), None)
        alert = WorkflowAlert(
            alert_id="a",
            fingerprint="a",
            workflow_id="nightly",
            alert_type=next(iter(AlertType)),
            severity=Severity.HIGH,
            title="Memory grows from run to run",
            description="",
            status="firing",
            created_at=AT,
        )
        await store.save_alert(alert)
        for number in range(14):
            ended = AT - timedelta(hours=20 - number)
            state = StateRecord(id=f"s{number}", type="COMPLETED", name="Completed", timestamp=ended)
            good = RunRecord(id=f"g{number}", flow_name="nightly", state=state, start=ended, created=ended)
            await store.upsert_runs([good])
            used = Measure(flow_run_id=good.id, name="memory_mb", value=2000 + 200 * number, at=ended)
            await store.keep_measures([used])


@pytest.mark.usefixtures("server")
def test_what_the_store_knows_is_told_where_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", RUN]) == 0
    alone = capsys.readouterr().out
    asyncio.run(keep())
    assert main(["diagnose", RUN]) == 0
    told = capsys.readouterr().out
    for line in (
        "Known: seen 3 times on this workflow, before on 2026-03-01",
        "memory_mb climbed from 2200 to 4400 over the 14 good runs before",
        "Memory grows from run to run (high), firing since 2026-03-02 03:00 UTC",
    ):
        assert line in told
        assert line not in alone


@pytest.mark.usefixtures("server")
def test_looking_makes_no_store(home: Path) -> None:
    assert main(["diagnose", RUN]) == 0
    assert not list(home.iterdir())


@pytest.mark.parametrize("url", ["http://prefect.test/api", None])
def test_a_session_is_shown_with_evidence_advice_and_links(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str | None
) -> None:
    if url:
        monkeypatch.setenv("PREFECT_API_URL", url)
    asyncio.run(keep())
    assert main(["sessions", "earlier-1"]) == 0
    out = capsys.readouterr().out
    assert FOUND.evidence[0].text in out
    assert "what to do:\n  Raise the memory of the work pool.\n" in out
    assert "what was seen besides:\n  Around the run: 3 of 4 runs failed (pool).\n" in out
    assert ("the run: http://prefect.test/runs/flow-run/earlier-1" in out) is (url is not None)
    assert out.endswith("trail:\n  opened\n")


@pytest.mark.parametrize(
    ("private", "listed", "told", "reads"),
    [
        pytest.param(False, False, True, 0, id="public"),
        pytest.param(True, True, True, 1, id="private, named"),
        pytest.param(True, False, None, 1, id="private, not named"),
    ],
)
async def test_the_policy_is_read_only_for_private_hosts_and_once(
    monkeypatch: pytest.MonkeyPatch, *, private: bool, listed: bool, told: bool | None, reads: int
) -> None:
    read = []

    async def probe(_: str, allowed: bool) -> bool | None:  # noqa: FBT001  # the desk's interface
        return True if allowed or not private else None

    async def probe_hosts(*_: object) -> tuple[str, ...]:
        read.append(1)
        return ("db.lan",) if listed else ()

    monkeypatch.setattr(desk, "probe", probe)
    monkeypatch.setattr(policy, "probe_hosts", probe_hosts)
    async with prefect_api.PrefectAPI("http://prefect.test/api") as api:
        ask = looking._asking(api)
        assert [await ask("http://db.lan/") for _ in range(2)] == [told, told]
    assert len(read) == reads
