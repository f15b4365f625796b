"""A fault in code is asked about over real HTTP: what is sent, what is kept, what stays as it was."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.journeys.code_fault import with_proposal
from prefect_autopilot.models import (
    Evidence,
    LogRecord,
    RunRecord,
    SourceFile,
    StateRecord,
    TroubleshootingSession,
)
from prefect_autopilot.models.editing import FaultProposal
from prefect_autopilot.redaction import redact
from prefect_autopilot.settings import load_settings
from prefect_autopilot.troubleshooting import diagnose

pytestmark = pytest.mark.anyio

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
SECRET = "sk-live-4f9a8b7c6d5e4f3a2b1c"
SOURCE = f"""from prefect import flow

TOKEN = "{SECRET}"


@flow
def mean(rows: list[float]) -> float:
    return sum(rows) / len(rows)
"""
BUG = "ZeroDivisionError: division by zero"
WORDS = "No row came in, so the last line divides by zero; say what the mean of nothing is."
FIX = {"old": "sum(rows) / len(rows)", "new": "sum(rows) / len(rows) if rows else 0.0"}


def evidence_of(path: Path) -> Evidence:
    state = StateRecord(id="s1", type="FAILED", name="Failed", timestamp=AT, message=BUG)
    traceback = f"""Encountered an exception during execution:
Traceback (most recent call last):
  File "{path}", line 8, in mean
    return sum(rows) / len(rows)
{BUG}
"""
    return Evidence(
        run=RunRecord(id="r1", flow_id="f1", flow_name="mean", run_count=1, state=state),
        states=(state,),
        logs=(LogRecord(timestamp=AT, level=40, message=traceback),),
        source=SourceFile(path=str(path), entrypoint="mean.py:mean", text=redact(SOURCE)),
        read_at=AT,
    )


async def told_by(server: Any, home: Path) -> tuple[FaultProposal, Path]:
    """Return what is kept of a session whose fault in code the server is asked about, and the flow's file."""
    settings = load_settings(home=home, ai=True, ai_url=server.url, ai_model="small")
    path = home / "mean.py"
    path.write_text(SOURCE)
    evidence = evidence_of(path)
    session = TroubleshootingSession(
        session_id="one", workflow_id="mean", diagnosis=diagnose(evidence), start_time=AT
    )
    proposal = (await with_proposal(settings, session, evidence)).proposal
    assert proposal is not None
    return proposal, path


async def test_the_answer_becomes_words_and_a_patch_and_the_file_stays_as_it_was(
    server: Any, tmp_path: Path
) -> None:
    server.says({"narrative": WORDS, "replacements": [FIX]})
    proposal, path = await told_by(server, tmp_path)
    assert (proposal.narrative, proposal.reason, proposal.host) == (WORDS, "", "127.0.0.1")
    assert "+    return sum(rows) / len(rows) if rows else 0.0\n" in proposal.patch
    assert path.read_text() == SOURCE


async def test_what_is_sent_holds_the_failing_line_and_no_secret(server: Any, tmp_path: Path) -> None:
    server.says({"narrative": WORDS})
    await told_by(server, tmp_path)
    assert SECRET.encode() not in server.raw[0]
    question = json.loads(server.received[0]["messages"][1]["content"])
    assert "return sum(rows) / len(rows)" in question["traceback"]
    assert BUG in question["traceback"]
    assert not {"tools", "functions"} & set(server.received[0])


async def test_an_unusable_patch_is_asked_for_again_with_what_is_wrong_and_then_taken(
    server: Any, tmp_path: Path
) -> None:
    server.says(
        {"narrative": WORDS, "replacements": [FIX | {"new": "eval('0')"}]},
        {"narrative": WORDS, "replacements": [FIX]},
    )
    proposal, _ = await told_by(server, tmp_path)
    assert (proposal.requests, proposal.reason) == (2, "")
    assert "calls eval" in server.received[1]["messages"][-1]["content"]
    assert "eval" not in proposal.patch


@pytest.mark.parametrize(
    ("status", "said"), [(401, "key is missing or wrong"), (429, "rate limit"), (500, "its server failed")]
)
async def test_a_refusal_leaves_the_diagnosis_and_says_why_there_are_no_words(
    server: Any, reply: Any, tmp_path: Path, status: int, said: str
) -> None:
    server.does(reply(status=status))
    proposal, path = await told_by(server, tmp_path)
    assert (proposal.narrative, proposal.patch) == ("", "")
    assert said in proposal.reason
    assert path.read_text() == SOURCE
