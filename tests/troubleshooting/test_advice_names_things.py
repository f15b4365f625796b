"""Advice on what only the trained model decides, on frames without their line, on failures passed on."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import pytest

from prefect_autopilot.models import (
    Diagnosis,
    Evidence,
    EvidenceLine,
    IssueCategory,
    MemoryGiven,
    PrefectObject,
    RunRecord,
    Severity,
    SourceFile,
    StateRecord,
)
from prefect_autopilot.troubleshooting import (
    diagnose_text,
    facts,
    prefect_objects,
    recommendations,
    report,
    session,
)
from prefect_autopilot.troubleshooting.advice import LEARNT, MAX_AROUND
from prefect_autopilot.troubleshooting.report import links

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
CATEGORIES = [category for category in IssueCategory if category is not IssueCategory.UNKNOWN]


def learnt(category: IssueCategory, *lines: EvidenceLine) -> Diagnosis:
    return Diagnosis(
        category=category,
        confidence=0.62,
        severity=Severity.HIGH,
        transient=False,
        remedy="none",
        root_cause="It reads like that",
        pattern="learnt",
        evidence=lines,
    )


def failed(ident: str = "r1") -> RunRecord:
    return RunRecord(
        id=ident,
        flow_name="load",
        state=StateRecord(id="s", type="FAILED", name="Failed", timestamp=NOW),
    )


@pytest.mark.parametrize("category", CATEGORIES, ids=[category.value for category in CATEGORIES])
def test_what_the_model_decides_is_advised_on_with_its_doubt_and_evidence(category: IssueCategory) -> None:
    first = recommendations(learnt(category, EvidenceLine(text="boom 7", where="log 3")))[0]
    assert first.startswith(LEARNT[category])
    assert "0.62" in first
    assert "boom 7" in first
    assert "log 3" in first


def test_the_advice_on_different_categories_differs() -> None:
    assert len({recommendations(learnt(category))[0] for category in CATEGORIES}) == len(CATEGORIES)


@pytest.mark.parametrize(
    "frame", ['File "/srv/x.py", line 3', 'File "/srv/x.py", line 3, in run'], ids=["bare", "named"]
)
def test_a_frame_without_its_line_ends_no_sentence_in_the_air(frame: str) -> None:
    found = diagnose_text(
        f"Traceback (most recent call last):\n  {frame}\nZeroDivisionError: division by zero"
    )
    told = [line for line in recommendations(found) if "/srv/x.py:3" in line]
    assert told
    assert all(", ." not in line for line in told)
    assert all(line.text.strip() for line in found.evidence)


def test_a_failure_that_is_passed_on_points_to_where_it_began() -> None:
    evidence = Evidence(run=failed(), read_at=NOW, root_run=failed("c7"))
    told = recommendations(diagnose_text("ValueError: 1/1 states failed."), evidence)
    assert "load (c7)" in told[0]
    assert not any("c7" in line for line in recommendations(diagnose_text("ValueError: 1/1 states failed.")))


def test_what_stands_around_is_cited_in_bounds() -> None:
    lines = tuple(EvidenceLine(text="x" * 900, where=f"worker w{number}") for number in range(9))
    evidence = Evidence(run=failed(), read_at=NOW, surroundings=lines)
    told = [line for line in facts(diagnose_text("boom"), evidence) if "Around the run" in line]
    assert not any("Around" in line for line in recommendations(diagnose_text("boom"), evidence))
    assert len(told) == MAX_AROUND
    assert all(len(line) < 300 for line in told)
    assert "(worker w0)" in told[0]


REFUSED = diagnose_text("HTTPError: 401 Client Error: Unauthorized for url: https://crm.test/api")
SOURCE = """
from prefect.blocks.system import Secret
from prefect.variables import Variable
import os
TOKEN = os.environ["CRM_TOKEN"]

def fetch():
    return Secret.load("billing-password").get(), Variable.get("region")

def other():
    return Secret.load("unused")

def bill():
    return fetch()
"""


def test_a_refused_credential_is_named_by_the_source_where_no_event_tells() -> None:
    source = SourceFile(path="/x/bill.py", entrypoint="bill.py:bill", text=SOURCE)
    evidence = Evidence(run=failed(), read_at=NOW, source=source)
    told = recommendations(REFUSED, evidence)
    assert "named connection block (billing-password, which bill.py reads)" in told[0]
    assert "The Prefect variable is 'region', which bill.py reads." in told
    assert any("CRM_TOKEN" in line for line in told)
    assert not any("unused" in line for line in told)
    assert prefect_objects(REFUSED, evidence) == (PrefectObject(kind="variable", name="region"),)


def test_a_refused_credential_is_named_by_what_the_run_loaded_before_its_source() -> None:
    source = SourceFile(path="/x/bill.py", entrypoint="bill.py:bill", text=SOURCE)
    run = failed().model_copy(update={"blocks": ("secret/crm",)})
    told = recommendations(REFUSED, Evidence(run=run, read_at=NOW, source=source))
    assert "named connection block (secret/crm, which the run loaded)" in told[0]
    assert not any("billing-password" in line for line in told)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("process", None, None, None), "(process) no job variable gives a run more memory"),
        (("docker", "mem_limit", None, None), "'mem_limit' has no value"),
        (("kubernetes", "memory", "512Mi", "1024Mi"), "'memory' is 512Mi: set it to 1024Mi for load"),
    ],
    ids=["process", "docker", "kubernetes"],
)
def test_advice_on_memory_fits_the_pool(given: tuple[Any, ...], told: str) -> None:
    kind, name, present, proposed = given
    memory = MemoryGiven(pool="p", pool_type=kind, name=name, present=present, proposed=proposed)
    first = recommendations(diagnose_text("MemoryError"), Evidence(run=failed(), read_at=NOW, memory=memory))[
        0
    ]
    assert told in first
    assert "job variable memory" not in first


@pytest.mark.parametrize(
    ("one", "page"),
    [
        (PrefectObject(kind="work pool", name="k8s eu"), "/work-pools/work-pool/k8s%20eu"),
        (PrefectObject(kind="block", name="secret/crm", id="b-1"), "/blocks/block/b-1"),
        (PrefectObject(kind="block", name="secret/crm"), None),
        (PrefectObject(kind="variable", name="region"), "/variables"),
        (PrefectObject(kind="concurrency limit", name="db"), "/concurrency-limits?tab=Global"),
    ],
    ids=str,
)
def test_a_report_links_to_the_object_itself(one: PrefectObject, page: str | None) -> None:
    begun = session.start("t", "w", flow_run_id=None, run_count=1, now=NOW)
    begun = begun.model_copy(update={"objects": (one,), "facts": ("0 of the last 3 other runs failed.",)})
    found = links(begun, "http://ui.test")
    assert found == ({f"{one.kind} {one.name}": f"http://ui.test{page}"} if page else {})
    assert "## What was seen besides" in report(begun)
    assert "What to do" not in report(begun)


def test_every_form_of_an_object_reads_its_example() -> None:
    file = resources.files("prefect_autopilot.troubleshooting") / "named_objects.toml"
    for one in tomllib.loads(file.read_text(encoding="utf-8"))["object"]:
        found = re.search(one["form"], one["example"])
        assert found, one
        assert next(filter(None, found.groups())) == one["name"]
