"""The Prefect adapter against a scripted server (transport), and against a real one (marked live)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from prefect_autopilot.adapters.evidence import read_evidence
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.errors import ConflictError, PrefectError, UnknownNameError

RUN = "11111111-1111-4111-8111-111111111111"
FLOW = "22222222-2222-4222-8222-222222222222"
DEPLOYMENT = "33333333-3333-4333-8333-333333333333"


def raw_state(
    state_id: str = "s1", type_: str = "FAILED", name: str = "Failed", message: str = ""
) -> dict[str, Any]:
    return {
        "id": state_id,
        "type": type_,
        "name": name,
        "timestamp": "2026-03-02T03:00:00Z",
        "message": message,
    }


def raw_run(run_id: str = RUN, *, state: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    state = state or raw_state()
    return {
        "id": run_id,
        "flow_id": FLOW,
        "deployment_id": DEPLOYMENT,
        "run_count": 1,
        "state": state,
        "state_type": state["type"],
        "start_time": "2026-03-02T02:59:00Z",
        "end_time": "2026-03-02T03:00:00Z",
    } | more


class ScriptedServer:
    """Answers by path; remembers what was asked."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = {"/flows/filter": [{"id": FLOW, "name": "orders"}]} | answers
        self.answers.setdefault("/deployments/filter", [{"id": DEPLOYMENT, "name": "prod"}])
        self.requests: list[tuple[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api")
        body = json.loads(request.content) if request.content else None
        self.requests.append((path, body))
        answer = self.answers.get(path, httpx.Response(404))
        if callable(answer):
            answer = answer(body)
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


async def no_sleep(_seconds: float) -> None:
    return


def api_for(server: Callable[[httpx.Request], httpx.Response], **options: Any) -> PrefectAPI:
    transport = httpx.MockTransport(server)
    return PrefectAPI("http://prefect.test/api", transport=transport, sleep=no_sleep, **options)


async def test_a_run_is_read_with_the_names_of_its_flow_and_deployment() -> None:
    async with api_for(ScriptedServer({f"/flow_runs/{RUN}": raw_run()})) as api:
        run = await api.run(RUN)
    assert (run.flow_name, run.deployment_name, run.duration_s) == ("orders", "prod", 60.0)


async def test_a_run_that_does_not_exist_is_an_unknown_name() -> None:
    async with api_for(ScriptedServer({})) as api:
        with pytest.raises(UnknownNameError, match=f"no flow run named '{RUN}'"):
            await api.run(RUN)


async def test_a_run_id_that_is_no_id_is_an_unknown_name_too() -> None:
    server = ScriptedServer({"/flow_runs/nonsense": httpx.Response(422, json={"detail": "no uuid"})})
    async with api_for(server) as api:
        with pytest.raises(UnknownNameError, match="nonsense"):
            await api.run("nonsense")


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_server_is_asked_again_until_it_answers(status: int) -> None:
    left = [httpx.Response(status), httpx.Response(status)]
    server = ScriptedServer({"/admin/version": lambda _body: left.pop() if left else "3.8.8"})
    async with api_for(server) as api:
        assert await api.version() == "3.8.8"
        assert api.calls == 3


async def test_pauses_between_tries_double_and_are_jittered() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    server = ScriptedServer({"/admin/version": httpx.Response(503)})
    transport = httpx.MockTransport(server)
    async with PrefectAPI(
        "http://p/api", transport=transport, sleep=sleep, tries=4, jitter=lambda: 0.0
    ) as api:
        with pytest.raises(PrefectError):
            await api.version()
    assert slept == pytest.approx([0.05, 0.1, 0.2])


@pytest.mark.parametrize(
    ("asked", "slept_s"),
    [
        ("3", 3),
        ("0", 0.05),
        ("9999", 30),
        ("soon", 0.05),
        ("-4", 0.05),
        ("nan", 0.05),
        ("", 0.05),
        (None, 0.05),
    ],
)
async def test_a_busy_server_that_says_how_long_is_waited_for_within_reason(
    asked: str | None, slept_s: float
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    busy = httpx.Response(429, headers={"Retry-After": asked} if asked is not None else {})
    transport = httpx.MockTransport(ScriptedServer({"/admin/version": busy}))
    async with PrefectAPI(
        "http://p/api", transport=transport, sleep=sleep, tries=2, jitter=lambda: 0.0
    ) as api:
        with pytest.raises(PrefectError):
            await api.version()
    assert slept == pytest.approx([slept_s])


@pytest.mark.parametrize(
    ("told", "behind_s"),
    [
        ("Sun, 01 Mar 2026 10:00:00 GMT", 7199),
        ("Sun, 01 Mar 2026 12:00:00 GMT", 0),
        ("Sun, 01 Mar 2026 14:00:00 GMT", 0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 86_400),
        ("yesterday", 0),
        ("", 0),
        ("Sun, 01 Mar 2026 10:00:00 -0000", 0),
    ],
    ids=["behind", "the same", "ahead", "no clock", "no date", "nothing", "no zone"],
)
async def test_the_clock_of_the_server_is_read_from_its_answers(told: str, behind_s: float) -> None:
    server = ScriptedServer(
        {"/admin/version": lambda _body: httpx.Response(200, json="3.8.8", headers={"Date": told})}
    )
    async with api_for(server, clock=lambda: datetime(2026, 3, 1, 12, tzinfo=UTC)) as api:
        await api.version()
        assert api.server_behind.total_seconds() == behind_s


async def test_a_server_that_stays_busy_is_not_a_permanent_error() -> None:
    async with api_for(ScriptedServer({"/admin/version": httpx.Response(503)}), tries=2) as api:
        with pytest.raises(PrefectError) as caught:
            await api.version()
    assert caught.value.status == 503
    assert not caught.value.permanent


async def test_an_unreachable_server_says_what_to_do() -> None:
    def refuse(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    async with api_for(refuse, tries=2) as api:
        with pytest.raises(PrefectError, match=r"cannot be reached.*set PREFECT_API_URL") as caught:
            await api.version()
    assert not caught.value.permanent


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_are_permanent_and_name_the_key_trap(status: int) -> None:
    async with api_for(ScriptedServer({"/admin/version": httpx.Response(status)})) as api:
        with pytest.raises(PrefectError, match="unset PREFECT_API_KEY") as caught:
            await api.version()
    assert caught.value.permanent
    assert api.calls == 1


async def test_secrets_in_messages_and_parameters_are_gone_when_a_run_is_read() -> None:
    secret = "hunter2hunter2"
    state = raw_state(message=f"login failed password={secret}")
    raw = raw_run(state=state, parameters={"api_key": secret})
    async with api_for(ScriptedServer({f"/flow_runs/{RUN}": raw})) as api:
        run = await api.run(RUN)
    assert secret not in run.model_dump_json()


def paged(raws: list[dict[str, Any]]) -> Callable[[Any], list[dict[str, Any]]]:
    """Answer flow-run filters as the server does: newest end first, window inclusive, 200 a page."""

    def answer(body: Any) -> list[dict[str, Any]]:
        window = body["flow_runs"].get("end_time")
        if window is None:
            return [raw for raw in raws if raw["state_type"] == "RUNNING"]
        found = [raw for raw in raws if raw["state_type"] in body["flow_runs"]["state"]["type"]["any_"]]
        after = datetime.fromisoformat(window["after_"])
        found = [raw for raw in found if datetime.fromisoformat(raw["end_time"]) >= after]
        if "before_" in window:
            before = datetime.fromisoformat(window["before_"])
            found = [raw for raw in found if datetime.fromisoformat(raw["end_time"]) <= before]
        return sorted(found, key=lambda raw: raw["end_time"], reverse=True)[: body["limit"]]

    return answer


def many_runs(count: int, now: datetime, **more: Any) -> list[dict[str, Any]]:
    return [
        raw_run(f"run-{number}", end_time=(now - timedelta(seconds=number)).isoformat(), **more)
        for number in range(count)
    ]


async def test_all_changed_runs_come_over_several_pages_each_once_oldest_first(now: datetime) -> None:
    server = ScriptedServer({"/flow_runs/filter": paged(many_runs(450, now))})
    async with api_for(server) as api:
        runs = await api.runs_changed_since(now - timedelta(hours=1))
    assert [run.id for run in runs] == [f"run-{number}" for number in reversed(range(450))]


async def test_runs_under_way_are_among_the_changed_ones(now: datetime) -> None:
    running = raw_run("alive", state=raw_state("s", "RUNNING", "Running"), end_time=None)
    server = ScriptedServer({"/flow_runs/filter": paged([*many_runs(2, now), running])})
    async with api_for(server) as api:
        runs = await api.runs_changed_since(now - timedelta(hours=1))
    assert runs[-1].id == "alive"


async def test_the_window_overlaps_what_was_seen_before(now: datetime) -> None:
    server = ScriptedServer({"/flow_runs/filter": paged([])})
    async with api_for(server) as api:
        await api.runs_changed_since(now, overlap_s=30)
    _path, body = server.requests[0]
    assert body["flow_runs"]["end_time"]["after_"] == (now - timedelta(seconds=30)).isoformat()


async def test_names_are_asked_for_once(now: datetime) -> None:
    server = ScriptedServer({"/flow_runs/filter": paged(many_runs(3, now))})
    async with api_for(server) as api:
        await api.runs_changed_since(now - timedelta(hours=1))
        await api.runs_changed_since(now - timedelta(hours=1))
    assert [path for path, _body in server.requests].count("/flows/filter") == 1


async def test_failures_of_our_own_flows_are_never_seen(now: datetime) -> None:
    own = {"/flows/filter": [{"id": FLOW, "name": "autopilot-monitor"}]}
    server = ScriptedServer({"/flow_runs/filter": paged(many_runs(3, now))} | own)
    async with api_for(server) as api:
        assert await api.failed_runs_since(now - timedelta(hours=1)) == ()


async def test_only_failed_and_crashed_runs_count_as_failures(now: datetime) -> None:
    fine = many_runs(2, now, state=raw_state("c", "COMPLETED", "Completed"))
    crashed = raw_run("crashed", state=raw_state("x", "CRASHED", "Crashed"), end_time=now.isoformat())
    server = ScriptedServer({"/flow_runs/filter": paged([*fine, crashed])})
    async with api_for(server) as api:
        failed = await api.failed_runs_since(now - timedelta(hours=1))
    assert [run.id for run in failed] == ["crashed"]


def retry_server(*, state_id: str, status: str = "ACCEPT") -> ScriptedServer:
    verdict = {"status": status, "details": {"reason": "not from here"}, "state": None}
    run = raw_run(state=raw_state(state_id))
    return ScriptedServer({f"/flow_runs/{RUN}": run, f"/flow_runs/{RUN}/set_state": verdict})


async def test_a_retry_is_proposed_without_force_and_with_our_message(now: datetime) -> None:
    server = retry_server(state_id="s1")
    async with api_for(server) as api:
        await api.retry_run(RUN, expected_state_id="s1", at=now, message="autopilot: attempt 1")
    path, body = server.requests[-1]
    assert path.endswith("/set_state")
    assert body["force"] is False
    assert body["state"]["name"] == "AwaitingRetry"
    assert body["state"]["message"] == "autopilot: attempt 1"
    assert body["state"]["state_details"]["scheduled_time"] == now.isoformat()


async def test_a_run_that_somebody_touched_is_left_alone(now: datetime) -> None:
    server = retry_server(state_id="newer")
    async with api_for(server) as api:
        with pytest.raises(ConflictError, match="somebody acted first"):
            await api.retry_run(RUN, expected_state_id="s1", at=now, message="")
    assert not any(path.endswith("/set_state") for path, _body in server.requests)


async def test_a_retry_that_prefect_does_not_accept_is_a_conflict_with_its_reason(now: datetime) -> None:
    async with api_for(retry_server(state_id="s1", status="ABORT")) as api:
        with pytest.raises(ConflictError, match="not from here"):
            await api.retry_run(RUN, expected_state_id="s1", at=now, message="")


def evidence_server(**answers: Any) -> ScriptedServer:
    deployment = {"id": DEPLOYMENT, "name": "prod", "path": "/nowhere", "entrypoint": "flows.py:orders"}
    return ScriptedServer(
        {
            "/flow_run_states/": [raw_state("b"), raw_state("a") | {"timestamp": "2026-03-02T02:00:00Z"}],
            "/task_runs/filter": [
                {
                    "id": "t",
                    "name": "load-0",
                    "state": raw_state("ts", "COMPLETED") | {"data": {"storage_key": "k"}},
                }
            ],
            "/logs/filter": [
                {"timestamp": "2026-03-02T03:00:02Z", "level": 40, "message": "second"},
                {"timestamp": "2026-03-02T03:00:01Z", "level": 20, "message": "first"},
            ],
            f"/deployments/{DEPLOYMENT}": deployment,
            "/flow_runs/filter": [raw_run("other"), raw_run()],
        }
        | answers
    )


@pytest.fixture
async def failed_run() -> AsyncIterator[Any]:
    async with api_for(ScriptedServer({f"/flow_runs/{RUN}": raw_run()})) as api:
        yield await api.run(RUN)


async def test_evidence_is_read_in_order_and_within_six_calls(failed_run: Any, now: datetime) -> None:
    server = evidence_server()
    async with api_for(server) as api:
        evidence = await read_evidence(api, failed_run, now=now)
    assert [state.id for state in evidence.states] == ["a", "b"]
    assert [line.message for line in evidence.logs] == ["first", "second"]
    assert evidence.task_runs[0].persisted
    assert [run.id for run in evidence.recent_runs] == ["other"]
    evidence_calls = [
        path for path, _body in server.requests if path not in {"/flows/filter", "/deployments/filter"}
    ]
    assert len(evidence_calls) <= 6


async def test_what_cannot_be_read_is_listed_and_the_rest_is_kept(failed_run: Any, now: datetime) -> None:
    server = evidence_server(
        **{"/logs/filter": httpx.Response(500), f"/deployments/{DEPLOYMENT}": httpx.Response(404)}
    )
    async with api_for(server) as api:
        evidence = await read_evidence(api, failed_run, now=now)
    told = " ".join(evidence.missing)
    assert "logs" in told
    assert "deployment (deleted)" in told
    assert evidence.states


async def test_refused_credentials_are_not_mistaken_for_missing_evidence(
    failed_run: Any, now: datetime
) -> None:
    refused = {
        path: httpx.Response(401) for path in ("/task_runs/filter", "/logs/filter", "/flow_runs/filter")
    }
    refused |= {path: httpx.Response(401) for path in ("/flow_run_states/", f"/deployments/{DEPLOYMENT}")}
    async with api_for(evidence_server(**refused)) as api:
        with pytest.raises(PrefectError, match="refused our credentials"):
            await read_evidence(api, failed_run, now=now)


async def test_the_flow_source_is_read_where_the_deployment_says(
    failed_run: Any, now: datetime, tmp_path: Any
) -> None:
    (tmp_path / "flows.py").write_text("X = 1\n", encoding="utf-8")
    deployment = {"id": DEPLOYMENT, "path": str(tmp_path), "entrypoint": "flows.py:orders"}
    async with api_for(evidence_server(**{f"/deployments/{DEPLOYMENT}": deployment})) as api:
        evidence = await read_evidence(api, failed_run, now=now)
    assert evidence.source is not None
    assert evidence.source.text == "X = 1\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"\xff\xfe", "not UTF-8"), (b"x" * 1_000_001, "larger than"), (None, "cannot be read here")],
    ids=["binary", "huge", "absent"],
)
async def test_source_that_cannot_be_read_is_listed_with_the_reason(
    failed_run: Any, now: datetime, tmp_path: Any, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / "flows.py").write_bytes(content)
    deployment = {"id": DEPLOYMENT, "path": str(tmp_path), "entrypoint": "flows.py:orders"}
    async with api_for(evidence_server(**{f"/deployments/{DEPLOYMENT}": deployment})) as api:
        evidence = await read_evidence(api, failed_run, now=now)
    assert evidence.source is None
    assert any(reason in told for told in evidence.missing)


async def test_a_clock_that_runs_backwards_gives_a_duration_of_zero() -> None:
    raw = raw_run(start_time="2026-03-02T03:00:05Z")
    async with api_for(ScriptedServer({f"/flow_runs/{RUN}": raw})) as api:
        assert (await api.run(RUN)).duration_s == 0.0


@pytest.mark.live
async def test_a_real_server_answers_in_the_shapes_we_read(live_prefect: Any) -> None:
    since = datetime.now(UTC) - timedelta(minutes=5)
    async with PrefectAPI(live_prefect.url) as api:
        assert (await api.version()).startswith("3.")
        assert isinstance(await api.runs_changed_since(since), tuple)
        assert isinstance(await api.failed_runs_since(since), tuple)
        with pytest.raises(UnknownNameError):
            await api.run(RUN)
        with pytest.raises(UnknownNameError):
            await api.run("no-such-run")


@pytest.mark.parametrize(("later_s", "calls"), [(5, 0), (6, 1)])
@pytest.mark.parametrize("whole", [True, False])
async def test_a_deployment_that_a_list_has_just_told_is_not_asked_for_again(
    later_s: int, calls: int, *, whole: bool
) -> None:
    now = [datetime(2026, 3, 2, 3, 0, tzinfo=UTC)]
    told = {"id": DEPLOYMENT, "name": "prod"} | ({"entrypoint": "flows.py:orders"} if whole else {})
    server = evidence_server(**{"/deployments/filter": [told], "/flow_runs/filter": [raw_run()]})
    transport = httpx.MockTransport(server)
    async with PrefectAPI("http://prefect.test/api", transport=transport, clock=lambda: now[0]) as api:
        await api.runs_by_id([RUN])
        now[0] += timedelta(seconds=later_s)
        found = await api.deployment(DEPLOYMENT, just_read=True)
        asked = [path for path, _ in server.requests].count(f"/deployments/{DEPLOYMENT}")
        await api.deployment(DEPLOYMENT)
    assert found["entrypoint"] == "flows.py:orders"
    assert asked == (calls if whole else 1)
    assert [path for path, _ in server.requests].count(f"/deployments/{DEPLOYMENT}") == asked + 1
