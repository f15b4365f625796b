"""Every snippet of the documents is run, or says right above it why it is not."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import shlex
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from prefect import flow
from prefect.settings import get_current_settings

from prefect_autopilot.cli import main
from prefect_autopilot.models import AlertType, Severity, Silence, WorkflowAlert
from prefect_autopilot.settings import load_settings
from prefect_autopilot.store import Store

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ROOT / "docs" / "reference"
MARK = r"<!-- (?:not run: (?P<why>[^\n]+)|(?P<server>with a Prefect server)) -->"
FENCE = re.compile(rf"(?:^{MARK}\n)?^```(?P<language>\w+)\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
SHELL = frozenset({"console", "bash", "sh"})
RUN = SHELL | {"python", "toml"}


class Snippet(NamedTuple):
    """A fenced block; why it is not run, if it is not; whether it needs a Prefect server."""

    language: str
    body: str
    why: str
    server: bool = False


def snippets_of(document: Path) -> list[Snippet]:
    text = document.read_text(encoding="utf-8")
    found = [
        Snippet(one["language"], one["body"], one["why"] or "", bool(one["server"]))
        for one in FENCE.finditer(text)
    ]
    return [one for one in found if one.language in RUN]


DOCUMENTS = [
    path.relative_to(ROOT).as_posix()
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
    if GENERATED not in path.parents and snippets_of(path)
]
EVERY = [one for name in DOCUMENTS for one in snippets_of(ROOT / name)]

NOW = datetime(2026, 11, 1, tzinfo=UTC)
OUR_SETTINGS = "# ~/.prefect-autopilot/settings.toml"
FLOW = """import httpx
from prefect import flow, task


@task
def read(path: str) -> list[dict]:
    return httpx.get(f"https://shop.example/{path}", timeout=10).json()


@flow
def report() -> int:
    orders = read("orders")
    customers = read("customers")
    return len(orders) + len(customers)
"""
TRACEBACK = """Traceback (most recent call last):
  File "/srv/flows/orders.py", line 12, in fetch
    response.raise_for_status()
httpx.HTTPStatusError: Server error '503 Service Unavailable' for url 'https://shop.example/orders'
"""
RULES = """rules:
  - {rule_id: slow, metric_name: response_time, condition: ">", threshold: 600, severity: high}
"""
OPENAPI = {
    "openapi": "3.1.0",
    "info": {"title": "Acme", "version": "1"},
    "servers": [{"url": "https://api.acme.example"}],
    "paths": {"/orders": {"get": {"operationId": "listOrders", "responses": {"200": {"description": "ok"}}}}},
}
HISTORY = {"flow": {"n": 20, "p50_s": 4.0, "p95_s": 6.0}, "tasks": {"read": {"n": 20, "p50_s": 1.0}}}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that snippets name, and nothing of the machine's own settings."""
    for name in ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_PROFILES_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    rows = {
        "requests.jsonl": {"id": "1", "text": "Every day at 9 post a report to Slack"},
        "failures.jsonl": {"id": "1", "log": TRACEBACK},
        "histories.jsonl": {"id": "1", "runs": []},
    }
    texts = {
        "my_flow.py": FLOW,
        "traceback.txt": TRACEBACK,
        "rules.yaml": RULES,
        "openapi.json": json.dumps(OPENAPI),
        "openapi.yaml": json.dumps(OPENAPI),
        "history.json": json.dumps(HISTORY),
        **{name: json.dumps(row) for name, row in rows.items()},
    }
    for name, text in texts.items():
        (work / name).write_text(f"{text}\n", encoding="utf-8")
    asyncio.run(seed(f"sqlite:///{tmp_path / 'home' / 'autopilot.db'}"))
    return work


async def seed(url: str) -> None:
    """Store what snippets name by its id."""
    alert = WorkflowAlert(
        alert_id="3f9c",
        fingerprint="orders",
        workflow_id="orders",
        alert_type=AlertType.ERROR_RATE_INCREASE,
        severity=Severity.HIGH,
        title="orders/prod: error_rate is 1",
        description="",
        created_at=NOW,
    )
    silence = Silence(silence_id="silence-0f9a4a3c1d2e", starts_at=NOW, ends_at=NOW + timedelta(days=900))
    async with Store.open(url) as store:
        await store.save_alert(alert)
        await store.add_silence(silence)


def run_shell(body: str) -> None:
    for line in filter(None, (one.partition(" # ")[0].strip() for one in body.splitlines())):
        program, *arguments = shlex.split(line)
        assert program == "prefect-autopilot", (
            f"{line!r} is no command of ours: say above it why it is not run"
        )
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = main(arguments)
        assert code == 0, f"{line!r} ended with {code}: {said.getvalue()}"


def run(one: Snippet, document: str) -> None:
    if one.language in SHELL:
        run_shell(one.body)
    elif one.language == "toml":
        tomllib.loads(one.body)
    else:
        exec(compile(one.body, document, "exec"), {"__name__": "snippet"})


@pytest.mark.parametrize("document", DOCUMENTS)
@pytest.mark.usefixtures("folder")
def test_every_snippet_runs_as_it_is_shown(document: str) -> None:
    for one in snippets_of(ROOT / document):
        if not one.why and not one.server:
            run(one, document)


@pytest.mark.usefixtures("prefect_harness")
def test_snippets_that_need_a_server_run_with_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @flow(name="snippets-of-the-documents")
    def fails() -> None:
        raise KeyError("total")

    fails(return_state=True)
    monkeypatch.setenv("PREFECT_API_URL", str(get_current_settings().api.url))
    shown = [one for one in EVERY if one.server]
    for one in shown:
        run(one, "a document")

    assert len(shown) >= 4
    assert (folder.parent / "home" / "autopilot.db").exists()


def test_the_settings_shown_are_settings(folder: Path) -> None:
    shown = [one for one in EVERY if one.language == "toml" and one.body.startswith(OUR_SETTINGS)]
    home = folder / "home"
    home.mkdir()
    policy = folder / "policy.yaml"
    policy.write_text("mode: propose\n", encoding="utf-8")
    for one in shown:
        (home / "settings.toml").write_text(
            one.body.replace("~/.prefect-autopilot/policy.yaml", str(policy)), encoding="utf-8"
        )
        assert load_settings(home=home).mode == "propose"
    assert shown


def test_what_is_not_run_says_why_in_words_and_is_the_lesser_part() -> None:
    reasons = [one.why for one in EVERY if one.why]

    assert [why for why in reasons if len(why.split()) < 3] == []
    assert len(reasons) < len(EVERY) / 2


def test_a_snippet_that_fails_would_be_seen(folder: Path) -> None:
    with pytest.raises(AssertionError, match="ended with 2"):
        run_shell("prefect-autopilot analyze")
    with pytest.raises(AssertionError, match="no command of ours"):
        run_shell("rm -r elsewhere")
    assert folder.exists()


def test_the_reason_stands_right_above_its_snippet(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text(
        "<!-- not run: needs a server -->\n```console\na\n```\n\n```console\nb\n```\n", encoding="utf-8"
    )

    assert [(one.body, one.why) for one in snippets_of(document)] == [("a\n", "needs a server"), ("b\n", "")]
