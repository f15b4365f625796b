"""What a retry would do a second time, judged from the flow's source and from what is stored of its tasks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prefect_autopilot.effects import FunctionEffect, Level, Touch
from prefect_autopilot.journeys.circumstances import Circumstances, again, circumstances_of
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.journeys.reruns import RerunCode, all_persisted, repetition
from prefect_autopilot.models import (
    Diagnosis,
    Evidence,
    RemedyPolicy,
    RetryRun,
    RunRecord,
    SourceFile,
    StateRecord,
    TaskRunRecord,
    TroubleshootingSession,
)
from prefect_autopilot.models.names import MARK
from prefect_autopilot.troubleshooting.consent import Usage

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
HEAD = "import json\nimport httpx\nfrom prefect import flow, task\n\n"
READ = "@task\ndef read():\n    return httpx.get('https://api.test/a', timeout=5).json()\n\n"
PURE = "@task\ndef add(numbers):\n    return sum(numbers)\n\n"
PUT = "@task\ndef put():\n    httpx.put('https://api.test/a/1', json={'a': 1}, timeout=5)\n\n"
POST = "@task\ndef post():\n    httpx.post('https://api.test/a', json={'a': 1}, timeout=5)\n\n"
ODD = "@task\ndef odd(thing):\n    thing.frobnicate()\n\n"
TASKS = HEAD + READ + PURE + PUT + POST + ODD


def source(*body: str) -> SourceFile:
    lines = "".join(f"    {line}\n" for line in body or ("pass",))
    text = f"{TASKS}@flow\ndef main(thing=None):\n{lines}"
    return SourceFile(path="/srv/main.py", entrypoint="main.py:main", text=text)


def code(*body: str) -> RerunCode:
    return RerunCode.read(source(*body))


def task(name: str, type_: str = "COMPLETED", *, persisted: bool = False, attempt: int = 1) -> TaskRunRecord:
    state = StateRecord(id=f"{name}-{type_}", type=type_, name=type_.title(), timestamp=NOW)
    return TaskRunRecord(
        id=name,
        name=name,
        task_key=f"{name}-1a2b3c4d",
        state=state,
        flow_run_run_count=attempt,
        persisted=persisted,
    )


def evidence(*tasks: TaskRunRecord, body: tuple[str, ...] = (), **more: Any) -> Evidence:
    state = StateRecord(id="s1", type="FAILED", name="Failed", timestamp=NOW)
    run = RunRecord(id="run-1", flow_name="main", deployment_id="dep-1", run_count=1, state=state)
    return Evidence.model_validate(
        {"run": run, "task_runs": tasks, "source": source(*body), "read_at": NOW} | more
    )


def write(*, idempotent: bool, stable: bool = True) -> Touch:
    return Touch(level=Level.WRITE, line=1, what="write", idempotent=idempotent, stable=stable)


def effect(level: Level, *touches: Touch) -> FunctionEffect:
    return FunctionEffect(name="f", line=1, kind="function", level=level, touches=touches)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (effect(Level.PURE), "none"),
        (effect(Level.READ, Touch(level=Level.READ, line=1, what="get")), "safe"),
        (effect(Level.UNKNOWN, Touch(level=Level.UNKNOWN, line=1, what="odd")), "unknown"),
        (effect(Level.WRITE, write(idempotent=True)), "idempotent"),
        (effect(Level.WRITE, write(idempotent=False)), "unsafe"),
        (effect(Level.WRITE, write(idempotent=True, stable=False)), "unsafe"),
        (effect(Level.WRITE, write(idempotent=True), write(idempotent=False)), "unsafe"),
        (
            effect(Level.WRITE, Touch(level=Level.READ, line=1, what="get"), write(idempotent=True)),
            "idempotent",
        ),
    ],
    ids=["pure", "read", "unknown", "put", "post", "another file each time", "put and post", "get and put"],
)
def test_doing_something_again_is_as_bad_as_its_worst_write(given: FunctionEffect, expected: str) -> None:
    assert repetition(given) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), "none"),
        (("add",), "none"),
        (("read",), "safe"),
        (("put",), "idempotent"),
        (("post",), "unsafe"),
        (("odd",), "unknown"),
        (("add", "read", "put"), "idempotent"),
        (("post", "read"), "unsafe"),
        (("odd", "post"), "unsafe"),
        (("odd", "put"), "unknown"),
        (("read", "never heard of"), "unknown"),
    ],
    ids=lambda value: "+".join(value) or "nothing" if isinstance(value, tuple) else value,
)
def test_several_tasks_are_as_bad_as_the_worst_of_them(names: tuple[str, ...], expected: str) -> None:
    judged = code("add([1])", "read()", "put()", "post()", "odd(thing)")
    assert judged.of_tasks(names) == expected


@pytest.mark.parametrize(
    ("body", "direct", "harmless"),
    [
        (("read()", "post()"), "none", True),
        (("return 1 + 1",), "none", True),
        (("httpx.get('https://api.test/a', timeout=5)",), "safe", True),
        (("httpx.put('https://api.test/a/1', json={}, timeout=5)",), "idempotent", True),
        (("httpx.post('https://api.test/a', json={}, timeout=5)",), "unsafe", False),
        (("thing.frobnicate()",), "unknown", False),
        (("open('/srv/a.txt', 'a').write('x')",), "unsafe", False),
    ],
    ids=["tasks only", "nothing", "get", "put", "post", "an unknown call", "append"],
)
def test_code_in_the_flows_own_body_is_never_skipped_by_a_retry(
    body: tuple[str, ...], direct: str, *, harmless: bool
) -> None:
    judged = code(*body)
    assert judged.direct == direct
    assert judged.direct_is_harmless is harmless


@pytest.mark.parametrize(
    "given",
    [
        None,
        SourceFile(path="a.py", entrypoint="a.py:main", text="def main(:"),
        SourceFile(path="a.py", entrypoint="a.py:gone", text="def main():\n    pass\n"),
        SourceFile(path="a.py", entrypoint="a.py:", text="def main():\n    pass\n"),
    ],
    ids=["no source", "no Python", "no such flow", "no name"],
)
def test_a_source_that_cannot_be_judged_is_unknown_and_never_harmless(given: SourceFile | None) -> None:
    judged = RerunCode.read(given)
    assert judged.verdict.level == "unknown"
    assert judged.verdict.evidence, "it says why"
    assert judged.direct == "unknown"
    assert not judged.direct_is_harmless
    assert judged.of_tasks(["read"]) == "unknown"
    assert judged.before(evidence(task("read"))) == "unknown"


def test_the_flow_that_failed_is_judged_and_not_another_of_the_file() -> None:
    text = TASKS + "@flow\ndef harmless():\n    read()\n\n@flow\ndef main():\n    post()\n"
    one = RerunCode.read(SourceFile(path="a.py", entrypoint="sub/a.py:harmless", text=text))
    other = RerunCode.read(SourceFile(path="a.py", entrypoint="sub/a.py:main", text=text))
    assert (one.verdict.level, other.verdict.level) == ("safe", "unsafe")


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ((task("read"), task("put", "FAILED")), "safe"),
        ((task("post"), task("read", "FAILED")), "unsafe"),
        ((task("post", persisted=True), task("read", "FAILED")), "none"),
        ((task("post", persisted=True), task("put"), task("read", "FAILED")), "idempotent"),
        ((task("post", "FAILED"),), "none"),
        ((task("post", "PENDING"), task("read", "FAILED")), "none"),
        ((task("strange"), task("read", "FAILED")), "unknown"),
    ],
    ids=[
        "a read",
        "a post that is not stored",
        "a post whose result is stored",
        "one stored, one not",
        "only the failed one",
        "one that never began",
        "one the source does not show",
    ],
)
def test_only_what_finished_and_is_not_stored_is_done_again(
    tasks: tuple[TaskRunRecord, ...], expected: str
) -> None:
    body = ("read()", "put()", "post()")
    assert code(*body).before(evidence(*tasks, body=body)) == expected


def test_work_beyond_the_task_runs_that_are_read_at_once_may_have_been_done() -> None:
    body = ("read()", "post()")
    read = [task("read", persisted=True) for _ in range(200)]
    # The post is the 201st, which is not read.
    known, full = evidence(*read[:199], body=body), evidence(*read, body=body)
    assert (code(*body).before(known), code(*body).before(full)) == ("none", "unsafe")
    assert (all_persisted(known), all_persisted(full)) == (True, False)
    assert again(RerunCode.of(full), full)[1] == "unsafe"


def test_tasks_of_an_earlier_attempt_tell_nothing_of_this_one() -> None:
    body = ("read()", "post()")
    earlier = task("read", attempt=0), task("post", attempt=0, persisted=True)
    assert code(*body).before(evidence(*earlier, body=body)) == "unsafe"


def test_without_any_task_known_each_task_of_the_source_may_have_been_done() -> None:
    assert code("read()", "post()").before(evidence(body=("read()", "post()"))) == "unsafe"
    assert code("read()").before(evidence(body=("read()",))) == "safe"
    assert code("add([1])").before(evidence(body=("add([1])",))) == "none"


def test_the_flows_own_body_counts_even_when_every_task_is_stored() -> None:
    body = ("httpx.post('https://api.test/a', json={}, timeout=5)", "read()")
    assert code(*body).before(evidence(task("read", persisted=True), body=body)) == "unsafe"


SERVICE_FLOW = """
from prefect import flow
from prefect_autopilot.tasks import call_service

@flow
def main():
    call_service("asana-default", "create_task", name="x")
    call_service("slack-default", "post_message", text="x")
"""


def test_our_own_service_calls_are_tasks_and_stored_ones_are_skipped() -> None:
    given = SourceFile(path="a.py", entrypoint="a.py:main", text=SERVICE_FLOW)
    judged = RerunCode.read(given)
    assert judged.direct == "none", "they are no code of the flow's own body"
    done = task("call_service", persisted=True), task("call_service", "FAILED")
    assert judged.before(evidence(*done, source=given)) == "none"


@pytest.mark.parametrize(
    "call",
    [
        "call_service",
        "tasks.call_service",
        "prefect_autopilot.tasks.call_service",
        "tasks.call_service.with_options(name='a.b (c)')",
        "call_service.with_options(name='call')",
    ],
)
def test_our_own_service_calls_are_known_however_they_are_written(call: str) -> None:
    text = SERVICE_FLOW.replace("call_service(", f"{call}(").replace(
        "from prefect_autopilot.tasks import call_service",
        "import prefect_autopilot.tasks\nfrom prefect_autopilot import tasks\n"
        "from prefect_autopilot.tasks import call_service",
    )
    given = SourceFile(path="a.py", entrypoint="a.py:main", text=text)
    judged = RerunCode.read(given)
    assert judged.direct == "none"
    done = task("call_service", persisted=True), task("call_service", "FAILED")
    assert judged.before(evidence(*done, source=given)) == "none"


@pytest.mark.parametrize("call", ["call_services", "mine.my_call_service", "call_service_twice"])
def test_a_call_that_is_only_named_alike_is_code_of_the_flow(call: str) -> None:
    text = SERVICE_FLOW.replace("    call_service(", f"    {call}(")
    judged = RerunCode.read(SourceFile(path="a.py", entrypoint="a.py:main", text=text))
    assert judged.direct in {"unsafe", "unknown"}


def test_our_own_service_calls_of_which_nothing_is_known_may_have_been_made() -> None:
    given = SourceFile(path="a.py", entrypoint="a.py:main", text=SERVICE_FLOW)
    assert RerunCode.read(given).before(evidence(source=given)) in {"unsafe", "unknown"}


def test_a_service_call_whose_result_is_not_stored_is_not_taken_for_harmless() -> None:
    given = SourceFile(path="a.py", entrypoint="a.py:main", text=SERVICE_FLOW)
    done = task("call_service"), task("call_service", "FAILED")
    assert RerunCode.read(given).before(evidence(*done, source=given)) in {"unsafe", "unknown"}


# With a desk


def session(**more: Any) -> TroubleshootingSession:
    fields = {
        "session_id": "s-1",
        "workflow_id": "dep-1",
        "flow_run_id": "run-1",
        "run_count": 1,
        "fingerprint": "cause-1",
        "start_time": NOW,
    }
    return TroubleshootingSession.model_validate(fields | more)


def diagnosis(**more: Any) -> Diagnosis:
    fields = {
        "category": "permissions",
        "confidence": 0.9,
        "severity": "high",
        "transient": False,
        "remedy": "refresh_credentials",
        "root_cause": "The token expired.",
    }
    return Diagnosis.model_validate(fields | more)


async def found(desk: Desk, *tasks: TaskRunRecord, session_: Any = None, **more: Any) -> Circumstances:
    return await circumstances_of(desk, session_ or session(), evidence(*tasks, **more))


def moved(*types: str) -> tuple[StateRecord, ...]:
    return tuple(
        StateRecord(id=f"s{number}", type=type_, name=type_.title(), timestamp=NOW)
        for number, type_ in enumerate(types)
    )


@pytest.mark.parametrize(
    ("states", "tasks", "nothing"),
    [
        (("SCHEDULED", "PENDING", "FAILED"), (), True),
        (("SCHEDULED", "PENDING", "CRASHED"), (), True),
        (("PENDING", "RUNNING", "FAILED"), (), False),
        (("PENDING", "RUNNING", "FAILED", "SCHEDULED", "PENDING", "FAILED"), (), False),
        (("PENDING", "FAILED"), (task("post"),), False),
        ((), (), False),
    ],
    ids=["failed", "crashed", "it ran", "it ran before", "a task is known", "no history"],
)
def test_a_run_that_never_came_to_its_code_has_done_nothing(
    states: tuple[str, ...], tasks: tuple[TaskRunRecord, ...], *, nothing: bool
) -> None:
    found = evidence(*tasks, body=("post()", "json.load(thing)"), states=moved(*states))
    assert (again(RerunCode.of(found), found) == ("none", "none")) is nothing


async def test_an_ordinary_first_failure_stands_in_nobodys_way(desk: Desk) -> None:
    seen = await found(desk, task("read", "FAILED"), body=("read()",))
    assert seen["rerun"].level == "safe"
    assert seen["failing_effect"] == "safe"
    assert seen["earlier_effect"] == "none"
    assert (seen["attempts"], seen["usage"], seen["breaker_open"]) == ((), Usage(), False)
    assert (seen["own_flow"], seen["human_touched"], seen["refreshable"]) == (False, False, False)


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ((task("post", "FAILED"),), "unsafe"),
        ((task("read", "CRASHED"),), "safe"),
        ((task("put", "RUNNING"),), "idempotent"),
        ((task("read", "FAILED"), task("post", "FAILED")), "unsafe"),
        ((task("post"), task("read", "FAILED")), "safe"),
        ((), "idempotent"),
    ],
    ids=[
        "post",
        "crashed read",
        "put under way",
        "two",
        "the finished one is not failing",
        "the body itself",
    ],
)
async def test_the_failing_effect_is_that_of_tasks_that_began_and_did_not_finish(
    desk: Desk, tasks: tuple[TaskRunRecord, ...], expected: str
) -> None:
    body = ("read()", "post()", "put()", "httpx.put('https://api.test/a/1', json={}, timeout=5)")
    seen = await found(desk, *tasks, body=body)
    assert seen["failing_effect"] == expected


@pytest.mark.parametrize(
    ("tasks", "body", "expected"),
    [
        ((task("post", persisted=True), task("read", "FAILED")), ("post()", "read()"), True),
        ((task("post"), task("read", "FAILED")), ("post()", "read()"), False),
        ((task("post", persisted=True, attempt=0),), ("post()",), False),
        ((), ("post()",), False),
        ((task("read", "FAILED"),), ("read()",), True),
        (
            (task("read", persisted=True),),
            ("httpx.post('https://api.test/a', json={}, timeout=5)", "read()"),
            False,
        ),
        ((task("read", persisted=True),), ("thing.frobnicate()", "read()"), False),
    ],
    ids=[
        "all stored",
        "one not stored",
        "another attempt",
        "no task known",
        "none finished",
        "a post in the body",
        "an unknown call in the body",
    ],
)
async def test_results_are_stored_only_where_nothing_would_be_done_again(
    desk: Desk, tasks: tuple[TaskRunRecord, ...], body: tuple[str, ...], *, expected: bool
) -> None:
    assert (await found(desk, *tasks, body=body))["persisted_results"] is expected


@pytest.mark.parametrize(
    ("name", "own"),
    [("autopilot-monitor", True), ("autopilot-", True), ("autopilot", False), ("my-autopilot-flow", False)],
)
async def test_our_own_flows_are_known_by_their_prefix(desk: Desk, name: str, *, own: bool) -> None:
    run = evidence().run.model_copy(update={"flow_name": name})
    assert (await found(desk, run=run))["own_flow"] is own


def state(type_: str, message: str = "", after_s: float = 60, name: str = "") -> StateRecord:
    at, name = NOW + timedelta(seconds=after_s), name or type_.title()
    return StateRecord(id=f"{type_}-{after_s}", type=type_, name=name, timestamp=at, message=message)


OURS = state("SCHEDULED", f"{MARK}: attempt 1")
AGAIN = state("SCHEDULED", name="AwaitingRetry")


@pytest.mark.parametrize(
    ("states", "touched"),
    [
        ((), False),
        ((state("SCHEDULED", "Retried from the UI"),), True),
        ((state("SCHEDULED"),), True),
        ((state("CANCELLING"),), True),
        ((state("CANCELLED", "by Ann"),), True),
        ((state("PAUSED"),), True),
        ((state("SCHEDULED", f"{MARK}: attempt 1, retry backoff"),), False),
        ((state("SCHEDULED", f"not by {MARK}"),), True),
        ((state("SCHEDULED", "first start", after_s=-60),), False),
        ((state("PENDING"), state("RUNNING"), state("FAILED")), False),
        ((OURS, state("RUNNING"), state("SCHEDULED", "me")), True),
        ((OURS, state("SCHEDULED", "No slot.", name="AwaitingConcurrencySlot"), state("RUNNING")), False),
        ((OURS, state("RUNNING"), AGAIN, state("RUNNING"), state("FAILED")), False),
        ((OURS, state("RUNNING"), state("PAUSED")), False),
        ((OURS, state("RUNNING"), state("FAILED"), AGAIN), True),
        ((OURS, state("RUNNING"), state("PAUSED"), state("SCHEDULED", name="Resuming")), True),
        ((OURS, state("RUNNING"), state("CANCELLING")), True),
    ],
    ids=[
        "nothing happened",
        "retried by hand",
        "retried without a word",
        "being cancelled",
        "cancelled",
        "paused",
        "retried by us",
        "our word in the middle",
        "before the failure",
        "ordinary states",
        "by us, then by hand",
        "no slot was free",
        "tried again by the flow itself",
        "paused by the flow itself",
        "retried by hand after that",
        "resumed by hand",
        "cancelled under way",
    ],
)
async def test_a_move_without_our_mark_is_a_persons(
    desk: Desk, states: tuple[StateRecord, ...], *, touched: bool
) -> None:
    assert (await found(desk, states=states))["human_touched"] is touched


@pytest.mark.parametrize(
    ("told", "refreshable"),
    [
        ({"service": "asana", "connection": "asana-default"}, True),
        ({"service": "asana"}, False),
        ({"connection": "asana-default"}, False),
        ({"service": "no-such-service", "connection": "x"}, False),
        ({"service": "openai", "connection": "openai-default"}, False),
        ({}, False),
    ],
    ids=["oauth", "no connection", "no service", "unknown service", "a plain key", "nothing"],
)
async def test_a_token_can_be_refreshed_only_where_the_catalogue_says_how(
    desk: Desk, told: dict[str, str], *, refreshable: bool
) -> None:
    seen = await found(desk, session_=session(diagnosis=diagnosis(**told)))
    assert seen["refreshable"] is refreshable


async def test_a_session_without_a_diagnosis_refreshes_nothing(desk: Desk) -> None:
    assert (await found(desk))["refreshable"] is False


@pytest.mark.parametrize(("failures", "is_open"), [(0, False), (1, False), (2, True), (3, True)])
async def test_the_breaker_opens_at_the_policys_count_of_failed_verifications(
    make_desk: Callable[..., Desk], clock: Any, failures: int, *, is_open: bool
) -> None:
    desk = make_desk(policy=RemedyPolicy(mode="auto", breaker_failures=2))
    for number in range(failures):
        await desk.store.record_verification(f"s{number}", 1, "cause-1", "dep-1", "failed", clock.now)
    assert (await found(desk))["breaker_open"] is is_open


@pytest.mark.parametrize(
    ("fingerprint", "deployment"), [("cause-2", "dep-1"), ("cause-1", "dep-2")], ids=["cause", "deployment"]
)
async def test_another_cause_or_deployment_opens_no_breaker_here(
    desk: Desk, clock: Any, fingerprint: str, deployment: str
) -> None:
    for number in range(9):
        await desk.store.record_verification(f"s{number}", 1, fingerprint, deployment, "failed", clock.now)
    assert (await found(desk))["breaker_open"] is False


async def test_a_verified_remedy_closes_the_breaker(desk: Desk, clock: Any) -> None:
    for number in range(9):
        await desk.store.record_verification(f"s{number}", 1, "cause-1", "dep-1", "failed", clock.now)
    clock.forward(1)
    await desk.store.record_verification("s-good", 1, "cause-1", "dep-1", "verified", clock.now)
    assert (await found(desk))["breaker_open"] is False


async def test_remedies_of_the_last_minute_are_counted_over_all_runs(desk: Desk, clock: Any) -> None:
    for number in range(3):
        remedy = RetryRun(flow_run_id=f"run-{number}", delay_s=0)
        await desk.store.journal_intent(f"s{number}", remedy.flow_run_id, "st", 1, remedy, None, clock.now)
    assert (await found(desk))["usage"] == Usage(last_minute=3, last_hour=3)
    clock.forward(61)
    assert (await found(desk))["usage"] == Usage(last_minute=0, last_hour=3)
    clock.forward(3600)
    assert (await found(desk))["usage"] == Usage()
