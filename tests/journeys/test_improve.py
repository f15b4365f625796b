"""Plan, apply and history of the fourth journey."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.cli.batch_optimize import optimize_file
from prefect_autopilot.errors import (
    AutopilotError,
    ConfigurationError,
    ConflictError,
    InvalidFlowError,
    ProofError,
    UnknownNameError,
    UsageError,
)
from prefect_autopilot.journeys import improve
from prefect_autopilot.models import JSONDict, Strategy

FLOW = """import requests
from prefect import flow, task


@task
def read(key):
    return requests.get(f"https://a.test/{key}", timeout=3).json()


@flow
def main():
    a = read(1)
    b = read(2)
    return a, b
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "report.py"
    file.write_text(FLOW, encoding="utf-8")
    return file


def test_a_plan_does_not_touch_the_file(path: Path) -> None:
    plan = improve.plan(path, Strategy.PERFORMANCE)
    assert plan.changed
    assert plan.file == "report.py"
    assert path.read_text(encoding="utf-8") == FLOW


def test_applying_a_plan_writes_it_and_keeps_a_backup(path: Path) -> None:
    plan = improve.plan(path, Strategy.PERFORMANCE)
    backup = improve.apply(plan, path, FLOW)
    assert path.read_text(encoding="utf-8") == plan.source
    assert backup is not None
    assert backup.read_text(encoding="utf-8") == FLOW


def test_a_file_that_changed_meanwhile_is_left_alone(path: Path) -> None:
    plan = improve.plan(path, Strategy.PERFORMANCE)
    path.write_text(FLOW + "# edited\n", encoding="utf-8")
    with pytest.raises(ConflictError):
        improve.apply(plan, path, FLOW)
    assert path.read_text(encoding="utf-8") == FLOW + "# edited\n"


def test_a_plan_that_changes_nothing_writes_nothing(path: Path) -> None:
    plan = improve.plan(path, Strategy.COST)
    assert improve.apply(plan, path, FLOW) is None
    assert [one.name for one in path.parent.iterdir()] == ["report.py"]


def test_a_plan_that_changes_nothing_cannot_be_proven(path: Path) -> None:
    plan = improve.plan(path, Strategy.COST)
    with pytest.raises(ProofError, match="nothing to prove"):
        asyncio.run(improve.prove_plan(plan, FLOW, function="main"))


def test_the_command_answers_with_the_plan_and_writes_on_request(path: Path) -> None:
    answer = optimize_file(path, Strategy.HYBRID)
    told = {"edits", "rejected", "advice", "diff", "source", "prediction", "proof"}
    assert set(answer) == {"file", "strategy", "changed"} | told
    assert answer["strategy"] == "hybrid"
    assert path.read_text(encoding="utf-8") == FLOW
    again = optimize_file(path, Strategy.HYBRID, write=True)
    assert path.read_text(encoding="utf-8") == again["source"]
    assert json.loads(json.dumps(again)) == again


def test_line_ends_of_the_file_survive_writing(path: Path) -> None:
    path.write_bytes(FLOW.replace("\n", "\r\n").encode())
    optimize_file(path, Strategy.HYBRID, write=True)
    content = path.read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n") > FLOW.count("\n")


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (b"def f(:\n", InvalidFlowError, "not valid Python"),
        (b"x = 1\n", InvalidFlowError, "no Prefect flow"),
        (b"# \xe9\xff\n", InvalidFlowError, "not UTF-8"),
        (b"x = 1\0", InvalidFlowError, "binary file, no Python source"),
        ("x = 1\n".encode("utf-16"), InvalidFlowError, "save it as UTF-8"),
        (None, UsageError, "cannot be read"),
    ],
    ids=["syntax", "no flow", "encoding", "null", "utf-16", "missing"],
)
def test_what_is_no_flow_file_stays_as_it_is(
    path: Path, content: bytes | None, error: type[AutopilotError], words: str
) -> None:
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=words):
        optimize_file(path, Strategy.HYBRID, write=True)
    assert (path.read_bytes() if path.exists() else None) == content


def test_a_folder_is_no_flow_file(path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        optimize_file(path.parent, Strategy.HYBRID)


@pytest.mark.parametrize("content", ["[", "[1]", '{"tasks": {"read": {"p50_s": "soon"}}}'])
def test_a_history_that_is_none_is_refused(path: Path, content: str) -> None:
    history = path.with_name("history.json")
    history.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match="is no history"):
        optimize_file(path, Strategy.HYBRID, history)


def test_a_history_gives_the_expected_saving(path: Path) -> None:
    history = path.with_name("history.json")
    history.write_text(
        json.dumps({"flow": {"n": 9, "p50_s": 4.2}, "tasks": {"read": {"n": 9, "p50_s": 2.0, "extra": 1}}}),
        encoding="utf-8",
    )
    answer = optimize_file(path, Strategy.PERFORMANCE, history)
    assert [edit["expected_saving_s"] for edit in answer["edits"]] == [pytest.approx(1.99)]


def test_the_report_tells_edits_diff_and_what_was_left_alone(path: Path) -> None:
    report = improve.report(improve.plan(path, Strategy.PERFORMANCE))
    assert "| 12 | submit_calls | unknown |" in report
    assert "```diff" in report


def test_the_report_cannot_be_broken_by_the_source(path: Path) -> None:
    path.write_text(FLOW.replace("read(2)", 'read("````| <b>")'), encoding="utf-8")
    report = improve.report(improve.plan(path, Strategy.PERFORMANCE))
    assert "`````diff" in report


def server(runs: list[JSONDict], tasks: list[JSONDict], asked: list[str]) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        asked.append(request.url.path)
        if request.url.path.endswith("/flow_runs/filter"):
            assert body["flows"] == {"name": {"any_": ["report"]}}
            return httpx.Response(200, json=runs)
        if request.url.path.endswith("/events/filter"):
            assert body["filter"]["resource"] == {"id": [f"prefect.flow-run.r{n}" for n in range(5)]}
            told = [("read", 0.25, "a"), ("read", 0.75, "a"), ("read", None, "b"), ("sum", 0.5, None)]
            names = ("task", "cpu_share", "inputs")
            events = [{"payload": dict(zip(names, one, strict=True))} for one in told]
            return httpx.Response(200, json={"events": events, "next_page": None})
        offset = body["offset"]
        return httpx.Response(200, json=tasks[offset : offset + body["limit"]])

    return httpx.MockTransport(answer)


def test_the_history_of_a_flow_comes_from_its_completed_runs() -> None:
    runs = [
        {"id": f"r{n}", "total_run_time": 10.0 + n, "start_time": f"2026-03-02T0{n}:00:00+00:00"}
        for n in range(5)
    ]
    runs.append({"id": "r9", "total_run_time": 0.1, "state_type": "FAILED", "start_time": None})
    tasks = [
        {
            "name": f"read-{n:03}",
            "task_key": "read-1a2b3c4d",
            "flow_run_id": f"r{n % 5}",
            "total_run_time": 1.0 + (n % 3),
            "run_count": 2 if n == 0 else 1,
            "state_type": "COMPLETED",
        }
        for n in range(250)
    ]
    asked: list[str] = []

    async def read() -> object:
        async with PrefectAPI("http://p.test/api", transport=server(runs, tasks, asked)) as api:
            return await improve.history_of(api, "report")

    history = asyncio.run(read())
    timing = history.tasks["read"]  # type: ignore[attr-defined]
    assert (timing.n, timing.calls_per_run, timing.p50_s, timing.retries) == (5, 50, 2.0, 1)
    assert (timing.p5_s, timing.p95_s) == (1.0, 3.0)
    assert (history.failures, history.runs_per_day) == (1, 24.0)  # type: ignore[attr-defined]
    assert history.flow.p50_s == 12.0  # type: ignore[attr-defined]
    assert (timing.cpu_share, timing.repeat_share) == (0.5, 0.333)
    assert len(asked) == 4


def test_a_flow_without_runs_has_no_history() -> None:
    async def read() -> None:
        async with PrefectAPI("http://p.test/api", transport=server([], [], [])) as api:
            await improve.history_of(api, "report")

    with pytest.raises(UnknownNameError, match="completed run"):
        asyncio.run(read())


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ({"task_key": "read-1a2b", "name": "anything"}, "read"),
        ({"task_key": "Shop.read-1a2b", "name": "x"}, "read"),
        ({"task_key": "my-task-1a2b"}, "my-task"),
        ({"task_key": "", "name": "read-3f1"}, "read"),
    ],
)
def test_a_task_runs_task_is_named_by_its_key(task: JSONDict, name: str) -> None:
    assert improve.task_name(task) == name


def test_a_read_only_file_is_told_and_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()
    path.chmod(0o444)
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write whatever the mode says
    with pytest.raises(AutopilotError, match="permission is denied"):
        optimize_file(path, Strategy.HYBRID, write=True)
    assert path.read_bytes() == before
    assert sorted(one.name for one in path.parent.iterdir()) == [path.name]


@pytest.mark.timeout(60)
def test_a_file_of_twenty_thousand_lines_is_planned(path: Path) -> None:
    flow = FLOW.split("@flow", 1)
    parts = [flow[0], *(f"@flow{flow[1]}".replace("def ", f"def n{n}_") for n in range(20))]
    path.write_text("\n".join(parts) + "\n# a line of a comment" * 20_000, encoding="utf-8")
    answer = optimize_file(path, Strategy.PERFORMANCE)
    assert answer["source"].count("\n") > 20_000
    compile(answer["source"], "x", "exec")


def test_files_that_settings_exclude_stay_with_the_reason(path: Path) -> None:
    path.with_name("pyproject.toml").write_text(
        f"[tool.prefect-autopilot]\nexclude = ['{path.name}']\n", encoding="utf-8"
    )
    answer = optimize_file(path, Strategy.HYBRID, write=True)
    assert not answer["changed"]
    assert [(one["rule"], one["line"]) for one in answer["rejected"]] == [("exclude", 1)]
    assert "leave this file alone" in answer["rejected"][0]["reason"]


def test_the_projects_settings_choose_strategy_rules_and_prices(path: Path) -> None:
    settings = path.with_name("pyproject.toml")
    settings.write_text("[tool.prefect-autopilot]\nstrategy = 'reliability'\n", encoding="utf-8")
    assert improve.plan(path).strategy is Strategy.RELIABILITY
    assert improve.plan(path, Strategy.COST).strategy is Strategy.COST
    settings.write_text("[tool.prefect-autopilot]\nprices = 'none.toml'\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"none\.toml cannot be read"):
        improve.plan(path)
    settings.unlink()
    assert improve.plan(path).strategy is Strategy.PERFORMANCE


def test_advice_is_part_of_the_report(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("def report(", "def report(", 1)
    path.write_text(f"{text}\n\n@flow\ndef waits():\n    time.sleep(900)\n", encoding="utf-8")
    source = path.read_text(encoding="utf-8")
    path.write_text(f"import time\n{source}", encoding="utf-8")
    told = improve.report(improve.plan(path, Strategy.COST))
    assert "## Worth doing by hand: drop_polling" in told
    assert "sleeps for 900 s" in told
    assert "Holds if" in told
    assert "900.00 s" in told
